"""Wandb runs as the service knows them: found or made, placed, kept in state.

Whose a run is (`wandb_places`) is looked up when it is first heard of, and again whenever something
comes of it after the directory changed; of runs that nothing comes of any more, now and then.

Who changes a run holds it (`held`) from reading to writing; a sweep holds no run but the one that it
looks at.
"""

from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from threading import Lock, RLock
from typing import Any, NamedTuple

from sqlalchemy import Connection

from heliograph.core import instant
from heliograph.core.clock import Clock
from heliograph.receive.wandb_graphql import RunName, RunSettings
from heliograph.service import wandb_places as places
from heliograph.service.meters import Meters
from heliograph.service.owners import Owners
from heliograph.service.wandb_progress import tail_ns
from heliograph.store.state import document, wandb_runs
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.store.state.wandb_runs import WandbRun

KEPT_MAX = 1000
# A client sends a heartbeat every 30 s. One that was not heard of for so long is gone.
SILENT_AFTER_NS = 3600 * 10**9
HEARTBEATS_NS = 60 * 10**9
SWEEP_EVERY_NS = 60 * 10**9
# Runs that may be held at once, at most.
HOLDS = 64
# What goes first from a document that is too large.
_BULKY = ("packages", "metadata", "names", "summary", "config", "tags", "notes")


class RunLimits(NamedTuple):
    """Runs that are kept, bytes that one says of itself, and console lines of one that are kept."""

    runs: int
    document_bytes: int
    console_lines: int


