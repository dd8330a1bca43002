"""`MemoryTracker`: the memory of a training process over time, in phases, and as it runs out.

    from heliograph.projection.memory import MemoryTracker

    with MemoryTracker(ship="http://heliograph:8989", dumps="oom-dumps") as memory:
        for batch in data:
            with memory.phase("forward"):
                …

Every *every_s* a thread of its own reads each device (`memory_devices`), which takes well below a
millisecond, and writes an event of it (`memory_events`); a phase writes two. Events go to sinks and
to a service (`memory_outbox`), always in that thread, and the last are kept for the end of memory
(`memory_flight`). A device that cannot be read is left alone for a while, and no zeros are written.

Once made, nothing here raises into the job: what goes wrong is counted in `counts`. A forked child's
copy does nothing.
"""

import atexit
import contextlib
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from heliograph.core.clock import Clock, SystemClock
from heliograph.core.errors import ConfigError
from heliograph.projection import memory_devices, memory_events
from heliograph.projection.memory_alerts import Thresholds
from heliograph.projection.memory_devices import Device
from heliograph.projection.memory_events import Told
from heliograph.projection.memory_faults import Faults
from heliograph.projection.memory_flight import Bounds, FlightRecorder, is_oom, words_of
from heliograph.projection.memory_outbox import Appending, Event, Outbox, RecordsLane
from heliograph.projection.memory_watching import Watched
from heliograph.projection.phases import PhaseRecorder

EVERY_S = 1.0
EVERY_S_MIN = 0.01
# A day.
EVERY_S_MAX = 86_400.0
# An end of memory is told by the allocator's count and by the exception, and passes through several
# of our blocks: one dump.
OOM_QUIET_S = 5.0
STOP_WAIT_S = 5.0


