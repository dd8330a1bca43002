"""What lines come to: training rows, records and counts. A function of the lines; writes nothing.

The ingest thread has parsed the whole lines already, to answer the sender with counts, and hands
the result over; what it could not parse (lines that continue an earlier request's) is parsed here.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from heliograph.core.record import Record, record_id
from heliograph.core.training import TrainingRow
from heliograph.receive.lines import Line
from heliograph.training.parse import Parsed, parse_line
from heliograph.training.rows import rows

SOURCE = "log"

KeepLines = Literal["findings", "all", "none"]


class Given(NamedTuple):
    """A whole line as it came, the uid of its pod ("" when unknown), and what it parsed to where
    that is known.

    The line's identity is as it came: a pod that becomes known between two readings of the same
    line does not make two records of it.
    """

    line: Line
    pod_uid: str
    parsed: Parsed | None


class Effects(NamedTuple):
    """What some lines come to, in their order.

    kinds    line kind (`performance`, `event`, `none`) → lines
    rules    (framework, kind, rule) → lines, for `log_pattern_match_total`
    """

    rows: list[TrainingRow]
    records: list[Record]
    kinds: dict[str, int]
    rules: dict[tuple[str, str, str], int]


def of_lines(lines: Sequence[Given], *, arrival_ns: int, keep_lines: KeepLines) -> Effects:
    """The effects of whole *lines*."""
    effects = Effects([], [], {}, {})
    for given in lines:
        line = given.line
        parsed = parse_line(line.text) if given.parsed is None else given.parsed
        effects.kinds[parsed.kind] = effects.kinds.get(parsed.kind, 0) + 1
        if parsed.kind == "none":
            if keep_lines == "all":
                effects.records.append(_line_record(given, arrival_ns))
            continue
        rule = (parsed.framework, parsed.kind, parsed.rule)
        effects.rules[rule] = effects.rules.get(rule, 0) + 1
        _add(effects, given, parsed, arrival_ns, keep_lines)
    return effects


def _add(
    effects: Effects, given: Given, parsed: Parsed, arrival_ns: int, keep_lines: KeepLines
) -> None:
    line, pod_uid = given.line, given.pod_uid
    if pod_uid:
        effects.rows.extend(rows(parsed, pod_uid=pod_uid, source=SOURCE, at_ns=line.at_ns))
    for number, event in enumerate(parsed.events):
        effects.records.append(
            Record(
                record_id=record_id(*_identity(line), event.event_type, number),
                timestamp_ns=line.at_ns,
                observed_timestamp_ns=arrival_ns,
                session_id=pod_uid or line.node or "unknown",
                source_kind=SOURCE,
                event_type=event.event_type,
                severity=event.severity,
                body=None if keep_lines == "none" else line.text,
                resource=_resource(given, parsed),
                attributes={**event.attributes, "framework": parsed.framework},
            )
        )
    if keep_lines == "all" and not parsed.events:
        effects.records.append(_line_record(given, arrival_ns))


def _resource(given: Given, parsed: Parsed) -> dict[str, object]:
    line = given.line
    named = {
        "pod_uid": given.pod_uid,
        "pod_name": line.pod_name,
        "namespace": line.namespace,
        "node": line.node,
        "container": line.container,
        "rank": parsed.fields.get("rank"),
        "speaker": parsed.label,
    }
    return {name: value for name, value in named.items() if value not in {"", None}}


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
