"""Awaiting what mostly need not wait, with a time limit for when it must.

    body = await at_once.within(whole_body(), limit_s=60)

`asyncio.timeout` sets a timer and takes it back, which for a small request is a tenth of all that it
costs; nearly all bodies are there when they are asked for.
"""

import asyncio
from collections.abc import Awaitable, Generator, Iterator
from typing import Any, TypeVar, cast

T = TypeVar("T")


async def within(work: Awaitable[T], *, limit_s: float) -> T:
    """What *work* gives. Raises TimeoutError when it waits, and is not done within *limit_s*."""
    steps = work.__await__()
    try:
        waited_for = next(steps)
    except StopIteration as done:
        return cast("T", done.value)
    async with asyncio.timeout(limit_s):
        return cast("T", await Rest(steps, waited_for))


class Rest:
    """The rest of *steps*, which have come to wait for *waited_for*."""

    def __init__(self, steps: Generator[Any, Any, Any], waited_for: Any) -> None:
        self._steps = steps
        self._first = [waited_for]

    def __await__(self) -> Generator[Any, Any, Any]:
        return self  # type: ignore[return-value]

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._first.pop() if self._first else next(self._steps)

    def send(self, value: Any) -> Any:
        """Go on, with what was waited for."""
        return self._first.pop() if self._first else self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        """Go on with *error*, a cancellation for example."""
        return self._steps.throw(*error)

    def close(self) -> None:
        """Never go on."""
        self._steps.close()
