"""The structured form, and back."""

from datetime import timedelta

import pytest

from heliograph.usage import MetricBuilder
from heliograph.usage.counts import Count, counts_of, flat_of, identity
from tests.usage.test_usage_processor import EXPECTED, Failures, Slow


def test_one_payload(payload, noon):
    counts = counts_of(payload, now=noon)
    action, passed = ("action", "train"), ("status", "pass")

    assert counts[:6] == [
        Count("legacy", "total_action", (action, passed), "total_action_train_pass", "sum", 1),
        Count(
            *("legacy", "version_action", (action, ("version", "5_3_0"))),
            *("version_5_3_0_action_train", "sum", 1),
        ),
        Count(
            *("legacy", "network_action", (action, ("network", "resnet_50"))),
            *("network_resnet_50_action_train", "sum", 1),
        ),
        Count(
            *("legacy", "gpu_action", (action, ("gpu", "nvidia_a100"))),
            *("gpu_nvidia_a100_action_train", "sum", 2),
        ),
        Count(
            "comprehensive",
            "comprehensive",
            (
                action,
                ("gpu", "2_NVIDIA_A100_2"),
                ("network", "resnet_50"),
                passed,
                ("version", "5_3_0"),
            ),
            "network_resnet_50_action_train_version_5_3_0_status_pass_gpu_2_NVIDIA_A100_2",
            "sum",
            1,
        ),
        Count(
            *("time", "time_lapsed_today", (("day", "2025-01-15"),)),
            *("time_lapsed_today", "sum", 60),
        ),
    ]
    assert [(count.name, count.value) for count in counts[6:]] == [
        ("tao_job_total", 1),
        ("tao_job_gpu_total", 2),
        ("tao_job_duration_sum", 60),
        ("tao_job_gpu_time_sum", 120),
    ]
    assert flat_of(counts, last_updated=noon) == EXPECTED


def test_keys_that_collide_are_told_apart(payload, noon):
    counts = [
        *counts_of({**payload, "network": "a action b", "action": "c"}, now=noon),
        *counts_of({**payload, "network": "a", "action": "b action c"}, now=noon),
    ]
    key = "network_a_action_b_action_c"

    same = [count for count in counts if count.key == key]
    assert [dict(count.labels) for count in same] == [
        {"network": "a_action_b", "action": "c"},
        {"network": "a", "action": "b_action_c"},
    ]
    assert len({identity(count) for count in counts}) == len({count[:3] for count in counts})
    assert flat_of(counts)[key] == 2


def test_identity_tells_parts_apart():
    one = Count("b", "n", (("a", "1b"),), "k", "sum", 1)

    assert identity(one) == identity(one._replace(key="other", value=2))
    assert identity(one) != identity(one._replace(labels=(("a1", "b"),)))
    assert len(identity(one)) == 32


def test_days(payload, noon):
    counts = [
        *counts_of(payload, now=noon),
        *counts_of({**payload, "time_lapsed": 5}, now=noon + timedelta(days=31)),
    ]
    today = "time_lapsed_today"

    assert flat_of(counts)[today] == 5
    assert flat_of(counts, last_updated=noon)[today] == 60
    assert flat_of(counts, last_updated=noon + timedelta(days=2))[today] == 0
    assert flat_of([], last_updated=noon) == {"last_updated": noon.isoformat()}


def test_strategies_that_a_store_knows(noon):
    high = Count("labeled", "m_max", (), "m_max", "max", 3)
    last = Count("labeled", "m_last", (), "m_last", "last", 3)
    more = [one._replace(value=2, strategy="".join(one.strategy)) for one in (high, last)]

    assert flat_of([high, last, *more]) == {"m_max": 3, "m_last": 2}


def test_custom_builders(payload, noon):
    class Text(MetricBuilder):
        def build(self, metrics, telemetry_data, context):
            metrics["note"] = "text"
            metrics["flag"] = True

    failed = {**payload, "success": False}
    assert counts_of(failed, now=noon, builders=[Failures(), Text()]) == [
        Count("Failures", "failure_train", (), "failure_train", "sum", 1)
    ]
    with pytest.raises(TypeError, match="awaitable"):
        counts_of(payload, now=noon, builders=[Slow()])
