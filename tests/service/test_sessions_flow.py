"""Whole recorded sessions through a service: in any order of requests, sent twice, killed in the midst."""

import random

import pytest

from heliograph.core import instant
from heliograph.core.clock import ManualClock
from heliograph.training.parse import parse_line
from heliograph.training.rows import rows
from tests.service.lives import CLOCK, Life
from tests.service.stories import at, placements, posted, settled, told
from tests.training import generated
from tests.training.recorded import Line, read

SECOND_NS = 10**9
BATCH = 40
# Workload → the sessions of its pods, one incarnation after another.
JOBS = {
    "raised": ("ranks_raise", "ranks_again"),
    "restarted": ("ranks_restart",),
    "loader": ("ranks_loader",),
    "trainer": ("hf_killed", "hf_resumed"),
    "merged": ("hf_merged",),
    "lightning": ("lightning_interrupted", "lightning_resumed"),
    "speed": ("deepspeed",),
}
RUNS = {
    "raised": [(1, 15, 55), (11, 30, 80)],
    "restarted": [(1, 15, 60), (11, 30, 80)],
    "loader": [(1, 14, 55)],
    "trainer": [(None, None, 14), (None, None, 13)],
    "merged": [(5, 79, 24)],
    "lightning": [(50, 150, 4), (150, 150, 2)],
    "speed": [(0, 20, 20)],
}
ROOTS = {
    "raised": ["traceback"],
    "restarted": ["traceback"],
    "loader": ["dataloader_died"],
}


