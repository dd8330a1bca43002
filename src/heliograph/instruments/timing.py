"""`timer`: how long a block or a function takes, into any instrument.

    with timer(histogram):
        save()

    @timer(histogram)
    def save(): ...

    with timer(histogram) as took:
        save()
    print(took.seconds)

A block that raises is timed too; the exception goes on. Coroutine functions are timed to their end.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, Protocol, Self, TypeVar, cast

from heliograph.core.clock import SystemClock

P = ParamSpec("P")
R = TypeVar("R")


class Observes(Protocol):
    """A histogram or a summary."""

    def observe(self, value: float) -> None:
        """Take *value*."""
        ...


class Sets(Protocol):
    """A gauge, which keeps the latest."""

    def set(self, value: float) -> None:
        """Take *value*."""
        ...


_clock = SystemClock()


class Timer:
    """One block to time, or a decorator of functions, each call of which is timed by itself.

    seconds  how long the last block took
    """

    __slots__ = ("_began_s", "_tell", "seconds")

    def __init__(self, tell: Callable[[float], object]) -> None:
        self._tell = tell
        self._began_s = 0.0
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._began_s = _clock.monotonic_s()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = max(_clock.monotonic_s() - self._began_s, 0.0)
        self._tell(self.seconds)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """*function*, timed."""
        tell = self._tell
        if inspect.iscoroutinefunction(function):
            coroutine: Any = function

            @wraps(function)
            async def timed_to_its_end(*args: P.args, **kwargs: P.kwargs) -> Any:
                with Timer(tell):
                    return await coroutine(*args, **kwargs)

            return cast("Callable[P, R]", timed_to_its_end)

        @wraps(function)
        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            # A timer of its own for every call: they nest, and they run in many threads.
            with Timer(tell):
                return function(*args, **kwargs)

        return timed


def timer(metric: Observes | Sets) -> Timer:
    """Tell *metric* the seconds: a histogram or summary observes them, a gauge is set to them."""
    observe = getattr(metric, "observe", None)
    tell = observe if observe is not None else getattr(metric, "set", None)
    if tell is None:
        raise TypeError(
            f"{type(metric).__name__} takes no seconds: a histogram, summary or gauge"
        )
    return Timer(tell)
