"""What jobs print is samples: read at once, owned as of then, once, in forwards too, whatever dies."""

import random
import threading
from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import pytest

from heliograph.alert.rules import metrics as rule_metrics
from heliograph.alert.rules.decode import decode
from heliograph.core import labels as label
from heliograph.core.clock import ManualClock
from heliograph.core.errors import Unavailable
from heliograph.core.matcher import parse as matcher
from heliograph.core.record import Record
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.core.training import TrainingRow
from heliograph.enrich.attribute import Span
from heliograph.receive.lines import Line, encode_lines
from heliograph.service.derived import Derived
from heliograph.service.forward_requests import Requests, Selection
from heliograph.service.log_patterns import InForce
from heliograph.service.meters import Meters
from heliograph.training import steps
from heliograph.wire import records as wire_records
from heliograph.workloads.directory import Owner
from tests.service.sink import samples_of
from tests.service.stories import END_MS, T0_MS, at, posted, seal, settled, told

POD = {"pod_id": "p1", "pod_name": "pod-p1", "namespace_name": "train", "host": "n1"}
LINE = " iteration {:8d}/     500 | consumed samples: {:12d} | learning rate: 5.625E-05 | lm loss: {:.6E} | grad norm: 2.250 |"  # fmt: skip
RAW = {"__name__": "training_lm_loss", "pod_uid": "p1", "source": "log"}
OWNED = {
    **RAW, "pod_name": "pod-p1", "pod_namespace": "train", "workload_name": "llm",
    "workload_uid": "w", "workload_kind": "PyTorchJob", "workload_root_uid": "w",
}  # fmt: skip


def entry(ms, text, **pod):
    return {"date": ms / 1000, "log": text, "stream": "stdout", "kubernetes": {**POD, **pod}}


def line(number, loss=2.0):
    return LINE.format(number, number * 256, loss)


def sent(site, *numbers, prefix="", **pod):
    entries = [entry(T0_MS + n * 1000, prefix + line(n, float(n)), **pod) for n in numbers]
    posted(site, "/v1/logs", entries)


def place(site, uid="p1", workload="w", **more):
    pod = {
        "uid": uid, "name": f"pod-{uid}", "namespace": "train", "node": "n1",
        "workload_uid": workload, "start": at(T0_MS), **more,
    }  # fmt: skip
    kind = {"uid": workload, "name": "llm", "kind": "PyTorchJob"}
    posted(site, "/v1/placements", {"workloads": [kind], "pods": [pod]})


def read(site, metric="training_lm_loss", *, at_once=False, **query):
    """{labels as items: {second after T0: value}}; *at_once* only as the service itself waits."""
    if not at_once:
        settled(site)
    found = site.points(metric, **query)
    return {key: {(ms - T0_MS) / 1000: value for ms, value in p} for key, p in found.items()}


def key(labels):
    return tuple(sorted(labels.items()))


@pytest.fixture
def clock():
    return ManualClock(END_MS * 10**6)


@pytest.fixture
def site(tmp_path, clock):
    with told(tmp_path / "data", clock) as asked:
        yield asked


def test_what_was_sent_is_read_at_once_with_its_owner(site):
    place(site)
    for number in range(1, 20):
        sent(site, number)
        told_now = read(site, at_once=True)
        assert told_now == {key(OWNED): {float(n): float(n) for n in range(1, number + 1)}}
    assert set(read(site, "training_consumed_samples").popitem()[1].values()) == {
        n * 256.0 for n in range(1, 20)
    }


def test_it_has_no_second_name(site):
    place(site)
    sent(site, 1)
    names = site.get("/v1/query/metrics").json()["items"]
    assert [name for name in names if "lm_loss" in name] == ["training_lm_loss"]
    assert read(site, "workload_training_lm_loss") == {}
    assert [one for one in site.label_sets() if one["__name__"] == "training_lm_loss"] == [
        OWNED
    ]


