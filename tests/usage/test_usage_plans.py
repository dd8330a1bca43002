"""Plans of jobs: bounded, and without a say in what is counted."""

from heliograph.usage import MetricProcessor, plans
from heliograph.usage.builders.labeled import LabeledMetricsBuilder
from heliograph.usage.builders.legacy import LegacyMetricsBuilder
from heliograph.usage.plans import Plans


def counted(payloads, noon):
    """By the usual builders one after the other, without a processor."""
    processor, metrics = MetricProcessor(), {}
    processor._is_planned = False
    processor._seen = list(processor.builders)
    processor._counting = list(processor.builders)
    for one in payloads:
        processor.process(metrics, one, {"now": noon, "old_now": noon})
    return metrics


def test_plans_count_as_builders_do(noon, payload):
    jobs = [{**payload, "time_lapsed": spent} for spent in (60, 0, None, -1, 2.5)]
    metrics = {}
    for one in jobs:
        MetricProcessor().process(metrics, one, {"now": noon, "old_now": noon})
    assert metrics == counted(jobs, noon)


def test_keys_that_coincide_are_counted_for_each(noon, payload):
    processor, metrics = MetricProcessor([LegacyMetricsBuilder(), LegacyMetricsBuilder()]), {}
    for job in range(1, 5):
        processor.process(metrics, payload, {"now": noon})
        assert metrics["total_action_train_pass"] == 2 * job
        assert metrics["gpu_nvidia_a100_action_train"] == 4 * job


def test_what_is_remembered_of_jobs_is_bounded_and_keeps_those_that_come_again(
    monkeypatch, payload
):
    monkeypatch.setattr(plans, "PLANS_MAX", 3)
    monkeypatch.setattr(plans, "ONCE_MAX", 5)
    kept = Plans([LegacyMetricsBuilder(), LabeledMetricsBuilder()])

    def networks():
        return [plan.data["network"] for plan in kept._plans.values()]

    for network in "abcde":
        assert kept.of({**payload, "network": network}).data["network"] == network
    assert networks() == ["a", "b", "c"]
    kept.of({**payload, "network": "e"})
    assert networks() == ["b", "c", "e"]
    for network in range(20):
        assert kept.of({**payload, "network": f"n{network}"}) is not None
        assert len(kept._once) <= 5
    assert networks() == ["b", "c", "e"]
