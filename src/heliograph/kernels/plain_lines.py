"""Rows and records of lines that stand for themselves: the plain twin of `plain_lines.pyx`.

    plain, at = PlainLines(places, …), 0
    while (at := plain.take(rows, records, at, scales)) < len(places):
        …                                   the line at places[at] is not so plain: it is another's
        at += 1

Of a line that tells nothing but values a row is made, of one that tells of events a record each, in the
order of the lines. Most lines that say something are such, so that all that is done for each is done
here.

    identity of a record = that of its origin ‖ 10:1764666728 ‖ 5:hello ‖ that of its event
    record_id            = "telemetry-" and the first half of the identity's SHA-256, in hexadecimal
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

COMPILED = False
ROW_PARTS, RECORD_PARTS = 8, 13
PERFORMANCE, STEP, SCALE = "performance", "current_iteration", "loss_scale"
# Rules whose lines count within an epoch: which step of the run they are of takes more to tell.
OF_EPOCH = ("bar", "piped_epoch")
RANK, SPEAKER, DEVICE, FRAMEWORK = "rank", "speaker", "device", "framework"
# Which attribute names the device that an event is about, the most telling first.
DEVICES = ("pci", "device", "hca", "gpu", "gpu_node")
# What the lines of a plan come to: anything, a row, records, those records that are to be told.
ANYTHING, A_ROW, RECORDS, SOME_RECORDS = 0, 1, 2, 3


class Making(NamedTuple):
    """What rows and records are made of, of whatever line.

    row      the type of a row: a named tuple of (pod_uid, source, rank_group, at_ns, iteration, marker,
             framework, fields); *source* is what its `source` is, and the `source_kind` of records
    record   the type of a record: a named tuple of (record_id, timestamp_ns, observed_timestamp_ns,
             session_id, source_kind, event_type, stage, severity, severity_text, body, resource,
             attributes, correlation)
    event    the identity of the event of a type, and its number among those of a line
    bodies   whether a record has the text of its line
    """

    row: Any
    source: str
    record: Any
    event: Callable[[str, int], bytes]
    bodies: bool


class PlainLines:
    """Some lines of a block, and what they come to.

    parsed       what each line of the block says, when it is asked for: (kind, framework, fields,
                 events, rule, label, …); an event is (type, severity, attributes). `plan_of` (uint32)
                 has for each line the number of its plan in `plans`, from 1, 0 for none
    places       of the lines to be looked at (uint32)
    plain        for each plan, by that number, what its lines come to; ANYTHING for none
    block        `source_of` (uint32), `at_ns` (int64), `ends` (uint32) and `blob` of the lines
    pods         for each source of the block the uid of its pod, "" for none, None where that depends
    origin       what the records of a source have in common: (…, …, identity, session_id, resource);
                 asked once for each. None where that depends, and then its lines are not plain
    tells        whether an event is to be told, of its origin, the label of its line, itself, and the
                 time of the line; asked of SOME_RECORDS, in their order
    """

    def __init__(
        self,
        parsed: Any,
        places: Sequence[int],
        plain: bytes,
        block: Any,
        pods: Sequence[str | None],
        origin: Callable[[int], Any],
        tells: Callable[[Any, str, Any, int], bool],
        making: Making,
        arrival_ns: int,
    ) -> None:
        if (
            not len(parsed.plan_of)
            == len(block.source_of)
            == len(block.at_ns)
            == len(block.ends)
        ):
            raise ValueError("columns of one length")
        if len(plain) != len(parsed.plans) + 1 or plain[0] != ANYTHING:
            raise ValueError("what the lines of each plan come to")
        if (len(making.row._fields), len(making.record._fields)) != (ROW_PARTS, RECORD_PARTS):
            raise ValueError("a row of eight parts, a record of thirteen")
        self._parsed, self._places, self._plain, self._block = parsed, places, plain, block
        self._pods, self._origin = pods, lru_cache(maxsize=None)(origin)
        self._tells, self._making, self._arrival_ns = tells, making, arrival_ns

    def take(
        self,
        rows: list[Any],
        records: list[Any],
        at: int,
        scales: Mapping[tuple[str, str], Any],
    ) -> int:
        """Append to *rows* and *records* what lines come to from *at* of the places, up to one that is
        not plain; its number there. A loss scale that is another than what *scales* has of (pod,
        label), 1 where that is nothing, may tell more.
        """
        for n in range(at, len(self._places)):
            place = self._places[n]
            plain = self._plain[self._parsed.plan_of[place]]
            taken = plain != ANYTHING and (
                self._row(rows, place, scales)
                if plain == A_ROW
                else self._told(records, place, asked=plain == SOME_RECORDS)
            )
            if not taken:
                return n
        return len(self._places)

    def _row(self, rows: list[Any], place: int, scales: Mapping[tuple[str, str], Any]) -> bool:
        pod_uid = self._pods[self._block.source_of[place]]
        if not pod_uid:
            return pod_uid is not None
        kind, framework, fields, told, rule, label, *_ = self._parsed[place]
        # A line may be another than those that its plan was learned from.
        if told or kind != PERFORMANCE or rule in OF_EPOCH:
            return False
        scale = fields.get(SCALE)
        if scale is not None:
            was = scales.get((pod_uid, label))
            if scale != (1.0 if was is None else was.scale):
                return False
        at_ns, step, source = self._block.at_ns[place], fields.get(STEP), self._making.source
        rows.append(
            self._making.row(pod_uid, source, label, at_ns, step, None, framework, fields)
        )
        return True

    def _told(self, records: list[Any], place: int, *, asked: bool) -> bool:
        origin = self._origin(self._block.source_of[place])
        if origin is None:
            return False
        kind, _, _, told, *_ = said = self._parsed[place]
        template = self._parsed.plans[self._parsed.plan_of[place] - 1].template
        # As above.
        if kind == PERFORMANCE or [one[0] for one in told] != [one[0] for one in template[3]]:
            return False
        start = self._block.ends[place - 1] if place else 0
        text = self._block.blob[start : self._block.ends[place]]
        at_ns = self._block.at_ns[place]
        for number, event in enumerate(told):
            if not asked or self._tells(origin, said[5], event, at_ns):
                records.append(self._record(origin, said, event, number, place, text))
        return True

    def _record(
        self, origin: Any, said: Any, event: Any, number: int, place: int, text: bytes
    ) -> Any:
        at_ns, making = self._block.at_ns[place], self._making
        _, _, identity, session_id, resource, *_ = origin
        (_, framework, fields, _, _, label, *_), (event_type, severity, attributes, *_) = (
            said,
            event,
        )
        return making.record(
            record_id(identity, at_ns, text, making.event(event_type, number)),
            at_ns,
            self._arrival_ns,
            session_id,
            making.source,
            event_type,
            None,
            severity,
            None,
            text.decode("utf-8", "surrogatepass") if making.bodies else None,
            resource_of(resource, attributes, fields.get(RANK), label),
            {**attributes, FRAMEWORK: framework},
            {},
        )


def record_id(identity: bytes, at_ns: int, text: bytes, event: bytes) -> str:
    """The id of an *event*, its identity, that the line *text* told at *at_ns*; *identity* is of what
    printed it."""
    time = b"%d" % at_ns
    whole = b"%b%d:%b%d:%b%b" % (identity, len(time), time, len(text), text, event)
    return f"telemetry-{hashlib.sha256(whole).hexdigest()[:32]}"


def resource_of(
    resource: dict[str, Any], attributes: Mapping[str, Any], rank: Any, label: str
) -> dict[str, Any]:
    """*resource*, and whom of a job an event speaks of: the *rank* that *attributes* name, else the one
    given, which is the line's, the line's *label*, and the device."""
    made = resource.copy()
    rank = attributes.get(RANK, rank)
    if rank is not None and rank != "":
        made[RANK] = rank
    if label:
        made[SPEAKER] = label
    for one in DEVICES:
        if one in attributes:
            if device := str(attributes[one]):
                made[DEVICE] = device
            break
    return made