def test_matchers_see_owner_and_stored_labels_alike(site):
    place(site)
    sent(site, 1)
    sent(site, 2, pod_id="p2", pod_name="pod-p2")
    raw2 = {**RAW, "pod_uid": "p2"}
    for text, wanted in (
        ('workload_uid="w"', [OWNED]),
        ('workload_name=~"l+m"', [OWNED]),
        ('workload_uid=""', [raw2]),
        ('pod_uid="p1"', [OWNED]),
        ('pod_uid!="p1"', [raw2]),
        ('source="log"', [OWNED, raw2]),
        ('source="wandb"', []),
        ('pod_name="pod-p2"', []),
    ):
        query = {"match[]": text}
        assert set(read(site, **query)) == {key(one) for one in wanted}, text
        sets = site.get("/v1/query/labels", limit=100, **query).json()["items"]
        ours = [one for one in sets if one["__name__"] == "training_lm_loss"]
        assert sorted(map(key, ours)) == sorted(map(key, wanted)), text
        names = site.get("/v1/query/metrics", **query).json()["items"]
        assert ("training_lm_loss" in names) == bool(wanted), text


def test_metadata_that_comes_late_corrects_the_past(site, clock):
    sent(site, 1, 2)
    assert read(site) == {key(RAW): {1.0: 1.0, 2.0: 2.0}}
    seal(site, clock)
    place(site)
    assert read(site) == {key(OWNED): {1.0: 1.0, 2.0: 2.0}}
    windows = read(site, step="1m", agg="mean")
    assert windows == {key(OWNED): {0.0: 1.5}}


def test_ranks_and_nan(site):
    place(site)
    sent(site, 1, prefix="[rank3]: ")
    posted(site, "/v1/logs", [entry(T0_MS + 2000, line(2).replace("2.0000", "nan #"))])
    posted(
        site,
        "/v1/logs",
        [entry(T0_MS + 3000, "iteration 3/ 5 | lm loss: nan | grad norm: inf |")],
    )
    assert read(site)[key({**OWNED, "rank": "3"})] == {1.0: 1.0}
    assert read(site)[key(OWNED)][3.0] == "NaN"
    assert (
        read(site, "training_grad_norm")[key({**OWNED, "__name__": "training_grad_norm"})][3.0]
        == "+Inf"
    )


def test_lines_that_come_again_and_out_of_order_change_nothing(site):
    place(site)
    numbers = list(range(1, 30))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        sent(site, number)
    first = read(site)
    assert first == {key(OWNED): {float(n): float(n) for n in range(1, 30)}}
    sent(site, *reversed(numbers))
    sent(site, *range(1, 30))
    assert read(site) == first


def test_what_an_exporter_calls_training_is_left_as_it_is(site):
    place(site)
    theirs = {"__name__": "training_lm_loss", "pod_uid": "p1", "job": "trainer"}
    site.write([(theirs, [(T0_MS + 5000, 9.0)])])
    sent(site, 1)
    assert read(site) == {key(theirs): {5.0: 9.0}, key(OWNED): {1.0: 1.0}}
    assert read(site, **{"match[]": 'job="trainer"'}) == {key(theirs): {5.0: 9.0}}
    (viewed,) = read(site, "workload_training_lm_loss")
    owned = {**OWNED, **theirs, "__name__": "workload_training_lm_loss"}
    assert dict(viewed) == {name: value for name, value in owned.items() if name != "source"}


def test_it_is_there_after_a_restart_with_what_was_unsealed(tmp_path, clock):
    with told(tmp_path / "data", clock) as site:
        place(site)
        sent(site, 1, 2)
        before = read(site)
    with told(tmp_path / "data", clock) as site:
        assert read(site) == before
        sent(site, 2, 3)
        assert read(site) == {key(OWNED): {1.0: 1.0, 2.0: 2.0, 3.0: 3.0}}


def test_a_service_that_closes_leaves_the_rest_to_the_next(tmp_path, clock):
    """Ingest closes first: what the applier has in work then waits in the log."""
    with told(tmp_path / "data", clock) as site:
        place(site)
        sent(site, 1)
        settled(site)
        flow, log = site.site.flow, site.site.core.log
        # The applier has taken the frame, and comes to append when ingest is closed.
        come, go = threading.Event(), threading.Event()
        plain = flow.applier._derived.append

        def held():
            if flow.applier._derived._taken:
                come.set()
                assert go.wait(10)
            return plain()

        flow.applier._derived.append = held
        sent(site, 2)
        assert come.wait(10)
        flow.ingest.close()
        go.set()
        end = log.end
    with told(tmp_path / "data", clock) as site:
        assert site.site.core.log.end >= end
        assert read(site) == {key(OWNED): {1.0: 1.0, 2.0: 2.0}}
        rows = site.get("/v1/workloads/w/training").json()["items"]
        assert [row["iteration"] for row in rows] == [1, 2]


