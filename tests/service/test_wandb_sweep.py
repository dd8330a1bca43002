"""The sweep of silent runs beside clients: what a client sends meanwhile stays."""

import threading

import pytest

from heliograph.core.clock import ManualClock
from heliograph.receive.wandb_graphql import RunName
from heliograph.service.meters import Meters
from heliograph.service.owners import Owners
from heliograph.service.wandb_runs import SILENT_AFTER_NS, RunLimits, WandbRuns
from heliograph.store.state import wandb_runs
from heliograph.store.state.state import State

NOW_NS = 1_795_000_000 * 10**9
NAME = RunName("acme", "llm", "r1")


@pytest.fixture
def clock():
    return ManualClock(NOW_NS)


@pytest.fixture
def runs(tmp_path, clock):
    state = State.open(None, tmp_path, clock)
    owners = Owners(state, clock, pods_max=100)
    yield WandbRuns(state, owners, clock, Meters(), RunLimits(100, 1 << 20, 100))
    state.close()


@pytest.mark.parametrize("spoke", [True, False])
def test_a_run_that_speaks_while_it_is_swept_goes_on(runs, clock, monkeypatch, spoke):
    run, _ = runs.opened(NAME)
    clock.advance(SILENT_AFTER_NS / 1e9 + 120)
    real, found = wandb_runs.quiet, threading.Event()

    def quiet(tx, before_ns):
        listed = real(tx, before_ns)
        found.set()
        return listed

    monkeypatch.setattr(wandb_runs, "quiet", quiet)
    sweeping = threading.Thread(target=runs.sweep)
    with runs.held(NAME.uid):
        sweeping.start()
        assert found.wait(60)
        if spoke:
            runs.saved(run._replace(heard_ns=clock.now_ns(), history_lines=500))
    sweeping.join()
    stored = runs.read(NAME.uid)
    assert stored == runs.known(NAME)
    expected = (wandb_runs.RUNNING, 500) if spoke else (wandb_runs.SILENT, 0)
    assert (stored.state, stored.history_lines) == expected


def test_a_run_that_ended_while_it_was_swept_ended_as_it_said(runs, clock, monkeypatch):
    run, _ = runs.opened(NAME)
    clock.advance(SILENT_AFTER_NS / 1e9 + 120)
    monkeypatch.setattr(wandb_runs, "quiet", lambda *_: [run])
    runs.saved(runs.ended(run, wandb_runs.FINISHED, run.heard_ns))
    runs.sweep()
    assert runs.read(NAME.uid).state == wandb_runs.FINISHED