class Pod:
    """A pod that printed *lines*: what a shipper sends of it."""

    def __init__(self, workload, uid, name, lines):
        self.workload, self.uid, self.name, self.lines = workload, uid, name, lines

    def placed(self):
        return {
            "uid": self.uid, "name": self.name, "namespace": "train", "node": "n1",
            "workload_uid": self.workload, "start": at(self.lines[0].at_ns // 10**6),
        }  # fmt: skip

    def entries(self):
        kubernetes = {
            "pod_id": self.uid, "pod_name": self.name, "namespace_name": "train", "host": "n1",
            "container_name": "main",
        }  # fmt: skip
        return [
            {
                "time": instant.text_of(line.at_ns), "log": line.text, "stream": line.stream,
                "logtag": "P" if line.partial else "F", "kubernetes": kubernetes,
            }
            for line in self.lines
        ]  # fmt: skip

    def batches(self):
        entries = self.entries()
        return [entries[at : at + BATCH] for at in range(0, len(entries), BATCH)]

    def rows(self):
        """What rows the lines come to, by themselves."""
        found = [
            (row.at_ns, row.iteration, row.rank_group, row.fields)
            for line in self.lines
            for row in rows(
                parse_line(line.text), pod_uid=self.uid, source="log", at_ns=line.at_ns
            )
            if row.marker is None
        ]
        return sorted(found, key=str)


def pods(shift_ns=0):
    """The pods of JOBS; all that they printed *shift_ns* later than it was."""
    listed = []
    for workload, names in JOBS.items():
        for place, name in enumerate(names):
            lines = [line._replace(at_ns=line.at_ns + shift_ns) for line in read(name)]
            listed.append(Pod(workload, f"{workload}-{place}", f"{workload}-0", lines))
    return listed


def document(listed):
    names = dict.fromkeys(pod.workload for pod in listed)
    return placements(
        [pod.placed() for pod in listed], [{"uid": uid, "name": uid} for uid in names]
    )


def stored(get, workload):
    """(rows, runs, findings by id) of a workload, as a user gets them."""
    listed = get(f"/v1/workloads/{workload}/training", limit=1000)["items"]
    found = sorted(
        ((instant.parse(row["at"]), row["iteration"], row["rank_group"], row["fields"]) for row in listed),
        key=str,
    )  # fmt: skip
    one = get(f"/v1/workloads/{workload}")
    runs = [(run["first_iteration"], run["last_iteration"], run["rows"]) for run in one["runs"]]
    assert [run["run"] for run in one["runs"]] == list(range(1, len(runs) + 1))
    timeline = get(f"/v1/workloads/{workload}/timeline", limit=1000)["items"]
    told_of = [record for record in timeline if "record_id" in record]
    findings = {record["record_id"]: record for record in told_of}
    assert len(findings) == len(told_of)
    return found, runs, findings


def checked(get, listed):
    """All of JOBS is there as it was printed; {workload: ids of its findings}."""
    ids = {}
    for workload, expected in RUNS.items():
        found, runs, findings = stored(get, workload)
        own = [pod for pod in listed if pod.workload == workload]
        assert found == sorted((row for pod in own for row in pod.rows()), key=str)
        assert runs == expected
        roots = [one for one in findings.values() if one["attributes"].get("role") == "root"]
        assert [one["event_type"] for one in roots] == ROOTS.get(workload, [])
        ids[workload] = sorted(findings)
    return ids


def interleaved(listed, rng):
    """The batches of all pods, each pod's in order."""
    waiting = [pod.batches() for pod in listed]
    while waiting:
        one = rng.choice(waiting)
        yield one.pop(0)
        waiting = [some for some in waiting if some]


@pytest.fixture
def clock():
    return ManualClock(max(pod.lines[-1].at_ns for pod in pods()) + 3600 * SECOND_NS)


def getter(site):
    def get(path, **query):
        answer = site.get(path, **query)
        assert answer.status == 200, answer.body[:300]
        return answer.json()

    return get


def test_sessions_come_interleaved_and_twice(tmp_path, clock):
    listed = pods()
    with told(tmp_path / "data", clock) as site:
        posted(site, "/v1/placements", document(listed))
        sent = list(interleaved(listed, random.Random(1)))
        for batch in sent:
            posted(site, "/v1/logs", batch)
        settled(site)
        first = checked(getter(site), listed)
        for batch in sent:
            posted(site, "/v1/logs", batch)
        settled(site)
        assert checked(getter(site), listed) == first
        site.assert_sound()


def test_sessions_come_in_any_order(tmp_path, clock):
    """Rows and runs are the same. A block whose lines come in the wrong order is told by its parts,
    so only roots are."""
    listed = pods()
    sent = [batch for pod in listed for batch in pod.batches()]
    random.Random(2).shuffle(sent)
    with told(tmp_path / "data", clock) as site:
        for batch in sent[:20]:
            posted(site, "/v1/logs", batch)
        posted(site, "/v1/placements", document(listed))
        for batch in (*sent[20:], *sent[:25]):
            posted(site, "/v1/logs", batch)
        settled(site)
        checked(getter(site), listed)


def test_a_killed_service_goes_on(tmp_path):
    """kill -9 after half of the requests; what may not have been answered is sent again."""
    now_ns = CLOCK.now_ns()
    last_ns = max(pod.lines[-1].at_ns for pod in pods())
    listed = pods(now_ns - last_ns - 60 * SECOND_NS)
    sent = list(interleaved(listed, random.Random(3)))
    life = Life(tmp_path / "data")
    try:
        assert life.start().post("/v1/placements", document(listed)).status == 200
        for number, batch in enumerate(sent):
            if number == len(sent) // 2:
                life.kill()
                assert life.post("/v1/logs", batch).status == 0
                life.start(ready=False)
                assert life.post("/v1/logs", sent[number - 1]).status == 200
            assert life.post("/v1/logs", batch).status == 200
        life.settled()
        checked(life.get, listed)
        assert life.measured("heliograph_bugs_total") == {}
    finally:
        life.end()


@pytest.mark.parametrize("framework", ["megatron-lm", "primus"])
def test_a_generated_session_is_stored_as_it_was_made(tmp_path, framework):
    session = generated.session(framework, seed=7)
    clock = ManualClock(session.lines[-1].at_ns + 3600 * SECOND_NS)
    listed = [
        Pod("w", uid, name, [Line(said.at_ns, said.stream, said.text, partial=False) for said in session.lines if said.pod == uid])
        for uid, (_, name) in session.pods.items()
    ]  # fmt: skip
    with told(tmp_path / "data", clock) as site:
        posted(site, "/v1/placements", document(listed))
        for batch in interleaved(listed, random.Random(framework)):
            posted(site, "/v1/logs", batch)
            posted(site, "/v1/logs", batch)
        settled(site)
        found, runs, findings = stored(getter(site), "w")
        assert [fields for *_, fields in sorted(found, key=lambda row: row[0])] == [
            step.fields for step in session.steps
        ]
        assert runs == [
            (1, generated.CRASH, session.rows[0]),
            (generated.LOADED + 1, generated.LAST, session.rows[1]),
        ]
        assert len(findings) == session.findings.total()
        loaded = site.get("/v1/workloads/w/checkpoints").json()["items"]
        assert sorted((one["kind"], one["iteration"]) for one in loaded) == [
            ("load", 100),
            *(("save", step) for step in (50, 100, 150, 200)),
        ]
