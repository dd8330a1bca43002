"""What tests of spec 000's users put in the place of parts of it, by the names they know."""

from datetime import datetime
from unittest.mock import ANY, MagicMock, Mock, patch

import pytest

from heliograph.usage import MetricBuilder, MetricProcessor, TimeMetricsBuilder
from heliograph.usage.types import AttributeType, MetricAttribute
from heliograph.usage.utils import extract_telemetry_data


@pytest.mark.parametrize("kind", [Mock, MagicMock])
@pytest.mark.parametrize("spec", [None, MetricBuilder])
def test_a_builder_that_only_looks_like_one_saw_what_came_of_it(noon, kind, spec):
    builder, metrics = kind(spec=spec), {"a": 1}

    MetricProcessor([builder]).process(metrics, {"action": "Train"}, {"now": noon})

    builder.build.assert_called_once_with(metrics, ANY, {"now": noon, "old_now": noon})
    assert builder.build.call_args[0][1]["action"] == "train"
    assert metrics == {"a": 1, "last_updated": noon.isoformat()}


def test_a_builder_may_keep_the_metrics_that_it_was_given(noon, payload):
    class Keeping(MetricBuilder):
        def build(self, metrics, telemetry_data, context):
            self.kept = metrics
            metrics["kept"] = 1

    processor, builder = MetricProcessor(), Keeping()
    processor.add_builder(builder)

    metrics = processor.process({}, payload, {"now": noon})

    assert builder.kept == metrics
    assert builder.kept is not metrics


@pytest.mark.parametrize("module", ["processor", "builders.time"])
def test_the_time_of_a_module_may_be_another(noon, module):
    with patch(f"heliograph.usage.{module}.datetime") as other:
        other.now.return_value = noon
        if module == "processor":
            assert MetricProcessor([]).process({}, {}) == {"last_updated": noon.isoformat()}
        else:
            metrics = {"time_lapsed_today": 1}
            context = {"old_now": datetime(2025, 1, 14, 12)}  # noqa: DTZ001 - as documents hold it
            TimeMetricsBuilder().build(metrics, {"time_lapsed": 5}, context)
            assert metrics == {"time_lapsed_today": 5}


def test_extraction_may_be_another(noon, payload):
    data = {**extract_telemetry_data(payload), "action": "other"}
    plain = MetricProcessor().process({}, payload, {"now": noon})

    with patch("heliograph.usage.processor.extract_telemetry_data", return_value=data) as other:
        metrics = MetricProcessor().process({}, payload, {"now": noon})

    other.assert_called_once_with(payload)
    assert metrics["total_action_other_pass"] == 1
    assert MetricProcessor().process({}, payload, {"now": noon}) == plain


def test_the_registry_may_be_another(noon):
    only = [MetricAttribute("framework", "framework", AttributeType.STRING, "PyTorch")]

    with patch("heliograph.usage.utils.METRIC_ATTRIBUTES", only):
        assert extract_telemetry_data({}) == {"framework": "pytorch"}
        with pytest.raises(KeyError):
            MetricProcessor().process({}, {}, {"now": noon})
    assert len(extract_telemetry_data({})) == 9
