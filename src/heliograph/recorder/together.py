"""Requests shared by the threads that wait: what comes while one is out goes with the next.

    thread 1   send [a] ────────────► answered                       one request of its own
    thread 2        send [b] ··┐
    thread 3          send [c] ··┴─► thread 2 sends [b, c] ─► both answered, each by its own items

So many threads cost few requests, as group commit shares an fsync. Who is alone waits for nobody.
Who is interrupted, by Ctrl-C say, takes his items back, and the others go on.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from heliograph.core.errors import Refused, Unavailable

Result = dict[str, Any]
# (path, items) → what became of each, in order; () when all were taken.
Post = Callable[[str, Sequence[Any]], Sequence[Result]]


class _Call:
    """What one thread sends, and what came of it."""

    __slots__ = ("done", "error", "items", "path", "results")

    def __init__(self, path: str, items: Sequence[Any]) -> None:
        self.path = path
        self.items = items
        self.results: Sequence[Result] = ()
        # Until there is an answer, there was none.
        self.error: Exception | None = Unavailable("the request was given up", code="no_answer")
        self.done = False


class Together:
    """Thread-safe. A request takes at most *items_max* items, or those of one call."""

    def __init__(self, post: Post, *, items_max: int) -> None:
        self._post = post
        self._items_max = items_max
        self.begin_again()

    def begin_again(self) -> None:
        """For a child that was forked: the threads that wait are the parent's."""
        self._changed = threading.Condition()
        self._waiting: deque[_Call] = deque()
        # Whose thread sends now.
        self._leader: _Call | None = None
        self._own = threading.local()

    def send(self, path: str, items: Sequence[Any]) -> Sequence[Result]:
        """What became of *items*, as `Post`. Raises what it raises."""
        if getattr(self._own, "sends", False):
            # A signal handler in the middle of a call of its thread, which goes on after it alone.
            return self._post(path, items)
        call = _Call(path, items)
        self._own.sends = True
        try:
            self._take_part(call)
        finally:
            self._own.sends = False
        if call.error is not None:
            raise _again(call.error)
        return call.results

    def _take_part(self, call: _Call) -> None:
        """Return when *call* is settled, by this thread or another."""
        group: list[_Call] = []
        try:
            with self._changed:
                self._waiting.append(call)
                self._changed.wait_for(lambda: call.done or self._is_next(call))
                if not call.done:
                    self._take(call, group)
            if group:
                self._settle(group)
        finally:
            # Wherever it was interrupted: what is left of it would hold up the others for ever.
            with self._changed:
                if self._leader is call:
                    self._leader = None
                for one in group:
                    one.done = True
                while self._waiting and self._waiting[0].done:
                    self._waiting.popleft()
                if not call.done:
                    with contextlib.suppress(ValueError):
                        self._waiting.remove(call)
                self._changed.notify_all()

    def _is_next(self, call: _Call) -> bool:
        return self._leader is None and self._waiting[0] is call

    def _take(self, call: _Call, group: list[_Call]) -> None:
        """Fill *group* with the calls of *call*'s path that came first, as one request takes them."""
        self._leader = call
        count = 0
        while self._waiting and self._waiting[0].path == call.path:
            count += len(self._waiting[0].items)
            if group and count > self._items_max:
                break
            group.append(self._waiting[0])
            self._waiting.popleft()

    def _settle(self, group: Sequence[_Call]) -> None:
        try:
            results = self._post(group[0].path, [item for one in group for item in one.items])
        except (Refused, Unavailable) as error:
            for one in group:
                one.error = error
            return
        at = 0
        for one in group:
            one.results, one.error = results[at : at + len(one.items)], None
            at += len(one.items)


def _again(error: Exception) -> Exception:
    """The same once more: each thread raises one of its own."""
    if isinstance(error, Refused):
        return Refused(error.detail, field=error.field, code=error.code, status=error.status)
    assert isinstance(error, Unavailable)
    return Unavailable(error.detail, code=error.code, retry_after_s=error.retry_after_s)
