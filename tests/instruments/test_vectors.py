"""The shared table of what the original library exports, case by case.

Where the table shows a fault of the original that is to be mended, the case is in `BETTER` by its
id, with what we do instead.
"""

import asyncio
import json
import math

import pytest

from heliograph.instruments.collector import (
    TelemetryCollector,
    setup_coordination_hooks,
    setup_health_hooks,
    setup_messaging_hooks,
)
from heliograph.instruments.exporter import JSONExporter, PrometheusAdapter
from tests.conftest import SHARED_DATA

TABLE = SHARED_DATA / "library_vectors" / "utilityfog_export.json"
CASES = json.loads(TABLE.read_text())["cases"] if TABLE.is_file() else []
SETUPS = {
    "coordination": setup_coordination_hooks,
    "messaging": setup_messaging_hooks,
    "health": setup_health_hooks,
}

NOT_A_NUMBER = ("TypeError", "ValueError")
# id → what differs from the table: errors of operations, and what the user's part shows then.
BETTER = {
    "counter-nan": {"text": "# HELP a_total A\n# TYPE a_total counter\na_total NaN\n"},
    "counter-inf": {"text": "# HELP a_total A\n# TYPE a_total counter\na_total +Inf\n"},
    # A text is no number: refused, and the gauge stays what it was.
    "gauge-string": {
        "errors": NOT_A_NUMBER,
        "text": "# HELP g G\n# TYPE g gauge\ng 0.0\n",
        "values": {"g": 0.0},
    },
    "gauge-bool": {"text": "# HELP g G\n# TYPE g gauge\ng 1\n", "values": {"g": 1}},
    # Names that no scraper takes are refused when they are registered.
    "name-invalid": {"errors": ("ValueError",), "text": "", "absent": "bad name-1"},
    "name-unicode": {"errors": ("ValueError",), "text": "", "absent": "температура"},
    "name-empty": {"errors": ("ValueError",), "text": "", "absent": ""},
    # `le` is the histogram's own; a user's is shown as scrapers show labels that collide.
    "hist-label-named-le": {
        "text": '# HELP h H\n# TYPE h histogram\nh_bucket{exported_le="mine",le="1"} 1\n'
        'h_bucket{exported_le="mine",le="+Inf"} 1\nh_sum{exported_le="mine"} 0.5\n'
        'h_count{exported_le="mine"} 1\n',
        "lists": {
            "h": [
                {"value": 1, "labels": {"exported_le": "mine", "le": "1"}},
                {"value": 0.5, "labels": {"exported_le": "mine", "type": "sum"}},
                {"value": 1, "labels": {"exported_le": "mine", "type": "count"}},
            ]
        },
    },
    # Of the values, `type` is the sum's and the count's; in the text it is free.
    "hist-label-named-type": {
        "text": '# HELP h H\n# TYPE h histogram\nh_bucket{type="fast",le="1"} 1\n'
        'h_bucket{type="fast",le="+Inf"} 1\nh_sum{type="fast"} 0.5\nh_count{type="fast"} 1\n',
        "lists": {
            "h": [
                {"value": 1, "labels": {"exported_type": "fast", "le": "1"}},
                {"value": 0.5, "labels": {"exported_type": "fast", "type": "sum"}},
                {"value": 1, "labels": {"exported_type": "fast", "type": "count"}},
            ]
        },
    },
    "hooks-twice": {"errors": ()},
}


def number(value):
    if isinstance(value, dict) and "$float" in value:
        return float(value["$float"])
    return value


def performed(collector, operations):
    """Do *operations* on *collector*; what each raised."""
    errors = []
    for operation in operations:
        kind, *arguments = operation
        arguments = [number(argument) for argument in arguments]
        try:
            perform(collector, kind, arguments)
        except Exception as error:
            errors.append({"raises": type(error).__name__, "message": str(error)})
    return errors


def perform(collector, kind, arguments):
    if kind in {"counter", "gauge", "histogram"}:
        getattr(collector, f"register_{kind}")(*arguments)
    elif kind == "event":
        collector.record_event(*arguments)
    elif kind == "events":
        for index in range(arguments[1]):
            collector.record_event(f"{arguments[0]}{index}", index)
    elif kind == "hooks":
        SETUPS[arguments[0]](collector)
    else:
        metric = collector.get_metric(arguments[0])
        if metric is not None:  # It was refused.
            getattr(metric, kind)(*arguments[1:])


def exported(collector, folder):
    async def export():
        return [
            await PrometheusAdapter(str(folder / "m.prom")).export_metrics(collector),
            await JSONExporter(str(folder / "m.json")).export_metrics(collector),
        ]

    assert asyncio.run(export()) == [True, True]
    return (folder / "m.prom").read_text(), json.loads((folder / "m.json").read_text())


def without_timestamps(document):
    metrics = {
        name: [{k: v for k, v in one.items() if k != "timestamp"} for one in value]
        if isinstance(value, list)
        else {k: v for k, v in value.items() if k != "timestamp"}
        for name, value in document["metrics"].items()
    }
    kept = {name: part for name, part in document.items() if name != "timestamp"}
    return {**kept, "metrics": metrics}


def user_part(text):
    blocks = text.split("\n\n")
    return "\n\n".join(block for block in blocks if " telemetry_" not in block.split("\n")[0])


def plain(value):
    """The table's numbers as our JSON writes them."""
    if isinstance(value, dict) and "$float" in value:
        found = float(value["$float"])
        return "NaN" if math.isnan(found) else "+Inf" if found > 0 else "-Inf"
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_case_of_the_table(case, tmp_path):
    better, expected = BETTER.get(case["id"], {}), case["expect"]
    collector = TelemetryCollector()

    errors = performed(collector, case["input"]["ops"])

    if "errors" in better:
        assert {error["raises"] for error in errors} <= set(better["errors"])
        assert bool(errors) == bool(better["errors"])
    else:
        wanted = [{k: v for k, v in one.items() if k != "op"} for one in expected["op_errors"]]
        assert errors == wanted
    text, document = exported(collector, tmp_path)
    if better.keys() & {"text", "values", "absent"}:
        assert user_part(text) == better["text"]
    else:
        assert text == expected["prometheus"]
    wanted = plain(expected["json_without_timestamps"])
    if "absent" in better:
        del wanted["metrics"][better["absent"]]
        wanted["metrics"]["telemetry_metrics_count"]["value"] -= 1
    for name, value in better.get("values", {}).items():
        wanted["metrics"][name]["value"] = value
    wanted["metrics"].update(better.get("lists", {}))
    assert without_timestamps(document) == wanted
    events = [
        {"name": e.name, "value": e.value, "labels": e.labels, "metadata": e.metadata}
        for e in collector.get_events()
    ]
    assert len(events) == expected["events_len"]
    assert events[-20:] == expected["events"]


def test_the_table_is_there(shared_data):
    assert len(CASES) >= 28


def test_every_case_that_differs_is_in_the_table(shared_data):
    assert set(BETTER) <= {case["id"] for case in CASES}
