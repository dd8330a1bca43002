"""Metrics for others; and what comes back."""

import csv
import io
import json
import math

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from heliograph.core.errors import Refused
from heliograph.usage import MetricProcessor, export, keys
from tests.usage.test_usage_processor import EXPECTED, JOB

HOSTILE = 'A1"}\\\n'


def test_prometheus_text():
    text = export.to_prometheus(EXPECTED)

    assert text.splitlines()[:6] == [
        "# TYPE gpu_nvidia_a100_action_train gauge",
        "gpu_nvidia_a100_action_train 2",
        "# TYPE network_resnet_50_action_train gauge",
        "network_resnet_50_action_train 1",
        "# TYPE network_resnet_50_action_train_version_5_3_0_status_pass_gpu_2_NVIDIA_A100_2 gauge",
        "network_resnet_50_action_train_version_5_3_0_status_pass_gpu_2_NVIDIA_A100_2 1",
    ]
    assert f"# TYPE tao_job_total counter\ntao_job_total{{{JOB}}} 1\n" in text


@pytest.mark.parametrize(
    ("write", "read"),
    [(export.to_prometheus, prometheus), (export.to_openmetrics, openmetrics)],
)
def test_others_read_what_we_write(write, read):
    metrics = MetricProcessor().process(
        {"9 lives": 9, "odd": math.inf, "x": 1, "x_total": 2, "note": "text", "yes": True},
        {"network": "x", "gpu": [f"{HOSTILE} 9x", "NVIDIA H100"], "time_lapsed": 0.5},
    )
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read(write(metrics))
        for sample in family.samples
    }

    assert samples["tao_job_gpu_total", (("tao_gpu_type", "H100"),)] == 1
    assert samples["tao_job_gpu_total", (("tao_gpu_type", HOSTILE),)] == 1
    assert samples["_9_lives", ()] == 9
    assert samples["odd", ()] == math.inf
    assert (samples["x", ()], samples["x_count", ()]) == (1, 2)
    assert len(samples) == len(
        [key for key in metrics if key not in {"note", "yes", "last_updated"}]
    )


def test_json_there_and_back():
    metrics = {**EXPECTED, "nan": math.nan, "high": math.inf, "low": -math.inf, "_id": "7"}
    back = export.from_json(export.to_json(metrics, pretty=True))

    assert math.isnan(back.pop("nan"))
    assert back == {**EXPECTED, "high": math.inf, "low": -math.inf}
    assert "NaN" not in export.to_json({"a": math.nan}).replace('"NaN"', "")
    for body in ("[", "[1]", "5"):
        with pytest.raises(Refused):
            export.from_json(body)


def test_csv():
    rows = list(csv.reader(io.StringIO(export.to_csv({**EXPECTED, "=1+1": 1.5}))))

    assert rows[0] == ["metric", "labels", "value"]
    assert ["total_action_train_pass", "", "1"] in rows
    assert ["tao_job_gpu_total", "tao_gpu_type=A100", "2"] in rows
    assert ["'=1+1", "", "1.5"] in rows
    assert len(rows) == len(EXPECTED) + 2


KEYS = [
    # key                              name   labels
    ("total_a", "total_a", ()),
    ('m{a="1",b="2"}', "m", (("a", "1"), ("b", "2"))),
    ('m{a="q\\"\\\\\\n,b=1"}', "m", (("a", 'q"\\\n,b=1'),)),
    ('m{a="q"uote",b="x\ny"}', "m", (("a", 'q"uote'), ("b", "x\ny"))),
    ('m{a="back\\slash"}', "m", (("a", "back\\slash"),)),
    ("m{}", "m", ()),
]


@pytest.mark.parametrize(("key", "name", "labels"), KEYS)
def test_keys_are_read(key, name, labels):
    assert keys.parsed(key) == keys.Key(name, labels)
    assert keys.parsed(keys.written(name, labels)) == keys.Key(name, labels)


def test_what_is_no_key():
    assert [keys.parsed(key) for key in ("", "{}", "m{", 'm{a="1"', "m{a=1}")] == [None] * 5


def test_json_is_json():
    assert json.loads(export.to_json(EXPECTED)) == EXPECTED
