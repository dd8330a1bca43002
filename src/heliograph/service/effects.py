"""What lines come to: training rows, records and counts. A function of the lines, and of what earlier
lines left in `findings`; writes nothing.

A record of one line is made of that line alone, so that it is the same in whatever order lines come.
A traceback, a launcher's report and a collapse of the loss scale come of several; they are made of
lines as they came, frame by frame.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from heliograph.core.record import Record
from heliograph.core.training import TrainingRow
from heliograph.kernels import plain_lines as kernel
from heliograph.receive.lines import Line, LineBlock, source
from heliograph.service.findings import Findings
from heliograph.service.line_parses import Read
from heliograph.service.line_records import SOURCE, Origin, Origins, making
from heliograph.training import framework as frameworks
from heliograph.training.events import Event
from heliograph.training.findings import joined, repeats
from heliograph.training.findings.block import Block
from heliograph.training.parse import Parsed
from heliograph.training.rows import BAR, MARKERS, rows

# The lines of a block tell these too, each for itself.
_OF_BLOCKS = {"traceback": {"traceback"}, "report": {"traceback", "process_failed"}, "": set()}

KeepLines = Literal["findings", "all", "none"]


class Given(NamedTuple):
    """A whole line as it came, the uid of its pod ("" when unknown), and what it parsed to."""

    line: Line
    pod_uid: str
    parsed: Parsed


class Effects(NamedTuple):
    """What some lines come to, in their order.

    kinds    line kind (`performance`, `event`, `none`) → lines
    rules    (framework, kind, rule) → lines, for `log_pattern_match_total`
    """

    rows: list[TrainingRow]
    records: list[Record]
    kinds: dict[str, int]
    rules: dict[tuple[str, str, str], int]

    def counted(self, framework: str, kind: str, rule: str, lines: int) -> None:
        """Count *lines* of one form."""
        self.kinds[kind] = self.kinds.get(kind, 0) + lines
        if kind != "none":
            form = framework, kind, rule
            self.rules[form] = self.rules.get(form, 0) + lines


class Pods(NamedTuple):
    """Whose the lines of a block are: the uid of a source's pod, "" when unknown; None where that
    depends on the time, and *at* tells it of (the number of the source, the line's time)."""

    by_source: Sequence[str | None]
    at: Callable[[int, int], str]

    def of(self, block: LineBlock, place: int) -> str:
        """Whose the line at *place* of *block* is."""
        number = block.source_of[place]
        told = self.by_source[number]
        return self.at(number, block.at_ns[place]) if told is None else told


def of_lines(
    lines: Sequence[Given],
    *,
    arrival_ns: int,
    keep_lines: KeepLines,
    findings: Findings,
    seq: int,
) -> Effects:
    """The effects of the whole *lines* of the frame *seq*."""
    made = _Made(findings, Origins(), arrival_ns, keep_lines)
    effects = made.effects
    findings.begin(seq)
    for line, pod_uid, parsed in lines:
        effects.counted(parsed.framework, parsed.kind, parsed.rule, 1)
        told = parsed.events
        if findings.wants(line):
            told = made.joined(line, pod_uid, parsed)
        # What lines before it make of a line is not the same when it is sent again.
        kept = keep_lines == "all" and not told
        if parsed.kind != "none":
            if pod_uid:
                told = made.rows(
                    rows(parsed, pod_uid=pod_uid, source=SOURCE, at_ns=line.at_ns), told
                )
            if told:
                text = line.text.encode("utf-8", "surrogatepass")
                origin = made.origins.of(source(line), pod_uid)
                if not made.records(origin, parsed, told, line.at_ns, text):
                    kept = keep_lines == "all"
        if kept:
            made.line(line, pod_uid)
    for block in findings.end(arrival_ns):
        made.finished(block)
    return effects


def of_block(
    read: Read,
    pods: Pods,
    origins: Origins,
    *,
    arrival_ns: int,
    keep_lines: KeepLines,
    findings: Findings,
) -> Effects:
    """The effects of *read*, whose lines stand for themselves and are not kept unless they tell
    something; after `findings.begin`."""
    made = _Made(findings, origins, arrival_ns, keep_lines)
    block, parsed, places = read.block, read.parsed, read.telling

    def origin_of(source: int) -> Origin | None:
        pod_uid = pods.by_source[source]
        return None if pod_uid is None else origins.of(block.sources[source], pod_uid)

    plain = kernel.PlainLines(
        *(parsed, places, _plain(read), block, pods.by_source, origin_of, made.tells),
        *(making(bodies=keep_lines != "none"), arrival_ns),
    )
    at, scales, effects = 0, findings.scales, made.effects
    while (at := plain.take(effects.rows, effects.records, at, scales)) < len(places):
        place = places[at]
        at += 1
        number, at_ns, said = block.source_of[place], block.at_ns[place], parsed[place]
        origin = origins.of(block.sources[number], pods.of(block, place))
        told = said.events
        if origin.pod_uid:
            some = rows(said, pod_uid=origin.pod_uid, source=SOURCE, at_ns=at_ns)
            if some:
                told = made.rows(some, told)
        if told:
            made.records(origin, said, told, at_ns, block.raw(place))
    quiet = len(block)
    for said, count in forms(read):
        made.effects.counted(said.framework, said.kind, said.rule, count)
        quiet -= count
    if quiet:
        made.effects.counted(frameworks.UNKNOWN, "none", "none", quiet)
    return made.effects


def _plain(read: Read) -> bytes:
    """What the lines of each plan of *read* come to, and before them those of none, as the kernel has
    it."""
    return bytes([kernel.ANYTHING, *[_come_to(plan.template) for plan in read.parsed.plans]])


def _come_to(said: Parsed) -> int:
    if said.kind == "performance":
        return kernel.ANYTHING if said.rule == BAR or said.events else kernel.A_ROW
    if not said.events or any(event.event_type in MARKERS for event in said.events):
        return kernel.ANYTHING
    return kernel.SOME_RECORDS if any(map(repeats.goes_on, said.events)) else kernel.RECORDS


def forms(read: Read) -> Iterator[tuple[Parsed, int]]:
    """What lines of *read* say, whose values may be others, and of how many lines that is the form:
    of all but those that say nothing."""
    parsed = read.parsed
    for plan, count in zip(parsed.plans, parsed.counts, strict=True):
        yield plan.template, count
    for said in parsed.said.values():
        yield said, 1


class _Made:
    """What the lines of one frame come to, as they are looked at."""

    __slots__ = ("_arrival_ns", "_findings", "_keep_lines", "effects", "origins")

    def __init__(
        self, findings: Findings, origins: Origins, arrival_ns: int, keep_lines: KeepLines
    ) -> None:
        self._findings, self.origins = findings, origins
        self._arrival_ns, self._keep_lines = arrival_ns, keep_lines
        self.effects = Effects([], [], {}, {})

    def rows(self, some: Sequence[TrainingRow], told: tuple[Event, ...]) -> tuple[Event, ...]:
        """Take the rows of a line that *told*; what it tells with those before it."""
        for row in some:
            self.effects.rows.append(row)
            told = self.watched(row, told)
        return told

    def watched(self, row: TrainingRow, told: tuple[Event, ...]) -> tuple[Event, ...]:
        """What *told* is together with what *row* tells after those before it."""
        over = self._findings.row(row)
        return told if over is None else (*told, over)

    def records(
        self, origin: Origin, said: Parsed, told: tuple[Event, ...], at_ns: int, text: bytes
    ) -> bool:
        """Take what a line *told*; *text* as a block has it. Whether any of it is a record."""
        body = None if self._keep_lines == "none" else text.decode("utf-8", "surrogatepass")
        rank, label = said.fields.get("rank"), said.label
        any_told = False
        for number, event in enumerate(told):
            if not self.tells(origin, label, event, at_ns):
                continue
            any_told = True
            record = origin.record(
                *(event, number, at_ns, text, rank, label, said.framework, body),
                self._arrival_ns,
            )
            self.effects.records.append(record)
        return any_told

    def tells(self, origin: Origin, label: str, event: Event, at_ns: int) -> bool:
        """Whether *event* is a record, or says again what its speaker has said."""
        return self._findings.tells(f"{origin.session_id} {label}", event, at_ns)

    def line(self, line: Line, pod_uid: str) -> None:
        """Take a line that is kept though it told nothing."""
        origin = self.origins.of(source(line), pod_uid)
        self.effects.records.append(origin.line(line.at_ns, line.text, self._arrival_ns))

    def joined(self, line: Line, pod_uid: str, parsed: Parsed) -> tuple[Event, ...]:
        """Have a line join its block; the events of it that are not the block's."""
        finding = parsed.events[0].event_type if parsed.events else ""
        taken = self._findings.line(line, pod_uid, finding, self._arrival_ns)
        for block in taken.finished:
            self.finished(block)
        not_own = _OF_BLOCKS[taken.into]
        return tuple(event for event in parsed.events if event.event_type not in not_own)

    def finished(self, block: Block) -> None:
        """Take a block that came to its end."""
        told = joined.told(block)
        if told is None:
            return
        origin = self.origins.of(block.source, block.pod_uid)
        self.effects.records.append(
            origin.record(
                told.event,
                0,
                block.at_ns,
                block.said.encode("utf-8", "surrogatepass"),
                told.rank,
                told.label,
                frameworks.UNKNOWN,
                None if self._keep_lines == "none" else told.body,
                self._arrival_ns,
            )
        )
