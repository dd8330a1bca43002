"""Hooks: callbacks of users on events, which may be slow, raise, record, or remove themselves.

    hooks = Hooks(faults)
    hooks.add("user_login", tell_the_admin)
    hooks.run("user_login", event)     # returns at the latest after HOOK_WAIT_S a hook

Each hook runs in a lane: a thread of its own that exists while there is work. The caller waits
for it, so that a quick hook is over when `run` returns, as if it had been called; but only for
`HOOK_WAIT_S`, and not at all while the hook is behind. A hook that must run in the caller's own
thread (an event loop, a connection of sqlite3) is added with `inline=True`, and is waited for.
"""

import os
import threading
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeAlias

from heliograph.instruments.faults import Faults

Hook: TypeAlias = Callable[[Any], object]

HOOK_WAIT_S = 0.5
# Of one collector; each may have a thread.
HOOKS_MAX = 1000
# Events that wait for a hook that is behind; more are dropped, and counted.
HOOK_PENDING_MAX = 1000
LANE_IDLE_S = 5.0

# The hooks on whose behalf this code runs: one that records its own trigger must not run again.
_beneath: ContextVar[tuple[int, ...]] = ContextVar("heliograph_hooks", default=())


class _Added(NamedTuple):
    callback: Hook
    run: Callable[[Any, str], None]


class Hooks:
    """The hooks of a collector by type. A change never disturbs a run that is under way."""

    def __init__(self, faults: Faults, *, wait_s: float = HOOK_WAIT_S) -> None:
        self._faults = faults
        self._wait_s = wait_s
        # Single steps on dicts only: they need no lock, whichever thread or signal handler acts.
        self._added: dict[str, dict[int, _Added]] = {}
        self._next = count().__next__

    def add(self, hook_type: str, callback: Hook, *, inline: bool = False) -> None:
        """Call *callback* with what `run` of *hook_type* is given; twice when added twice.

        Raises TypeError where it cannot be called, ValueError where there are `HOOKS_MAX`.
        """
        if not callable(callback):
            raise TypeError(f"a hook is called: {callback!r} cannot be")
        held = sum(map(len, list(self._added.values())))
        if held >= HOOKS_MAX:
            raise ValueError(f"{held} hooks, limit {HOOKS_MAX}")
        if inline:
            run = _Inline(callback, self._faults).run
        else:
            run = _Lane(callback, self._faults, self._wait_s).run
        self._added.setdefault(hook_type, {})[self._next()] = _Added(callback, run)

    def remove(self, hook_type: str, callback: Hook) -> None:
        """Take the first that equals *callback* away; nothing where there is none."""
        added = self._added.get(hook_type, {})
        for key, one in list(added.items()):
            if one.callback == callback and added.pop(key, None) is not None:
                return

    def run(self, hook_type: str, data: object) -> None:
        """Call the hooks of *hook_type* in the order they were added. Never raises."""
        added = self._added.get(hook_type)
        if added:
            # A copy: a hook may add and remove hooks, itself too.
            for one in list(added.values()):
                one.run(data, hook_type)

    def __contains__(self, hook_type: object) -> bool:
        return bool(self._added.get(hook_type))  # type: ignore[call-overload]

    def __getitem__(self, hook_type: str) -> list[Hook]:
        return [one.callback for one in list(self._added.get(hook_type, {}).values())]


class _Inline:
    """A hook in its caller's thread."""

    def __init__(self, callback: Hook, faults: Faults) -> None:
        self._callback = callback
        self._faults = faults

    def run(self, data: object, hook_type: str) -> None:
        beneath = _beneath.get()
        if id(self) in beneath:
            self._faults.count("hook_reentered")
            return
        token = _beneath.set((*beneath, id(self)))
        try:
            _call(self._callback, data, hook_type, self._faults)
        finally:
            _beneath.reset(token)


class _Work(NamedTuple):
    run: Callable[[], None]
    done: threading.Lock


class _Lane:
    """A hook in a thread of its own."""

    def __init__(self, callback: Hook, faults: Faults, wait_s: float) -> None:
        self._callback = callback
        self._faults = faults
        self._wait_s = wait_s
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._waiting: SimpleQueue[_Work] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._behind = False
        # Re-entrant: a signal handler may record an event while its thread is just in here.
        self._lock = threading.RLock()

    def run(self, data: object, hook_type: str) -> None:
        if self._pid != os.getpid():
            self._begin()  # The thread stayed in the parent.
        beneath = _beneath.get()
        if id(self) in beneath:
            self._faults.count("hook_reentered")
            return
        if self._waiting.qsize() >= HOOK_PENDING_MAX:
            self._faults.tell("hook_behind", "hook of %s is behind: events dropped", hook_type)
            return
        done = threading.Lock()
        done.acquire()
        context = copy_context()
        context.run(_beneath.set, (*beneath, id(self)))
        call = partial(_call, self._callback, data, hook_type, self._faults)
        self._submit(_Work(partial(context.run, call), done))
        if not self._behind and not done.acquire(timeout=self._wait_s):
            self._behind = True
            self._faults.tell(
                "hook_slow", "hook of %s: not done in %s s, going on", hook_type, self._wait_s
            )

    def _submit(self, work: _Work) -> None:
        with self._lock:
            self._waiting.put(work)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="heliograph-hook", daemon=True
                )
                try:
                    self._thread.start()
                except RuntimeError:  # No more threads, or the interpreter is on its way out.
                    self._thread = None
                    self._faults.count("hook_dropped")
                    self._waiting.get().done.release()

    def _work(self) -> None:
        while True:
            try:
                work = self._waiting.get(timeout=LANE_IDLE_S)
            except Empty:
                with self._lock:
                    if self._waiting.empty():
                        self._thread = None
                        return
                continue
            try:
                work.run()
            except (SystemExit, KeyboardInterrupt):
                # It would end this thread and nothing else: the program's is another.
                self._faults.count("hook_raised")
            if self._waiting.empty():
                self._behind = False
            work.done.release()


def _call(callback: Hook, data: object, hook_type: str, faults: Faults) -> None:
    what = f"error in telemetry hook {hook_type}"
    faults.run("hook_raised", what, partial(callback, data), None)
