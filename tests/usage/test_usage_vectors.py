"""Everything in the table of the original's behaviour, and where we differ on purpose."""

import json
from datetime import datetime

import pytest

from heliograph.core.errors import Refused
from heliograph.usage import MetricProcessor
from heliograph.usage import payload as payloads
from heliograph.usage.builders import (
    ComprehensiveMetricsBuilder,
    LabeledMetricsBuilder,
    LegacyMetricsBuilder,
    TimeMetricsBuilder,
)
from heliograph.usage.utils import (
    create_gpu_identifier,
    extract_telemetry_data,
    sanitize_field_value,
)

BUILDERS = {
    "legacy": LegacyMetricsBuilder,
    "comprehensive": ComprehensiveMetricsBuilder,
    "time": TimeMetricsBuilder,
    "labeled": LabeledMetricsBuilder,
}
GTX = "the word after GTX is the model"
PRO = "RTX PRO is a series, not a model"
ESCAPED = "label values are escaped"
DEVIATIONS = {
    "gputype-30": (GTX, "GTX1080"),
    "gputype-33": (PRO, "RTXPRO6000"),
    "time-boundary-1": ("a month later is another day", {"time_lapsed_today": 50}),
    "key-2": (ESCAPED, 'm{x="q\\"uote"}'),
    "key-3": (ESCAPED, 'm{x="back\\\\slash"}'),
    "key-4": (ESCAPED, 'm{x="new\\nline"}'),
    "process-hostile": (ESCAPED, None),
}
RAISES = {"TypeError": TypeError, "ValueError": ValueError, "KeyError": KeyError}


def at(text):
    return datetime.fromisoformat(text)


def decoded(value):
    if isinstance(value, dict) and value.keys() == {"$float"}:
        return float(value["$float"])
    return value


def build(given):
    builder, metrics = BUILDERS[given["builder"]](), given["metrics"]
    for _ in range(given["times"]):
        context = {"now": at(given["now"]), "old_now": at(given["old_now"])}
        builder.build(metrics, given["telemetry_data"], context)
    return metrics


def process(given):
    names = given["builders"]
    builders = None if names == "default" else [BUILDERS[name]() for name in names]
    processor, metrics = MetricProcessor(builders), given["metrics"]
    for step in given["steps"]:
        assert processor.process(metrics, step["raw"], {"now": at(step["now"])}) is metrics
    return metrics


OPERATIONS = {
    "sanitize_field_value": lambda given: sanitize_field_value(
        decoded(given["value"]), given["uppercase"]
    ),
    "create_gpu_identifier": lambda given: create_gpu_identifier(given["gpus"]),
    "extract_telemetry_data": lambda given: extract_telemetry_data(given["raw"]),
    "build": build,
    "process": process,
    "labeled.gpu_type": lambda given: LabeledMetricsBuilder()._extract_gpu_type(given["name"]),
    "labeled.primary_gpu": lambda given: LabeledMetricsBuilder()._extract_primary_gpu(
        given["gpus"]
    ),
    "labeled.metric_key": lambda given: LabeledMetricsBuilder()._build_metric_key(
        given["name"], given["labels"]
    ),
}


def test_every_case_of_the_table_but_the_listed_ones(shared_data):
    cases = json.loads((shared_data / "library_vectors" / "tao_builders.json").read_text())
    differing = {}
    for case in cases["cases"]:
        run = OPERATIONS[case["op"]]
        if "raises" in case:
            with pytest.raises(RAISES[case["raises"]["type"]]):
                run(case["input"])
        elif (got := run(case["input"])) != case["expect"]:
            differing[case["id"]] = got

    hostile = differing["process-hostile"]
    assert hostile == {
        key.replace('GPU\\1"', 'GPU\\\\1"'): value
        for key, value in next(
            case["expect"] for case in cases["cases"] if case["id"] == "process-hostile"
        ).items()
    }
    assert differing == {
        case: hostile if expected is None else expected
        for case, (_, expected) in DEVIATIONS.items()
    }


def test_every_case_of_the_http_table(shared_data):
    cases = json.loads((shared_data / "library_vectors" / "tao_http.json").read_text())
    for case in cases["cases"]:
        body = case["input"]["body"]
        expected = case["expect"]
        try:
            read = payloads.decode(body if isinstance(body, str) else json.dumps(body))
        except Refused as error:
            status, keys = error.status, []
        else:
            metrics = MetricProcessor().process({}, read)
            status, keys = 201, sorted(metrics.keys() - {"last_updated"})
        # Null passes the original's schema and then crashes it.
        assert (case["id"], status, keys) == (
            case["id"],
            201 if expected["status"] == 500 else expected["status"],
            keys if expected["status"] == 500 else expected["stored_keys"],
        )
