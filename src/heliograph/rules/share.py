"""What share of the things of one kind are of a kind within it, in a sliding window of event time.

    share = Share(span_ns=5 * MINUTE_NS)
    share.add("pod-a", t0, now, part=False), share.add("pod-a", t1, now, part=True)   →  (0, 1), (1, 2)

A window is counted in BUCKETS pieces, so that it weighs the same whatever the rate: what is counted
reaches back the whole span and at most a sixtieth less. Each source (the client that told of it)
has a window of its own, which ends at the newest time that it told: a clock that is ahead takes
nothing from the windows of others. A source that was not heard of for a span, by arrival, is not
counted any more. What is older than its own source's window is late and counts for nothing.
"""

from typing import NamedTuple

import msgspec

BUCKETS = 60
SOURCES_MAX = 256

_ENCODER = msgspec.msgpack.Encoder()


class Counted(NamedTuple):
    """*part* of *whole*."""

    part: int
    whole: int


class _Source(msgspec.Struct, array_like=True):
    """What one source told: bucket → [part, whole], their sums, and when it was last heard."""

    heard_ns: int
    newest: int
    part: int = 0
    whole: int = 0
    buckets: dict[int, tuple[int, int]] = msgspec.field(default_factory=dict)


_DECODER = msgspec.msgpack.Decoder(dict[str, _Source])


class Share:
    """The counts of one key. Bounded: SOURCES_MAX sources of BUCKETS buckets.

    late, evicted    things too late to count; things given up because there were too many sources
    """

    __slots__ = (
        "_bucket_ns",
        "_of",
        "_part",
        "_span_ns",
        "_whole",
        "evicted",
        "heard_ns",
        "late",
    )

    def __init__(self, *, span_ns: int) -> None:
        self._span_ns = span_ns
        self._bucket_ns = max(1, span_ns // BUCKETS)
        # In the order in which they were last heard.
        self._of: dict[str, _Source] = {}
        self._part = 0
        self._whole = 0
        self.heard_ns = 0
        self.late = 0
        self.evicted = 0

    def add(self, source: str, at_ns: int, arrival_ns: int, *, part: bool) -> Counted:
        """Take one thing that *source* told at *arrival_ns*; what there is in the windows now."""
        bucket = at_ns // self._bucket_ns
        told = self._of.pop(source, None) or _Source(arrival_ns, bucket)
        self._of[source] = told
        told.heard_ns = self.heard_ns = max(self.heard_ns, arrival_ns)
        if bucket <= told.newest - BUCKETS:
            self.late += 1
        else:
            parts, whole = told.buckets.get(bucket, (0, 0))
            told.buckets[bucket] = parts + part, whole + 1
            self._count(told, int(part), 1)
            if bucket > told.newest:
                told.newest = bucket
                self._trim(told)
        self._forget(arrival_ns)
        return Counted(self._part, self._whole)

    def dump(self) -> bytes:
        """The state, to begin from again with `load`."""
        return _ENCODER.encode(self._of)

    def load(self, state: bytes) -> None:
        """Take up the *state* that `dump` wrote. Raises ValueError on anything else."""
        try:
            self._of = _DECODER.decode(state)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not the state of a share: {error}") from error
        self._part = sum(told.part for told in self._of.values())
        self._whole = sum(told.whole for told in self._of.values())
        self.heard_ns = max((told.heard_ns for told in self._of.values()), default=0)

    def _trim(self, told: _Source) -> None:
        """The buckets that the source's newest leaves behind go."""
        for bucket in [one for one in told.buckets if one <= told.newest - BUCKETS]:
            part, whole = told.buckets.pop(bucket)
            self._count(told, -part, -whole)

    def _count(self, told: _Source, part: int, whole: int) -> None:
        told.part += part
        told.whole += whole
        self._part += part
        self._whole += whole

    def _forget(self, arrival_ns: int) -> None:
        """Sources that are silent, or the longest unheard of too many, are not counted."""
        while True:
            source, told = next(iter(self._of.items()))
            silent = told.heard_ns < arrival_ns - self._span_ns
            if not silent and len(self._of) <= SOURCES_MAX:
                return
            del self._of[source]
            self._part -= told.part
            self._whole -= told.whole
            self.evicted += 0 if silent else told.whole
