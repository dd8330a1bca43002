"""What scripts call their metrics: each value has a place of its own, and comes back by its name."""

import json
import math
import threading

import pytest

from heliograph.core.clock import ManualClock
from heliograph.receive.wandb_graphql import RunName
from heliograph.service import wandb_names
from heliograph.service.wandb_names import Names, Step, told
from heliograph.service.wandb_uploads import Uploads
from heliograph.store.state.state import State
from heliograph.training import steps
from tests.service.test_wandb_native import known, send, training, upsert
from tests.service.test_wandb_public import history, logged, of_run, sampled

STEP = Step("p", "r", 3, 10**18)


def came_back(logged_steps, name_at=()):
    """The steps as a reader sees them who knows only what was kept of the names."""
    names = Names(dict(name_at))
    rows = [names.told(values, STEP) for values in logged_steps]
    assert [one.left_out for one in rows] == [0] * len(rows)
    read = Names(json.loads(json.dumps(names.name_at)))
    return [one.row.fields for one in rows], [read.as_logged(one.row) for one in rows]


@pytest.mark.parametrize(
    "values",
    [
        [{"损失": 1.0, "准确率": 2.0}],
        [{"Q": 1.0, "q": 2.0}],
        [{"eval/loss": 1.0, "eval_loss": 2.0}],
        [{"eval/loss": 1.0}, {"eval_loss": 2.0}, {"eval.loss": 3.0, "eval/loss": 4.0}],
        [{"a/b": 1.0, "a.b": 2.0, "a": 3.0, "A/B": 4.0, "a_b": 5.0, "a b": 6.0}],
        [{"a/b": 1.0}, {"a_b": 2.0}],
        [{"loss": 1.0, "train/loss": 2.0, "train_loss": 3.0, "Train Loss": 4.0}],
        [{"train/loss": 5.0}, {"loss": 6.0}, {"loss": 7.0, "train/loss": 7.0}],
        [{"lr": 1e-3, "learning_rate": 2e-3}, {"learning_rate": 3e-3}, {"lr": 4e-3}],
        [{"iteration-time": 0.25}, {"iteration time (s)": 0.5, "step_time_ms": 7.0}],
        [{"y" * 200: 1.0, "y" * 100: 2.0, "y" * 64: 3.0}],
        [{"train/train_loss": 1.8, "train/train_runtime": 60.0, "train/loss": 2.0}],
        [{"global_step": 5.0, "train/global_step": 6.0, "step": 7.0}],
        [{"total_loss": 1.0, "loss": 2.0}, {"total_loss_as_2ea71c18": 4.0}],
        [{"extra.x": 1.0, "extra": 2.0, "x": 3.0}],
        [{"": 1.0, "_": 2.0, "0": 3.0, "n_0": 4.0}],
    ],
)
def test_each_value_comes_back_by_its_name(values):
    rows, found = came_back(values)
    assert found == values
    # The same again, as when a body is repeated after it was kept.
    names = Names({})
    for one in values:
        names.told(one, STEP)
    assert came_back(values, names.name_at) == (rows, found)


def test_a_field_has_its_value_by_whatever_name():
    rows, _ = came_back([{"train/loss": 5.0}, {"loss": 6.0}, {"loss": 7.0, "train/loss": 8.0}])
    assert [one["total_loss"] for one in rows] == [5.0, 6.0, 8.0]
    assert [one.get("extra") for one in rows] == [
        None, {"total_loss_as_2ea71c18": 6.0}, {"loss": 7.0},
    ]  # fmt: skip


def test_places_that_nobody_contests_are_plain():
    (row,), _ = came_back([{"train/loss": 1.0, "eval/loss": 2.0, "my.thing": 3.0}])
    assert row == {
        "current_iteration": 3, "total_loss": 1.0, "extra": {"eval_loss": 2.0, "my_thing": 3.0},
    }  # fmt: skip


