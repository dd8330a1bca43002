"""What was wrong with the rows of the system before us, over HTTP: none of it is so here."""

import pytest

from heliograph.core.clock import ManualClock
from tests.service.stories import END_MS, T0_MS, at, posted, settled, told

POD = {"pod_id": "p1", "pod_name": "pod-p1", "namespace_name": "train", "host": "n1"}


@pytest.fixture
def site(tmp_path):
    with told(tmp_path / "data", ManualClock(END_MS * 10**6)) as asked:
        pods = [
            {"uid": uid, "name": "pod-p1", "namespace": "train", "node": "n1",
             "workload_uid": "w", "start": start, "end": end}
            for uid, start, end in (("p1", T0_MS, T0_MS + 600_000), ("p2", T0_MS + 600_000, None))
            for start, end in ((at(start), None if end is None else at(end)),)
        ]  # fmt: skip
        workloads = [{"uid": "w", "name": "llm"}]
        posted(asked, "/v1/placements", {"workloads": workloads, "pods": pods})
        yield asked


def sent(site, s, text, **pod):
    one = {"date": T0_MS / 1000 + s, "log": text, "kubernetes": {**POD, **pod}}
    posted(site, "/v1/logs", [one])


def line(number, loss="2.0E+00"):
    return f" iteration {number:8d}/ 500 | consumed samples: {number * 8} | lm loss: {loss} |"


def rows(site, **query):
    settled(site)
    return site.get("/v1/workloads/w/training", limit=1000, **query).json()["items"]


def test_the_serial_is_no_constant_and_rows_of_a_restarted_run_are_all_there(site):
    """Theirs was always 1 after a start line, so that iterations of a second run were dropped."""
    for second, pod_uid in ((0, "p1"), (700, "p2")):
        sent(site, second, "training ...", pod_id=pod_uid)
        for number in (1, 2, 3):
            sent(site, second + number, line(number), pod_id=pod_uid)
    assert [(row["run"], row["iteration"]) for row in rows(site)] == [
        (1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3),
    ]  # fmt: skip


def test_a_time_keeps_its_fraction(site):
    """Theirs read the microseconds of a float as nanoseconds: .123 s became .000123 s."""
    sent(site, 0.123, line(1))
    sent(site, 0.5, line(2))
    assert [row["at"] for row in rows(site)] == [at(T0_MS + 123), at(T0_MS + 500)]
    points = site.points("training_lm_loss")
    assert [[ms for ms, _ in some] for some in points.values()] == [[T0_MS + 123, T0_MS + 500]]


def test_what_cannot_be_read_is_absent_and_no_zero(site):
    """Theirs stored 0 for a value that did not parse."""
    sent(site, 1, line(1, "n/a"))
    sent(site, 2, line(2, "0.0E+00"))
    first, second = rows(site)
    assert "lm_loss" not in first["fields"]
    assert second["fields"]["lm_loss"] == 0.0
    assert [
        [value for _, value in some] for some in site.points("training_lm_loss").values()
    ] == [[0.0]]


def test_rows_of_lines_and_of_wandb_neither_overwrite_nor_suppress_each_other(site):
    """Theirs had one key for both: workload, serial 1, iteration."""
    sent(site, 1, line(5))
    for run, loss in (("r1", 3.0), ("r2", 4.0)):
        steps = [{"step": 5, "timestamp": T0_MS / 1000 + 2, "data": {"loss": loss}}]
        report = {"pod_uid": "p1", "pod_name": "pod-p1", "run_id": run, "logs": steps}
        answer = site.post("/v1/wandb/logs", report)
        assert answer.status == 200, answer.body
    kept = [
        (row["source"], row["rank_group"], row["fields"].get("lm_loss", row["fields"].get("total_loss")))
        for row in rows(site)
    ]  # fmt: skip
    assert sorted(kept) == [("log", "", 2.0), ("wandb", "r1", 3.0), ("wandb", "r2", 4.0)]


def test_a_wandb_step_logged_in_parts_is_one_row_and_the_later_part_wins(site):
    for second, data in ((1, {"loss": 3.0, "grad_norm": 1.0}), (2, {"loss": 2.5})):
        steps = [{"step": 5, "timestamp": T0_MS / 1000 + second, "data": data}]
        report = {"pod_uid": "p1", "pod_name": "pod-p1", "run_id": "r1", "logs": steps}
        for _ in range(2):
            assert site.post("/v1/wandb/logs", report).status == 200
    (row,) = rows(site)
    fields = row["fields"]
    assert (row["iteration"], fields["total_loss"], fields["grad_norm"]) == (5, 2.5, 1.0)
    current = site.get("/v1/workloads/w").json()["current"]
    assert (current["fields"]["total_loss"], current["fields"]["grad_norm"]) == (2.5, 1.0)
