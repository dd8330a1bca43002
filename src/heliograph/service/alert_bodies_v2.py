"""Bodies of Alertmanager's v2 API into the engine: repeats in passing, the rest in transactions.

    every alert is a known repeat ─► noted here and now, between two turns ─► answered
    else                          ─► the engine's next turn, in pieces that one transaction may take

What only repeats is in memory before it is answered, and no more need be: when that is lost, the
alert fires until the end that is on disk, and its sender repeats it again before that. Everything
else is on disk before it is answered. The alerts of a body are taken in its order.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import msgspec

from heliograph.alert.engine.cold import said_of
from heliograph.alert.engine.engine import Engine
from heliograph.alert.model import Enriched, Post
from heliograph.receive import alerts
from heliograph.receive.alert_repeats import Glance, Repeat, Repeats
from heliograph.receive.alerts import Posted, Times
from heliograph.service.alerting import ALERTS_PER_TURN, Alerting, AtOnce, Turn
from heliograph.service.in_turns import in_turns

# A larger body must not hold up the event loop.
IN_PASSING_BYTES_MAX = 256 * 1024


class BodiesV2:
    """Takes bodies. Thread-safe: what it remembers is touched by whoever has the engine."""

    def __init__(
        self,
        alerting: Alerting,
        enrich: Callable[[Post], Enriched],
        resolve_after_ns: Callable[[], int],
    ) -> None:
        self._alerting = alerting
        self._enrich = enrich
        self._resolve_after_ns = resolve_after_ns
        self._repeats = Repeats()

    def take(self, body: bytes) -> "Posted | Future[Posted]":
        """What *body* came to, at once where all of it are repeats, else when all is kept.

        The future raises Refused for a body that is no array. Raises Unavailable when too many
        wait.
        """
        one = _Body(body, self._enrich, self._repeats)
        after_ns = self._resolve_after_ns()
        if len(body) <= IN_PASSING_BYTES_MAX and self._alerting.in_passing(
            lambda turn: one.all_repeats(turn, after_ns)
        ):
            return one.posted

        def piece(turn: Turn) -> Any:
            complete = one.take(turn, after_ns)
            return complete if one.to_be_kept else AtOnce(complete)

        return in_turns(self._alerting, piece, lambda: one.posted)


class _Body:
    """A body and how far it has been taken.

    to_be_kept   whether something of it must be on disk before it is answered
    """

    def __init__(
        self, body: bytes, enrich: Callable[[Post], Enriched], repeats: Repeats
    ) -> None:
        self.posted = Posted([], [], [])
        self.to_be_kept = False
        self._body = body
        self._enrich = enrich
        self._repeats = repeats
        self._glance: Glance | None = None
        self._looked = False
        self._elements: Sequence[msgspec.Raw] | None = None
        self._next = 0

    def all_repeats(self, turn: Turn, after_ns: int) -> bool:
        """Whether all are repeats; they are noted as far as they are."""
        found = self._found()
        if found is None or None in found:
            return False
        if turn.ahead_ns:
            found = [_moved(one, turn.ahead_ns) for one in found if one is not None]
        self._next = turn.engine.repeats(found, after_ns, turn.now_ns)  # type: ignore[arg-type]
        self._note_repeats()
        return self._next == len(found)

    def take(self, turn: Turn, after_ns: int) -> bool:
        """Take alerts until there are none left (True), or enough for one transaction."""
        found = self._found()
        engine, now_ns = turn.engine, turn.now_ns
        times = Times(now_ns, after_ns, turn.ahead_ns)
        if found is None and self._elements is None:
            self._elements = alerts.elements(self._body)
        count = len(found if found is not None else self._elements or ())
        while self._next < count and engine.pending < ALERTS_PER_TURN:
            known = found[self._next] if found is not None else None
            if known is not None and _repeated(engine, known, times):
                self._next += 1
            else:
                end = min(count, self._next + ALERTS_PER_TURN - engine.pending)
                self._take_whole(engine, times, end)
        self._note_repeats()
        return self._next == count

    def _take_whole(self, engine: Engine, times: Times, end: int) -> None:
        """Take the next alert and those after it that are not known either, before *end*.

        Each step for all of them: by turns the steps take half as long again.
        """
        if self._elements is None:
            self._elements = alerts.elements(self._body)
        found = None if self._glance is None else self._glance.found
        posts: list[tuple[int, Post]] = []
        while True:
            index = self._next
            element = self._elements[index]
            post = alerts.take(self.posted, index, element, times)
            if post is not None:
                posts.append((index, post))
            self._next += 1
            if self._next >= end or (found is not None and found[self._next] is not None):
                break
        self._take_posts(engine, posts, times.now_ns)

    def _take_posts(
        self, engine: Engine, posts: Sequence[tuple[int, Post]], now_ns: int
    ) -> None:
        """Take *posts* with their places in the body."""
        if not posts:
            return
        enrich = self._enrich
        taken = [
            (post, enrich if engine.fires(post.fingerprint) else enrich(post), said_of(post))
            for _, post in posts
        ]
        if engine.take_new(taken, now_ns) is not None:
            self.to_be_kept = True
        else:
            for post, known_of_it, said in taken:
                if not engine.take(post, known_of_it, now_ns, said).durable:
                    self.to_be_kept = True
        if self._glance is not None:
            digests, learn = self._glance.digests, self._repeats.learn
            for (index, post), (_, _, said) in zip(posts, taken, strict=True):
                learn(digests[index], post.fingerprint, said)

    def _found(self) -> list[Repeat | None] | None:
        if not self._looked:
            self._glance = self._repeats.glance(self._body)
            self._looked = True
        return None if self._glance is None else self._glance.found

    def _note_repeats(self) -> None:
        whole = len(self.posted.posts) + len(self.posted.unfit)
        self.posted = self.posted._replace(repeats=self._next - whole)


def _repeated(engine: Engine, one: Repeat, times: Times) -> bool:
    one = _moved(one, times.ahead_ns) if times.ahead_ns else one
    return engine.repeat(*one, times.resolve_after_ns, times.now_ns) is not None


def _moved(one: Repeat, ahead_ns: int) -> Repeat:
    return (*one[:3], alerts.moved(one[3], ahead_ns))