def test_a_lagging_applier_and_full_bulk_queue_do_not_stop_what_it_derives(site):
    """Back-pressure is asked where requests come in: nothing that the applier waits for asks it."""
    place(site)
    flow = site.site.flow
    flow.backpressure.check = lambda: (_ for _ in ()).throw(Unavailable("lag", code="lag"))
    made = [Line(T0_MS * 10**6, "p1", "train", "pod-p1", "n1", "main", "stdout", line(4, 4.0))]
    payload, log = encode_lines(made), site.site.core.log
    flow.ingest.submit(lambda: log.append_lines(payload, 1)).result()
    settled(site)
    assert list(read(site).values()) == [{0.0: 4.0}]


def test_steps_of_wandb_become_rows_and_samples_and_no_records(site):
    place(site)

    def step(number, *, run="ab12", **fields):
        row = TrainingRow(
            "p1", "wandb", run, (T0_MS + number * 1000) * 10**6, number, None, "x", fields
        )
        return steps.record_of(row, observed_ns=1)

    other = Record(
        record_id="0" * 32, timestamp_ns=T0_MS * 10**6, observed_timestamp_ns=1,
        session_id="ab12", source_kind="wandb", event_type="training_step",
    )  # fmt: skip
    some = [step(1, total_loss=1.5), step(2, total_loss=1.25), other]
    payload = wire_records.encode(some)
    core = site.site.core
    site.site.flow.ingest.submit(lambda: core.log.append_records(payload, len(some))).result()
    labels = {**OWNED, "__name__": "training_total_loss", "source": "wandb", "run_id": "ab12"}
    assert read(site, "training_total_loss") == {key(labels): {1.0: 1.5, 2.0: 1.25}}
    rows = site.get("/v1/workloads/w/training").json()["items"]
    assert [(row["source"], row["rank_group"], row["iteration"]) for row in rows] == [
        ("wandb", "ab12", 1), ("wandb", "ab12", 2),
    ]  # fmt: skip
    assert site.records(event_type="training_step") == []
    assert site.measured('heliograph_dropped_total{kind="records",reason="malformed"}') == {
        "": 1.0
    }


def test_derived_samples_are_counted_as_such_and_not_attributed_again(site):
    place(site)
    sent(site, 1, 2)
    settled(site)
    assert site.measured("heliograph_derived_total") == {'{kind="samples"}': 12.0}
    assert site.measured("heliograph_attributed_total") == {'{kind="lines",by="pod_uid"}': 2.0}


def test_a_full_series_table_costs_samples_not_rows(tmp_path, clock):
    with told(tmp_path / "data", clock, limits={"series": 3}) as asked:
        place(asked)
        sent(asked, 1)
        settled(asked)
        rows = asked.get("/v1/workloads/w/training").json()["items"]
        assert [row["iteration"] for row in rows] == [1]
        assert asked.measured('heliograph_dropped_total{kind="samples"') == {
            ',reason="series_limit"}': 3.0
        }


def test_rules_over_series_see_them_with_their_owner(site, clock):
    place(site)
    sent(site, 1, 2)
    rule = decode(
        {
            "name": "Loss", "source": "metric", "rule_type": "threshold", "severity": "warning",
            "rule_config": {
                "metric": "training_lm_loss", "match": ['workload_uid="w"'], "op": ">",
                "value": 1.5, "window": "1d",
            },
        },
        rule_id="loss",
    )  # fmt: skip
    settled(site)
    asked = rule_metrics.query(rule, clock.now_ns())
    (series,) = site.site.flow.alerts.ticker._series(asked)
    assert dict(series.labels) == OWNED
    assert [value for _, value in series.points] == [1.0, 2.0]


