"""What lines come to: training rows, records and counts. A function of the lines, and of what earlier
lines left in `findings`; writes nothing.

A record of one line is made of that line alone, so that it is the same in whatever order lines come.
A traceback, a launcher's report and a collapse of the loss scale come of several; they are made of
lines as they came, frame by frame.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from heliograph.core.record import Record, record_id
from heliograph.core.training import TrainingRow
from heliograph.receive.lines import Line
from heliograph.service.findings import Findings
from heliograph.training import framework
from heliograph.training.events import Event
from heliograph.training.findings import joined
from heliograph.training.findings.blocks import Block
from heliograph.training.parse import Parsed
from heliograph.training.rows import rows

SOURCE = "log"
# Which attribute names the device that a finding is about, the most telling first.
_DEVICES = ("pci", "device", "hca", "gpu", "gpu_node")
# The lines of a block tell these too, each for itself.
_OF_BLOCKS = {"traceback": {"traceback"}, "report": {"traceback", "process_failed"}, "": set()}

KeepLines = Literal["findings", "all", "none"]


class Given(NamedTuple):
    """A whole line as it came, the uid of its pod ("" when unknown), and what it parsed to.

    The line's identity is as it came: a pod that becomes known between two readings of the same
    line does not make two records of it.
    """

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


def of_lines(
    lines: Sequence[Given],
    *,
    arrival_ns: int,
    keep_lines: KeepLines,
    findings: Findings,
    seq: int,
) -> Effects:
    """The effects of the whole *lines* of the frame *seq*."""
    effects = Effects([], [], {}, {})
    findings.begin(seq)
    for given in lines:
        parsed = given.parsed
        effects.kinds[parsed.kind] = effects.kinds.get(parsed.kind, 0) + 1
        told = parsed.events
        if findings.wants(given.line):
            told = _joined(effects, given, findings, arrival_ns, keep_lines)
        if parsed.kind != "none":
            rule = (parsed.framework, parsed.kind, parsed.rule)
            effects.rules[rule] = effects.rules.get(rule, 0) + 1
            _add(effects, given, told, findings, arrival_ns, keep_lines)
        if keep_lines == "all" and not told:
            effects.records.append(_line_record(given, arrival_ns))
    for block in findings.end(arrival_ns):
        _finished(effects, block, arrival_ns, keep_lines)
    return effects


def _add(
    effects: Effects,
    given: Given,
    told: Sequence[Event],
    findings: Findings,
    arrival_ns: int,
    keep_lines: KeepLines,
) -> None:
    line, pod_uid, parsed = given
    if pod_uid:
        for row in rows(parsed, pod_uid=pod_uid, source=SOURCE, at_ns=line.at_ns):
            effects.rows.append(row)
            over = findings.row(row)
            if over is not None:
                told = (*told, over)
    if not told:
        return
    who = {"rank": parsed.fields.get("rank"), "speaker": parsed.label}
    for number, event in enumerate(told):
        effects.records.append(
            _record(
                *(line, pod_uid, event, who),
                name=parsed.framework,
                number=number,
                body=None if keep_lines == "none" else line.text,
                arrival_ns=arrival_ns,
            )
        )


def _joined(
    effects: Effects, given: Given, findings: Findings, arrival_ns: int, keep_lines: KeepLines
) -> tuple[Event, ...]:
    """Have a line join its block; the events of it that are not the block's."""
    line, pod_uid, parsed = given
    finding = parsed.events[0].event_type if parsed.events else ""
    taken = findings.line(line, pod_uid, finding, arrival_ns)
    for block in taken.finished:
        _finished(effects, block, arrival_ns, keep_lines)
    not_own = _OF_BLOCKS[taken.into]
    return tuple(event for event in parsed.events if event.event_type not in not_own)


def _finished(effects: Effects, block: Block, arrival_ns: int, keep_lines: KeepLines) -> None:
    told = joined.told(block)
    if told is None:
        return
    effects.records.append(
        _record(
            Line(block.at_ns, *block.source, block.said),
            block.pod_uid,
            told.event,
            {"rank": told.rank, "speaker": told.label},
            name=framework.UNKNOWN,
            number=0,
            body=None if keep_lines == "none" else told.body,
            arrival_ns=arrival_ns,
        )
    )


def _record(
    line: Line,
    pod_uid: str,
    event: Event,
    who: Mapping[str, Any],
    *,
    name: str,
    number: int,
    body: str | None,
    arrival_ns: int,
) -> Record:
    said = event.attributes
    device = next((str(said[one]) for one in _DEVICES if one in said), "")
    named = {
        "pod_uid": pod_uid,
        "pod_name": line.pod_name,
        "namespace": line.namespace,
        "node": line.node,
        "container": line.container,
        "rank": said.get("rank", who["rank"]),
        "speaker": who["speaker"],
        "device": device,
    }
    return Record(
        record_id=record_id(*_identity(line), event.event_type, number),
        timestamp_ns=line.at_ns,
        observed_timestamp_ns=arrival_ns,
        session_id=pod_uid or line.node or "unknown",
        source_kind=SOURCE,
        event_type=event.event_type,
        severity=event.severity,
        body=body,
        resource={key: value for key, value in named.items() if value not in {"", None}},
        attributes={**said, "framework": name},
    )


def _line_record(given: Given, arrival_ns: int) -> Record:
    line = given.line
    return Record(
        record_id=record_id(*_identity(line), "log_line"),
        timestamp_ns=line.at_ns,
        observed_timestamp_ns=arrival_ns,
        session_id=given.pod_uid or line.node or "unknown",
        source_kind=SOURCE,
        event_type="log_line",
        body=line.text,
        resource={"pod_name": line.pod_name, "node": line.node, "container": line.container},
    )


def _identity(line: Line) -> tuple[str | int, ...]:
    who = line.pod_uid or f"{line.node}/{line.namespace}/{line.pod_name}"
    return ("log", who, line.container, line.stream, line.at_ns, line.text)
