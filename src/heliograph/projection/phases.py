"""Phases of a run: named scopes that nest, per session, rank and thread; told, and read back.

    phases = PhaseRecorder("run-7")
    train = phases.enter("train")              # "Phase entered: train"
    step = phases.enter("forward")             # "Phase entered: train / forward"
    phases.exit(step.scope_id)                 # "Phase exited: train / forward"

    metadata["phase_scope"] == {"action": "enter", "name": "forward", "path": ["train", "forward"],
        "scope_id": "run-7:2", "parent_scope_id": "run-7:1", "sequence": 2, "thread_id": 139…}

Enters and exits share one sequence, and a scope bears the number of its enter. Scopes end in the
reverse order of their beginning, on the thread that began them. `phase_replay` reads them back.
"""

import threading
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

SEPARATOR = " / "
# Scopes open at once on one thread; a scope that nobody leaves would otherwise cost without end.
DEPTH_MAX = 256


class PhaseProtocolError(ValueError):
    """A scope was left that is unknown, of another thread, or not the innermost."""


class PhaseMark(NamedTuple):
    """What an enter or exit is as an event.

    context    "Phase entered: a / b"
    metadata   `phase_scope` as the module tells, and what was given with it
    """

    event_type: Literal["phase_enter", "phase_exit"]
    context: str
    metadata: dict[str, Any]
    scope_id: str


class _Scope(NamedTuple):
    scope_id: str
    parent_scope_id: str | None
    path: tuple[str, ...]
    thread_id: int
    metadata: Mapping[str, Any]


class PhaseRecorder:
    """The open scopes of one rank of *session_id*; thread-safe."""

    def __init__(self, session_id: str, *, rank: int = 0) -> None:
        self._session_id = session_id
        self.rank = rank
        self._lock = threading.Lock()
        self._sequence = 0
        self._stacks: dict[int, list[_Scope]] = {}

    def enter(
        self,
        name: str,
        *,
        thread_id: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> PhaseMark:
        """Begin scope *name* within the innermost of its thread, by default the current one.

        *metadata* goes with the mark and with that of the exit. ValueError for a blank name;
        PhaseProtocolError beyond `DEPTH_MAX`.
        """
        if not (isinstance(name, str) and name.strip()):
            raise ValueError("phase name must be a non-empty string")
        thread_id = threading.get_ident() if thread_id is None else thread_id
        with self._lock:
            stack = self._stacks.setdefault(thread_id, [])
            if len(stack) >= DEPTH_MAX:
                raise PhaseProtocolError(f"more than {DEPTH_MAX} phases open on one thread")
            self._sequence += 1
            parent = stack[-1] if stack else None
            scope = _Scope(
                scope_id=f"{self._session_id}:{self._sequence}",
                parent_scope_id=None if parent is None else parent.scope_id,
                path=(*(() if parent is None else parent.path), name),
                thread_id=thread_id,
                metadata=dict(metadata or {}),
            )
            stack.append(scope)
            return _mark("enter", scope, self._sequence)

    def exit(self, scope_id: str, *, thread_id: int | None = None) -> PhaseMark:
        """End scope *scope_id*. PhaseProtocolError, with nothing changed, unless it is the innermost
        of its thread, by default the current one."""
        thread_id = threading.get_ident() if thread_id is None else thread_id
        with self._lock:
            stack = self._stacks.get(thread_id, [])
            if not stack or stack[-1].scope_id != scope_id:
                raise PhaseProtocolError(self._why_not(scope_id, thread_id))
            scope = stack.pop()
            if not stack:
                del self._stacks[thread_id]
            self._sequence += 1
            return _mark("exit", scope, self._sequence)

    def current_scope(self, thread_id: int | None = None) -> dict[str, Any] | None:
        """The innermost scope of a thread, by default the current one, for the metadata of a sample:
        name, path, scope_id, parent_scope_id, thread_id; None outside all."""
        stack = self._stacks.get(threading.get_ident() if thread_id is None else thread_id)
        try:
            return _told(stack[-1]) if stack else None
        except IndexError:
            # Left by its thread meanwhile.
            return None

    def _why_not(self, scope_id: str, thread_id: int) -> str:
        for of_thread, stack in self._stacks.items():
            for scope in stack:
                if scope.scope_id != scope_id:
                    continue
                if of_thread != thread_id:
                    return f"phase {scope.path[-1]!r} was entered on another thread"
                inner = stack[-1].path[-1]
                return f"phase {scope.path[-1]!r} is left before {inner!r}, which is inside it"
        return f"phase scope {scope_id!r} is not open"


def _told(scope: _Scope) -> dict[str, Any]:
    return {
        "name": scope.path[-1],
        "path": list(scope.path),
        "scope_id": scope.scope_id,
        "parent_scope_id": scope.parent_scope_id,
        "thread_id": scope.thread_id,
    }


def _mark(action: Literal["enter", "exit"], scope: _Scope, sequence: int) -> PhaseMark:
    verb, event_type = (
        ("entered", "phase_enter") if action == "enter" else ("exited", "phase_exit")
    )
    return PhaseMark(
        event_type,  # type: ignore[arg-type]
        f"Phase {verb}: {SEPARATOR.join(scope.path)}",
        {
            **scope.metadata,
            "phase_scope": {"action": action, **_told(scope), "sequence": sequence},
        },
        scope.scope_id,
    )
