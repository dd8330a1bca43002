"""Alerts that were posted before, known again by their bytes.

    [{"labels": {…}, "annotations": {…}, "generatorURL": "…", "startsAt": "…", "endsAt": "…"}, …]
      └────── these three, as they are ──────┘ → what they came to  └── read anew ──┘

A firing alert comes again every few seconds, and nothing of it has changed but its end. So of bytes
that were once read in full and found good, a digest leads to the identity and to the number that
stands for the words; only the two times are read. What is not known, or not written plainly, is for
`receive.alerts`.
"""

from array import array
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

import msgspec

from heliograph.core.errors import Refused
from heliograph.receive.alerts import ALERTS_MAX, instant_of

# Alerts that are known again; beyond it the older half is forgotten. 170 bytes each.
KNOWN_MAX = 200_000
# Times that are known again: an evaluation's alerts have one end, and starts come again.
TIMES_MAX = 20_000
_DIGEST_BYTES = 16


# An alert whose words are known: fingerprint, said, start, end; None where a time was not given.
# A plain tuple, which is made five times faster than one with names.
Repeat: TypeAlias = tuple[str, int, int | None, int | None]


class Glance(NamedTuple):
    """A body as far as it was looked at: for each alert its digest, and what is known of it."""

    digests: list[bytes]
    found: list[Repeat | None]


_ABSENT = msgspec.Raw(b"")


class _Seen(msgspec.Struct, gc=False):
    labels: msgspec.Raw = _ABSENT
    annotations: msgspec.Raw = _ABSENT
    generatorURL: msgspec.Raw = _ABSENT  # noqa: N815 - the API's names
    startsAt: str | None = None  # noqa: N815
    endsAt: str | None = None  # noqa: N815


_decoder = msgspec.json.Decoder(list[_Seen])


class Repeats:
    """Words by the digest of their bytes, at most *known_max*. Not thread-safe."""

    def __init__(self, known_max: int = KNOWN_MAX) -> None:
        self._known_max = known_max
        # Where the words of a digest are, in two columns: half as large as a tuple for each.
        self._known: dict[bytes, int] = {}
        self._fingerprints: list[str] = []
        self._said = array("q")
        self._times: dict[str | None, int | None] = {None: None}

    def __len__(self) -> int:
        return len(self._known)

    def glance(self, body: bytes) -> Glance | None:
        """What is known of the alerts of *body*; None when it must be read in full, and be refused
        perhaps."""
        try:
            alerts = _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if len(alerts) > ALERTS_MAX:
            return None
        known, times = self._known, self._times
        fingerprints, saids = self._fingerprints, self._said
        digests: list[bytes] = []
        found: list[Repeat | None] = []
        for one in alerts:
            # No mark in between: each is JSON, which says itself where it ends.
            said = b"".join((one.labels, one.annotations, one.generatorURL))
            digest = blake2b(said, digest_size=_DIGEST_BYTES).digest()
            digests.append(digest)
            at = known.get(digest)
            if at is None:
                found.append(None)
                continue
            try:
                starts_ns, ends_ns = times[one.startsAt], times[one.endsAt]
            except KeyError:
                try:
                    starts_ns, ends_ns = self._time(one.startsAt), self._time(one.endsAt)
                except Refused:
                    found.append(None)
                    continue
            if starts_ns is not None and ends_ns is not None and ends_ns < starts_ns:
                found.append(None)
            else:
                found.append((fingerprints[at], saids[at], starts_ns, ends_ns))
        return Glance(digests, found)

    def learn(self, digest: bytes, fingerprint: str, said: int) -> None:
        """The bytes of *digest* were read in full, and came to the identity of *fingerprint*, with
        words that `cold.said_of` has the number *said* for."""
        at = self._known.get(digest)
        if at is not None:
            self._fingerprints[at], self._said[at] = fingerprint, said
            return
        if len(self._known) >= self._known_max:
            self._forget(self._known_max // 2 + 1)
        self._known[digest] = len(self._said)
        self._fingerprints.append(fingerprint)
        self._said.append(said)

    def _forget(self, count: int) -> None:
        """Forget the oldest *count*, which are in the order of the columns."""
        self._known = {digest: at - count for digest, at in self._known.items() if at >= count}
        del self._fingerprints[:count], self._said[:count]

    def _time(self, text: str | None) -> int | None:
        times = self._times
        if len(times) >= TIMES_MAX:
            times.clear()
            times[None] = None
        at_ns = times[text] = instant_of(text, "")
        return at_ns
