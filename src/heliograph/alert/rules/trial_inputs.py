"""What is given to try a rule over, as a stream is told it: lines, records, traces and rows.

    for at_ns, told in read(top, now_ns, reading):
        looked_at = told(stream, arrival_ns)

How each is read is the service's to say (`Reading`), so that it is read as what streams in is.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from msgspec import structs

from heliograph.alert.model import Context
from heliograph.alert.rules import posts as rule_posts
from heliograph.alert.rules.fields import Part, shown
from heliograph.alert.rules.metrics import Whose
from heliograph.alert.rules.rule import Said
from heliograph.alert.rules.stream import RuleStream
from heliograph.core import instant
from heliograph.core.duration import SECOND_NS
from heliograph.core.record import Record
from heliograph.core.training import TrainingRow

INPUTS_MAX = 10_000
_TIMES = ("date", "timestamp", "at", "log_time", "time", "timestamp_ns")
# From there on a number counts thousandths of seconds, their thousandths, or theirs: no input is
# older than 1973, as in `receive.log_time`.
_SECONDS_BELOW = 10**11
_NUMBER = re.compile(r"\d{1,30}(?:\.\d{1,30})?", re.ASCII)
# Of an entry of `POST /v1/logs`, what says something of its lines.
_OF_ENTRY = ("message", "log", "MESSAGE", "stream", "logtag", "_HOSTNAME", "hostname")
# Of its block `kubernetes`, what each is called beside the block.
_POD = {
    "pod_name": "pod_name",
    "pod_id": "pod_id",
    "namespace_name": "namespace",
    "host": "node_name",
    "container_name": "container",
}
# What the resource of a record calls them.
_RESOURCE = {"pod_uid": "pod_id", "pod_name": "pod_name", "node": "node_name"} | {
    name: name for name in ("namespace", "workload_id")
}
# What any input may name of whose it is, beside `namespace` and `container`.
_CONTEXT = tuple(field.name for field in structs.fields(Context))


class Heard(NamedTuple):
    """One whole line. *place* is its entry's; *told*, which costs, is more that it says."""

    place: int
    said: Said
    told: Callable[[], Mapping[str, str]]


class Reading(Protocol):
    """How what streams in is read."""

    def lines(self, entries: Iterable[tuple[Mapping[str, Any], int]]) -> Iterable[Heard]:
        """The whole lines of *entries*, of `POST /v1/logs`, each with its time."""
        ...

    def record(self, record: Record) -> Said:
        """*record*, as rules are told it."""
        ...

    def trace(self, given: Mapping[str, Any], hints: Context, at_ns: int, told: int) -> Record:
        """The operation that *given*, the *told*-th trace alert, tells of."""
        ...

    @property
    def whose(self) -> Whose:
        """Whose the alert of some labels is, at an instant, as labels."""
        ...

    @property
    def owner(self) -> Callable[[str, str, str], Context]:
        """Whose a pod is, by its uid, its name and its node."""
        ...


class Input(NamedTuple):
    """One thing that is given: *told* to a stream with its arrival, whether the rule looked at it."""

    at_ns: int
    told: Callable[[RuleStream, int], bool]


def read(top: Part, now_ns: int, reading: Reading) -> list[Input]:
    """What is given in *top*, in its order: lines first. Raises Refused that names the field."""
    kinds = ("lines", "records", "traces", "rows")
    given = [(kind, part) for kind in kinds for part in listed(top, kind)]
    if len(given) > INPUTS_MAX:
        top.refuse("lines", f"more than {INPUTS_MAX} inputs")
    found: list[Input] = []
    entries: list[tuple[Part, int]] = []
    operations: set[str] = set()
    for number, (kind, part) in enumerate(given):
        at_ns = _time(part, now_ns - (len(given) - number) * SECOND_NS)
        match kind:
            case "lines":
                entries.append((part, at_ns))
            case "rows":
                found.append(_of_row(part, at_ns, reading))
            case "traces":
                trace = reading.trace(_trace(part), _places(part), at_ns, number)
                # Told again, it is the same operation, and counts once.
                if trace.record_id not in operations:
                    operations.add(trace.record_id)
                    found.append(_of_record(part, trace, reading))
            case _:
                found.append(_of_record(part, _record(part, at_ns), reading))
    texts = [(_entry(part), at_ns) for part, at_ns in entries]
    lines: list[Input] = []
    for heard in reading.lines(texts):
        lines.append(_of_line(entries[heard.place][0], heard))
        if len(lines) + len(found) > INPUTS_MAX:
            top.refuse("lines", f"more than {INPUTS_MAX} inputs")
    return lines + found


def _of_line(part: Part, heard: Heard) -> Input:
    said = heard.said._replace(context=_placed(part, heard.said.context))

    def told(stream: RuleStream, arrival_ns: int) -> bool:
        hits = stream.match(said.text)
        if hits:
            stream.line(hits, said, told=heard.told(), arrival_ns=arrival_ns)
        return bool(hits)

    return Input(said.at_ns, told)


