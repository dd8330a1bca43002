"""Rows → samples: names, labels, what gives none, and that it is a function of the rows."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core import labels as label
from heliograph.core.training import TrainingRow
from heliograph.training import samples
from heliograph.training.samples import Sampler, is_training, may_be_training


def row(at_ns=1, *, pod="p-1", rank="", source="log", marker=None, **fields):
    return TrainingRow(pod, source, rank, at_ns, 7, marker, "megatron-lm", fields)


def made(rows, sampler=None):
    """{(labels as text): {at_ns: value}}, the later of equal instants."""
    columns = (sampler or Sampler()).columns(rows)
    found = {}
    for place, at_ns, value in zip(
        columns.series.tolist(), columns.at_ns.tolist(), columns.value.tolist(), strict=True
    ):
        labels = dict(label.unpack(columns.packed[place]))
        name = labels.pop("__name__")
        text = ",".join(f"{key}={value}" for key, value in labels.items())
        found.setdefault(f"{name}{{{text}}}", {})[at_ns] = value
    return found


def test_each_number_of_a_row_is_a_sample_at_the_rows_time():
    assert made([row(5, lm_loss=2.5, consumed_samples=1024), row(9, lm_loss=2.25)]) == {
        "training_lm_loss{pod_uid=p-1,source=log}": {5: 2.5, 9: 2.25},
        "training_consumed_samples{pod_uid=p-1,source=log}": {5: 1024.0},
    }


def test_ranks_are_told_apart_and_the_rank_is_a_label_not_a_sample():
    assert made([row(rank="7", rank_=1, tflops=1.0), row(rank="default0", tflops=2.0)]) == {
        "training_tflops{pod_uid=p-1,rank=7,source=log}": {1: 1.0},
        "training_rank_{pod_uid=p-1,rank=7,source=log}": {1: 1.0},
        "training_tflops{pod_uid=p-1,rank=default0,source=log}": {1: 2.0},
    }
    assert made([TrainingRow("p", "log", "7", 1, 1, None, "x", {"rank": 7})]) == {}


def test_a_wandb_row_has_its_run():
    assert made([row(rank="ab12", source="wandb", total_loss=3.0)]) == {
        "training_total_loss{pod_uid=p-1,run_id=ab12,source=wandb}": {1: 3.0}
    }


def test_log_and_wandb_of_one_instant_stand_side_by_side():
    both = made([row(total_loss=3.0), row(source="wandb", rank="r", total_loss=4.0)])
    assert sorted(map(str, both.values())) == ["{1: 3.0}", "{1: 4.0}"]


def test_what_was_not_printed_is_no_zero():
    assert made([row()]) == {}
    assert made([row(lm_loss=0.0)]) == {"training_lm_loss{pod_uid=p-1,source=log}": {1: 0.0}}


def test_marks_extras_and_odd_names_give_none():
    odd = {"extra": {"my thing": 1.0}, "a b": 2.0, "": 3.0, "x" * 70: 4.0}
    assert made([row(marker="training_start", lm_loss=1.0), row(**odd)]) == {}


def test_extras_that_the_site_names_have_samples():
    extra = {"accuracy": 0.5, "other": 1.0, "tflops": 9.0, "text": "x"}
    rows = [row(tflops=1.0, extra=extra), row(2, tflops=1.0), row(3, extra=7)]
    columns = Sampler().columns(rows, frozenset({"accuracy", "tflops", "text"}))
    names = [
        label.get(label.unpack(columns.packed[place]), "__name__")
        for place in columns.series.tolist()
    ]
    assert list(zip(names, columns.at_ns.tolist(), columns.value.tolist(), strict=True)) == [
        ("training_accuracy", 1, 0.5), ("training_tflops", 1, 1.0), ("training_tflops", 2, 1.0),
    ]  # fmt: skip


def test_what_is_no_number_is_left_out_alone():
    fields = {"lm_loss": "2.5", "tflops": None, "grad_norm": 1.5, "num_zeros": 10**400}
    assert made([row(**fields)]) == {"training_grad_norm{pod_uid=p-1,source=log}": {1: 1.5}}


def test_nan_and_infinities_are_samples():
    (found,) = made([row(1, lm_loss=math.nan), row(2, lm_loss=math.inf)]).values()
    assert math.isnan(found[1])
    assert found[2] == math.inf
    (alone,) = made([row(1, lm_loss=math.nan, tflops="x")]).values()
    assert math.isnan(alone[1])


def test_long_names_and_times_beyond_64_bits_are_skipped_and_counted():
    sampler = Sampler()
    long = "x" * (samples.NAME_CHARS_MAX + 1)
    assert made([row(pod=long, tflops=1.0), row(2**63, tflops=1.0)], sampler) == {}
    assert sampler.skipped == 2
    assert made([row(pod=long[:-1], tflops=1.0)], sampler) != {}


def test_kinds_of_rows_beyond_the_bound_are_made_anew(monkeypatch):
    monkeypatch.setattr(samples, "KINDS_MAX", 3)
    sampler = Sampler()
    first = sampler.columns([row(pod=f"p-{n}", tflops=1.0) for n in range(3)])
    more = sampler.columns([row(pod="p-0", tflops=1.0)])
    assert more.packed is first.packed
    sampler.renew()
    again = sampler.columns([row(pod="p-0", tflops=1.0)])
    assert len(first.packed) == 3
    assert again.packed is not first.packed
    assert list(again.packed) == [first.packed[0]]


def test_what_rows_give_is_known_again_and_nothing_else_is():
    ours = label.of(
        {"__name__": "training_lm_loss", "pod_uid": "p", "source": "log", "rank": "7"}
    )
    for labels, is_ours in (
        (ours, True),
        (label.merged(ours, {"rank": ""}), True),
        (label.merged(ours, {"rank": "", "run_id": "r", "source": "wandb"}), True),
        (label.merged(ours, {"source": "dcgm"}), False),
        (label.merged(ours, {"job": "trainer"}), False),
        (label.merged(ours, {"rank": "", "job": "trainer"}), False),
        (label.merged(ours, {"pod_uid": "", "pod": "p"}), False),
        (label.merged(ours, {"__name__": "lm_loss"}), False),
        (label.of({"__name__": "training_lm_loss"}), False),
        ((), False),
    ):
        assert is_training(labels) is is_ours, labels
        assert may_be_training(label.pack(labels)) or not is_ours


FIELDS = st.dictionaries(
    st.sampled_from(["lm_loss", "tflops", "grad_norm", "rank", "extra", "num_zeros"]),
    st.one_of(st.floats(), st.integers(-(10**20), 10**20), st.none(), st.text(max_size=2)),
    max_size=4,
)
ROWS = st.lists(
    st.builds(
        lambda pod, source, rank, at_ns, fields: TrainingRow(
            pod, source, rank, at_ns, 1, None, "x", fields
        ),
        st.sampled_from(["p-1", "p-2", "\udc80"]),
        st.sampled_from(["log", "wandb"]),
        st.sampled_from(["", "0", "1"]),
        st.integers(-5, 5),
        FIELDS,
    ),
    max_size=12,
)


@given(ROWS, st.integers(0, 12))
def test_the_same_rows_give_the_same_samples_however_they_are_cut(rows, cut):
    def plain(columns):
        series = [columns.packed[place] for place in columns.series.tolist()]
        return list(zip(series, columns.at_ns.tolist(), map(repr, columns.value), strict=True))

    whole, sampler = Sampler().columns(rows), Sampler()
    first, second = sampler.columns(rows[:cut]), sampler.columns(rows[cut:])

    assert plain(whole) == plain(first) + plain(second)
    assert plain(whole) == plain(samples.joined([first, second]))
    numbers = [
        (one.at_ns, float(value))
        for one in rows
        for name, value in one.fields.items()
        if isinstance(value, int | float) and name not in {"rank", "extra"}
    ]
    assert np.array_equal([value for _, value in numbers], whole.value, equal_nan=True)
    assert [at_ns for at_ns, _ in numbers] == whole.at_ns.tolist()