def test_values_that_the_site_names_are_samples(tmp_path, clock):
    pattern = {
        "name": "cell",
        "kind": "performance",
        "pattern": r"it=(?P<step>\d+) Zap=(?P<MyZap>\S+)",
    }
    own = {"fields": {"acc@1": "accuracy"}, "patterns": [pattern]}
    with told(tmp_path / "data", clock, logs=own) as asked:
        place(asked)
        texts = ["it=4 Zap=2.5", "iteration 5/ 9 | lm loss: 2.0 | acc@1: 0.5 | what: 3.0 |"]
        posted(
            asked, "/v1/logs", [entry(T0_MS + 1000 * n, text) for n, text in enumerate(texts)]
        )
        for name, found in (("my_zap", {0.0: 2.5}), ("accuracy", {1.0: 0.5})):
            assert list(read(asked, f"training_{name}").values()) == [found]
        assert read(asked, "training_what") == {}


class Now:
    """An ingest thread that does it now, or not at all."""

    def __init__(self):
        self.down = 0

    def submit(self, work, *, urgent):
        assert urgent
        if self.down:
            raise Unavailable("down", code="overloaded")
        future = Future()
        future.set_result(work())
        return future


class Kept:
    """A log in memory."""

    def __init__(self, table):
        self.table, self.batches = table, []

    def append_samples(self, batch):
        self.batches.append([(label.get(self.table.labels(s), "pod_uid"), v) for s, v in zip(batch.series.tolist(), batch.value.tolist(), strict=True)])  # fmt: skip
        return len(self.batches)


def test_series_that_were_forgotten_are_given_ids_anew():
    table, clock = SeriesTable(100), ManualClock(5)
    log = Kept(table)
    patterns = SimpleNamespace(in_force=lambda: InForce(0, None, own=False))
    derived = Derived(log, table, Meters(), clock, patterns, Now())
    row = TrainingRow("p", "log", "", 1, 1, None, "x", {"tflops": 1.0})

    def told(*frames):
        for rows in frames:
            derived.take(rows)
        seq = derived.append().result()
        derived.settle()
        return seq

    assert told([row]) == 1
    assert table.forget(idle_since_ns=6, in_use=frozenset()) == 1
    assert told([row], [], [row._replace(fields={"tflops": 2.0})]) == 2
    assert log.batches == [[("p", 1.0)], [("p", 1.0), ("p", 2.0)]]
    assert len(table) == 1
    assert told([]) == 0


def test_what_was_refused_is_appended_again():
    """Until it is in the log, what was taken of some frames stays."""
    table = SeriesTable(100)
    log, meters = Kept(table), Meters()
    patterns = SimpleNamespace(in_force=lambda: InForce(0, None, own=False))
    derived = Derived(log, table, meters, ManualClock(5), patterns, Now())
    derived.take([TrainingRow("p", "log", "", 1, 1, None, "x", {"tflops": 1.0})])
    assert [derived.append().result(), derived.append().result()] == [1, 2]
    derived.settle()
    assert derived.append().result() == 0
    assert log.batches == [[("p", 1.0)]] * 2


def test_forwards_write_them_out_in_place_and_in_requests_of_their_own():
    table = SeriesTable(100)
    owner = Owner("pod-p1", "p1", "train", "llm", "w", "PyTorchJob", "w")
    gpu = label.of({"__name__": "gpu", "pod_uid": "p1"})
    ids = [table.intern(label.pack(one)) for one in (gpu, label.of(RAW))]
    halves = (
        Span(-(2**63), 50 * 10**6, None, None, "unknown_pod"),
        Span(50 * 10**6, 2**63 - 1, owner, "pod_uid", None),
    )
    batch = SampleBatch(
        np.array([ids[1], ids[0], ids[1]], np.uint32),
        np.array([10**6, 51 * 10**6, 60 * 10**6], np.int64),
        np.array([1.0, 2.0, 3.0]),
    )

    def bodies(*, keep_original):
        selection = Selection([matcher('pod_uid="p1"')], keep_original, "workload_")
        requests = Requests(selection, table, lambda _: halves).of(batch)
        return [samples_of(one.body) for one in requests]

    viewed = {name: value for name, value in OWNED.items() if name != "source"}
    copy = ({**viewed, "__name__": "workload_gpu"}, 51, 2.0)
    owned, unowned = (OWNED, 60, 3.0), (RAW, 1, 1.0)
    assert bodies(keep_original=True) == [[(dict(gpu), 51, 2.0), copy], [unowned, owned]]
    assert bodies(keep_original=False) == [[copy], [owned]]