class MemoryTracker:
    """Watches the memory of this process.

    sinks        each takes events: `TelemetrySink`, or a function of an event
    ship         URL of a service, or a `heliograph.ship.Shipper` whose service takes the records
    dumps        the folder for dumps at the end of memory; None writes none
    devices      what is watched; None: torch's device once it is in use, and the host's memory
    every_s      seconds between two readings; 0 begins no thread: call `sample` and `flush`
    session_id   of the events; None makes one
    metadata     added to that of every event
    job_id, rank, local_rank, world_size   where the launcher's environment does not tell

    `with` starts and stops it. Raises ConfigError for what cannot be meant.
    """

    def __init__(
        self,
        sinks: Iterable[Appending | Callable[[Event], object]] = (),
        *,
        ship: Any = None,
        dumps: str | os.PathLike[str] | None = None,
        devices: Sequence[Device] | None = None,
        every_s: float = EVERY_S,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        job_id: str | None = None,
        rank: int | None = None,
        local_rank: int | None = None,
        world_size: int | None = None,
        thresholds: Thresholds | None = None,
        bounds: Bounds | None = None,
        clock: Clock | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        if every_s != 0 and not EVERY_S_MIN <= every_s <= EVERY_S_MAX:
            raise ConfigError(
                f"every {every_s!r} s, from {EVERY_S_MIN} to {EVERY_S_MAX:g}, or 0"
            )
        self._clock = clock or SystemClock()
        self._environ = os.environ if environ is None else environ
        self._every_s = every_s
        self.session_id = session_id or f"memory-{uuid.uuid4().hex}"
        given = {
            "job_id": job_id,
            "rank": rank,
            "local_rank": local_rank,
            "world_size": world_size,
        }
        self.identity = memory_events.identity(self.session_id, self._environ, given)
        self._metadata = {**memory_events.places(self._environ), **(metadata or {})}
        self._thresholds = (thresholds or Thresholds()).checked()
        self._faults = Faults()
        self._looking = devices is None
        self._watched = [self._watch(one) for one in devices or memory_devices.found()]
        self._phases = PhaseRecorder(self.session_id, rank=self.identity.rank)
        self._flight = FlightRecorder(dumps, bounds)
        self._outbox = Outbox(sinks, self._faults)
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._began = self._ended = False
        self._events = self._samples = 0
        self._sample_s = 0.0
        self._oom_at_s = -OOM_QUIET_S
        self._oom_dump: str | None = None
        self._phase_thread: int | None = None
        self._pid = os.getpid()
        # The last: its thread asks for our counts from now on.
        self._outbox.lane = self._lane = self._shipping(ship)

    def start(self) -> Self:
        """Say `start`, and begin to sample unless *every_s* is 0; itself. Again changes nothing."""
        if self._dormant or self._began:
            return self
        self._began = True
        # Before any shipper's own, which was registered earlier and so is called later.
        atexit.register(self._at_exit)
        self._outbox.open(self.session_id)
        self._faults.run("start_failed", lambda: self._mark("start"), None)
        if self._every_s:
            self._thread = threading.Thread(
                target=self._run, name="heliograph-memory", daemon=True
            )
            self._faults.run("thread_failed", self._thread.start, None)
        return self

    def stop(self, session_status: str = "completed") -> None:
        """Sample once more, say `stop`, hand everything over, close sinks. Again changes nothing."""
        if self._dormant or self._ended or not self._began:
            return
        self._ended = True
        self._over.set()
        thread = self._thread
        if (
            thread is not None
            and thread.is_alive()
            and thread is not threading.current_thread()
        ):
            thread.join(STOP_WAIT_S)
        self._faults.run("stop_failed", lambda: self._mark("stop"), None)
        self._outbox.close(session_status)
        if self._lane is not None:
            self._faults.run("ship_failed", self._lane.close, None)
        atexit.unregister(self._at_exit)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and is_oom(error):
            self.oom(error)
        self.stop("completed" if error is None else "interrupted")

    def sample(self) -> list[dict[str, Any]]:
        """Read every device that is due; the events of it. Called by the thread, or by you."""
        if self._dormant:
            return []
        return self._faults.run("sample_failed", self._sample, [])

    @contextlib.contextmanager
    def phase(self, name: str, metadata: Mapping[str, Any] | None = None) -> Iterator[None]:
        """A stretch of the program under *name*; they nest, for each thread by itself."""
        scope = self.enter_phase(name, metadata)
        try:
            with self.guard():
                yield
        finally:
            self.exit_phase(scope)

    def enter_phase(self, name: str, metadata: Mapping[str, Any] | None = None) -> str | None:
        """`phase` by hand: the scope to be handed to `exit_phase`; None where it went wrong."""
        if self._dormant:
            return None

        def enter() -> str:
            mark = self._phases.enter(name, metadata=metadata)
            self._phase_thread = threading.get_ident()
            self._tell(Told(mark.event_type, mark.context, mark.metadata))
            return str(mark.scope_id)

        return self._faults.run("phase_failed", enter, None)

    def exit_phase(self, scope: str | None) -> None:
        """The phase of *scope* is over; phases within it must be over already."""
        if self._dormant or scope is None:
            return

        def leave() -> None:
            mark = self._phases.exit(scope)
            self._tell(Told(mark.event_type, mark.context, mark.metadata))

        self._faults.run("phase_failed", leave, None)

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """An end of memory inside is told and dumped before it goes on its way."""
        try:
            yield
        except BaseException as error:
            if is_oom(error):
                self.oom(error)
            raise

    def oom(self, error: BaseException | str) -> str | None:
        """Memory ran out: an event of it and a dump; the dump's folder, None where there is none.

        Within OOM_QUIET_S of another it is the same one.
        """
        if self._dormant:
            return None
        reason = error if isinstance(error, str) else words_of(error)
        return self._faults.run("oom_failed", lambda: self._oom(reason), None)

    def flush(self) -> None:
        """Hand over all that waits to sinks, and have them write it."""
        if not self._dormant:
            self._outbox.flush()

    @property
    def events(self) -> list[Event]:
        """The last events, oldest first: the flight recorder's."""
        return self._flight.events

    def counts(self) -> dict[str, float]:
        """What the tracker has done, what became of what it ships, and what went wrong, by fixed
        words."""
        shipped = {} if self._lane is None else self._lane.counts()
        return {**self._own_counts(), **shipped}

    def _own_counts(self) -> dict[str, float]:
        return {
            "events": self._events,
            "samples": self._samples,
            "sample_seconds": self._sample_s,
            "dropped": self._outbox.dropped,
            "dumps": self._flight.dumps,
            **self._faults.counts,
        }

    def _at_exit(self) -> None:
        """A program that never stopped us ends; what ended it, unless all was well, is known by now."""
        error = getattr(sys, "last_value", None)
        if isinstance(error, BaseException) and is_oom(error):
            self.oom(error)
        self.stop("completed" if error is None else "interrupted")

    @property
    def _dormant(self) -> bool:
        """Whether this is a forked child's copy."""
        return os.getpid() != self._pid

    def _shipping(self, ship: Any) -> RecordsLane | None:
        if ship is None:
            return None
        # Loaded by those who ship: HTTP costs more than all the rest.
        from heliograph.projection.memory_shipping import lane_of

        # What became of records its shipper ships by itself.
        return lane_of(ship, self._own_counts, self.identity)

    def _watch(self, device: Device) -> Watched:
        writer = memory_events.Writer(self.identity, device, self._metadata, self._every_s)
        return Watched(device, writer, self._thresholds, self._faults)

    def _run(self) -> None:
        next_s = self._clock.monotonic_s()
        while not self._over.wait(max(next_s - self._clock.monotonic_s(), 0.0)):
            self.sample()
            self._faults.run("drain_failed", self._outbox.drain, None)
            # A machine that slept does not catch up.
            next_s = max(next_s + self._every_s, self._clock.monotonic_s())

    def _sample(self) -> list[dict[str, Any]]:
        began_s = self._clock.monotonic_s()
        with self._lock:
            self._look_for_torch()
            told: list[dict[str, Any]] = []
            for watched in self._watched:
                seen = watched.look(self._now(), began_s, self._scope())
                told += seen.events
                if seen.ooms:
                    told += self._ran_out(watched, f"{seen.ooms} allocations refused", began_s)
            for event in told:
                self._emit(event)
            self._samples += 1
            self._sample_s = self._clock.monotonic_s() - began_s
        if not self._every_s:
            self._outbox.drain()
        return told

    def _mark(self, event_type: str) -> None:
        """An event of every device that can be read."""
        with self._lock:
            for watched in self._watched:
                if (event := watched.event(self._now(), Told(event_type))) is not None:
                    self._emit(event)

    def _tell(self, told: Told) -> None:
        """One event, of the device that computes: the first that is in use."""
        with self._lock:
            for watched in self._watched:
                if (event := watched.event(self._now(), told)) is not None:
                    self._emit(event)
                    return

    def _oom(self, reason: str) -> str | None:
        now_s = self._clock.monotonic_s()
        with self._lock:
            if now_s - self._oom_at_s < OOM_QUIET_S:
                return self._oom_dump
            for watched in self._watched:
                if events := self._ran_out(watched, reason, now_s):
                    for event in events:
                        self._emit(event)
                    break
        self._outbox.flush()
        return self._oom_dump

    def _ran_out(self, watched: Watched, reason: str, now_s: float) -> list[dict[str, Any]]:
        """The event of an end of memory, with a dump of what led there, unless one was just made."""
        event = watched.event(
            self._now(),
            Told(
                "error", reason, {"severity": "critical", "oom_reason": reason, **self._scope()}
            ),
        )
        if event is None:
            return []
        if now_s - self._oom_at_s >= OOM_QUIET_S:
            self._oom_at_s, self._oom_dump = now_s, None
            metadata = {"reason": reason, "event": event, "devices": self._details()}
            made = self._faults.run(
                "dump_failed",
                lambda: self._flight.dump(metadata, self._environ, self._now()),
                None,
            )
            self._oom_dump = None if made is None else str(made)
        if self._oom_dump is not None:
            event["metadata"]["oom_dump_path"] = self._oom_dump
        return [event]

    def _details(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        nothing: Mapping[str, Any] = {}
        for one in self._watched:
            told = self._faults.run("details_failed", one.device.details, nothing)
            found[f"{one.device.backend}:{one.device.device_id}"] = dict(told)
        return found

    def _emit(self, event: dict[str, Any]) -> None:
        self._events += 1
        self._flight.add(event)
        self._outbox.put(event)

    def _scope(self) -> dict[str, Any]:
        # What the thread that computes is in: the one that entered last.
        scope = self._phases.current_scope(self._phase_thread) if self._phase_thread else None
        return {} if scope is None else {"phase_scope": scope}

    def _now(self) -> int:
        return self._clock.now_ns()

    def _look_for_torch(self) -> None:
        """A program that imports torch after us is watched from then on."""
        if self._looking and len(self._watched) == 1:
            device = memory_devices.accelerator()
            if device is not None:
                self._watched.insert(0, self._watch(device))
