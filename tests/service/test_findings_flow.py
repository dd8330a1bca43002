"""Findings over HTTP and through the applier: whole records, and the same ones after every replay."""

import random

import pytest

from heliograph.core.clock import ManualClock
from heliograph.receive.lines import Line
from heliograph.service.effects import Given, of_lines
from heliograph.service.findings import Findings
from heliograph.store.state import findings as store
from heliograph.training.parse import parse_line
from tests.service.stories import END_MS, T0_MS, at, killed, placements, posted, settled, told

POD = {"pod_id": "p1", "pod_name": "pod-p1", "namespace_name": "train", "host": "n1", "container_name": "main"}  # fmt: skip
TRACE = [
    "[rank3]: Traceback (most recent call last):",
    '[rank3]:   File "train.py", line 8, in main',
    '[rank3]:     raise ValueError("no data")',
    "[rank3]: ValueError: no data",
]
OOM = "[rank1]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 1 has a total capacity of 79.11 GiB of which 4.94 MiB is free."
XID = "NVRM: Xid (PCI:0000:91:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
SCALE = "iteration {}/ 500 | lm loss: 2.5E+00 | loss scale: {} |"


def entry(ms, text, **pod):
    return {
        "date": ms / 1000, "log": text, "stream": "stderr", "kubernetes": {**POD, **pod},
    }  # fmt: skip


def story():
    """Requests: a traceback cut in two, an OOM with its own, a report, a loss scale that falls."""
    lines = [
        *TRACE,
        OOM.replace(OOM[9:], "Traceback (most recent call last):"),
        '[rank1]:   File "train.py", line 9, in main',
        OOM,
        XID,
        *(SCALE.format(n, 65536.0) for n in range(1, 14)),
        *(SCALE.format(13 + n, 65536.0 / 2**n) for n in range(1, 17)),
        "Traceback (most recent call last):",
        '  File "torchrun", line 8, in <module>',
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ",
        "=" * 60,
        "train.py FAILED",
        "Root Cause (first observed failure):",
        "[0]:",
        "  rank      : 3 (local_rank: 3)",
        "  exitcode  : 1 (pid: 222)",
        "=" * 60,
        "done",
    ]
    entries = [entry(T0_MS + n * 1000, text) for n, text in enumerate(lines)]
    return [entries[:2], entries[2:20], entries[20:36], entries[36:]]


def place(site):
    pods = [
        {"uid": "p1", "name": "pod-p1", "namespace": "train", "node": "n1",
         "workload_uid": "w", "start": at(T0_MS)}
    ]  # fmt: skip
    posted(site, "/v1/placements", placements(pods, [{"uid": "w", "name": "llm"}]))


def records(site):
    answer = site.get("/v1/records", source_kind="log", limit=1000)
    assert answer.status == 200, answer.body[:300]
    return sorted(
        answer.json()["items"], key=lambda one: (one["timestamp_ns"], one["event_type"])
    )


def brief(found):
    return [
        (
            one["event_type"],
            one["severity"],
            one["resource"].get("rank"),
            one["attributes"]["role"],
        )
        for one in found
    ]


@pytest.fixture
def clock():
    return ManualClock(END_MS * 10**6)


TOLD = [
    ("traceback", "error", 3, "root"),
    ("oom", "critical", 1, "root"),
    ("traceback", "error", 1, "confirmation"),
    ("xid", "critical", None, "root"),
    ("loss_scale_collapse", "critical", None, "root"),
    ("process_failed", "critical", 3, "confirmation"),
]


def test_lines_become_findings(tmp_path, clock):
    with told(tmp_path / "data", clock) as site:
        place(site)
        for request in story():
            posted(site, "/v1/logs", request)
        settled(site)
        found = records(site)
        assert brief(found) == TOLD
        assert found[0]["body"] == "\n".join(text[9:] for text in TRACE)
        assert found[0]["resource"]["pod_uid"] == "p1"
        assert found[1]["body"] == OOM
        assert (found[1]["resource"]["device"], found[3]["resource"]["device"]) == (
            "1",
            "0000:91:00",
        )
        assert found[4]["attributes"]["from"] == 65536.0
        assert found[5]["attributes"]["exitcode"] == 1


