"""Work for the alert engine that is more than one turn's: a piece a turn, and one answer at the end."""

from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Generic, NamedTuple, TypeVar

from heliograph.core.errors import Unavailable
from heliograph.service.alert_jobs import Together
from heliograph.service.alerting import Alerting, Turn

T = TypeVar("T")


class _Work(NamedTuple, Generic[T]):
    """A work and whom to tell. A value, not closures that name each other: those would hold a body
    and all that was made of it until the next collection of cyclic garbage."""

    alerting: Alerting
    piece: Callable[[Turn], Any]
    answer: Callable[[], T]
    done: "Future[T]"

    def taken(self, future: "Future[Any]") -> None:
        """A turn is over: go on, or answer."""
        error = future.exception()
        if error is not None:
            self.done.set_exception(error)
        elif future.result():
            self.done.set_result(self.answer())
        else:
            try:
                self.alerting.submit(self.piece, urgent=True).add_done_callback(self.taken)
            except Unavailable as closed:
                self.done.set_exception(closed)


def in_turns(
    alerting: Alerting, piece: Callable[[Turn], Any], answer: Callable[[], T]
) -> "Future[T]":
    """Do *piece* turn after turn until it says True (or `AtOnce(True)`); the future is what *answer*
    gives then, each piece being on disk.

    The pieces after the first go before what came later: they are one thing. What *piece* raises is
    the future's, and so is Unavailable once there are no more turns. Raises Unavailable itself when
    too many wait.
    """
    done: Future[T] = Future()
    alerting.submit(piece).add_done_callback(_Work(alerting, piece, answer, done).taken)
    return done


def awaited_in_turns(
    alerting: Alerting,
    piece: Callable[[Turn], Any],
    answer: Callable[[], T],
    together: Together | None = None,
) -> Awaitable[T]:
    """As `in_turns`, for tasks of an event loop, which it serves at half the cost; *together* as
    `Alerting.awaited` has it."""
    return _rest(alerting, alerting.awaited(piece, together=together), piece, answer)


async def _rest(
    alerting: Alerting,
    first: Awaitable[Any],
    piece: Callable[[Turn], Any],
    answer: Callable[[], T],
) -> T:
    complete = await first
    while not complete:
        complete = await alerting.awaited(piece, urgent=True)
    return answer()
