"""Bodies of Alertmanager's v2 API into the engine: repeats in passing, the rest in transactions.

    every alert is a known repeat ─► noted here and now, between two turns ─► answered
    else                          ─► the engine's next turn, in pieces that one transaction may take

What only repeats is in memory before it is answered, and no more need be: when that is lost, the
alert fires until the end that is on disk, and its sender repeats it again before that. Everything
else is on disk before it is answered. The alerts of a body are taken in its order.
"""

from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Any, Protocol, cast

import msgspec

from heliograph.alert.engine.cold import said_of
from heliograph.alert.engine.engine import Engine
from heliograph.alert.model import Enriched, Post
from heliograph.kernels.alert_bodies import Fresh, Repeat
from heliograph.receive import alerts
from heliograph.receive.alert_repeats import Glance, Repeats
from heliograph.receive.alerts import Posted, Times
from heliograph.service.alerting import ALERTS_PER_TURN, Alerting, AtOnce, Turn
from heliograph.service.in_turns import awaited_in_turns

# A larger body must not hold up the event loop.
IN_PASSING_BYTES_MAX = 256 * 1024


class Enrich(Protocol):
    """What gives what is known of posts; `alert_context` has one."""

    def __call__(self, post: Post, /) -> Enriched:
        """Of one."""
        ...

    def many(self, posts: Sequence[Post]) -> list[Enriched]:
        """Of each of *posts*."""
        ...


class BodiesV2:
    """Takes bodies. Thread-safe: what it remembers is touched by whoever has the engine."""

    def __init__(
        self,
        alerting: Alerting,
        enrich: Enrich,
        resolve_after_ns: Callable[[], int],
    ) -> None:
        self._alerting = alerting
        self._enrich = enrich
        self._resolve_after_ns = resolve_after_ns
        self._repeats = Repeats()
        self._together = self._take_together

    def take(self, body: bytes) -> Posted | Awaitable[Posted]:
        """What *body* came to, at once where all of it are repeats, else when all is kept.

        To await it raises Refused for a body that is no array. Raises Unavailable when too many
        wait. For tasks of an event loop.
        """
        one = _Body(body, self._enrich, self._repeats)
        after_ns = self._resolve_after_ns()
        if len(body) <= IN_PASSING_BYTES_MAX and self._alerting.in_passing(
            lambda turn: one.all_repeats(turn, after_ns)
        ):
            return one.posted

        piece = _Piece(one, after_ns)
        return awaited_in_turns(
            self._alerting, piece, lambda: one.posted, together=self._together
        )

    def _take_together(self, turn: Turn, pieces: Sequence["_Piece"]) -> bool:
        """Whether the bodies of *pieces* were taken, all of them whole: where all of their alerts are
        new, the steps for all together take half as long. Else nothing has changed."""
        after_ns = pieces[0].after_ns
        times = Times(turn.now_ns, after_ns, turn.ahead_ns)
        fresh = [
            piece.body.fresh(times.horizon_ns) for piece in pieces if piece.after_ns == after_ns
        ]
        count = sum(len(one) for one in fresh)
        if (
            len(fresh) < len(pieces)
            or not all(fresh)
            or count + turn.engine.pending > ALERTS_PER_TURN
        ):
            return False
        posts = alerts.posts_of([*chain.from_iterable(fresh)], times)
        saids = [one[-1] for one in chain.from_iterable(fresh)]
        if turn.engine.take_new(posts, self._enrich.many, saids, turn.now_ns) is None:
            return False
        digests = [*chain.from_iterable(piece.body.digests for piece in pieces)]
        self._repeats.learn(digests, [post.fingerprint for post in posts], saids)
        # Last, for a body that a bug kept from being taken is taken again.
        begin = 0
        for piece in pieces:
            begin += piece.body.taken(posts[begin:])
        return True


class _Piece:
    """What a turn does of a body."""

    def __init__(self, body: "_Body", after_ns: int) -> None:
        self.body = body
        self.after_ns = after_ns

    def __call__(self, turn: Turn) -> Any:
        """Take what there is room for; whether that was all."""
        complete = self.body.take(turn, self.after_ns)
        return complete if self.body.to_be_kept else AtOnce(complete)


