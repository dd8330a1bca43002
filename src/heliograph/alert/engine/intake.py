"""What a post makes of the episode that its identity has: another repeat, an end, or a new one.

    fires, posted again         repeat: the earliest start, the newer words; an explicit end beats a
                                guessed one, of two explicit ones the later counts
    fires, posted as resolved   ends
    ended, posted as resolved   the later end, where the two overlap
    ended, posted as firing     a new episode, told anew
    posted as resolved, and over before the episode began: an earlier one's, which says nothing of it

Functions of plain values; `Engine.take` is what uses them. Source of the merge: Alertmanager's
`Alert.Merge`, but that a new activity is an episode of its own here.
"""

from enum import Enum
from typing import NamedTuple

from heliograph.alert.model import Post


class Span(NamedTuple):
    """When an episode fires: `[starts_ns, ends_ns)`; *timed_out*: the end is a guess."""

    starts_ns: int
    ends_ns: int | None
    timed_out: bool


class Offer(NamedTuple):
    """What a post says of time, its gaps filled in.

    starts_given, ends_given   whether the sender named them
    resolved                   whether it says that the alert is over
    """

    span: Span
    starts_given: bool
    ends_given: bool
    resolved: bool


class Step(Enum):
    """What becomes of the current episode."""

    STALE = "says nothing new about it"
    REPEAT = "goes on"
    END = "ends"
    ENDED = "stays ended"
    NEW = "another one begins"


def offered(post: Post, now_ns: int) -> Offer:
    """What *post* says, received at *now_ns*."""
    ends_ns, starts_ns = post.ends_ns, post.starts_ns
    if post.status == "resolved":
        resolved, given = True, ends_ns is not None and ends_ns <= now_ns
        ends_ns = ends_ns if given else now_ns
    elif post.status == "firing":
        given = ends_ns is not None and ends_ns > now_ns
        ends_ns = ends_ns if given else None
        resolved = False
    else:
        given = ends_ns is not None
        resolved = ends_ns is not None and ends_ns <= now_ns
    if ends_ns is None and post.resolve_after_ns > 0:
        ends_ns = now_ns + post.resolve_after_ns
    if starts_ns is None:
        starts_ns = now_ns if ends_ns is None else min(now_ns, ends_ns)
    elif ends_ns is not None and starts_ns > ends_ns:
        starts_ns = ends_ns
    span = Span(starts_ns, ends_ns, not given and not resolved)
    return Offer(span, post.starts_ns is not None, given, resolved)


def merged(current: Span, offer: Offer, *, fires: bool) -> tuple[Step, Span]:
    """What *offer* makes of *current*, which *fires* or is over."""
    if fires:
        return _while_firing(current, offer)
    return _after_the_end(current, offer)


def later_end(current: Span, span: Span) -> int | None:
    """The end of two that fire, of which *span* is the newer: its own, but for an explicit one that
    is later."""
    if span.ends_ns is None or current.ends_ns is None or current.timed_out:
        return span.ends_ns
    return max(current.ends_ns, span.ends_ns)


def _while_firing(current: Span, offer: Offer) -> tuple[Step, Span]:
    span = offer.span
    starts_ns = min(current.starts_ns, span.starts_ns)
    if not offer.resolved:
        return Step.REPEAT, Span(starts_ns, later_end(current, span), span.timed_out)
    assert span.ends_ns is not None
    if offer.starts_given and span.starts_ns < current.starts_ns >= span.ends_ns:
        # The end of an earlier episode, told late or by another replica of the sender; whether that
        # one is remembered or not.
        return Step.STALE, current
    return Step.END, Span(starts_ns, span.ends_ns, False)


def _after_the_end(current: Span, offer: Offer) -> tuple[Step, Span]:
    span = offer.span
    assert current.ends_ns is not None
    if not offer.resolved:
        overlaps = offer.starts_given and span.starts_ns < current.ends_ns
        starts_ns = min(current.starts_ns, span.starts_ns) if overlaps else span.starts_ns
        return Step.NEW, span._replace(starts_ns=starts_ns)
    assert span.ends_ns is not None
    if offer.starts_given and span.starts_ns > current.ends_ns:
        return Step.NEW, span
    if span.ends_ns < current.starts_ns:
        return Step.STALE, current
    if not offer.ends_given:
        return Step.ENDED, current
    starts_ns = min(current.starts_ns, span.starts_ns)
    return Step.ENDED, Span(starts_ns, max(current.ends_ns, span.ends_ns), False)
