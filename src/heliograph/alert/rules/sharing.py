"""One rule over a share of records: of those that it is about, how many are of a kind within.

    sharing.seen(key, "pod-a", at_ns, arrival_ns, part=True)   the post that begins, lasts or ends
    sharing.tick(now_ns)                                       the posts that end: nobody tells more

While the share is beyond its limit, its post is said again every SAY_EVERY_NS of arrival, and holds
for a window after it: a share lasts while nobody tells of more, and `tick` ends it when that is over.
The state of a key is written down with the cursor.
"""

from collections.abc import Iterator, Mapping

import msgspec

from heliograph.alert.model import Post
from heliograph.alert.rules import posts as rule_posts
from heliograph.alert.rules.rule import EventShare, Rule, Said, StateRow, clock_of
from heliograph.core import duration
from heliograph.core.duration import MINUTE_NS
from heliograph.core.labels import Labels, fingerprint
from heliograph.rules.condition import compare
from heliograph.rules.share import Counted, Share

KEYS_MAX = 2_000
SAY_EVERY_NS = MINUTE_NS
STATE_BYTES_MAX = 1024 * 1024

_DECODER = msgspec.msgpack.Decoder(tuple[tuple[tuple[str, str], ...], int, int, bytes])


class _Held:
    """The counts of a key; when its alert began and was last said, 0 for none; the share and the
    labels that it said then."""

    __slots__ = ("began_ns", "said_ns", "share", "value", "values")

    def __init__(self, share: Share) -> None:
        self.share = share
        self.began_ns = 0
        self.said_ns = 0
        self.value: float | None = None
        self.values: Mapping[str, str] = {}


class Sharing:
    """The keys of one rule; those not heard of for longest are given up when there are too many.

    late, evicted    records too late to count; keys, and records, given up for room
    """

    __slots__ = ("_body", "_dirty", "_keys", "_resolve_after_ns", "evicted", "late", "rule")

    def __init__(self, rule: Rule, body: EventShare, *, resolve_after_ns: int) -> None:
        self.rule = rule
        self._body = body
        # The last record may be SAY_EVERY_NS after what was said last, and a tick is late.
        self._resolve_after_ns = max(resolve_after_ns, body.window_ns + 2 * SAY_EVERY_NS)
        self._keys: dict[Labels, _Held] = {}
        # Keys whose row is to be written; False where it is to be deleted.
        self._dirty: dict[Labels, bool] = {}
        self.late = 0
        self.evicted = 0

    def seen(
        self,
        key: Labels,
        said: Said,
        values: Mapping[str, str],
        *,
        part: bool,
        seq: int,
        arrival_ns: int,
    ) -> Post | None:
        """Take one record of *key*, of the kind within if *part*; what is to be said of it."""
        held = self._keys.pop(key, None) or _Held(Share(span_ns=self._body.window_ns))
        self._keys[key] = held
        if len(self._keys) > KEYS_MAX:
            oldest = next(iter(self._keys))
            del self._keys[oldest]
            self._dirty[oldest] = False
            self.evicted += 1
        share = held.share
        late, evicted = share.late, share.evicted
        clock = clock_of(said.client, said.at_ns, arrival_ns)
        counted = share.add(clock, said.at_ns, arrival_ns, part=part)
        self.late += share.late - late
        self.evicted += share.evicted - evicted
        self._dirty[key] = True
        if not self._beyond(counted):
            return self._end(key, held, arrival_ns, "the share is within its limit", seq)
        if held.began_ns and arrival_ns - held.said_ns < SAY_EVERY_NS:
            return None
        held.began_ns = held.began_ns or min(said.at_ns, arrival_ns) or 1
        held.said_ns = arrival_ns
        return self._firing(key, held, counted, said, values, seq, arrival_ns)

    def tick(self, now_ns: int) -> list[Post]:
        """What is to be said of keys of which nobody told for a window; they are forgotten."""
        posts = []
        for key, held in list(self._keys.items()):
            if now_ns - held.share.heard_ns <= self._body.window_ns:
                # In the order in which they were last heard.
                break
            post = self._end(key, held, now_ns, "no records", -1)
            if post is not None:
                posts.append(post)
            del self._keys[key]
            self._dirty[key] = False
        return posts

    def retire(self, now_ns: int) -> list[Post]:
        """The rule is no more: the posts that end what it said."""
        ended = (
            self._end(key, held, now_ns, "rule removed", -1) for key, held in self._keys.items()
        )
        return [post for post in ended if post is not None]

    def load(self, state: bytes) -> None:
        """Take up a row's *state*. Raises ValueError when `drain` did not write it."""
        try:
            key, began_ns, said_ns, counts = _DECODER.decode(state)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a rule's state: {error}") from error
        held = _Held(Share(span_ns=self._body.window_ns))
        held.share.load(counts)
        held.began_ns, held.said_ns = began_ns, said_ns
        self._keys[key] = held
        self._keys = dict(sorted(self._keys.items(), key=lambda one: one[1].share.heard_ns))

    def drain(self) -> Iterator[StateRow]:
        """The rows that changed since the last time."""
        for key, kept in self._dirty.items():
            state = None
            if kept:
                held = self._keys[key]
                state = msgspec.msgpack.encode(
                    (key, held.began_ns, held.said_ns, held.share.dump())
                )
                if len(state) > STATE_BYTES_MAX:
                    continue
            yield StateRow(self.rule.id, fingerprint(key), state)
        self._dirty.clear()

    def everything(self) -> Iterator[StateRow]:
        """The rows of all keys."""
        self._dirty.update(dict.fromkeys(self._keys, True))
        return self.drain()

    def _beyond(self, counted: Counted) -> bool:
        body = self._body
        if counted.whole < max(body.least, 1):
            return False
        return compare(body.op, counted.part / counted.whole, body.value)

    def _firing(
        self,
        key: Labels,
        held: _Held,
        counted: Counted,
        said: Said,
        values: Mapping[str, str],
        seq: int,
        arrival_ns: int,
    ) -> Post:
        held.value, held.values = counted.part / counted.whole, values
        span = duration.format_ns(self._body.window_ns)
        return rule_posts.firing(
            self.rule,
            key,
            at_ns=said.at_ns,
            arrival_ns=arrival_ns,
            resolve_after_ns=self._resolve_after_ns,
            seq=seq,
            values=values,
            annotations={"match_reason": f"{counted.part} of {counted.whole} within {span}"},
            value=held.value,
            hints=said.context,
            starts_ns=held.began_ns,
        )

    def _end(self, key: Labels, held: _Held, now_ns: int, reason: str, seq: int) -> Post | None:
        if not held.began_ns:
            return None
        began_ns, held.began_ns, held.said_ns = held.began_ns, 0, 0
        return rule_posts.over(
            self.rule,
            key,
            now_ns=now_ns,
            resolve_after_ns=self._resolve_after_ns,
            reason=reason,
            seq=seq,
            values=held.values,
            value=held.value,
            starts_ns=began_ns,
        )
