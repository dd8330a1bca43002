"""The engine's bounds. Reaching one is counted under its name in `Engine.counts`."""

from msgspec import Struct

from heliograph.core.duration import HOUR_NS, MINUTE_NS, SECOND_NS


class Resend(Struct, frozen=True):
    """For a kind of channel whose receiver forgets what is not repeated.

    every_ns      what fires is told again at least so often
    resolved_ns   what has resolved is told again with it for so long
    """

    kind: str
    every_ns: int
    resolved_ns: int


class Limits(Struct, frozen=True):
    """What the engine may hold and how hard it tries.

    alerts            episodes that fire; one more is refused with `Unavailable`
    ended             episodes kept after their end, for senders that repeat it; of those that no
                      group holds, the longest over leave
    ended_ns          for how long after a sender's last word of them they are kept
    groups            a new group beyond is refused with `Unavailable`
    groups_per_alert  routes that one alert takes; further ones are left out
    message_alerts    alerts in one message, the most severe first; the rest is its `truncated`
    entries           lines of the ledger for one failed attempt; further alerts are left out
    ends, looks       ends that one step takes note of, groups that it looks at; the next goes on,
                      so that the transaction of a storm stays short
    ready             messages of one integration, due for an attempt, that are handed out at once
    backoff_ns        before the second attempt; doubles, with a jitter of one half either way
    backoff_max_ns    and no longer than this
    give_up_ns        a message that cannot be delivered for so long is dead; an alert that still
                      fires is then tried anew, one that resolved is not
    moved_ns          an end that a repeat moved may wait so long to be written
    hurried_ns        but not where the end in the store is nearer than this, or than half the new one
    resend            kinds of channels that are told again
    """

    alerts: int = 1_000_000
    ended: int = 200_000
    ended_ns: int = HOUR_NS
    groups: int = 1_000_000
    groups_per_alert: int = 64
    message_alerts: int = 2_000
    entries: int = 1_000
    ends: int = 300
    looks: int = 500
    ready: int = 250
    backoff_ns: int = SECOND_NS // 2
    backoff_max_ns: int = 5 * MINUTE_NS
    give_up_ns: int = 6 * HOUR_NS
    moved_ns: int = MINUTE_NS
    hurried_ns: int = 2 * MINUTE_NS
    resend: tuple[Resend, ...] = (Resend("alertmanager", MINUTE_NS, 15 * MINUTE_NS),)

    def resent(self, kind: str) -> Resend | None:
        """How a channel of *kind* is told again; None: it remembers."""
        for one in self.resend:
            if one.kind == kind:
                return one
        return None
