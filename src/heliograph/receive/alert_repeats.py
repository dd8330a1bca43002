"""Alerts that were posted before, known again by their bytes.

    [{"labels": {…}, "annotations": {…}, "generatorURL": "…", "startsAt": "…", "endsAt": "…"}, …]
      └────── these three, as they are ──────┘ → what they came to  └── read anew ──┘

A firing alert comes again every few seconds, and nothing of it has changed but its end. So of bytes
that were once read in full and found good, a digest leads to the identity and to the number that
stands for the words; only the two times are read. What is not known is read in the same pass where
all of the body is of the usual kind (`kernels.alert_bodies`), else it is for `receive.alerts`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from heliograph.core.errors import Refused
from heliograph.kernels import alert_bodies
from heliograph.kernels.alert_bodies import Fresh, Repeat, Words
from heliograph.receive.alerts import ALERTS_MAX, instant_of, is_url

# Alerts that are known again; beyond it the older half is forgotten. 50 bytes each.
KNOWN_MAX = 200_000
# Times that are known again: an evaluation's alerts have one end, and starts come again.
TIMES_MAX = 20_000


class Glance(NamedTuple):
    """A body as far as it was looked at: for each alert its digest, and what is known of it: an alert
    whose words are known is fingerprint, said, start and end, None where a time was not given.

    fresh   what each alert says that is not known; None: they are to be read in full
    """

    digests: list[bytes]
    found: list[Repeat | None]
    fresh: list[Fresh | None] | None = None


_ABSENT = msgspec.Raw(b"")
_NO_LABELS = msgspec.Raw(b"null")


class _Seen(msgspec.Struct, gc=False):
    # Not nothing: the annotations of an alert without labels would stand for the labels of another.
    labels: msgspec.Raw = _NO_LABELS
    annotations: msgspec.Raw = _ABSENT
    generatorURL: msgspec.Raw = _ABSENT  # noqa: N815 - the API's names
    startsAt: str | None = None  # noqa: N815
    endsAt: str | None = None  # noqa: N815


_decoder = msgspec.json.Decoder(list[_Seen])


class Repeats:
    """Words by the digest of their bytes, at most *known_max*. Not thread-safe."""

    def __init__(self, known_max: int = KNOWN_MAX) -> None:
        self._words = Words(known_max)
        self._times: dict[str | None, int | None] = {None: None}

    def __len__(self) -> int:
        return len(self._words)

    def glance(self, body: bytes, horizon_ns: int) -> Glance | None:
        """What is known of the alerts of *body*; None when it must be read in full, and be refused
        perhaps. No alert without an end may start after *horizon_ns*."""
        read = alert_bodies.read(body, self._words, _instant, is_url, horizon_ns)
        return self._glanced(body, horizon_ns) if read is None else Glance(*read)

    def _glanced(self, body: bytes, horizon_ns: int) -> Glance | None:
        """The same for a body of any kind."""
        try:
            alerts = _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if len(alerts) > ALERTS_MAX:
            return None
        words_of, times = self._words.get, self._times
        digests: list[bytes] = []
        found: list[Repeat | None] = []
        for one in alerts:
            # No mark in between: each is JSON, which says itself where it ends.
            said = b"".join((one.labels, one.annotations, one.generatorURL))
            digest = alert_bodies.digest_of(said)
            digests.append(digest)
            words = words_of(digest)
            if words is None:
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
            if starts_ns is not None and starts_ns > (
                horizon_ns if ends_ns is None else ends_ns
            ):
                found.append(None)
            else:
                found.append((*words, starts_ns, ends_ns))
        return Glance(digests, found)

    def learn(
        self, digests: Sequence[bytes], fingerprints: Sequence[str], saids: Sequence[int]
    ) -> None:
        """The bytes of each of *digests* were read in full, and came to an identity and to words
        that `cold.said_of` has a number for."""
        self._words.learn(digests, fingerprints, saids)

    def _time(self, text: str | None) -> int | None:
        times = self._times
        if len(times) >= TIMES_MAX:
            times.clear()
            times[None] = None
        at_ns = times[text] = instant_of(text, "")
        return at_ns


def _instant(text: str) -> Any:
    """Nanoseconds or None; NotImplemented where *text* is no time."""
    try:
        return instant_of(text, "")
    except Refused:
        return NotImplemented
