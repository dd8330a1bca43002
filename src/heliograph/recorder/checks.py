"""What makes an event or a metric acceptable; the texts are those that callers know.

event_fault({"source": 5})   →  Fault("INVALID_EVENT", "Missing required fields: event_type", {…})
metric_fault("", 1)          →  Fault("INVALID_METRIC_NAME", "Metric name must be a non-empty …", {})
"""

import sys
from numbers import Real
from typing import Any, NamedTuple

INVALID_EVENT = "INVALID_EVENT"
_REQUIRED = ("event_type", "source")
# The greatest integer that a sample, which is a float, can hold.
INT_MAX = int(sys.float_info.max)


class Fault(NamedTuple):
    """Why something is not accepted: the code, the words, and what names the part at fault."""

    code: str
    message: str
    details: dict[str, Any]


def event_fault(event: dict[str, Any]) -> Fault | None:
    """What is wrong with *event*, or None. Empty texts and further keys are allowed."""
    missing = [name for name in _REQUIRED if name not in event]
    if missing:
        message = f"Missing required fields: {', '.join(missing)}"
        return _invalid(message, {"missing_fields": missing})
    if not isinstance(event["event_type"], str):
        return _wrong_type("event_type", "Event type must be a string")
    if not isinstance(event["source"], str):
        return _wrong_type("source", "Source must be a string")
    if "data" in event and not isinstance(event["data"], dict):
        return _wrong_type("data", "Data must be a dictionary")
    return None


def moment_fault(error: Exception) -> Fault:
    """Of an event whose timestamp is no instant."""
    return _wrong_type("timestamp", f"Timestamp must be an instant: {error}")


def metric_fault(name: object, value: object) -> Fault | None:
    """What is wrong with the metric *name* of *value*, or None; bool, NaN and infinity are numbers."""
    if not isinstance(name, str) or not name:
        return Fault("INVALID_METRIC_NAME", "Metric name must be a non-empty string", {})
    if not isinstance(value, int | float | str | Real):
        return Fault("INVALID_METRIC_VALUE", "Metric value must be a number or string", {})
    if isinstance(value, int) and not -INT_MAX <= value <= INT_MAX:
        return Fault("INVALID_METRIC_VALUE", "Metric value is too large a number", {})
    return None


def _wrong_type(field: str, message: str) -> Fault:
    return _invalid(message, {"invalid_type": field})


def _invalid(message: str, errors: dict[str, Any]) -> Fault:
    return Fault(INVALID_EVENT, message, {"validation_errors": errors})
