"""A post is taken: what it changes in the book, the groups, the statistics.

Most posts are repeats that move nothing but an end: those touch a few numbers in memory, are
answered at once and written by the next checkpoint. The rest is written before it is answered.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import structs

from heliograph.alert.engine import beginning, intake
from heliograph.alert.engine.book import FOREVER_NS
from heliograph.alert.engine.cold import said_of, seen_of
from heliograph.alert.engine.groups import NOWHERE, Places
from heliograph.alert.engine.intake import Span, Step
from heliograph.alert.engine.state import State
from heliograph.alert.model import Alert, Enriched, Post, Status
from heliograph.core.duration import HOUR_NS
from heliograph.core.errors import Unavailable

Enrich = Enriched | Callable[[Post], Enriched]


class Taken(NamedTuple):
    """What became of a post.

    new       an episode began with it
    durable   it may be answered now; else only after the changes are committed
    """

    alert_id: str
    new: bool
    status: Status
    durable: bool


def began(alert: Alert, now_ns: int) -> Taken:
    """What became of the post with which *alert* begins, at *now_ns*."""
    return Taken(alert.id, True, alert.status(now_ns), False)


def take(
    state: State, post: Post, enrich: Enrich, now_ns: int, said: int | None = None
) -> Taken:
    """Take *post*, received at *now_ns*; *enrich* gives what is known of a new episode, *said* is
    `said_of` the post, for callers that need it too.

    Raises Unavailable when there is no room for it; then nothing has changed.
    """
    book = state.book
    said = said_of(post) if said is None else said
    slot = book.latest(post.fingerprint)
    if slot is None:
        offer = intake.offered(post, now_ns)
        return _begun(state, post, enrich, offer, offer.span, 1, said, now_ns)
    if post.seq < 0 and post.status != "resolved":
        repeated = repeat(
            state, post.fingerprint, said,
            post.starts_ns, post.ends_ns, post.resolve_after_ns, now_ns,
        )  # fmt: skip
        if repeated is not None:
            return Taken(book.ids[slot], False, Status.FIRING, True)
    offer = intake.offered(post, now_ns)
    end_expired(state, slot, now_ns)
    if 0 <= post.seq <= book.seq[slot]:
        state.counts["posts_replayed"] += 1
        return _taken(state, slot, now_ns)
    ends_ns = book.ends[slot]
    current = Span(
        book.starts[slot], None if ends_ns == FOREVER_NS else ends_ns, book.guessed(slot)
    )
    step, span = intake.merged(current, offer, fires=not book.over(slot))
    if step is Step.NEW:
        episode = book.episode(slot) + 1
        return _begun(state, post, enrich, offer, span, episode, said, now_ns)
    if step is Step.STALE:
        state.counts["posts_stale"] += 1
        return _taken(state, slot, now_ns)
    same = book.says(slot, said) or _says_no_more(post)
    if same and post.seq < 0 and span.starts_ns == current.starts_ns:
        if step is Step.REPEAT and span.timed_out == current.timed_out:
            touch(state, slot, span, now_ns)
            return _taken(state, slot, now_ns)
        if step is Step.ENDED and span == current:
            return _taken(state, slot, now_ns)
    _refresh(state, slot, post, span, now_ns)
    if step is Step.END:
        end(state, slot, now_ns)
    return _taken(state, slot, now_ns)


def repeat(
    state: State,
    fingerprint: str,
    said: int,
    starts_ns: int | None,
    ends_ns: int | None,
    resolve_after_ns: int,
    now_ns: int,
) -> int | None:
    """The slot of the alert that fires, its end moved, when a post says nothing else; the short way
    of `take`, with the same outcome. None, and nothing is changed: it must go the long way."""
    found = state.book.repeat(fingerprint, said, starts_ns, ends_ns, resolve_after_ns, now_ns)
    if found is None:
        return None
    slot, old_ns = found
    if slot not in state.moved:
        state.move(slot, old_ns, now_ns)
    state.counts["repeats"] += 1
    return slot


def repeats(
    state: State,
    posts: Sequence[tuple[str, int, int | None, int | None]],
    resolve_after_ns: int,
    now_ns: int,
) -> int:
    """How many of *posts*, from the first on, `repeat` takes. In one loop: a site's alerts come so
    all the time."""
    repeat_, moved = state.book.repeat, state.moved
    taken = 0
    for fingerprint, said, starts_ns, ends_ns in posts:
        found = repeat_(fingerprint, said, starts_ns, ends_ns, resolve_after_ns, now_ns)
        if found is None:
            break
        taken += 1
        if found[0] not in moved:
            state.move(*found, now_ns)
    state.counts["repeats"] += taken
    return taken


def touch(state: State, slot: int, span: Span, now_ns: int) -> None:
    """Note a repeat that says nothing new."""
    ends_ns = FOREVER_NS if span.ends_ns is None else span.ends_ns
    old_ns = state.book.ends[slot]
    state.book.touch(slot, ends_ns, span.timed_out, now_ns)
    state.counts["repeats"] += 1
    if state.book.in_change(slot):
        state.touched(slot)
    else:
        state.move(slot, old_ns, now_ns)


def end_expired(state: State, slot: int, now_ns: int) -> None:
    """Take note of the end of the episode in *slot*, if it has come."""
    if not state.book.over(slot) and state.book.ends[slot] <= now_ns:
        end(state, slot, now_ns)


def end(state: State, slot: int, now_ns: int) -> None:
    """The episode in *slot* is over: what follows from that."""
    book = state.book
    book.change(slot)
    book.end(slot, state.limits.ended_ns, now_ns)
    alert = book.view(slot)
    state.tally.add(alert, fired=False, over=True)
    state.touched(slot)
    state.settle(slot)
    if state.setup.inhibitions:
        state.inhibitor.update(alert.id, seen_of(book.cold(slot)), False)
    state.correlated([alert], fires=False)
    state.counts["resolved"] += 1


def _begun(
    state: State,
    post: Post,
    enrich: Enrich,
    offer: intake.Offer,
    span: Span,
    episode: int,
    said: int,
    now_ns: int,
) -> Taken:
    """A new episode. One that is over already is kept, and nobody is told."""
    resolved = offer.resolved
    if state.book.firing >= state.limits.alerts and not resolved:
        state.counts["alerts_refused"] += 1
        raise Unavailable("too many alerts fire", code="alerts_full", retry_after_s=30)
    enriched = enrich(post) if callable(enrich) else enrich
    alert = _alert(state, post, enriched, span, episode, now_ns)
    if resolved:
        beginning.begin_over(state, alert, said)
    else:
        places = beginning.places_of(state, alert)
        beginning.begin(state, [alert], [said], [places], now_ns)
    return began(alert, now_ns)


def _alert(
    state: State, post: Post, enriched: Enriched, span: Span, episode: int, now_ns: int
) -> Alert:
    created_ns, tail = now_ns, post.fingerprint[:12]
    while state.book.slot(alert_id := f"{created_ns:016x}{tail}") is not None:
        created_ns += 1
    return Alert(
        alert_id,
        post.fingerprint,
        post.source,
        post.labels,
        post.annotations,
        span.starts_ns,
        span.ends_ns,
        span.timed_out,
        created_ns,
        now_ns,
        post.generator_url,
        post.severity,
        enriched.context,
        1,
        episode,
        post.seq,
        enriched.entities,
        post.raw,
        enriched.document,
    )


def _refresh(state: State, slot: int, post: Post, span: Span, now_ns: int) -> None:
    """Put what *post* says in place of what the alert in *slot* said. An end that says no more leaves
    the words: what was told as firing reads so when it is over."""
    book = state.book
    old = book.view(slot)
    words: Alert | Post = old if _says_no_more(post) else post
    new = structs.replace(
        old,
        annotations=words.annotations,
        generator_url=words.generator_url,
        severity=words.severity,
        starts_ns=span.starts_ns,
        ends_ns=span.ends_ns,
        timed_out=span.timed_out,
        updated_ns=now_ns,
        count=old.count + 1,
        seq=max(old.seq, post.seq),
    )
    over, fired = book.over(slot), book.fired(slot)
    rerouted = old.severity != new.severity and not over
    # Before anything changes: there may be no room for its groups.
    more = beginning.places_of(state, new) if rerouted else NOWHERE
    book.change(slot)
    book.refresh(slot, new)
    state.touched(slot)
    state.settle(slot)
    raw, enriched = state.documents.get(slot, (b"", b""))
    state.documents[slot] = (post.raw if words is post else raw, enriched)
    if (
        over
        or old.severity != new.severity
        or old.starts_ns // HOUR_NS != new.starts_ns // HOUR_NS
    ):
        state.tally.add(old, fired=fired, over=over, sign=-1)
        state.tally.add(new, fired=fired, over=over)
    if rerouted:
        _rerouted(state, slot, more, now_ns)


def _says_no_more(post: Post) -> bool:
    """Whether *post* tells an end and nothing of its alert. On the v2 API, which has no status, what
    is not there is gone, as in Alertmanager."""
    return post.status == "resolved" and not post.annotations


def _rerouted(state: State, slot: int, wanted: Places, now_ns: int) -> None:
    """What matchers see has changed: into the groups that it belongs to now, and was not in yet."""
    there = state.book.groups[slot]
    more = [place for place in wanted.places if place.key not in there]
    beginning.join(state, slot, more, now_ns)
    if state.setup.inhibitions:
        seen = seen_of(state.book.cold(slot))
        state.inhibitor.update(state.book.ids[slot], seen, True)


def _taken(state: State, slot: int, now_ns: int) -> Taken:
    book = state.book
    if book.over(slot):
        # Who said this may say it again.
        book.keep(slot, now_ns + state.limits.ended_ns)
    status = Status.RESOLVED if book.ends[slot] <= now_ns else Status.FIRING
    return Taken(book.ids[slot], False, status, not book.in_change(slot))
