r"""Container logs as Fluent Bit and its kin post them: `POST /v1/logs`.

    [{"date": 1764666728.5, "stream": "stdout", "logtag": "F", "log": "iteration 1/10 | …\n",
      "kubernetes": {"pod_name": "llm-0", "namespace_name": "train", "pod_id": "6f2a…",
                     "host": "gpu-node-01", "container_name": "main"}}]

The text is `message` where it is not empty, else `log`, else journald's `MESSAGE`; an entry may
hold several physical lines. The time is `date`, else CRI's `time`, else the arrival
(`log_time`). Shippers drop a whole chunk on a 4xx, so one bad entry is a `Rejected` and costs
nothing but itself; `Refused` is for bodies of which nothing can be read, or over a limit.
Source: Fluent Bit manual, out_http and filter_kubernetes.
"""

from collections.abc import Iterator

import msgspec

from heliograph.core.errors import Refused, Rejected
from heliograph.kernels import log_body
from heliograph.receive import json_body, log_entry
from heliograph.receive.lines import LINE_BYTES_MAX, Line, LineBlock, PartialLines, cut
from heliograph.receive.log_entry import Entry
from heliograph.receive.log_time import instant_ns

# Structs that a list of entries may cost before its true length is known: entries hold objects
# of their own, so that braces outnumber entries.
BRACES_PER_ENTRY = 8
COMMAS_MAX = 1_000_000


class LogLimits(msgspec.Struct, frozen=True):
    """Bounds of one request.

    entries         entries of a body; 413 beyond
    lines           physical lines of all entries together; 413 beyond
    decoded_bytes   bytes after decompression; 413 beyond
    entry_chars     text of one entry; an entry beyond is rejected alone
    rejected        rejected entries that are listed; the rest are counted
    """

    entries: int = 100_000
    lines: int = 400_000
    decoded_bytes: int = 128 * 1024 * 1024
    entry_chars: int = 1024 * 1024
    rejected: int = 100


class LogCounts(msgspec.Struct, frozen=True):
    """What was out of the ordinary in a batch, and was kept all the same (but for `blank`).

    time_missing    entries without a usable time; their lines have the arrival's
    future          entries of a time after their arrival
    blank           physical lines of white space only, which are dropped
    cut             lines over LINE_BYTES_MAX, of which the end is lost
    invalid_utf8    replaced by U+FFFD: bytes that are not UTF-8, and lone surrogates
    """

    time_missing: int = 0
    future: int = 0
    blank: int = 0
    cut: int = 0
    invalid_utf8: int = 0


class LogBatch(msgspec.Struct, frozen=True):
    """Everything that was in one body, once.

    lines            in the order sent; a line whose end has not come is last of its source
    received         entries, good and bad
    rejected         the first bad entries, at most `LogLimits.rejected`
    rejected_total   how many bad entries there are
    latencies        per node: seconds from event to arrival, one an entry whose time is known
    """

    lines: LineBlock
    received: int
    rejected: tuple[Rejected, ...]
    rejected_total: int
    latencies: tuple[tuple[str, tuple[float, ...]], ...]
    counts: LogCounts

    @property
    def accepted(self) -> int:
        """Entries that were not rejected."""
        return self.received - self.rejected_total


_ARRAY = msgspec.json.Decoder(list[Entry])
_STREAM = msgspec.json.Decoder(Entry)
_RAW_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_POD = msgspec.json.Decoder(log_entry.Pod)
_PODS = log_body.Pods()


def decode(
    body: bytes,
    *,
    content_encoding: str | None,
    arrival_ns: int,
    sender: str,
    limits: LogLimits,
) -> LogBatch:
    """The lines of *body*; *sender* stands for the node where an entry names none.

    Raises Refused: 400 `body` when no entry is JSON, 413 over a limit, 415 for an encoding that
    is not spoken.
    """
    raw = json_body.inflated(
        body, content_encoding=content_encoding, decoded_bytes_max=limits.decoded_bytes
    )
    raw, invalid_utf8 = json_body.as_utf8(raw)
    walked = _walked(raw, arrival_ns, sender, limits)
    if walked is not None:
        return _batch(walked, invalid_utf8)
    return general(raw, arrival_ns, sender, limits, invalid_utf8)


