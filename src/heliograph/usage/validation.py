"""What is wrong with metrics, if anything: keys that no exporter can show, values that are no numbers.

faults({"total_action_train_pass": "5"})  ==  [Fault("total_action_train_pass", "text is no number")]
"""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from heliograph.usage import keys
from heliograph.usage.moment import LAST_UPDATED

KEY_CHARS_MAX = 65_536
# What a document of spec 000's store carries besides metrics.
NOT_METRICS = frozenset({"_id", "name", LAST_UPDATED})
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")


class Fault(NamedTuple):
    """A key, and why it will not do."""

    key: str
    reason: str


def faults(metrics: Mapping[str, Any]) -> list[Fault]:
    """All that is wrong, in the order of the keys; a negative count is, a negative time is not."""
    return [
        Fault(str(key)[:200], reason)
        for key, value in metrics.items()
        if (reason := _of_key(key) or _of_value(key, value))
    ]


def _of_key(key: object) -> str:
    if not isinstance(key, str):
        return f"a key of type {type(key).__name__}"
    if key in NOT_METRICS:
        return ""
    if len(key) > KEY_CHARS_MAX:
        return f"{len(key)} characters, limit {KEY_CHARS_MAX}"
    found = keys.parsed(key)
    if found is None or not _NAME.match(found.name):
        return "not a metric's name, with or without labels"
    labels = [label for label, _ in found.labels]
    return "a label occurs twice" if len(set(labels)) < len(labels) else ""


def _of_value(key: str, value: object) -> str:
    if key == LAST_UPDATED:
        try:
            datetime.fromisoformat(str(value))
        except ValueError:
            return f"{str(value)[:64]!r} is no instant"
        return ""
    if key in NOT_METRICS:
        return ""
    if not keys.is_number(value):
        kind = {"str": "text", "NoneType": "None"}.get(type(value).__name__)
        return f"{kind or type(value).__name__} is no number"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not finite"
    is_count = key.startswith(("total_", "version_", "network_", "gpu_", "tao_job_total"))
    return f"{value} is less than nothing" if is_count and value < 0 else ""
