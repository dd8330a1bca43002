"""The processor: the document's examples, all or nothing, custom and async builders, bounds."""

import asyncio
import os
import threading
import warnings
from datetime import datetime, timedelta
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import ConfigError, Refused
from heliograph.usage import (
    ComprehensiveMetricsBuilder,
    LegacyMetricsBuilder,
    MetricBuilder,
    MetricProcessor,
    TimeMetricsBuilder,
)
from heliograph.usage import processor as module
from heliograph.usage.builders import LabeledMetricsBuilder
from heliograph.usage.counts import counts_of, flat_of
from tests import looped
from tests.usage.conftest import NOON

JOB = (
    'tao_action="train",tao_automl_triggered="false",tao_client_type="container",'
    'tao_gpu_count="2",tao_network="resnet_50",tao_primary_gpu="A100",tao_status="pass",'
    'tao_user_error="false",tao_version="5_3_0"'
)
EXPECTED = {
    "total_action_train_pass": 1,
    "version_5_3_0_action_train": 1,
    "network_resnet_50_action_train": 1,
    "gpu_nvidia_a100_action_train": 2,
    "network_resnet_50_action_train_version_5_3_0_status_pass_gpu_2_NVIDIA_A100_2": 1,
    "time_lapsed_today": 60,
    f"tao_job_total{{{JOB}}}": 1,
    f"tao_job_duration_sum{{{JOB}}}": 60,
    f"tao_job_gpu_time_sum{{{JOB}}}": 120,
    'tao_job_gpu_total{tao_gpu_type="A100"}': 2,
    "last_updated": "2025-01-15T12:00:00",
}


class Failures(MetricBuilder):
    def build(self, metrics, telemetry_data, context):
        if not telemetry_data["success"]:
            key = f"failure_{telemetry_data['action']}"
            metrics[key] = metrics.get(key, 0) + 1


class Broken(MetricBuilder):
    def build(self, metrics, telemetry_data, context):
        metrics["half"] = metrics.pop("time_lapsed_today")
        raise RuntimeError("broken")


class Slow(MetricBuilder):
    async def build(self, metrics, telemetry_data, context):
        seen = metrics.get("slow", 0)
        await asyncio.sleep(0)
        metrics["slow"] = seen + 1


def test_one_payload(payload, noon):
    metrics = {}
    context = {"now": noon}

    assert MetricProcessor().process(metrics, payload, context) is metrics
    assert metrics == EXPECTED
    assert context == {"now": noon, "old_now": noon}


def test_the_order_of_builders():
    assert [type(one) for one in MetricProcessor().builders] == [
        LegacyMetricsBuilder, ComprehensiveMetricsBuilder, TimeMetricsBuilder,
        LabeledMetricsBuilder,
    ]  # fmt: skip


def test_a_custom_builder_beside_the_usual_ones(payload, noon):
    processor = MetricProcessor()
    processor.add_builder(Failures())
    metrics = processor.process({}, payload, {"now": noon})
    assert metrics == EXPECTED

    processor.process(metrics, {**payload, "success": False}, {"now": noon})
    assert metrics["failure_train"] == 1
    assert metrics["total_action_train_fail"] == 1


def test_a_builder_may_be_a_mock(payload):
    builder = Mock()
    metrics = MetricProcessor([builder]).process({}, payload)

    builder.build.assert_called_once()
    assert list(metrics) == ["last_updated"]


def test_a_failing_builder_leaves_everything_as_it_was(payload, noon):
    processor = MetricProcessor()
    metrics = processor.process({}, payload, {"now": noon})
    processor.add_builder(Broken())
    before = dict(metrics)

    with pytest.raises(RuntimeError, match="broken"):
        processor.process(metrics, payload)
    assert metrics == before
    with pytest.raises(RuntimeError, match="broken"):
        looped.run(processor.process_async(metrics, payload))
    assert metrics == before


@pytest.mark.parametrize(
    ("change", "error"),
    [({"gpu": None}, TypeError), ({"gpu": 5}, TypeError), ({"time_lapsed": "60"}, TypeError)],
)
def test_a_payload_that_cannot_be_counted_leaves_everything_as_it_was(
    payload, noon, change, error
):
    metrics = dict(EXPECTED)

    with pytest.raises(error):
        MetricProcessor().process(metrics, {**payload, **change}, {"now": noon})
    assert metrics == EXPECTED


def test_a_value_that_is_no_number_is_kept_and_nothing_else_is_added(payload):
    metrics = {"gpu_nvidia_a100_action_train": "5"}

    with pytest.raises(TypeError):
        MetricProcessor().process(metrics, payload)
    assert metrics == {"gpu_nvidia_a100_action_train": "5"}


