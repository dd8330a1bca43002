"""`every` and `field` of `/v1/workloads/{uid}/training`, asked of a service."""

import pytest

from heliograph.core.clock import ManualClock
from tests.service.test_logs_flow import END_MS, T0_MS, entry, line, place, sent, told, training


@pytest.fixture
def site(tmp_path):
    with told(tmp_path / "data", ManualClock(END_MS * 10**6)) as asked:
        place(asked)
        yield asked


def test_every_tenth_of_a_job_that_prints_the_first_and_each_tenth_after_it(site):
    sent(site, *(entry(T0_MS + n * 1000, line(n)) for n in range(1, 50, 10)))
    assert [row["iteration"] for row in training(site, every="10")] == [1, 11, 21, 31, 41]


def test_fields_that_no_row_has_and_fields_below_extra(site):
    sent(site, entry(T0_MS, "{'loss': 2.5, 'micro_step': 3, 'step': 7}"))
    assert [row["fields"] for row in training(site, field="nosuch")] == []
    for name in ("micro_step", "extra.micro_step"):
        assert [row["fields"] for row in training(site, field=name)] == [
            {"extra": {"micro_step": 3.0}}
        ]