def test_names_that_an_earlier_version_kept_are_read():
    kept = {
        "total_loss": "train/loss", "elapsed_time_per_iteration_ms": "iteration-time",
        "extra.deep_er": "deep.er",
    }  # fmt: skip
    values = {"train/loss": 2.0, "iteration-time": 0.25, "deep.er": 7.0}
    assert Names(kept).as_logged(told(values, STEP).row) == values
    assert came_back([values, {"loss": 3.0}], kept)[1] == [values, {"loss": 3.0}]


def fields_of(values):
    return told(values, STEP).row.fields


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("loss", "total_loss", 2.0),
        ("train/loss", "total_loss", 2.0),
        ("train.loss", "total_loss", 2.0),
        ("lm loss", "lm_loss", 2.0),
        ("train/grad_norm", "grad_norm", 2.0),
        ("learning-rate", "learning_rate", 2.0),
        ("train/learning_rate", "learning_rate", 2.0),
        ("tokens_per_sec", "tokens_per_second", 2.0),
        ("iteration-time", "elapsed_time_per_iteration_ms", 2000.0),
        ("consumed_samples", "consumed_samples", 2),
        ("batch-size", "global_batch_size", 2),
        ("loss_metrics/global_avg_loss", "total_loss", 2.0),
    ],
)
def test_names_are_those_of_log_lines(name, field, value):
    found = fields_of({name: 2.0})
    assert found == {"current_iteration": 3, field: value}
    assert type(found[field]) is type(value)


@pytest.mark.parametrize("name", ["eval/loss", "val/loss", "my/thing", "step", "gradients/w.b"])
def test_what_is_measured_elsewhere_is_not_the_trainings(name):
    found = fields_of({name: 2.0})
    assert found.keys() == {"current_iteration", "extra"}
    assert list(found["extra"].values()) == [2.0]


def test_the_fields_own_name_wins_and_nothing_is_lost():
    found = fields_of({"train/loss": 1.0, "loss": 2.0})
    assert found == {"current_iteration": 3, "total_loss": 2.0, "extra": {"train_loss": 1.0}}


def test_names_of_extra_have_an_end_and_stay_apart():
    found = fields_of({"x" * 100 + "1": 1.0, "x" * 100 + "2": 2.0, "0/y": 3.0})["extra"]
    assert len(found) == 3
    assert max(map(len, found)) == steps.EXTRA_CHARS_MAX
    assert found["n_0_y"] == 3.0


LOGGED = [
    {"train/loss": 2.0, "iteration-time": 0.25, "deep.er": 7.0, "eval/loss": math.inf},
    {"loss": 1.0, "train/loss": 2.0, "consumed_samples": 64.0},
    {"step": 3.0, "x" * 200: 1.0},
    {},
]


@pytest.mark.parametrize("values", LOGGED)
def test_a_step_is_shown_as_it_was_logged(values):
    assert came_back([values])[1] == [values]


def test_what_nobody_named_is_shown_under_our_names():
    assert Names({}).as_logged(told(LOGGED[0], STEP).row) == {
        "total_loss": 2.0, "elapsed_time_per_iteration_ms": 250.0, "deep_er": 7.0,
        "eval_loss": math.inf,
    }  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_the_mean_of_a_run_is_no_loss_of_a_step(prefix):
    end = {f"{prefix}train_loss": 1.8, f"{prefix}train_runtime": 60.0}
    (row,), found = came_back([end])
    assert (row.keys(), found) == ({"current_iteration", "extra"}, [end])
    assert "total_loss" in told({"train_loss": 1.8}, STEP).row.fields


def test_names_without_room_are_counted(monkeypatch):
    monkeypatch.setattr(wandb_names, "EXTRA_MAX", 2)
    names = Names({})
    made = names.told({"loss": 1.0, "a1": 1.0, "b2": 2.0, "c3": 3.0}, STEP)
    assert (made.left_out, made.row.fields["extra"]) == (1, {"a1": 1.0, "b2": 2.0})
    assert list(names.name_at.values()) == ["loss", "a1", "b2"]


def trained(site):
    """As the HF Trainer logs, each time in a request of its own or all in one."""
    lines = [logged(n, **{"train/loss": 2.0 - n / 10, "train/epoch": n / 5}) for n in range(5)]
    end = {"train_loss": 1.8, "train_runtime": 60.0, "train/epoch": 1.0}
    return [*lines, logged(5, **end)]