def general(
    raw: bytes, arrival_ns: int, sender: str, limits: LogLimits, invalid_utf8: int = 0
) -> LogBatch:
    """The lines of *raw*, UTF-8, whatever it looks like."""
    gathering = _Gathering(arrival_ns, sender, limits, invalid_utf8)
    entries = _typed(raw, limits)
    if entries is None:
        _one_by_one(raw, gathering)
    else:
        if len(entries) > limits.entries:
            raise _too_many("entries", limits.entries)
        for entry in entries:
            gathering.take(entry)
    return gathering.batch()


def _walked(
    raw: bytes, arrival_ns: int, sender: str, limits: LogLimits
) -> log_body.Columns | None:
    """All in one pass, the usual case; None where the body is unusual, or nothing is compiled."""
    bounds = log_body.Bounds(limits.entries, limits.lines, limits.entry_chars, LINE_BYTES_MAX)
    return log_body.walk(raw, arrival_ns, sender, bounds, _PODS, _pod_of, instant_ns)


def _pod_of(raw: bytes) -> log_body.Pod | None:
    try:
        pod = _POD.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    names = (pod.pod_id, pod.namespace_name, pod.pod_name, pod.host, pod.container_name)
    return (*(names[0] or "", names[1] or "", names[2] or ""), names[3] or "", names[4] or "")


def _batch(walked: log_body.Columns, invalid_utf8: int) -> LogBatch:
    return LogBatch(
        lines=LineBlock(
            walked.sources,
            walked.source_of,
            walked.at_ns,
            walked.at_known,
            walked.ends,
            walked.blob,
        ),
        received=walked.received,
        rejected=(),
        rejected_total=0,
        latencies=tuple((node, tuple(late)) for node, late in walked.late.items()),
        counts=LogCounts(
            time_missing=walked.time_missing,
            future=walked.future,
            blank=walked.blank,
            invalid_utf8=invalid_utf8,
        ),
    )


def _typed(raw: bytes, limits: LogLimits) -> list[Entry] | None:
    """All entries in one go, the usual case; None when one of them is unusual."""
    if raw.count(b"{") > BRACES_PER_ENTRY * limits.entries:
        return None
    try:
        if raw.lstrip()[:1] == b"[":
            return _ARRAY.decode(raw)
        # Also takes concatenated objects. Of an empty body it makes an empty list.
        return _STREAM.decode_lines(raw) or None
    except (msgspec.DecodeError, RecursionError):
        return None


def _one_by_one(raw: bytes, gathering: "_Gathering") -> None:
    read = False
    for element in _elements(raw):
        gathering.room_for_one_more()
        found = log_entry.decode(element)
        if isinstance(found, log_entry.Fault):
            read = read or found.reason not in log_entry.UNREADABLE
            gathering.reject(found.reason, found.detail)
        else:
            read = True
            gathering.take(*found)
    if not read:
        raise Refused(
            "not JSON" if raw.strip() else "empty", field=json_body.FIELD, code="json"
        )


def _elements(raw: bytes) -> Iterator[bytes | msgspec.Raw]:
    if raw.lstrip()[:1] == b"[" and raw.count(b",") <= COMMAS_MAX:
        try:
            yield from _RAW_ARRAY.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            yield from json_body.elements(raw)
        return
    whole = log_entry.loose(raw) if raw.count(b",") <= COMMAS_MAX else None
    if isinstance(whole, dict):
        yield raw
    else:
        yield from json_body.elements(raw)


