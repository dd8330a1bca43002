"""Sessions: which run of a tracker an event belongs to, how it ended, and which is shown first.

running       its writer is there, or was when the file was written
completed     it said that it ended
interrupted   its writer went without saying so
incomplete    nobody knows
"""

import uuid
from collections.abc import Iterable
from typing import Literal, Protocol, TypeVar

SessionStatus = Literal["running", "completed", "interrupted", "incomplete"]

_SEPARATOR = "::"
# How it ended counts before when it began.
_PREFERRED: tuple[SessionStatus, ...] = ("completed", "interrupted", "incomplete", "running")


class Session(Protocol):
    """What choosing between sessions looks at."""

    @property
    def status(self) -> SessionStatus:
        """How it ended."""
        ...

    @property
    def started_at_ns(self) -> int | None:
        """When its first event happened; None where it has none."""
        ...


S = TypeVar("S", bound=Session)


def stable_legacy_session_id(*parts: object) -> str:
    """A session id of *parts*, for events that have none: equal parts, equal id, on every machine."""
    name = _SEPARATOR.join(map(str, parts))
    return f"legacy-{uuid.uuid5(uuid.NAMESPACE_URL, name)}"


def new_session_id() -> str:
    """A session id that nobody has."""
    return f"session-{uuid.uuid4()}"


def default_session(sessions: Iterable[S]) -> S | None:
    """The session to show unasked: one with events before an empty one, then a completed before an
    interrupted before an incomplete before a running one, then the newest; None of none."""
    return max(sessions, key=_rank, default=None)


def _rank(session: Session) -> tuple[bool, int, int]:
    began = session.started_at_ns
    return began is not None, -_PREFERRED.index(session.status), -1 if began is None else began