class _Body:
    """A body and how far it has been taken.

    to_be_kept   whether something of it must be on disk before it is answered
    """

    def __init__(self, body: bytes, enrich: Enrich, repeats: Repeats) -> None:
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
        found = self._found(turn.now_ns + after_ns)
        if found is None or None in found:
            return False
        if turn.ahead_ns:
            found = [_moved(one, turn.ahead_ns) for one in found if one is not None]
        self._next = turn.engine.repeats(found, after_ns, turn.now_ns)  # type: ignore[arg-type]
        self._note_repeats()
        return self._next == len(found)

    def fresh(self, horizon_ns: int) -> "Sequence[Fresh]":
        """What its alerts say, where nothing of any is known and none was taken; else none."""
        found, glance = self._found(horizon_ns), self._glance
        if self._next or glance is None or glance.fresh is None or found is None:
            return ()
        return () if None in glance.fresh else cast("list[Fresh]", glance.fresh)

    @property
    def digests(self) -> Sequence[bytes]:
        """Of the bytes of its alerts, where it is `fresh`."""
        assert self._glance is not None
        return self._glance.digests

    def taken(self, posts: Sequence[Post]) -> int:
        """Note that all of it was taken: the first of *posts*; how many those are."""
        self._next = len(self.digests)
        self.posted.posts.extend(posts[: self._next])
        self.posted.places.extend(range(self._next))
        self.to_be_kept = True
        return self._next

    def take(self, turn: Turn, after_ns: int) -> bool:
        """Take alerts until there are none left (True), or enough for one transaction."""
        engine, times = turn.engine, Times(turn.now_ns, after_ns, turn.ahead_ns)
        found = self._found(times.horizon_ns)
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
        begin, glance = self._next, self._glance
        stop = begin + 1
        while stop < end and (glance is None or glance.found[stop] is None):
            stop += 1
        self._next = stop
        if glance is None or glance.fresh is None or glance.found[begin] is not None:
            self._take_elements(engine, times, begin, stop)
            return
        fresh = cast("list[Fresh]", glance.fresh[begin:stop])
        posts = alerts.posts_of(fresh, times)
        places = range(begin, stop)
        self.posted.posts.extend(posts)
        self.posted.places.extend(places)
        saids = [one[-1] for one in fresh]
        self._take_posts(engine, posts, saids, glance.digests[begin:stop], times.now_ns)

    def _take_elements(self, engine: Engine, times: Times, begin: int, stop: int) -> None:
        """Take the alerts from *begin* to *stop*, read one by one."""
        if self._elements is None:
            self._elements = alerts.elements(self._body)
        posts: list[Post] = []
        digests: list[bytes] = []
        for index in range(begin, stop):
            post = alerts.take(self.posted, index, self._elements[index], times)
            if post is not None:
                posts.append(post)
                if self._glance is not None:
                    digests.append(self._glance.digests[index])
        self._take_posts(engine, posts, [*map(said_of, posts)], digests, times.now_ns)

    def _take_posts(
        self,
        engine: Engine,
        posts: Sequence[Post],
        saids: Sequence[int],
        digests: Sequence[bytes],
        now_ns: int,
    ) -> None:
        """Take *posts*; *digests* of their bytes, or none."""
        if not posts:
            return
        if engine.take_new(posts, self._enrich.many, saids, now_ns) is not None:
            self.to_be_kept = True
        else:
            for post, said in zip(posts, saids, strict=True):
                if not engine.take(post, self._enrich, now_ns, said).durable:
                    self.to_be_kept = True
        if digests:
            self._repeats.learn(digests, [post.fingerprint for post in posts], saids)

    def _found(self, horizon_ns: int) -> list[Repeat | None] | None:
        if not self._looked:
            self._glance = self._repeats.glance(self._body, horizon_ns)
            self._looked = True
        return None if self._glance is None else self._glance.found

    def _note_repeats(self) -> None:
        posts, places, unfit, truncated, _ = self.posted
        repeats = self._next - len(posts) - len(unfit)
        self.posted = Posted(posts, places, unfit, truncated, repeats)


def _repeated(engine: Engine, one: Repeat, times: Times) -> bool:
    one = _moved(one, times.ahead_ns) if times.ahead_ns else one
    return engine.repeat(*one, times.resolve_after_ns, times.now_ns) is not None


def _moved(one: Repeat, ahead_ns: int) -> Repeat:
    return (*one[:3], alerts.moved(one[3], ahead_ns))
