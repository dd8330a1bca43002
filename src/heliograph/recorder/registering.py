"""Monitors as rules of a service, which may be away just now: what it did not take is tried again.

    registering.put(definition)       the rule is made now, or as soon as the service answers
    registering.remove("slow")        and gone, likewise

A monitor calls back meanwhile; only the service's own alerts wait.
"""

import threading
from collections.abc import Callable

from heliograph.core import thread_name
from heliograph.core.errors import Refused, Unavailable
from heliograph.recorder import forking
from heliograph.recorder.faults import Faults
from heliograph.recorder.monitors import Definition
from heliograph.recorder.store import RuleKeeper

RETRY_S = 5.0
# A request may be on its way; the end of a process does not wait for its answer.
CLOSE_S = 1.0


class Registering:
    """Has the rules of *keeper* follow the monitors. Thread-safe."""

    def __init__(self, keeper: RuleKeeper, faults: Faults) -> None:
        self._keeper = keeper
        self._faults = faults
        # By name, what the service has yet to be told: a definition, or None for one that is gone.
        self._waiting: dict[str, Definition | None] = {}
        self._begin()
        forking.watch(self)

    @property
    def waiting(self) -> int:
        """Rules that the service did not take yet."""
        return len(self._waiting)

    def put(self, definition: Definition) -> None:
        """Make *definition* a rule. ValueError for what no rule can say, or the service refuses."""
        with self._turn:
            try:
                self._keeper.register_monitor(definition)
            except Refused as refused:
                raise ValueError(f"no rule of the service: {refused}") from refused
            except Unavailable:
                self._later(definition.name, definition)
            else:
                self._waiting.pop(definition.name, None)

    def remove(self, name: str) -> bool:
        """Remove the rule of the monitor *name*; whether there is known to have been one."""
        with self._turn:
            try:
                there = self._keeper.remove_monitor(name)
            except Refused as refused:
                raise ValueError(f"the service keeps the rule: {refused}") from refused
            except Unavailable:
                self._later(name, None)
                return False
            self._waiting.pop(name, None)
            return there

    def close(self) -> None:
        """Try no more."""
        self._closing.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(CLOSE_S)

    def begin_again(self) -> None:
        """In the child of a fork: with a lock and a thread of its own."""
        is_closed = self._closing.is_set()
        self._begin()
        if self._waiting and not is_closed:
            self._start()

    def retry(self) -> None:
        """Try what waits, up to the first that the service does not answer."""
        for name in list(self._waiting):
            with self._turn:
                if name not in self._waiting:
                    continue
                definition = self._waiting[name]
                try:
                    if definition is None:
                        self._keeper.remove_monitor(name)
                    else:
                        self._keeper.register_monitor(definition)
                except Unavailable:
                    return
                except Refused as refused:
                    # Whoever asked for it has gone on: the journal is told.
                    self._faults.run(f"the rule of monitor {name}", _raising(refused))
                del self._waiting[name]

    def _begin(self) -> None:
        # Re-entrant: a signal handler may add a monitor while its thread does.
        self._turn = threading.RLock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def _later(self, name: str, definition: Definition | None) -> None:
        self._waiting[name] = definition
        if self._thread is None and not self._closing.is_set():
            self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="recorder-rules", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        thread_name.show()
        while not self._closing.wait(RETRY_S):
            self._faults.run("the rules of monitors", self.retry)
            with self._turn:
                if not self._waiting:
                    self._thread = None
                    return


def _raising(refused: Refused) -> Callable[[], object]:
    def call() -> None:
        raise refused

    return call