def _too_many(what: str, limit: int) -> Refused:
    return Refused(
        f"more than {limit} {what}", field=json_body.FIELD, code="too_many", status=413
    )


class _Gathering:
    """A batch while it grows; one a call of `decode`."""

    def __init__(
        self, arrival_ns: int, sender: str, limits: LogLimits, invalid_utf8: int
    ) -> None:
        self._arrival_ns = arrival_ns
        self._sender = sender
        self._limits = limits
        self._lines: list[Line] = []
        self._rejected: list[Rejected] = []
        self._rejected_total = 0
        self._received = 0
        self._latencies: dict[str, list[float]] = {}
        self._partial = PartialLines(limit=limits.entries)
        self._time_missing = self._future = self._blank = self._cut = 0
        self._invalid_utf8 = invalid_utf8

    def room_for_one_more(self) -> None:
        if self._received >= self._limits.entries:
            raise _too_many("entries", self._limits.entries)

    def reject(self, reason: str, detail: str) -> None:
        if len(self._rejected) < self._limits.rejected:
            self._rejected.append(Rejected(self._received, reason, detail))
        self._rejected_total += 1
        self._received += 1

    def take(self, entry: Entry, invalid_utf8: int = 0) -> None:
        text = entry.text
        if text is None:
            self.reject("no_text", "neither `message` nor `log`")
            return
        if len(text) > self._limits.entry_chars:
            detail = f"{len(text)} characters, limit {self._limits.entry_chars}"
            self.reject("too_large", detail)
            return
        self._received += 1
        self._invalid_utf8 += invalid_utf8
        at_ns = instant_ns(entry.date)
        if at_ns is None:
            at_ns = instant_ns(entry.time)
        known = at_ns is not None
        if at_ns is None:
            self._time_missing += 1
            at_ns = self._arrival_ns
        else:
            self._latency(entry, at_ns)
        self._split(entry, text, at_ns, known=known)

    def _latency(self, entry: Entry, at_ns: int) -> None:
        node = (entry.kubernetes.host if entry.kubernetes else None) or self._sender
        late_ns = self._arrival_ns - at_ns
        self._future += late_ns < 0
        self._latencies.setdefault(node, []).append(max(0, late_ns) / 1e9)

    def _split(self, entry: Entry, text: str, at_ns: int, *, known: bool) -> None:
        """One line a physical line of *text*, joined with what is waiting."""
        texts = text.removesuffix("\n").split("\n") if "\n" in text else [text]
        if len(self._lines) + len(texts) > self._limits.lines:
            raise _too_many("lines", self._limits.lines)
        pod = entry.kubernetes or log_entry.NO_POD
        node = pod.host or entry.hostname_journald or entry.hostname or ""
        last = len(texts) - 1
        for index, physical in enumerate(texts):
            bare = physical.removesuffix("\r")
            kept = cut(bare)
            self._cut += len(kept) < len(bare)
            line = Line(
                at_ns,
                pod.pod_id or "",
                pod.namespace_name or "",
                pod.pod_name or "",
                node,
                pod.container_name or "",
                entry.stream or "",
                kept,
                index == last and entry.logtag == "P",
                known,
            )
            for whole in self._partial.join(line):
                self._keep(whole)

    def _keep(self, line: Line) -> None:
        if line.text and not line.text.isspace():
            self._lines.append(line)
        else:
            self._blank += 1

    def batch(self) -> LogBatch:
        for line in self._partial.unfinished():
            self._keep(line)
        return LogBatch(
            lines=LineBlock.of(self._lines),
            received=self._received,
            rejected=tuple(self._rejected),
            rejected_total=self._rejected_total,
            latencies=tuple((node, tuple(late)) for node, late in self._latencies.items()),
            counts=LogCounts(
                time_missing=self._time_missing,
                future=self._future,
                blank=self._blank,
                cut=self._cut + self._partial.cut,
                invalid_utf8=self._invalid_utf8,
            ),
        )
