"""The registry: as the document has it, and what is added to it at run time."""

import importlib
import subprocess
import sys

import pytest

from heliograph.core.errors import ConfigError
from heliograph.usage import MetricProcessor, config
from heliograph.usage.config import (
    extend_attributes,
    get_attribute_map,
    get_raw_key_map,
    load_attributes,
)
from heliograph.usage.counts import counts_of, flat_of
from heliograph.usage.types import AttributeType, MetricAttribute, TelemetryData
from heliograph.usage.utils import extract_telemetry_data


def test_the_registry():
    assert [
        (one.name, one.raw_key, one.attr_type.value, one.default)
        for one in config.METRIC_ATTRIBUTES
    ] == [
        ("version", "version", "string", "unknown"),
        ("action", "action", "string", "unknown"),
        ("network", "network", "string", "unknown"),
        ("success", "success", "boolean", False),
        ("user_error", "user_error", "boolean", False),
        ("time_lapsed", "time_lapsed", "integer", 0),
        ("gpus", "gpu", "list", ["unknown"]),
        ("client_type", "client_type", "string", "container"),
        ("automl_triggered", "automl_triggered", "boolean", False),
    ]
    places = [
        (one.include_in_comprehensive, one.metric_order) for one in config.METRIC_ATTRIBUTES
    ]
    assert places == [
        *((True, 3), (True, 2), (True, 1), (False, 4), (False, 5), (False, 100)),
        *((False, 100), (False, 6), (False, 100)),
    ]
    assert get_attribute_map()["gpus"] is get_raw_key_map()["gpu"]


def test_every_import_of_the_guide():
    guide = {
        "heliograph.usage.processor": ["MetricProcessor"],
        "heliograph.usage.utils": [
            *("extract_telemetry_data", "sanitize_field_value", "create_gpu_identifier"),
            *("TELEMETRY_SANITIZE_PATTERN", "METRIC_ATTRIBUTES", "get_attribute_map"),
            *("MetricProcessor", "MetricBuilder", "LabeledMetricsBuilder", "TelemetryData"),
        ],
        "heliograph.usage.builders": [
            *("MetricBuilder", "LegacyMetricsBuilder", "ComprehensiveMetricsBuilder"),
            *("TimeMetricsBuilder", "LabeledMetricsBuilder"),
        ],
        "heliograph.usage.types": ["TelemetryData", "MetricAttribute", "AttributeType"],
        "heliograph.usage.config": ["METRIC_ATTRIBUTES"],
        "heliograph.usage": [
            *("MetricProcessor", "MetricBuilder", "LegacyMetricsBuilder"),
            *("ComprehensiveMetricsBuilder", "TimeMetricsBuilder", "LabeledMetricsBuilder"),
        ],
        "heliograph.usage.client": ["send_telemetry_data"],
    }
    for module, names in guide.items():
        for name in names:
            assert getattr(importlib.import_module(module), name) is not None
    with pytest.raises(AttributeError):
        importlib.import_module("heliograph.usage").nothing


def test_the_face_loads_nothing():
    program = "import sys, heliograph.usage; print(*[m for m in sys.modules if 'usage' in m])"
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)

    assert run.stdout.split() == [b"heliograph.usage"]


FRAMEWORK = MetricAttribute("framework", "fw", AttributeType.STRING, "pytorch", metric_order=6)


def test_an_added_attribute_is_known_everywhere(registry, payload, noon):
    processor = MetricProcessor()
    processor.process({}, payload, {"now": noon})
    registry.append(FRAMEWORK)
    metrics = processor.process({}, {**payload, "fw": "JAX 0.6"}, {"now": noon})

    comprehensive = next(key for key in metrics if "_status_" in key)
    assert comprehensive == (
        "network_resnet_50_action_train_version_5_3_0_status_pass_framework_jax_0_6"
        "_gpu_2_NVIDIA_A100_2"
    )
    labeled = next(key for key in metrics if key.startswith("tao_job_total"))
    assert 'tao_framework="jax_0_6",tao_gpu_count' in labeled
    assert extract_telemetry_data({})["framework"] == "pytorch"
    assert TelemetryData.__annotations__["framework"] is str
    assert flat_of(counts_of({"fw": "JAX"}, now=noon), last_updated=noon) == (
        MetricProcessor().process({}, {"fw": "JAX"}, {"now": noon})
    )


