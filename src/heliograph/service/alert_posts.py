"""Posts into the engine, in pieces that one transaction may take; answered when all are kept."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from heliograph.alert.engine.taking import Taken
from heliograph.alert.model import Enriched, Post
from heliograph.receive.alerts import Posted, Times
from heliograph.service.alerting import ALERTS_PER_TURN, Alerting, Turn

Answer = tuple[Posted, list[Taken]]
Enrich = Callable[[Post], Enriched]


class ResolveAfter(NamedTuple):
    """How long an alert without an end fires: on the v2 API (`resolve_timeout`), and elsewhere
    (`alerting.resolve_after`)."""

    v2_ns: int
    other_ns: int


class AlertPosts:
    """Hands bodies and posts to the engine's thread. Thread-safe."""

    def __init__(
        self,
        alerting: Alerting,
        enrich: Enrich,
        resolve_after: Callable[[], ResolveAfter],
    ) -> None:
        self._alerting = alerting
        self._enrich = enrich
        self._resolve_after = resolve_after

    def submit(self, decode: Callable[[Times], Posted]) -> "Future[Answer]":
        """Decode a body on the engine's thread and take its posts; done when all are kept.

        What *decode* raises is the future's. Raises Unavailable when too many wait.
        """
        resolve_after_ns = self._resolve_after().other_ns
        done: Future[Answer] = Future()

        def begin(turn: Turn) -> "_Taking":
            posted = decode(Times(turn.now_ns, resolve_after_ns, turn.ahead_ns))
            return _Taking(posted, []).take(turn, self._enrich)

        self._follow(self._alerting.submit(begin), done)
        return done

    def take(self, posts: list[Post]) -> "Future[Answer]":
        """Take *posts* that were made here, of rules."""
        return self.submit(lambda _: Posted(posts, list(range(len(posts))), []))

    def _follow(self, step: "Future[_Taking]", done: "Future[Answer]") -> None:
        """Go on with the rest of a body once its earlier part is kept."""

        def kept(future: "Future[_Taking]") -> None:
            error = future.exception()
            if error is not None:
                done.set_exception(error)
                return
            taking = future.result()
            if taking.complete:
                done.set_result((taking.posted, taking.taken))
            else:
                # First, before what came later: a body is one thing.
                more = self._alerting.submit(
                    lambda turn: taking.take(turn, self._enrich), urgent=True
                )
                self._follow(more, done)

        step.add_done_callback(kept)


class _Taking(NamedTuple):
    """A body and what has been taken of it so far."""

    posted: Posted
    taken: list[Taken]

    @property
    def complete(self) -> bool:
        return len(self.taken) == len(self.posted.posts)

    def take(self, turn: Turn, enrich: Enrich) -> "_Taking":
        """Take posts until there are none left, or enough for one transaction."""
        taken = list(self.taken)
        for post in self.posted.posts[len(taken) :]:
            taken.append(turn.engine.take(post, enrich, turn.now_ns))
            if turn.engine.pending >= ALERTS_PER_TURN:
                break
        return _Taking(self.posted, taken)