@pytest.mark.parametrize("after", [1, 2])
def test_a_death_between_requests_changes_no_finding(tmp_path, clock, after):
    """What was before the death, and what the next life reads again, give one set of records."""
    with told(tmp_path / "whole", clock) as site:
        place(site)
        for request in story():
            posted(site, "/v1/logs", request)
        settled(site)
        whole = records(site)
    with told(tmp_path / "data", clock) as site:
        place(site)
        for request in story()[:after]:
            posted(site, "/v1/logs", request)
        copy = killed(tmp_path / "data", tmp_path / "copy")
    with told(copy, clock) as site:
        # The last request may have had no answer: the shipper sends it again.
        for request in story()[after - 1 :]:
            posted(site, "/v1/logs", request)
        settled(site)
        ids = [one["record_id"] for one in whole]
        assert [one["record_id"] for one in records(site)] == ids
        assert brief(records(site)) == brief(whole)


def test_all_again_changes_nothing(tmp_path, clock):
    with told(tmp_path / "data", clock) as site:
        place(site)
        for _ in range(2):
            for request in story():
                posted(site, "/v1/logs", request)
        settled(site)
        assert brief(records(site)) == TOLD


def test_shuffled_lines_name_the_same_exceptions(tmp_path, clock):
    """Lines out of order cannot be joined; what each tells has the same id all the same."""

    def ids(site):
        settled(site)
        return {
            one["record_id"]
            for one in records(site)
            if one["event_type"] in {"oom", "xid"}
            or one["attributes"].get("exception") == "ValueError"
        }

    with told(tmp_path / "data", clock) as site:
        place(site)
        for request in story():
            posted(site, "/v1/logs", request)
        whole = ids(site)
    entries = [one for request in story() for one in request]
    random.Random(7).shuffle(entries)
    with told(tmp_path / "shuffled", clock) as site:
        place(site)
        for start in range(0, len(entries), 12):
            posted(site, "/v1/logs", entries[start : start + 12])
        assert ids(site) == whole


def test_what_no_version_of_today_reads_is_forgotten():
    held = Findings([store.Row("block", "x", 1, b"\xc1"), store.Row("scale", "y", 2, b"")])
    assert held.given_up() == {"unread": 2}
    assert held.given_up() == {}
    assert sorted(held.changes().gone) == [("block", "x"), ("scale", "y")]
    held.settle()
    assert held.changes() == ([], [])


def nan_frame(first, count, *, start_s=0):
    lines = [
        Line((start_s + n) * 10**9, "p1", "train", "pod-p1", "n1", "main", "stderr", f"[rank3]: iteration {first + n}/ 500 | lm loss: nan | grad norm: nan |")
        for n in range(count)
    ]  # fmt: skip
    return [Given(line, "p1", parse_line(line.text)) for line in lines]


@pytest.mark.parametrize(("keep", "lines"), [("findings", 0), ("all", 15)])
def test_a_loss_that_stays_nan_is_told_so_often(keep, lines):
    """Where it began, with step and rank, and not each of the steps that follow; after a death too."""

    def told_of(given, held, seq):
        found = of_lines(given, arrival_ns=9, keep_lines=keep, findings=held, seq=seq).records
        assert sum(one.event_type == "log_line" for one in found) == (lines if seq == 1 else 0)
        told = [one for one in found if one.event_type == "nan_loss"]
        return [(one.attributes["iteration"], one.resource["rank"]) for one in told]

    held = Findings()
    first = nan_frame(100, 25)
    assert told_of(first, held, 1) == [(step, 3) for step in range(100, 110)]
    assert held.given_up() == {"repeated": 15}
    assert told_of(first, held, 1) == [(step, 3) for step in range(100, 110)]
    after = Findings(held.changes().put)
    if keep == "findings":
        assert told_of(nan_frame(125, 5, start_s=25), after, 2) == []
        assert told_of(nan_frame(700, 2, start_s=700), after, 3) == [(700, 3), (701, 3)]