class WandbRuns:
    """The runs. Thread-safe; a run is changed by who holds it."""

    def __init__(
        self, state: State, owners: Owners, clock: Clock, meters: Meters, limits: RunLimits
    ) -> None:
        self._state = state
        self._owners = owners
        self._clock = clock
        self._meters = meters
        self.limits = limits
        self._kept: OrderedDict[str, WandbRun] = OrderedDict()
        # Of runs that are in no other's pod: how often the directory had changed at the last look.
        self._looked: OrderedDict[str, int] = OrderedDict()
        self._swept_ns = clock.now_ns()
        self._held = [RLock() for _ in range(HOLDS)]
        self._lock = Lock()

    def held(self, uid: str) -> AbstractContextManager[bool]:
        """Hold the run *uid*: nobody else does meanwhile."""
        return self._held[hash(uid) % HOLDS]

    def read(self, uid: str) -> WandbRun | None:
        """The run *uid* as it is stored; on any thread."""
        return self._state.read(lambda tx: wandb_runs.get(tx, uid))

    def known(self, name: RunName) -> WandbRun | None:
        """The run *name*, or None when it was never heard of."""
        run = self._kept.get(name.uid) or self.read(name.uid)
        return None if run is None else self._remember(run)

    def opened(self, name: RunName, said: RunSettings | None = None) -> tuple[WandbRun, bool]:
        """The run *name*, which says *said* of itself and runs, kept; whether it is new."""
        run, new = self.described(name, said)
        kept = self._put(run)
        self._place(run, None)
        self._stored(kept)
        return self._remember(run), new

    def described(
        self, name: RunName, said: RunSettings | None = None, *, live: bool = True
    ) -> tuple[WandbRun, bool]:
        """The same run, not kept yet, and nobody told of it; *live* where it runs now, and is not
        read from a file."""
        now_ns = self._clock.now_ns()
        old = self.known(name)
        run = old or WandbRun(
            name.uid, name.entity, name.project, name.run, wandb_runs.RUNNING, "", True,
            now_ns, now_ns, document={"name": name.run},
        )  # fmt: skip
        if said is not None:
            resumed = {"resumed": True} if said.resumed else {}
            run = run._replace(document={**run.document, **resumed, **_said(said)})
            run = _since(run)
        run = run._replace(state=wandb_runs.RUNNING, heard_ns=now_ns)
        if old is None:
            changed = self._owners.changed
            directory = self._owners.directory()
            pod_uid = places.found(directory, run, places.started_ns(run))
            if live:
                pod_uid = pod_uid or places.found(directory, run, now_ns)
            run = run._replace(pod_uid=pod_uid or run.uid, own=not pod_uid)
            self._has_looked(run, changed)
        else:
            run = self.looked(run, live=live)
        return run._replace(document=self._bounded(run.document)), old is None

    def looked(self, run: WandbRun, *, live: bool = True) -> WandbRun:
        """*run* in the pod that it is known to be in by now, and everybody told, where that is not
        the one it was in; *live* where it runs now."""
        changed = self._owners.changed
        if self._looked.get(run.uid) == changed:
            return run
        directory = self._owners.directory()
        pod_uid = places.found(directory, run, self._clock.now_ns()) if live else ""
        if run.own and not pod_uid:
            pod_uid = places.found(directory, run, places.started_ns(run))
        moving = pod_uid not in {"", run.pod_uid}
        if moving:
            # What it said last is said already; its clock need not be ours.
            since_ns = max(self._clock.now_ns(), tail_ns(run) + 1)
            run = places.moved(run, pod_uid, since_ns)
            self._stored(self._put(run))
        if moving or not run.own:
            self._place(run, None)
        self._has_looked(run, changed)
        return self._remember(run) if moving else run

    def _has_looked(self, run: WandbRun, changed: int) -> None:
        with self._lock:
            self._looked[run.uid] = changed
            self._looked.move_to_end(run.uid)
            if len(self._looked) > KEPT_MAX:
                self._looked.popitem(last=False)

    def begun(self, run: WandbRun, at_ns: int) -> WandbRun:
        """*run*, which was there at *at_ns* already: one that is synced later began long ago. It is
        placed by who changes it next."""
        if at_ns >= places.started_ns(run):
            return run
        return run._replace(document={**run.document, "started_ns": at_ns})

    def placed(self, run: WandbRun) -> None:
        """Tell the others that *run* runs, and since when."""
        self._place(run, None)

    def ended(self, run: WandbRun, state: str, at_ns: int) -> WandbRun:
        """*run*, which ended as *state* says, at *at_ns*; not yet saved."""
        run = run._replace(state=state, document={**run.document, "ended_ns": at_ns})
        self._place(run, at_ns)
        return run

    def saved(self, run: WandbRun) -> WandbRun:
        """*run* as it is kept in state, durably; what it says too much of is left out."""
        run = run._replace(document=self._bounded(run.document))
        self._stored(self._put(run))
        return self._remember(run)

    def _put(self, run: WandbRun) -> "Future[list[str]]":
        """Keep *run*; where it may be new, forget those that are too many with it."""
        with self._lock:
            known = run.uid in self._kept

        def put(tx: Connection) -> list[str]:
            wandb_runs.put(tx, run)
            return [] if known else wandb_runs.forget_oldest(tx, self.limits.runs, run.uid)

        return self._state.write(put, lane=Lane.APPLIER)

    def _stored(self, put: "Future[list[str]]") -> None:
        """Wait for *put*; runs that were forgotten with it are known no more."""
        gone = put.result()
        if not gone:
            return
        with self._lock:
            for uid in gone:
                self._kept.pop(uid, None)
        self._meters.dropped.add(len(gone), "wandb_runs", "too_many")

    def sweep(self) -> None:
        """Now and then: runs that nobody has heard of for long have ended, as far as we know, and
        those whose pod has become known are that pod's."""
        now_ns = self._clock.now_ns()
        with self._lock:
            if now_ns - self._swept_ns < SWEEP_EVERY_NS:
                return
            self._swept_ns = now_ns
            looked = list(self._looked.items())
        before_ns = now_ns - SILENT_AFTER_NS
        for quiet in self._state.read(lambda tx: wandb_runs.quiet(tx, before_ns)):
            with self.held(quiet.uid):
                # Again: who held it meanwhile may have heard of it.
                run = self._kept.get(quiet.uid) or self.read(quiet.uid)
                if run is None or run.heard_ns >= before_ns:
                    continue
                if run.state == wandb_runs.RUNNING:
                    self.saved(self.ended(run, wandb_runs.SILENT, run.heard_ns))
        for uid, changed in looked:
            if changed != self._owners.changed:
                with self.held(uid):
                    known = self._kept.get(uid) or self.read(uid)
                    if known is not None:
                        heard = now_ns - known.heard_ns < HEARTBEATS_NS
                        self.looked(known, live=known.own and heard)

    def _remember(self, run: WandbRun) -> WandbRun:
        with self._lock:
            self._kept[run.uid] = run
            self._kept.move_to_end(run.uid)
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return run

    def _place(self, run: WandbRun, end_ns: int | None) -> None:
        """Say to all others that the run is, or until when it was."""
        told = places.placements(self._owners.directory(), run, end_ns)
        if told.workloads:
            self._owners.place(told)

    def _bounded(self, said: Mapping[str, Any]) -> Mapping[str, Any]:
        if len(document.encode(dict(said))) <= self.limits.document_bytes:
            return said
        kept = dict(said)
        left_out = set(kept.get("left_out", ()))
        for name in _BULKY:
            if kept.pop(name, None) is not None:
                left_out.add(name)
                self._meters.dropped.add(1, "wandb_documents", name)
            kept["left_out"] = sorted(left_out)
            if len(document.encode(kept)) <= self.limits.document_bytes:
                break
        return kept


def _since(run: WandbRun) -> WandbRun:
    """*run*, which began when its metadata says so, where that is earlier than we knew."""
    text = (run.document.get("metadata") or {}).get("startedAt")
    try:
        at_ns = instant.parse_any(text) if isinstance(text, str) else None
    except ValueError:
        return run
    if at_ns is None or not 0 < at_ns < places.started_ns(run):
        return run
    return run._replace(document={**run.document, "started_ns": at_ns})


def _said(said: RunSettings) -> dict[str, Any]:
    """What *said* changes; what it does not say stays."""
    found: dict[str, Any] = {
        "name": said.display_name,
        "notes": said.notes,
        "group": said.group,
        "job_type": said.job_type,
        "program": said.program,
        # That of today, where a run is resumed elsewhere.
        "host": said.host,
        "commit": said.commit,
        "repo": said.repo,
        "sweep": said.sweep,
        "tags": said.tags,
        "config": said.config,
        "summary": said.summary,
    }
    if (metadata := _environment(said.config)) is not None:
        found["metadata"] = metadata
    return {name: value for name, value in found.items() if value not in ("", None)}


def _environment(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Where the run runs, as newer clients say it in the config: `_wandb.e.<writer>`."""
    own = (config or {}).get("_wandb")
    writers = own.get("e") if isinstance(own, dict) else None
    told = list(writers.values()) if isinstance(writers, dict) else []
    return told[-1] if told and isinstance(told[-1], dict) else None