@pytest.mark.parametrize("together", [True, False])
def test_a_loss_curve_is_whole_beside_its_mean(site, together):
    upsert(site)
    lines = trained(site)
    for first in [0] if together else range(len(lines)):
        send(site, history=(first, lines if together else lines[first : first + 1]))
    curve = [one["train/loss"] for one in sampled(site, keys=["train/loss"])]
    assert curve == [2.0, 1.9, 1.8, 1.7, 1.6]
    assert sampled(site, keys=["train_loss"]) == [{"train_loss": 1.8}]
    shown = [row["fields"].get("total_loss") for row in training(site)]
    assert sorted(shown, key=str) == [1.6, 1.7, 1.8, 1.9, 2.0, None]
    assert set(of_run(site, "Run")["historyKeys"]["keys"]) == {
        "train/loss", "train/epoch", "train_loss", "train_runtime",
    }  # fmt: skip


def test_names_that_clean_to_one_text_are_all_there(site):
    upsert(site)
    values = [
        {"损失": 1, "准确率": 2, "Q": 3, "q": 4},
        {"准确率": 5, "eval_loss": 6},
        {"eval/loss": 7},
    ]
    lines = [logged(number, **one) for number, one in enumerate(values)]
    for _ in range(2):
        send(site, history=(0, lines[:1]))
        send(site, history=(1, lines[1:]))
        found = history(site)
        shown = [{name: one[name] for name in one if name[0] != "_"} for one in found]
        assert shown == values
    assert (known(site)["left_out"], known(site)["dropped_values"]) == (None, None)


def test_what_has_no_room_is_told_of_the_run(site):
    upsert(site)
    many = {f"m{number}": number for number in range(wandb_names.EXTRA_MAX + 3)}
    line = logged(0, **many, **{"n" * 300: 1, "a.b": 1, "a": {"b": 2}})
    for _ in range(2):
        send(site, history=(0, [line]))
    told_of = known(site)
    assert told_of["left_out"] == ["metrics"]
    # One of the others stands before them.
    assert told_of["dropped_values"] == {
        "name_too_long": 1, "same_name": 1, "too_many_names": 4,
    }  # fmt: skip
    dropped = site.measured("heliograph_dropped_total")
    assert dropped['{kind="wandb_values",reason="same_name"}'] == 2
    (row,) = training(site)
    assert len(row["fields"]["extra"]) == wandb_names.EXTRA_MAX


def test_reports_of_agents_lose_no_name_either(site):
    metrics = [
        {"name": name, "value": value, "step": 1} for name, value in (("Q", 1), ("q", 2))
    ]
    sent = {"workload_uid": "w-1", "run_id": "r1", "metrics": metrics}
    assert site.post("/v1/wandb/metrics", sent).json()["left_out"] == 0
    (row,) = site.get("/v1/workloads/w-1/training").json()["items"]
    assert sorted(row["fields"]["extra"].values()) == [1.0, 2.0]


@pytest.mark.parametrize(("state", "status"), [("foo", 400), ("failed", 200), ("", 200)])
def test_a_state_that_there_is_not_is_refused(site, state, status):
    answer = site.get("/v1/wandb/runs", state=state)
    assert answer.status == status
    if status == 400:
        assert answer.json()["errors"][0]["field"] == "state"


def test_the_secret_of_uploads_is_made_once(tmp_path):
    state = State.open(None, tmp_path, ManualClock())
    try:
        uploads = Uploads(state)
        name = RunName("e", "p", "r")
        both_read = threading.Barrier(2)
        reading = state.read
        # Where it is read and then written, both would read before either writes.
        state.read = lambda work: (reading(work), both_read.wait(5))[0]
        signed = []
        askers = [
            threading.Thread(target=lambda: signed.append(uploads.signature(name, "f")))
            for _ in range(2)
        ]
        for one in askers:
            one.start()
        for one in askers:
            one.join()
        del state.read
        assert signed == [Uploads(state).signature(name, "f")] * 2
    finally:
        state.close()
