"""Lines of one second through the service: rows, runs and checkpoints of what was printed."""

import pytest

from heliograph.core.clock import ManualClock
from tests.service.test_logs_flow import END_MS, T0_MS, entry, place, sent, told, training


@pytest.fixture
def site(tmp_path):
    with told(tmp_path / "data", ManualClock(END_MS * 10**6)) as asked:
        yield asked


def test_dicts_of_one_second_are_rows_each_and_one_run(site):
    place(site)
    dicts = [
        entry(T0_MS, f"{{'loss': {3 - n / 10}, 'grad_norm': 1.2, 'epoch': {n / 10}}}")
        for n in range(1, 6)
    ]
    sent(site, *dicts)
    sent(site, *dicts[::-1])
    found = [row["fields"] for row in training(site)]
    assert found == [
        {"total_loss": 3 - n / 10, "grad_norm": 1.2, "epoch": n / 10} for n in range(1, 6)
    ]
    workload = site.get("/v1/workloads/w").json()
    assert [run["rows"] for run in workload["runs"]] == [5]
    assert workload["current"]["fields"]["epoch"] == 0.5