def test_an_edited_attribute_is_noticed(registry, payload):
    processor = MetricProcessor()
    registry.append(MetricAttribute("team", "team", AttributeType.STRING, "none", False))
    assert not any("_team_" in key for key in processor.process({}, payload))

    registry[-1].include_in_comprehensive = True
    assert any("_team_none" in key for key in processor.process({}, payload))
    registry.pop()
    assert not any("team" in key for key in processor.process({}, payload))


def test_a_registry_of_few(registry, payload, noon):
    registry[:] = [FRAMEWORK]
    processor = MetricProcessor(builders=MetricProcessor().builders[1:])

    assert processor.process({}, payload, {"now": noon}) == {
        "status_fail_framework_pytorch_gpu_1_UNKNOWN_1": 1,
        "time_lapsed_today": 0,
        'tao_job_total{tao_framework="pytorch",tao_gpu_count="0",'
        'tao_primary_gpu="unknown",tao_status="fail"}': 1,
        "last_updated": noon.isoformat(),
    }


def test_defaults_do_not_grow(payload):
    data = extract_telemetry_data({})
    data["gpus"].append("another")

    assert extract_telemetry_data({})["gpus"] == ["unknown"]


FILE = '{"attributes": [{"name": "tokens", "type": "integer", "aggregation": "sum"}]}'
YAML = "attributes:\n- name: tokens\n  type: integer\n  aggregation: sum\n"


@pytest.mark.parametrize(("name", "text"), [("a.json", FILE), ("a.yaml", YAML)])
def test_attributes_from_a_file(registry, tmp_path, name, text, payload):
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    path = tmp_path / name
    path.write_text(text)
    before = len(registry)

    (added,) = extend_attributes(path)
    assert added == MetricAttribute(
        "tokens", "tokens", AttributeType.INTEGER, 0, False, 100, "sum"
    )
    extend_attributes(path)
    assert len(registry) == before + 1
    metrics = MetricProcessor().process({}, {**payload, "tokens": 5})
    assert [
        value for key, value in metrics.items() if key.startswith("tao_job_tokens_sum{")
    ] == [5]


BAD = [
    # text                                                   what the error says
    ("[", "Expecting value"),
    ("{}", "no list of attributes"),
    ("[1]", "attributes[0]: not a mapping"),
    ('[{"nam": "x"}]', "attributes[0]: unknown key nam"),
    ('[{"name": "a b"}]', "attributes[0].name: 'a b' is not letters"),
    ('[{"name": "gpu"}]', "attributes[0].name: gpu is a label of the builders' own"),
    ('[{"name": "a", "type": "text"}]', "attributes[0].type: 'text' is not"),
    ('[{"name": "a", "aggregation": "mean"}]', "attributes[0].aggregation: 'mean' will not do"),
    ('[{"name": "a", "metric_order": true}]', "attributes[0].metric_order: True will not do"),
    ('[{"name": "a"}, {"name": "a"}]', "a name occurs twice"),
    ('[{"name": "a"}, {"name": "b", "raw_key": "a"}]', "a raw_key occurs twice"),
]


@pytest.mark.parametrize(("text", "says"), BAD)
def test_a_bad_file_adds_nothing(registry, tmp_path, text, says):
    path = tmp_path / "attributes.json"
    path.write_text(text)
    before = list(registry)

    with pytest.raises(ConfigError) as error:
        extend_attributes(path)
    assert says in str(error.value)
    assert str(path) in str(error.value)
    assert registry == before


def test_attributes_are_bounded(registry, tmp_path):
    path = tmp_path / "attributes.json"
    listed = ",".join(f'{{"name": "a{n}"}}' for n in range(config.ATTRIBUTES_MAX))
    path.write_text(f"[{listed}]")

    assert len(load_attributes(path)) == config.ATTRIBUTES_MAX
    with pytest.raises(ConfigError, match="73 attributes, limit 64"):
        extend_attributes(path)
    with pytest.raises(ConfigError):
        load_attributes(tmp_path / "missing.json")


def test_an_unknown_aggregation_is_refused(registry, payload):
    registry.append(MetricAttribute("x", "x", AttributeType.INTEGER, 0, aggregation="mean"))

    with pytest.raises(ConfigError, match="attribute x: no aggregation 'mean'"):
        MetricProcessor().process({}, payload)