@pytest.mark.parametrize("keep", ["findings", "all", "none"])
def test_what_of_a_line_is_kept(keep):
    lines = [
        Line(n, "p1", "train", "pod-p1", "n1", "main", "stderr", text)
        for n, text in enumerate([*TRACE, "noise", OOM])
    ]
    given = [Given(line, "p1", parse_line(line.text)) for line in lines]
    found = of_lines(given, arrival_ns=9, keep_lines=keep, findings=Findings(), seq=1)
    kinds = [record.event_type for record in found.records]
    assert kinds == [*(["log_line"] * 5 if keep == "all" else []), "oom", "traceback"]
    bodies = [record.body for record in found.records if record.event_type != "log_line"]
    assert (None in bodies) == (keep == "none")


def test_the_timeline_names_what_may_have_caused_a_cascade(tmp_path, clock):
    """A watchdog that waited for half an hour: the kernel of the node told of its GPU before."""
    kernel = {"kubernetes": {"host": "n1", "container_name": "kernel"}}
    watchdog = (
        "[rank1]:[E ProcessGroupNCCL.cpp:523] [Rank 1] Watchdog caught collective operation timeout: "
        "WorkNCCL(SeqNum=7, OpType=ALLREDUCE, Timeout(ms)=1800000) ran for 1800333 milliseconds"
    )
    with told(tmp_path / "data", clock) as site:
        place(site)
        posted(site, "/v1/logs", [{**entry(T0_MS, XID), **kernel}])
        posted(site, "/v1/logs", [entry(T0_MS + 35 * 60_000, watchdog)])
        settled(site)
        items = site.get("/v1/workloads/w/timeline").json()["items"]
        (item,) = [one for one in items if one["event_type"] == "nccl_timeout"]
        assert (item["attributes"]["role"], item["resource"]["rank"]) == ("cascade", 1)
        (xid,) = [one for one in records(site) if one["event_type"] == "xid"]
        assert item["cause"] == {
            "record_id": xid["record_id"], "event_type": "xid", "timestamp": xid["timestamp"],
        }  # fmt: skip


CHAIN = [
    *TRACE,
    "[rank3]: ",
    "[rank3]: The above exception was the direct cause of the following exception:",
    "[rank3]: ",
    TRACE[0],
    '[rank3]:   File "run.py", line 1, in <module>',
    "[rank3]: RuntimeError: the job failed",
]
GROUP = [
    "[rank3]:   + Exception Group Traceback (most recent call last):",
    '[rank3]:   |   File "run.py", line 1, in <module>',
    "[rank3]:   | ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)",
    "[rank3]:   +-+---------------- 1 ----------------",
    *(text.replace("]: ", "]:     | ") for text in TRACE),
    "[rank3]:     +---------------- 2 ----------------",
    "[rank3]:     | KeyError: 1",
    "[rank3]:     +------------------------------------",
]


@pytest.mark.parametrize(
    ("lines", "exceptions", "cut"),
    [
        *((CHAIN, ["ValueError", "RuntimeError"], cut) for cut in range(1, len(CHAIN))),
        *(
            (GROUP, ["ExceptionGroup", "ValueError", "KeyError"], cut)
            for cut in range(1, len(GROUP))
        ),
    ],
)
def test_a_chain_that_requests_cut_gives_the_same_records_after_a_death_too(
    lines, exceptions, cut
):
    """Each stretch is read by another life, which knows what state was told of the one before."""
    given = [
        Given(Line(n, "p1", "train", "pod-p1", "n1", "main", "stderr", text), "p1", parse_line(text))
        for n, text in enumerate(lines)
    ]  # fmt: skip

    def recorded(frames):
        rows, found = {}, []
        for seq, frame in enumerate(frames, start=1):
            held = Findings(rows.values())
            found += of_lines(
                frame, arrival_ns=9, keep_lines="findings", findings=held, seq=seq
            ).records
            changes = held.changes()
            rows |= {(row.kind, row.name): row for row in changes.put}
            rows = {name: row for name, row in rows.items() if name not in changes.gone}
        return found

    whole = recorded([given])
    assert [one.attributes["exception"] for one in whole] == exceptions
    assert recorded([given[:cut], given[cut:]]) == whole
