"""What an agent in a training process reports of it: `POST /v1/wandb/detection|metrics|logs|batch`.

    metrics   {"pod_name": "llm-0", "run_id": "r1",
               "metrics": [{"name": "loss", "value": 2.5, "step": 0, "timestamp": 1700000000.0}]}
    logs      {"workload_uid": "w1", "run_id": "r1",
               "logs": [{"step": 100, "timestamp": 1700000000.0, "data": {"loss": 0.5}}]}
    detection {"pod_uid": "p1", "source": "wandb", "evidence": {"environment": {…}}, "hints": {…}}
    batch     {"detection": {…}, "metrics": {…}, "logs": {…}}, each part on its own

Points of one step are one `Step`, of the instant of its first. A name is kept as the script gave
it: what it means is not decided here. What is no number is counted, not refused, so that a script
that logs a picture loses nothing else. Unknown keys are left alone, as agents add to them.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.receive.fields import Fields, json_of, kind_of, refuse

T = TypeVar("T")

POINTS_MAX = 10_000
VALUES_PER_STEP_MAX = 2_000
NAME_CHARS_MAX = 256
RUN_CHARS_MAX = 256
_TEXT_NUMBERS = {"nan", "inf", "-inf", "+inf", "infinity", "-infinity"}
_STEP_MAX = 2**63 - 1


class Target(NamedTuple):
    """Whose a report is, by what it says; "" where it does not."""

    workload_uid: str
    pod_uid: str
    pod_name: str
    namespace: str


class Step(NamedTuple):
    """What was logged of one step: name → number. *at_ns* is the instant of its first value."""

    step: int
    at_ns: int
    values: Mapping[str, float]


class Reported(NamedTuple):
    """Steps of one run. *points* counts what came, *left_out* what of it is no number."""

    target: Target
    run_id: str
    steps: tuple[Step, ...]
    points: int
    left_out: int


class Detected(NamedTuple):
    """Evidence of a framework, as it came; *source* says who gathered it."""

    target: Target
    source: str
    at_ns: int
    evidence: Mapping[str, Any]
    hints: Mapping[str, Any]
    rest: Mapping[str, Any]


class Batch(NamedTuple):
    """The parts of a batch that there are; one that is malformed is the `Refused` it raised."""

    detection: Detected | Refused | None
    metrics: Reported | Refused | None
    logs: Reported | Refused | None


def detection(body: bytes, *, arrival_ns: int) -> Detected:
    """A report of evidence. Raises Refused naming the field."""
    return _detection(_document(body), arrival_ns)


def metrics(body: bytes, *, arrival_ns: int) -> Reported:
    """A report of single values. Raises Refused naming the field."""
    return _metrics(_document(body), arrival_ns)


def logs(body: bytes, *, arrival_ns: int) -> Reported:
    """A report of whole steps. Raises Refused naming the field."""
    return _logs(_document(body), arrival_ns)


def batch(body: bytes, *, arrival_ns: int) -> Batch:
    """A report in parts. Raises Refused when the whole is malformed, or has none of them."""
    fields = _document(body)
    found = Batch(
        _part(fields, "detection", _detection, arrival_ns),
        _part(fields, "metrics", _metrics, arrival_ns),
        _part(fields, "logs", _logs, arrival_ns),
    )
    if all(part is None for part in found):
        refuse("body", "has none of detection, metrics, logs", code="missing")
    return found


def _part(
    fields: Fields, name: str, read: Callable[[Fields, int], T], arrival_ns: int
) -> T | Refused | None:
    value = fields.values.get(name)
    if value is None:
        return None
    try:
        return read(Fields(value, name), arrival_ns)
    except Refused as refused:
        return refused


def _document(body: bytes) -> Fields:
    return Fields(json_of(body), "")


def _target(fields: Fields) -> Target:
    found = Target(
        workload_uid=fields.text_or_none("workload_uid") or "",
        pod_uid=fields.text_or_none("pod_uid") or "",
        pod_name=fields.text_or_none("pod_name") or "",
        namespace=fields.text_or_none("namespace") or "",
    )
    if not any(found[:3]):
        refuse(
            fields.at("pod_name"),
            "one of workload_uid, pod_uid and pod_name is required",
            code="missing",
        )
    return found


def _run_id(fields: Fields) -> str:
    run_id = fields.text_or_none("run_id", numbers=True) or ""
    if len(run_id) > RUN_CHARS_MAX:
        refuse(fields.at("run_id"), f"over {RUN_CHARS_MAX} characters")
    return run_id


def _detection(fields: Fields, arrival_ns: int) -> Detected:
    evidence, hints = (_mapping(fields, key) for key in ("evidence", "hints"))
    known = {"workload_uid", "pod_uid", "pod_name", "namespace", "evidence", "hints"}
    return Detected(
        target=_target(fields),
        source=(fields.text_or_none("source") or "wandb").lower(),
        at_ns=_at_ns(fields, "timestamp", arrival_ns),
        evidence=evidence,
        hints=hints,
        rest={key: value for key, value in fields.values.items() if key not in known},
    )


def _metrics(fields: Fields, arrival_ns: int) -> Reported:
    target, run_id = _target(fields), _run_id(fields)
    gathering = _Gathering()
    for path, element in fields.each("metrics", count_max=POINTS_MAX):
        one = Fields(element, path)
        name = one.text("name")
        at_ns = _at_ns(one, "timestamp", arrival_ns)
        gathering.add(one, _step(one), at_ns, {name: one.values.get("value")})
    return gathering.reported(target, run_id)


def _logs(fields: Fields, arrival_ns: int) -> Reported:
    target, run_id = _target(fields), _run_id(fields)
    gathering = _Gathering()
    for path, element in fields.each("logs", count_max=POINTS_MAX):
        one = Fields(element, path)
        at_ns = _at_ns(one, "timestamp", arrival_ns)
        gathering.add(one, _step(one), at_ns, _mapping(one, "data"), whole=True)
    return gathering.reported(target, run_id)


class _Gathering:
    """Values by step, in the order in which steps first came."""

    def __init__(self) -> None:
        self._steps: dict[int, tuple[int, dict[str, float]]] = {}
        self._points = 0
        self._left_out = 0

    def add(
        self,
        fields: Fields,
        step: int,
        at_ns: int,
        values: Mapping[str, Any],
        *,
        whole: bool = False,
    ) -> None:
        _, held = self._steps.setdefault(step, (at_ns, {}))
        self._points += 1
        for name, value in values.items():
            number = _number(value)
            if number is None or len(name) > NAME_CHARS_MAX:
                self._left_out += 1
            elif name not in held and len(held) >= VALUES_PER_STEP_MAX:
                refuse(
                    fields.at("data" if whole else "name"),
                    f"over {VALUES_PER_STEP_MAX} values of step {step}",
                    status=413,
                )
            else:
                held[name] = number

    def reported(self, target: Target, run_id: str) -> Reported:
        steps = tuple(
            Step(step, at_ns, values) for step, (at_ns, values) in self._steps.items() if values
        )
        return Reported(target, run_id, steps, self._points, self._left_out)


def _step(fields: Fields) -> int:
    value = fields.values.get("step")
    # Scripts in other languages have no whole numbers: 100.0 is step 100.
    whole = isinstance(value, float) and value.is_integer() and abs(value) <= _STEP_MAX
    step = int(value) if whole else fields.whole_or_none("step")  # type: ignore[arg-type]
    if step is None:
        refuse(fields.at("step"), "required: a whole number", code="missing")
    if not 0 <= step <= _STEP_MAX:
        refuse(fields.at("step"), f"{step} is less than 0")
    return step


def _at_ns(fields: Fields, key: str, arrival_ns: int) -> int:
    value = fields.values.get(key)
    # Agents send 0 for "now".
    if value in {None, 0, ""} and not isinstance(value, bool):
        return arrival_ns
    at_ns = fields.instant_or_none(key)
    if at_ns is None or not instant.AT_NS_MIN <= at_ns < instant.AT_NS_MAX:
        refuse(fields.at(key), "not an instant that can be kept")
    return at_ns


def _mapping(fields: Fields, key: str) -> Mapping[str, Any]:
    value = fields.values.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        refuse(fields.at(key), f"expected a mapping, got {kind_of(value)}")
    return value


def _number(value: object) -> float | None:
    """*value* as a number: also the words that JSON has for NaN and the infinities."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, str) and value.strip().lower() in _TEXT_NUMBERS:
        return float(value)
    return None