def _of_record(part: Part, record: Record, reading: Reading) -> Input:
    said = reading.record(record)
    said = said._replace(context=_placed(part, said.context))

    def told(stream: RuleStream, arrival_ns: int) -> bool:
        stream.record(record, said, arrival_ns=arrival_ns)
        return stream.fired

    return Input(said.at_ns, told)


def _of_row(part: Part, at_ns: int, reading: Reading) -> Input:
    row, named = _row(part, at_ns), _places(part)
    context = _placed(part, reading.owner(named.pod_id, named.pod_name, named.node_name))
    said = Said(at_ns, named.pod_id or named.pod_name, context)

    def told(stream: RuleStream, arrival_ns: int) -> bool:
        stream.row(row, said, arrival_ns=arrival_ns)
        return stream.fired

    return Input(at_ns, told)


def listed(top: Part, key: str) -> Iterator[Part]:
    """The objects of *key*; text is a line."""
    value = top.values.get(key)
    if value is None:
        return
    if isinstance(value, str | Mapping):
        value = [value]
    if not isinstance(value, list | tuple):
        top.refuse(key, "expected a list")
    for number, one in enumerate(value):
        text = {"message": one} if isinstance(one, str) else one
        yield Part.of(text, f"{key}[{number}]")


def _entry(part: Part) -> dict[str, Any]:
    """*part* as an entry of `POST /v1/logs` that names no time. What is no text there is none."""
    values = part.values
    entry: dict[str, Any] = {
        name: values[name] for name in _OF_ENTRY if isinstance(values.get(name), str)
    }
    if not entry.keys() & {"message", "log", "MESSAGE"} and isinstance(values.get("text"), str):
        entry["log"] = values["text"]
    pod, block = {}, values.get("kubernetes")
    for name, ours in _POD.items():
        told = block.get(name) if isinstance(block, Mapping) else None
        one = told if told and isinstance(told, str) else values.get(ours)
        if one and _scalar(one):
            pod[name] = shown(one)
    return {**entry, "kubernetes": pod} if pod else entry


def _time(part: Part, default_ns: int) -> int:
    for key in _TIMES:
        if part.values.get(key) is not None:
            return moment(part, key, default_ns)
    return default_ns


def moment(part: Part, key: str, default_ns: int) -> int:
    """The instant of *key*: text, or a number whose unit its size tells."""
    value = part.values.get(key, default_ns)
    try:
        if key.endswith("_ns") and isinstance(value, int) and 0 < value <= instant.AT_NS_MAX:
            return value
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            part.refuse(key, "expected an instant")
        text = value.strip() if isinstance(value, str) else f"{Decimal(repr(value)):f}"
        if _NUMBER.fullmatch(text):
            seconds = Decimal(text)
            for _ in range(3):
                if seconds >= _SECONDS_BELOW:
                    seconds = seconds.scaleb(-3)
            text = f"{seconds:f}"
        return instant.parse_any(text)
    except ValueError as error:
        part.refuse(key, str(error))


def _places(part: Part) -> Context:
    """What *part* names of whose it is."""
    named = {name: part.values.get(name) for name in _CONTEXT}
    return Context(**{name: shown(one) for name, one in named.items() if _scalar(one)})


def _placed(part: Part, context: Context) -> Context:
    """*context*, and what *part* names of it."""
    named = {name: one for name, one in structs.asdict(_places(part)).items() if one}
    return structs.replace(context, **named)


def _scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _trace(part: Part) -> dict[str, Any]:
    texts = ("service_name", "operation", "trace_id", "span_id", "message")
    key = "duration_ms" if "duration_ms" in part.values else "duration"
    return {name: part.text(name, default="") for name in texts} | {
        "duration": part.number(key)
    }


def _record(part: Part, at_ns: int) -> Record:
    return Record(
        record_id="trial",
        timestamp_ns=at_ns,
        observed_timestamp_ns=at_ns,
        session_id="trial",
        source_kind=part.text("source_kind", default="trial"),
        event_type=part.text("event_type"),
        severity=part.text("severity", default="") or None,
        body=part.text("body", default="", chars_max=65_536) or None,
        resource=_resource(part),
        attributes=part.part("attributes", default={}).values,
        correlation=part.part("correlation", default={}).values,
    )


def _resource(part: Part) -> dict[str, Any]:
    beside = {name: part.values.get(ours) for name, ours in _RESOURCE.items()}
    return {name: shown(one) for name, one in beside.items() if one and _scalar(one)} | (
        part.part("resource", default={}).values
    )


def _row(part: Part, at_ns: int) -> TrainingRow:
    given = part.part("fields").values
    fields = {}
    for name, one in given.items():
        try:
            fields[name] = float(one)
        except (TypeError, ValueError):
            part.refuse(f"fields.{name}", "expected a number")
    if "rank" in part.values:
        fields.setdefault("rank", part.number("rank"))
    iteration, rank = fields.get("current_iteration"), fields.get("rank")
    known = None if iteration is None or iteration - iteration != 0 else int(iteration)
    group = "" if rank is None else rule_posts.number(rank)
    source = part.text("row_source", default="log")
    return TrainingRow("", source, group, at_ns, known, None, "unknown", fields)
