"""Aggregation of attributes over jobs; merging; validation."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import Refused
from heliograph.usage import MetricProcessor, aggregate, keys
from heliograph.usage.counts import counts_of, flat_of
from heliograph.usage.merge import merged
from heliograph.usage.types import AttributeType, MetricAttribute
from heliograph.usage.validation import faults
from tests.usage.conftest import NOON

STRATEGIES = ["sum", "max", "last", "distinct", "quantile"]


def named(metrics, name):
    """Of the keys of metric *name*, the values."""
    found = {key: keys.parsed(key) for key in metrics}
    return [metrics[key] for key, one in found.items() if one and one.name == name]


@pytest.fixture
def aggregated(registry):
    for strategy in STRATEGIES:
        registry.append(
            MetricAttribute(
                f"x_{strategy}", "x", AttributeType.INTEGER, None, False, 100, strategy
            )
        )


def test_every_strategy(aggregated, payload, noon):
    processor, metrics = MetricProcessor(), {}
    for value in (4, 9, 2, None, 2):
        processor.process(metrics, {**payload, "x": value}, {"now": noon})

    assert {strategy: named(metrics, f"tao_job_x_{strategy}_{strategy}") for strategy in STRATEGIES} == {
        "sum": [17], "max": [9], "last": [2], "distinct": [1, 1, 2], "quantile": [1, 1, 2],
    }  # fmt: skip
    assert 'tao_x="' not in "".join(metrics)
    read = aggregate.readings(metrics)
    assert named(read, "tao_job_x_distinct_distinct") == [3]
    assert named(read, "tao_job_x_quantile") == [
        pytest.approx(2, rel=0.05), pytest.approx(9, rel=0.05), pytest.approx(9, rel=0.05),
    ]  # fmt: skip
    structured = [
        count
        for value in (4, 9, 2, None, 2)
        for count in counts_of({**payload, "x": value}, now=noon)
    ]
    assert flat_of(structured, last_updated=noon) == metrics


def test_lists_count_each_value_once(registry, payload):
    registry.append(
        MetricAttribute("tags", "tags", AttributeType.LIST, [], False, 100, "distinct")
    )
    tags = [f"t{n}" for n in range(100)]
    metrics = MetricProcessor().process({}, {**payload, "tags": ["a", "a", *tags]})

    assert named(metrics, "tao_job_tags_distinct") == [1] * aggregate.VALUES_MAX


def test_only_numbers_are_summed(aggregated, payload):
    metrics = {}
    with pytest.raises(TypeError, match="x_sum: sum of str"):
        MetricProcessor().process(metrics, {**payload, "x": "4"})
    assert metrics == {}


@given(st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=30), st.floats(0, 1))
def test_quantiles_are_near(values, q):
    metrics = {}
    for value in values:
        ((name, labels, _, one),) = aggregate.rows("x", "quantile", value)
        key = keys.written(name, labels)
        metrics[key] = metrics.get(key, 0) + one
    (found,) = aggregate.readings(metrics, [q]).values()

    exact = sorted(values)[max(0, math.ceil(q * len(values)) - 1)]
    assert found == pytest.approx(exact, rel=0.0905)


def test_odd_numbers_have_buckets():
    odd = [0, -60, math.nan, math.inf, -math.inf, 1e-300, 10**400]
    texts = [aggregate.rows("x", "quantile", value)[0][1][0][1] for value in odd]

    assert texts == [
        "0",
        "-64",
        "nan",
        "3.40282e+38",
        "-3.40282e+38",
        "2.93874e-39",
        "3.40282e+38",
    ]


MERGES = [
    # case                    ours                              theirs                 both
    ("counts add up", {"a": 1, "b": 2}, {"a": 4, "c": 1}, {"a": 5, "b": 2, "c": 1}),
    ("the greater", {'tao_job_x_max{a="1"}': 3}, {'tao_job_x_max{a="1"}': 2},
     {'tao_job_x_max{a="1"}': 3}),
    ("the later",
     {"last_updated": "2025-01-15T10:00:00", 'tao_job_x_last{a="1"}': 3},
     {"last_updated": "2025-01-15T12:00:00", 'tao_job_x_last{a="1"}': 2},
     {"last_updated": "2025-01-15T12:00:00", 'tao_job_x_last{a="1"}': 2}),
    ("times of one day",
     {"last_updated": "2025-01-15T10:00:00", "time_lapsed_today": 3},
     {"last_updated": "2025-01-15T08:00:00", "time_lapsed_today": 2},
     {"last_updated": "2025-01-15T10:00:00", "time_lapsed_today": 5}),
    ("times of two days",
     {"last_updated": "2025-01-15T10:00:00", "time_lapsed_today": 3},
     {"last_updated": "2025-02-15T08:00:00", "time_lapsed_today": 2},
     {"last_updated": "2025-02-15T08:00:00", "time_lapsed_today": 2}),
    ("names stay ours", {"name": "metrics", "a": 1}, {"_id": "7", "name": "old", "a": 1},
     {"name": "metrics", "a": 2}),
    ("a network that is called max is a count", {"network_x_max_action_a": 1},
     {"network_x_max_action_a": 1}, {"network_x_max_action_a": 2}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "theirs", "both"), [pytest.param(*row, id=case) for case, *row in MERGES]
)
def test_merging(ours, theirs, both):
    before = dict(ours)

    assert merged(ours, theirs) == both
    assert ours == before


@pytest.mark.parametrize(
    ("theirs", "field"),
    [({"a": "5"}, "a"), ({"last_updated": "yesterday"}, "last_updated"), ({"a": None}, "a")],
)
def test_what_cannot_be_merged(theirs, field):
    with pytest.raises(Refused) as refused:
        merged({}, theirs)
    assert refused.value.field == field


@given(st.lists(st.integers(0, 3), max_size=8), st.integers(0, 8))
def test_two_halves_merge_to_the_whole(networks, cut):
    def counted(some):
        metrics = {}
        for n in some:
            one = {"network": f"n{n}", "gpu": ["A100"], "time_lapsed": n}
            MetricProcessor().process(metrics, one, {"now": NOON})
        return metrics

    assert merged(counted(networks[:cut]), counted(networks[cut:])) == counted(networks)


def test_validation():
    metrics = MetricProcessor().process({}, {"network": 'x"\n', "gpu": ['A1"}']})
    assert faults(metrics) == []

    bad = {
        7: 1, "a b": 1, 'm{a="1"': 1, 'm{a="1",a="2"}': 1, "text": "5", "none": None,
        "nan": math.nan, "total_action_a_pass": -1, "last_updated": "yesterday",
        "k" * 65_537: 1, "_id": object(), "name": "metrics",
    }  # fmt: skip
    assert [reason for _, reason in faults(bad)] == [
        "a key of type int", "not a metric's name, with or without labels",
        "not a metric's name, with or without labels", "a label occurs twice",
        "text is no number", "None is no number", "nan is not finite",
        "-1 is less than nothing", "'yesterday' is no instant", "65537 characters, limit 65536",
    ]  # fmt: skip