def test_no_time_is_no_time(payload, noon):
    metrics = MetricProcessor().process({}, {**payload, "time_lapsed": None}, {"now": noon})

    timed = {key for key in EXPECTED if "duration" in key or "gpu_time" in key}
    assert metrics == {
        **{key: value for key, value in EXPECTED.items() if key not in timed},
        "time_lapsed_today": 0,
    }


DAYS = [
    # case                              days later, today
    ("the same day", 0, 120),
    ("the next day", 1, 60),
    ("the same day of the next month", 31, 60),
    ("a day before", -1, 60),
]


@pytest.mark.parametrize(
    ("later", "today"), [pytest.param(*row, id=case) for case, *row in DAYS]
)
def test_the_day_changes_on_the_date(payload, noon, later, today):
    processor, metrics = MetricProcessor(), {}
    processor.process(metrics, payload, {"now": noon})
    processor.process(metrics, payload, {"now": noon + timedelta(days=later)})

    assert metrics["time_lapsed_today"] == today


def test_awaited_builders_lose_nothing(payload, noon):
    processor = MetricProcessor()
    processor.add_builder(Slow())
    metrics = {}

    async def many():
        calls = [processor.process_async(metrics, payload, {"now": noon}) for _ in range(50)]
        await asyncio.gather(*calls)

    looped.run(many())
    assert metrics["slow"] == 50
    assert metrics["total_action_train_pass"] == 50
    assert metrics["time_lapsed_today"] == 3000
    with pytest.raises(TypeError, match="process_async"):
        processor.process(metrics, payload)
    assert metrics["total_action_train_pass"] == 50


def test_one_that_is_cancelled_adds_nothing(payload):
    processor = MetricProcessor()
    processor.add_builder(Slow())
    metrics = {}

    async def cancelled():
        task = asyncio.create_task(processor.process_async(metrics, payload))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    looped.run(cancelled())
    assert metrics == {}


@pytest.mark.parametrize("more", [[], [Failures()]], ids=["usual", "custom"])
def test_threads_lose_nothing(payload, noon, more):
    metrics = {}

    def post():
        for _ in range(50):
            # One each: some make a processor for each request.
            processor = MetricProcessor([*MetricProcessor().builders, *more])
            processor.process(metrics, {**payload, "success": False}, {"now": noon})

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert metrics["total_action_train_fail"] == 200
    assert metrics["time_lapsed_today"] == 200 * 60
    assert metrics.get("failure_train") == (200 if more else None)


