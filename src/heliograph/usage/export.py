"""Metrics for others: JSON, Prometheus text, OpenMetrics, CSV; and JSON back.

    # TYPE tao_job_total counter
    tao_job_total{tao_action="train",…} 3.0

Flat names become gauges (they may be merged or reset), `…_total` counters. Distinct values and
quantiles appear as what they say (`usage.aggregate.readings`), but in JSON, which is to be merged.
What a text format cannot show (text, `_id`) is left out of it.
Source: Prometheus exposition formats (text 0.0.4), OpenMetrics 1.0; RFC 4180; RFC 8259.
"""

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from heliograph.core.errors import Refused
from heliograph.usage import aggregate, keys
from heliograph.usage.validation import NOT_METRICS

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
IMPORT_BYTES_MAX = 64 * 1024 * 1024

_NOT_NAME = re.compile(r"[^a-zA-Z0-9_:]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SPECIAL = {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}


def to_json(metrics: Mapping[str, Any], *, pretty: bool = False) -> str:
    """The mapping itself; NaN and infinities are text ("NaN", "+Inf", "-Inf")."""
    shown = {key: _json_value(value) for key, value in metrics.items()}
    return json.dumps(shown, ensure_ascii=False, indent=2 if pretty else None, default=str)


def from_json(text: str | bytes) -> dict[str, Any]:
    """A mapping that `to_json`, or an export of spec 000's system, wrote; without `_id`.

    Raises Refused. What it says is to be merged: `usage.merge.merged`.
    """
    if len(text) > IMPORT_BYTES_MAX:
        raise Refused(f"{len(text)} bytes, limit {IMPORT_BYTES_MAX}", status=413)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Refused("not an object of metrics")
    return {
        key: _SPECIAL.get(value, value) if isinstance(value, str) else value
        for key, value in document.items()
        if key != "_id"
    }


def to_prometheus(metrics: Mapping[str, Any]) -> str:
    """Prometheus text format 0.0.4."""
    lines: list[str] = []
    for name, series in _families(metrics):
        lines.append(f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}")
        lines += (f"{key} {_number(value)}" for key, value in series)
    return "".join(f"{line}\n" for line in lines)


def to_openmetrics(metrics: Mapping[str, Any]) -> str:
    """OpenMetrics 1.0."""
    lines: list[str] = []
    for name, series in _families(metrics):
        family = name.removesuffix("_total")
        lines.append(f"# TYPE {family} {'counter' if name != family else 'gauge'}")
        lines += (f"{key} {_number(value)}" for key, value in series)
    return "".join(f"{line}\n" for line in [*lines, "# EOF"])


def to_csv(metrics: Mapping[str, Any]) -> str:
    """`metric,labels,value`, a row a metric; labels as `name=value` joined by `;`.

    Text that a spreadsheet would take for a formula has a ' before it.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(("metric", "labels", "value"))
    for key, value in aggregate.readings(metrics).items():
        found = keys.parsed(key) or keys.Key(key, ())
        labels = ";".join(f"{name}={text}" for name, text in found.labels)
        shown = _number(value) if keys.is_number(value) else _cell(str(value))
        writer.writerow((_cell(found.name), _cell(labels), shown))
    return out.getvalue()


def _families(
    metrics: Mapping[str, Any],
) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """(name, its series) by name; two keys that would be one series add up."""
    families: dict[str, dict[str, float]] = {}
    for key, value in aggregate.readings(metrics).items():
        if key in NOT_METRICS or not keys.is_number(value):
            continue
        found = keys.parsed(key) or keys.Key(key, ())
        name = _NOT_NAME.sub("_", found.name)
        name = f"_{name}" if not name or name[0].isdigit() else name
        labels = dict(found.labels)
        series = families.setdefault(name, {})
        written = keys.written(name, sorted(labels.items()))
        series[written] = series.get(written, 0) + value
    # A family is named without `_total` in OpenMetrics; `x` and `x_total` must not both be there.
    for name in sorted(families):
        if not (name.endswith("_total") and name.removesuffix("_total") in families):
            yield name, list(families[name].items())
        else:
            base = name.removesuffix("_total")
            series = families[name]
            yield (
                f"{base}_count",
                [(f"{base}_count{key.removeprefix(name)}", n) for key, n in series.items()],
            )


def _json_value(value: Any) -> Any:
    return _number(value) if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if value != value:  # noqa: PLR0124 - NaN
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
