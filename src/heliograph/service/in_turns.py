"""Work for the alert engine that is more than one turn's: a piece a turn, and one answer at the end."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from heliograph.core.errors import Unavailable
from heliograph.service.alerting import Alerting, Turn

T = TypeVar("T")


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

    def taken(future: "Future[Any]") -> None:
        error = future.exception()
        if error is not None:
            done.set_exception(error)
        elif future.result():
            done.set_result(answer())
        else:
            try:
                alerting.submit(piece, urgent=True).add_done_callback(taken)
            except Unavailable as closed:
                done.set_exception(closed)

    alerting.submit(piece).add_done_callback(taken)
    return done
