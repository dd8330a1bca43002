"""The alert engine: posts and time in, changes and messages out. No I/O, no threads, no clock.

    engine = Engine.load(setup, kept, now_ns)
    engine.take(post, enriched, now_ns)          any number of them, and then once
    engine.step(now_ns)                          ends that have come, groups that are due
    write(engine.changes()); engine.commit()     or, when that failed, engine.abort()
    for outgoing in engine.ready(now_ns):
        message = engine.begin(outgoing, now_ns) commit, deliver, then
        engine.settle(outgoing, delivery, now_ns)  commit

Between `changes` and `commit` nothing but `repeat` may be called. What is committed is what a store
must hold for `load` to go on from; the rest of the memory follows from it.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain, islice, takewhile

from msgspec import structs

from heliograph.alert import silences
from heliograph.alert.changes import Changes, Kept
from heliograph.alert.config.setup import Setup
from heliograph.alert.engine import (
    news,
    regroup,
    resends,
    sending,
    starting,
    taking,
    telling,
    views,
    waiting,
)
from heliograph.alert.engine.book import FOREVER_NS
from heliograph.alert.engine.cold import seen_of
from heliograph.alert.engine.limits import Limits
from heliograph.alert.engine.state import Correlator, State
from heliograph.alert.engine.taking import Enrich, Taken
from heliograph.alert.model import (
    Alert,
    Delivery,
    Enriched,
    Entry,
    Group,
    Integration,
    Message,
    Outgoing,
    Post,
    Silence,
    Suppression,
    is_urgent,
)
from heliograph.core.duration import HOUR_NS
from heliograph.core.matcher import Matcher

DEFAULTS = Limits()
EVERYTHING = 2**62


class Engine:
    """See the module. Not thread-safe: one thread owns it.

    counts   what happened, by name; bounds that were reached among them
    """

    def __init__(
        self,
        setup: Setup,
        limits: Limits = DEFAULTS,
        now_ns: int = 0,
        *,
        correlator: Correlator | None = None,
    ) -> None:
        self._state = State(setup, limits, now_ns)
        self._state.correlator = correlator
        self.counts = self._state.counts
        self._setup_before: Setup | None = None
        # Slots that wait to be forgotten; slots whose moves are handed out.
        self._leaving: dict[int, None] = {}
        self._moving: dict[int, None] = {}
        self._swept_ns = now_ns
        # Whether what `load` changed is not stored yet.
        self._loaded = False

    @classmethod
    def load(
        cls,
        setup: Setup,
        kept: Kept,
        now_ns: int,
        limits: Limits = DEFAULTS,
        *,
        correlator: Correlator | None = None,
    ) -> "Engine":
        """The engine that goes on from what was *kept*. There are changes to be committed; until
        they are, every `abort` makes them again."""
        engine = cls(setup, limits, now_ns, correlator=correlator)
        starting.start(engine._state, kept, now_ns)
        engine._loaded = True
        return engine

    # What comes in

    def repeat(
        self,
        fingerprint: str,
        said: int,
        starts_ns: int | None,
        ends_ns: int | None,
        resolve_after_ns: int,
        now_ns: int,
    ) -> str | None:
        """The id of the alert that fires, when all that this post says is a later end; it is noted,
        and may be answered at once. None: `take` it.

        *said* is `said_of` the post; for callers who know it from the same bytes posted before. For
        the v2 API only: a status of its own is not looked at.
        """
        slot = taking.repeat(
            self._state, fingerprint, said, starts_ns, ends_ns, resolve_after_ns, now_ns
        )
        return None if slot is None else self._state.book.ids[slot]

    def repeats(
        self,
        posts: Sequence[tuple[str, int, int | None, int | None]],
        resolve_after_ns: int,
        now_ns: int,
    ) -> int:
        """How many of *posts* (fingerprint, said, start, end), from the first on, are repeats; as
        `repeat` they are noted."""
        return taking.repeats(self._state, posts, resolve_after_ns, now_ns)

    def take(self, post: Post, enrich: Enrich, now_ns: int, said: int | None = None) -> Taken:
        """Take *post*. *enrich*, or what it returns, is for a new episode; *said* as in `repeat`.

        Raises Unavailable when there is no room; then this post changed nothing.
        """
        return taking.take(self._state, post, enrich, now_ns, said)

    def take_new(
        self,
        posts: Sequence[Post],
        enrich: Callable[[Sequence[Post]], Sequence[Enriched]],
        saids: Sequence[int],
        now_ns: int,
    ) -> list[Alert] | None:
        """Take *posts*, which fire and are of different identities that nobody knew, with what *enrich*
        knows of each; *saids* as of `said_of`: the episodes. None, and nothing is changed: some are
        not so, or there is no room for all; take them one by one."""
        return news.take(self._state, posts, enrich, saids, now_ns)

    def put_silence(self, silence: Silence) -> None:
        """Have *silence*, new or instead of the one of its id (`alert.silences` makes it)."""
        self._state.silences.put(silence)

    def expire_silence(self, silence_id: str, now_ns: int) -> Silence | None:
        """End a silence now; None: there is none of this id."""
        silence = self._state.silences.get(silence_id)
        if silence is None:
            return None
        ended = silences.expire(silence, now_ns)
        if ended is not silence:
            self.put_silence(ended)
        return ended

    def reload(self, setup: Setup, now_ns: int) -> None:
        """Work by *setup* from now on: routes, receivers, inhibitions, intervals (R-G6).

        Raises Unavailable when it makes too many groups; then nothing has changed."""
        if self._setup_before is None:
            self._setup_before = self._state.setup
        regroup.reload(self._state, setup, now_ns)

    def step(self, now_ns: int) -> None:
        """Take note of ends that have come, and look at the groups that are due: as many as one
        transaction may hold, and `due_ns` says when there are more."""
        state = self._state
        for slot in state.book.due(now_ns, state.limits.ends):
            if state.book.over(slot):
                self._leaving[slot] = None
            else:
                taking.end(state, slot, now_ns)
        for _ in range(state.limits.looks):
            key = state.groups.due(now_ns)
            if key is None:
                break
            telling.look(state, key, now_ns)
        resends.step(state, now_ns)
        state.now_ns = now_ns
        if now_ns - self._swept_ns >= HOUR_NS:
            self._swept_ns = now_ns
            for one in list(state.silences.values()):
                if silences.forgettable(one, now_ns):
                    state.silences.drop(one.id)

    def due_ns(self, but: Collection[str] = ()) -> int | None:
        """When `step` has something to do, or an attempt is due, *but* of these integrations; None:
        nothing will be."""
        state = self._state
        ends_ns = state.book.due_ns()
        times = [ends_ns if ends_ns < FOREVER_NS else None]
        times += [state.groups.due_ns(), state.outbox.due_ns(but), state.resends.due_ns()]
        return min((one for one in times if one is not None), default=None)

    # What is to be written

    def changes(self, *, checkpoint: int = EVERYTHING, early: bool = True) -> Changes:
        """What is not committed, and at most *checkpoint* ends that repeats moved, first those that
        cannot wait. Not *early*: those that can are left (`Limits.moved_ns`). With the last of
        those asked for the changes say up to when the store is whole."""
        state, book = self._state, self._state.book
        state.correlate()
        more = False
        if checkpoint:
            floor_ns = EVERYTHING if early else state.now_ns - state.limits.moved_ns
            old = takewhile(lambda slot: state.moved[slot] <= floor_ns, state.moved)
            # None is there more than three times, and the rest need not be looked at.
            most = min(3 * checkpoint + 1, EVERYTHING)
            wanted = dict.fromkeys(islice(chain(self._moving, state.hurried, old), most))
            self._moving = dict.fromkeys(islice(wanted, checkpoint))
            more = len(wanted) > len(self._moving)
            for slot in self._moving:
                state.settle(slot)
        moved = [book.move_of(slot) for slot in self._moving]
        return Changes(
            alerts=[alert or self._whole(slot) for slot, alert in state.changed.items()],
            moved=moved,
            groups=state.groups.rows.written(),
            groups_gone=state.groups.rows.gone(),
            told=state.outbox.told.written(),
            told_gone=state.outbox.told.gone(),
            outbox=state.outbox.rows.written(),
            outbox_gone=state.outbox.rows.gone(),
            entries=list(state.ledger.entries),
            correlations=list(state.correlations.values()),
            statistics=state.tally.deltas(),
            silences=state.silences.written(),
            alive_ns=state.now_ns if checkpoint and not more else 0,
        )

    def commit(self) -> None:
        """The changes are stored."""
        state = self._state
        state.book.commit()
        # Before the rest: what is forgotten with an episode does not come back.
        state.forget(self._leaving)
        state.commit()
        self._setup_before = None
        self._moving, self._leaving = {}, {}
        self._loaded = False

    def abort(self) -> None:
        """The changes could not be stored: put back what there was at the last commit. Ends that
        were moved stay, to be written by the next checkpoint."""
        state = self._state
        gone, back = state.book.abort()
        state.abort()
        later = state.moved
        state.moved = dict.fromkeys((*self._moving, *back), 0)
        for slot, since_ns in later.items():
            state.moved.setdefault(slot, since_ns)
        self._moving, self._leaving = {}, {}
        if self._setup_before is not None:
            state.learn(self._setup_before)
            state.groups.forget_keys()
            self._setup_before = None
            regroup.inhibit_anew(state, state.now_ns)
        if state.setup.inhibitions:
            for alert_id in gone:
                state.inhibitor.update(alert_id, {}, False)
            for slot in back:
                seen = seen_of(state.book.cold(slot))
                state.inhibitor.update(state.book.ids[slot], seen, not state.book.over(slot))
        if self._loaded:
            starting.proceed(state, state.started_ns)

    # What goes out

    def ready(self, now_ns: int, but: Collection[str] = ()) -> list[Outgoing]:
        """Messages due for an attempt, *but* of these integrations, that waited longest first."""
        return self._state.outbox.ready(now_ns, self._state.limits.ready, but)

    def begin(self, outgoing: Outgoing, now_ns: int) -> Message | None:
        """The message to deliver, now in flight; None: there is nothing to send any more. Commit
        before it is sent."""
        return sending.begin(self._state, outgoing, now_ns)

    def settle(
        self, outgoing: Outgoing, delivery: Delivery, now_ns: int, *, key: str | None = None
    ) -> None:
        """Note what came of an attempt; *key*: of its message, which tells it from a later one."""
        sending.settle(self._state, outgoing, delivery, now_ns, key)

    def postpone(self, outgoing: Outgoing, until_ns: int, cause: str, now_ns: int) -> None:
        """Do not attempt *outgoing* before *until_ns*, because of *cause* (a channel's rate)."""
        sending.postpone(self._state, outgoing, until_ns, cause, now_ns)

    # What is asked

    @property
    def setup(self) -> Setup:
        """What it works by."""
        return self._state.setup

    @property
    def pending(self) -> int:
        """Episodes that were changed and are not committed."""
        return len(self._state.changed)

    def urgent(self, outgoing: Outgoing) -> bool:
        """Whether *outgoing* tells of a critical alert that fires: it goes before others where a
        channel has no room for all."""
        book = self._state.book
        slots = (book.slot(one) for one in outgoing.firing)
        return any(slot is not None and is_urgent(book.cold(slot).severity) for slot in slots)

    def __len__(self) -> int:
        """How many episodes fire."""
        return self._state.book.firing

    def alert(self, alert_id: str) -> Alert | None:
        """The alert of *alert_id* as it is now, without its documents; None: the store may know."""
        slot = self._state.book.slot(alert_id)
        return None if slot is None else self._state.book.view(slot)

    def newest(self, limit: int, now_ns: int) -> list[Alert]:
        """The *limit* alerts that fire and began last."""
        return views.newest(self._state, limit, now_ns)

    def find(
        self, matchers: Sequence[Matcher], now_ns: int, told: views.Told | None = None
    ) -> Iterator[Alert]:
        """What fires, fulfils all *matchers*, and of which a receiver is told that *told* holds for."""
        return views.found(self._state, matchers, now_ns, told)

    def suppression(
        self, alert_id: str, now_ns: int, group_key: str | None = None
    ) -> Suppression:
        """What keeps an alert from being told at *now_ns*: in a group, or in all of its groups."""
        return views.suppression(self._state, alert_id, now_ns, group_key)

    def waiting(self, alert_id: str, now_ns: int) -> list[Entry]:
        """What of an alert waits for the next look at its groups; no store has these lines."""
        return waiting.entries(self._state, alert_id, now_ns)

    def groups(
        self,
        now_ns: int,
        matchers: Sequence[Matcher] = (),
        told: views.Told | None = None,
    ) -> Iterator[views.GroupView]:
        """Every group of such a receiver, by key, with what fires in it and fulfils *matchers*."""
        return views.groups(self._state, now_ns, matchers, told)

    def groups_of(self, alert_id: str) -> tuple[Group, ...]:
        """The groups that an alert is in."""
        return views.groups_of(self._state, alert_id)

    def silences(self) -> list[Silence]:
        """Every silence, expired ones as long as they are listed."""
        return list(self._state.silences.values())

    def silence(self, silence_id: str) -> Silence | None:
        """The silence of *silence_id*, or None."""
        return self._state.silences.get(silence_id)

    def integration(self, integration_id: str) -> Integration | None:
        """The channel of *integration_id* as it is configured now, or None."""
        return self._state.integrations.get(integration_id)

    def owed(self) -> frozenset[str]:
        """The channels, by id, that may believe something to fire, or are being told so."""
        return views.owed(self._state)

    def gauges(self) -> dict[str, int]:
        """How much there is of everything that can grow."""
        return views.gauges(self._state)

    def _whole(self, slot: int) -> Alert:
        raw, enriched = self._state.documents.get(slot, (b"", b""))
        return structs.replace(self._state.book.view(slot), raw=raw, enriched=enriched)