def test_a_fork_does_not_inherit_the_lock(payload):
    held, go = threading.Event(), threading.Event()

    def hold():
        with module._COMMIT:
            held.set()
            go.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    threading.Timer(0.01, go.set).start()
    with warnings.catch_warnings():
        # From 3.12 on, Python says that forking with threads is dangerous; that is the test.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        metrics = MetricProcessor().process({}, payload)
        os._exit(0 if metrics["total_action_train_pass"] == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()


class Share(MetricBuilder):
    name = "share"
    requires = ("legacy",)

    def build(self, metrics, telemetry_data, context):
        metrics["share"] = metrics["total_action_train_pass"] / 2


class After(Share):
    name = "after"
    requires = ("share",)
    after = ("time", "never")


def test_declared_order(payload):
    after, share, legacy = After(), Share(), LegacyMetricsBuilder()
    processor = MetricProcessor([after, share, legacy])

    assert processor.process({}, payload)["share"] == 0.5
    assert processor._in_order() == [legacy, share, after]
    assert processor.builders == [after, share, legacy]


def test_an_order_that_cannot_be(payload):
    class Ring(MetricBuilder):
        name = "ring"
        after = ("rung",)

        def build(self, metrics, telemetry_data, context): ...

    class Rung(Ring):
        name = "rung"
        after = ("ring",)

    with pytest.raises(ConfigError, match="share requires legacy: not there"):
        MetricProcessor([]).add_builder(Share())
    with pytest.raises(ConfigError, match="wait for each other: ring, rung"):
        MetricProcessor([Ring(), Rung()]).process({}, payload)


def test_keys_are_bounded_and_counted(payload):
    processor, metrics = MetricProcessor(keys_max=12), {}
    processor.process(metrics, payload)
    assert (len(metrics), processor.keys_dropped) == (11, 0)

    processor.process(metrics, payload)
    processor.process(metrics, {**payload, "network": "another"})
    # total, version, gpu, time and GPU type are known; of five new keys there is room for one.
    assert (len(metrics), processor.keys_dropped) == (12, 4)
    assert metrics["total_action_train_pass"] == 3
    assert metrics["network_another_action_train"] == 1


def test_many_networks_stay_within_the_bound(payload):
    processor, metrics = MetricProcessor(keys_max=500), {}
    for n in range(3000):
        processor.process(metrics, {**payload, "network": f"net-{n % 200}"})

    assert len(metrics) == 500
    assert processor.keys_dropped > 0
    assert metrics["total_action_train_pass"] == 3000


def test_validation_names_the_key(payload):
    class Odd(MetricBuilder):
        def build(self, metrics, telemetry_data, context):
            metrics["ratio of losses"] = 0.5

    processor = MetricProcessor([Odd()], validate=True)
    metrics = {}
    with pytest.raises(Refused) as refused:
        processor.process(metrics, payload)
    assert refused.value.field == "ratio of losses"
    assert metrics == {}
    MetricProcessor(validate=True).process(metrics, payload)


def test_a_subclass_with_a_build_of_its_own_is_run(payload):
    class Twice(LegacyMetricsBuilder):
        def build(self, metrics, telemetry_data, context):
            super().build(metrics, telemetry_data, context)
            super().build(metrics, telemetry_data, context)

    class Thrice(LegacyMetricsBuilder):
        def changes(self, data, context, gpus=None):
            return super().changes(data, context, gpus) * 3

    assert MetricProcessor([Twice()]).process({}, payload)["total_action_train_pass"] == 2
    assert MetricProcessor([Thrice()]).process({}, payload)["total_action_train_pass"] == 3


def test_what_others_do_to_the_data_stays_theirs(payload):
    class Greedy(TimeMetricsBuilder):
        def changes(self, data, context, gpus=None):
            data["gpus"].append("another")
            return super().changes(data, context, gpus)

    processor, metrics = MetricProcessor([Greedy(), *MetricProcessor().builders]), {}
    own = {**payload, "gpu": list(payload["gpu"])}
    processor.process(metrics, own)
    MetricProcessor().process(metrics, payload)

    assert metrics["gpu_nvidia_a100_action_train"] == 4


def test_a_builder_may_set_and_delete(payload, noon):
    class Sweeper(MetricBuilder):
        def build(self, metrics, telemetry_data, context):
            metrics.pop("old", None)
            del metrics["total_action_train_pass"]
            metrics["note"] = "text"
            metrics["half"] = metrics.get("half", 0) + 0.1

    processor, metrics = MetricProcessor([LegacyMetricsBuilder(), Sweeper()]), {"old": 1}
    for _ in range(3):
        processor.process(metrics, payload, {"now": noon})

    assert metrics == {
        "version_5_3_0_action_train": 3,
        "network_resnet_50_action_train": 3,
        "gpu_nvidia_a100_action_train": 6,
        "note": "text",
        "half": 0.1 + 0.1 + 0.1,
        "last_updated": noon.isoformat(),
    }


names = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["a_b", "A b"])
values = st.one_of(names, st.booleans(), st.integers(-9, 9), st.none(), st.floats())
payload_like = st.fixed_dictionaries(
    {},
    optional={
        "version": values,
        "network": values,
        "action": values,
        "success": values,
        "user_error": values,
        "client_type": values,
        "automl_triggered": values,
        "gpu": st.lists(names, max_size=4),
        "time_lapsed": st.none() | st.integers(-5, 5) | st.floats(0, 9, width=16),
        "other": values,
    },
)


@given(st.lists(payload_like, max_size=4))
def test_flat_structured_and_one_by_one_agree(given_payloads):
    """Remembered plans, builders run one after the other, and the structured form, are one."""
    planned, plain, stored = {}, {}, []
    quick = MetricProcessor()
    for one in given_payloads:
        quick.process(planned, one, {"now": NOON})
        slow = MetricProcessor()
        slow.add_builder(Failures())
        slow.process(plain, one, {"now": NOON})
        stored += counts_of(one, now=NOON)

    own = {key for key in plain if key.startswith("failure_")}
    assert planned == {key: value for key, value in plain.items() if key not in own}
    if given_payloads:
        assert flat_of(stored, last_updated=NOON) == planned


def test_the_clock_is_asked_when_nobody_says(payload):
    context = {}
    metrics = MetricProcessor().process({}, payload, context)

    assert metrics["last_updated"] == context["now"].isoformat()
    assert context["now"].tzinfo is None
    assert datetime.fromisoformat(metrics["last_updated"]) == context["old_now"]
