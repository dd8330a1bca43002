"""Wandb runs in state, on both engines."""

import math

import pytest

from heliograph.core.clock import ManualClock
from heliograph.store.state import wandb_runs
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.store.state.wandb_runs import WandbRun


@pytest.fixture
def state(state_url, tmp_path):
    opened = State.open(state_url, tmp_path, ManualClock())
    yield opened
    opened.close()


def made(run_id, at_ns, **more):
    uid = f"wandb:heliograph:p:{run_id}"
    given = {"state": wandb_runs.RUNNING, "pod_uid": uid, "own": True, **more}
    return WandbRun(uid, "heliograph", "p", run_id, created_ns=at_ns, heard_ns=at_ns, **given)


def put(state, *runs):
    for run in runs:
        state.write(lambda tx, run=run: wandb_runs.put(tx, run), lane=Lane.APPLIER).result()


def get(state, run):
    return state.read(lambda tx: wandb_runs.get(tx, run.uid))


def test_a_run_comes_back_as_it_went(state):
    run = made(
        "r\ud800\x00", 5, history_ns=7, history_lines=3, event_lines=2, console_lines=4,
        console_kept=4, document={"config": {"a": math.inf, "n": None}, "tail": {"_step": 2}},
    )  # fmt: skip
    put(state, run)
    assert get(state, run) == run
    assert get(state, made("other", 1)) is None


def test_what_grows_never_gets_smaller(state):
    run = made("r", 5, history_lines=10, console_kept=3, document={"a": 1})
    put(state, run)
    late = run._replace(
        heard_ns=4,
        history_lines=7,
        console_kept=5,
        state=wandb_runs.FINISHED,
        document={"b": 2},
    )
    put(state, late)
    assert get(state, run) == late._replace(heard_ns=5, history_lines=10)


def test_pages_and_filters(state):
    runs = [made(f"r{number}", number) for number in range(5)]
    runs[3] = runs[3]._replace(state=wandb_runs.FAILED)
    put(state, *runs, made("x", 9)._replace(project="other"))

    def page(**given):
        found, total = state.read(lambda tx: wandb_runs.page(tx, **given))
        return [run.run_id for run in found], total

    assert page(project="p") == (["r4", "r3", "r2", "r1", "r0"], 5)
    assert page(project="p", offset=1, limit=2) == (["r3", "r2"], 5)
    assert page(state="failed") == (["r3"], 1)
    assert page(project="none") == ([], 0)
    assert page(entity="nobody") == ([], 0)
    assert page(project="p", oldest_first=True, limit=2) == (["r0", "r1"], 5)


def test_quiet_runs_and_too_many(state):
    put(state, *(made(f"r{number}", number) for number in range(6)))
    put(state, made("done", 0)._replace(state=wandb_runs.FINISHED))
    quiet = state.read(lambda tx: wandb_runs.quiet(tx, 4, 3))
    assert [run.run_id for run in quiet] == ["r0", "r1", "r2"]

    def forgotten(keep, *spared):
        def forget(tx):
            return wandb_runs.forget_oldest(tx, keep, *spared)

        done = state.write(forget, lane=Lane.RETENTION)
        return [uid.rpartition(":")[2] for uid in done.result()]

    assert forgotten(7) == []
    assert forgotten(5) == ["done", "r0"]
    assert forgotten(5) == []
    assert forgotten(4, "wandb:heliograph:p:r1") == ["r2"]
