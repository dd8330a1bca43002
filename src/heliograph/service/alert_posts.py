"""Posts into the engine, in pieces that one transaction may take; answered when all are kept."""

from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import NamedTuple

from heliograph.alert.engine.cold import said_of
from heliograph.alert.engine.taking import Taken, began
from heliograph.alert.model import Enriched, Post
from heliograph.receive.alerts import Posted, Times
from heliograph.service.alerting import ALERTS_PER_TURN, Alerting, Turn
from heliograph.service.in_turns import awaited_in_turns, in_turns

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
        taking = _Taking(decode, self._enrich, self._resolve_after().other_ns)
        return in_turns(self._alerting, taking.piece, taking.answer)

    def awaited(
        self, decode: Callable[[Times], Posted], *, v2: bool = False
    ) -> Awaitable[Answer]:
        """As `submit`, for tasks of an event loop, which it serves at half the cost. *v2*: what has
        no end and no status fires as long as on the v2 API."""
        after = self._resolve_after()
        taking = _Taking(decode, self._enrich, after.v2_ns if v2 else after.other_ns)
        return awaited_in_turns(self._alerting, taking.piece, taking.answer)

    def take(self, posts: list[Post]) -> "Future[Answer]":
        """Take *posts* that were made here, of rules."""
        return self.submit(lambda _: Posted(posts, list(range(len(posts))), []))


class _Taking:
    """A body, decoded in its first turn, and what has been taken of it so far."""

    def __init__(
        self, decode: Callable[[Times], Posted], enrich: Enrich, resolve_after_ns: int
    ) -> None:
        self._decode = decode
        self._enrich = enrich
        self._resolve_after_ns = resolve_after_ns
        self._posted: Posted | None = None
        self._taken: list[Taken] = []

    def piece(self, turn: Turn) -> bool:
        """Take posts until there are none left (True), or enough for one transaction."""
        if self._posted is None:
            times = Times(turn.now_ns, self._resolve_after_ns, turn.ahead_ns)
            self._posted = self._decode(times)
        posts, engine, enrich = self._posted.posts, turn.engine, self._enrich
        begin, room = len(self._taken), max(0, ALERTS_PER_TURN - engine.pending)
        some = posts[begin : begin + room]
        new = engine.take_new(
            some, lambda few: [*map(enrich, few)], [*map(said_of, some)], turn.now_ns
        )
        self._taken += [began(alert, turn.now_ns) for alert in new or ()]
        while len(self._taken) < len(posts) and engine.pending < ALERTS_PER_TURN:
            post = posts[len(self._taken)]
            self._taken.append(engine.take(post, enrich, turn.now_ns))
        return len(self._taken) == len(posts)

    def answer(self) -> Answer:
        """The body and what became of each of its posts."""
        assert self._posted is not None
        return self._posted, self._taken
