"""Whole sessions that real trainers printed (`sessions/README.md`): every step with its values, nothing
else as a step, and what happened as it happened."""

import json
import subprocess
import sys
from collections import Counter

import pytest
from click.testing import CliRunner

from heliograph.cli.parse_log import parse_log
from heliograph.receive.lines import Line
from heliograph.service.effects import Given, of_lines
from heliograph.service.findings import Findings
from heliograph.training.parse import parse_line
from heliograph.training.rows import iteration_of, rows
from heliograph.training.runs import runs
from tests.training import generated, recorded
from tests.training.recorded import FOLDER, NAMES, Step, read, steps

RANKS = [name for name in NAMES if name.startswith("ranks_")]
HF = [name for name in NAMES if name.startswith("hf_")]
SESSION_BYTES_MAX, ALL_BYTES_MAX = 60_000, 300_000
EVERY_5 = range(5, 81, 5)
LIGHTNING_ENDS = [(50, 1.28), (100, 0.0581), (150, 0.0638)]

ADVICE = "see: https://"
LEFT = ("nccl_error", "cascade")
STOPPED = ("process_failed", "cascade")
REPORTED = ("process_failed", "confirmation")
RAISED = ("traceback", "confirmation")
ABORTED = Counter({LEFT: 2, STOPPED: 3, REPORTED: 2, RAISED: 2})
CRASH = Counter({LEFT: 2, STOPPED: 3, RAISED: 2})
# What is no root, by type and role.
FOLLOWED = {
    "ranks_raise": ABORTED,
    "ranks_restart": ABORTED - Counter([REPORTED]),
    "ranks_kill": CRASH,
    "ranks_segv": CRASH,
    "ranks_loader": ABORTED + Counter([RAISED]),
    "ranks_memory": ABORTED + Counter([RAISED]),
    "ranks_evicted": Counter({STOPPED: 6, RAISED: 1}),
    "ranks_absent": Counter({("nccl_timeout", "cascade"): 5, RAISED: 3, LEFT: 2, STOPPED: 3, REPORTED: 2}),
    "ranks_refused": Counter({LEFT: 9, RAISED: 6, STOPPED: 6, REPORTED: 4}),
}  # fmt: skip
# What went wrong by itself: type, global rank, and what tells most of it.
ROOTS = {
    "hf_diverged": [("nan_loss", None, "nan")] * 9,
    "ranks_raise": [("traceback", 3, "ValueError")],
    "ranks_restart": [("traceback", 3, "ValueError")],
    "ranks_refused": [("traceback", 3, "ValueError")],
    "ranks_kill": [("process_failed", None, "SIGKILL"), ("process_failed", 3, "SIGKILL")],
    "ranks_segv": [("process_failed", None, "SIGSEGV"), ("process_failed", 3, "SIGSEGV")],
    "ranks_loader": [("dataloader_died", 1, "SIGKILL")],
    "ranks_memory": [("oom", 1, "cpu")],
    "ranks_absent": [("nccl_timeout", 0, [3])] * 2,
}
SAVED = [("checkpoint_save_start", 10), ("checkpoint_save_end", 10)]
AGAIN = [(kind, step) for step in (20, 30) for kind, _ in SAVED]
# What did not go wrong: checkpoints and ends.
CALM = {
    "deepspeed": [
        *[("checkpoint_save_start", step) for step in (10, 10, 20, 20)],
        # Of two processes.
        *[("training_end", None)] * 2,
    ],
    **{name: [("training_end", None)] for name in HF if name != "hf_killed"},
    "lightning_interrupted": [("training_end", "signal")],
    "lightning_resumed": [("checkpoint_load", 100), ("checkpoint_load", 100), ("training_end", "target")],
    "lightning_rich": [("training_end", "target")],
    "lightning_rich_pipe": [("training_end", "target")],
    "lightning_tty": [("training_end", "target")],
    "ranks_again": [("checkpoint_load", 10), *AGAIN],
    "ranks_tee": [*SAVED, *AGAIN],
    "ranks_restart": [*SAVED, ("checkpoint_load", 10), *AGAIN],
    **dict.fromkeys(
        ("ranks_raise", "ranks_kill", "ranks_loader", "ranks_refused", "ranks_evicted"), SAVED
    ),
}  # fmt: skip


def performances(name):
    """(place of the line, what it parsed to) of each performance line."""
    parsed = [(place, parse_line(line.text)) for place, line in enumerate(read(name))]
    return [(place, one) for place, one in parsed if one.kind == "performance"]


def rows_of(name, pod_uid="p1"):
    """The rows and marks of a session."""
    return [
        row
        for line in read(name)
        for row in rows(parse_line(line.text), pod_uid=pod_uid, source="log", at_ns=line.at_ns)
    ]


def records(name, *, apart=False):
    """The records of a session that comes in one frame, or each line in one of its own."""
    given = [
        Given(
            Line(line.at_ns, "p1", "train", "pod-p1", "n1", "main", line.stream, line.text),
            "p1",
            parse_line(line.text),
        )
        for line in read(name)
    ]
    findings, found = Findings(), []
    for seq, frame in enumerate([[one] for one in given] if apart else [given]):
        now_ns = given[-1].line.at_ns
        effects = of_lines(
            frame, arrival_ns=now_ns, keep_lines="findings", findings=findings, seq=seq
        )
        found += effects.records
    return found


def test_the_sessions_are_small_and_tell_nothing_of_a_machine():
    sizes = {name: (FOLDER / f"{name}.log").stat().st_size for name in NAMES}
    assert len(NAMES) == 22
    assert max(sizes.values()) <= SESSION_BYTES_MAX
    assert sum(sizes.values()) <= ALL_BYTES_MAX
    # Of paths only those that stand in for others: torch's own builders', and the job's.
    for name in NAMES:
        text = (FOLDER / f"{name}.log").read_text("utf-8")
        assert "/home/" not in text
        assert "/tmp/" not in text
        assert not any(line.partial for line in read(name))


@pytest.mark.parametrize("name", [*RANKS, "deepspeed"])
def test_every_step_is_read_and_nothing_else(name):
    expected = steps(name)
    assert len(expected) >= 19
    found = [Step(place, one.label, one.fields) for place, one in performances(name)]
    assert found == expected
    assert {one.framework for _, one in performances(name)} == {
        "deepspeed" if name == "deepspeed" else "unknown"
    }


@pytest.mark.parametrize("name", HF)
def test_every_dict_of_a_trainer_is_read(name):
    """Its step is the bar's beside it; the bars of evaluations count nothing."""
    expected = {place: fields for place, _, fields in steps(name)}
    found = dict(performances(name))
    drawn = {"current_iteration", "target_iteration"}
    for place, fields in expected.items():
        # A speed that the dict does not name is the bar's.
        got = {key: value for key, value in found[place].fields.items() if key not in drawn}
        if "steps_per_second" not in fields:
            got.pop("steps_per_second", None)
        assert json.dumps(got, sort_keys=True) == json.dumps(fields, sort_keys=True)
        assert found[place].framework == "hf-trainer"
    bars = [one for place, one in found.items() if place not in expected]
    assert {(one.rule, one.fields["target_iteration"]) for one in bars} == {
        ("bar", 40 if name == "hf_diverged" else 80)
    }
    assert {iteration_of(one) for one in bars} == {None}


@pytest.mark.parametrize(("name", "behind_max"), [("hf_merged", 1), ("hf_tty", 5)])
def test_the_step_of_a_dict_is_that_of_the_bar_beside_it(name, behind_max):
    """A bar is drawn ten times a second at most; `hf_tty` does a hundred steps in it."""
    found = {
        round(one.fields["epoch"] * 40): one.fields.get("current_iteration")
        for _, one in performances(name)
        if one.rule == "dict" and "learning_rate" in one.fields
    }
    assert set(found) == set(EVERY_5)
    told = {step: drawn for step, drawn in found.items() if drawn is not None}
    assert len(told) >= 13
    assert {step: 0 <= step - drawn <= behind_max for step, drawn in told.items()} == dict.fromkeys(told, True)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("lightning_tty", LIGHTNING_ENDS),
        ("lightning_interrupted", LIGHTNING_ENDS),
        ("lightning_resumed", LIGHTNING_ENDS[2:]),
        # It prints three digits after the point.
        ("lightning_rich", [(50, 1.282), (100, 0.058), (150, 0.064)]),
        ("lightning_rich_pipe", [(150, 0.064)]),
    ],
)
def test_epochs_of_a_bar(name, ends):
    found = [row for row in rows_of(name) if row.marker is None]
    iterations = [row.iteration for row in found]
    assert iterations == sorted(iterations)
    last = {row.iteration: row.fields["total_loss"] for row in found}
    assert [(step, loss) for step, loss in last.items() if step % 50 == 0] == ends
    assert {row.framework for row in found} == {"pytorch-lightning"}
    assert {row.fields["target_iteration"] for row in found} == {50}
    (run,) = runs(rows_of(name), pod_names={})
    assert (run.first_iteration, run.last_iteration) == (iterations[0], 150)


def told(record):
    said = record.attributes
    most = next(
        said[key]
        for key in ("missing_ranks", "signal", "value", "backend", "exception")
        if key in said
    )
    return record.event_type, record.resource.get("rank"), most


@pytest.mark.parametrize("name", NAMES)
def test_what_happened_is_found(name):
    found = records(name)
    roots = [one for one in found if one.attributes.get("role") == "root"]
    calm = [one for one in found if "role" not in one.attributes]
    rest = [one for one in found if one.attributes.get("role", "root") != "root"]
    assert [told(one) for one in roots] == ROOTS.get(name, [])
    assert [
        (one.event_type, one.attributes.get("iteration", one.attributes.get("reason")))
        for one in calm
    ] == CALM.get(name, [])
    follows = Counter((one.event_type, one.attributes["role"]) for one in rest)
    assert follows == FOLLOWED.get(name, Counter())
    assert not any(ADVICE in str(one.attributes.get("message")) for one in found)


def known(record):
    said = {key: value for key, value in record.attributes.items() if key != "lines"}
    return record.event_type, record.severity, record.timestamp_ns, record.resource, said


@pytest.mark.parametrize("name", NAMES)
def test_findings_are_the_same_however_lines_come(name):
    """What a traceback goes on with after its exception is its own only in the same request."""
    whole, apart = ({one.record_id: known(one) for one in records(name, apart=each)} for each in (False, True))  # fmt: skip
    assert len(whole) == len(records(name))
    assert apart == whole


def test_a_traceback_of_one_rank_is_whole_among_others():
    (one,) = [
        one
        for one in records("ranks_restart")
        if one.event_type == "traceback" and one.attributes["role"] == "root"
    ]
    assert one.body.splitlines()[0] == "Traceback (most recent call last):"
    assert one.body.splitlines()[-1] == (
        "ValueError: batch 15 has a token id 50257 that the vocabulary lacks"
    )
    assert one.attributes["lines"] == 8


def test_all_that_an_eviction_ends_is_ended_by_its_signal():
    found = [one for one in records("ranks_evicted") if one.event_type == "process_failed"]
    assert {one.attributes["signal"] for one in found} == {"SIGTERM"}


def test_a_launchers_report_names_who_failed_first():
    (one,) = [one for one in records("ranks_segv") if "ranks" in one.attributes]
    said = one.attributes
    assert {
        key: said[key] for key in ("rank", "local_rank", "exitcode", "signal", "ranks")
    } == {
        "rank": 3,
        "local_rank": 3,
        "exitcode": -11,
        "signal": "SIGSEGV",
        "ranks": [0, 1, 2, 3],
    }


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        # One pod whose launcher starts the ranks again, from the checkpoint of step 10.
        (["ranks_restart"], [(1, 15, 60), (11, 30, 80)]),
        (["ranks_tee"], [(1, 30, 120)]),
        # A pod, and another that goes on with its checkpoint.
        (["ranks_raise", "ranks_again"], [(1, 15, 55), (11, 30, 80)]),
        (["lightning_interrupted", "lightning_resumed"], [(50, 150, 4), (150, 150, 2)]),
        # Without a step on any line, nothing but the pod tells that it began anew.
        (["hf_killed", "hf_resumed"], [(None, None, 14), (None, None, 13)]),
    ],
)
def test_runs(names, expected):
    found = [row for place, name in enumerate(names) for row in rows_of(name, f"p{place}")]
    pods = {f"p{place}": ("train", "job-0") for place in range(len(names))}
    listed = runs(found, pod_names=pods)
    assert [(run.first_iteration, run.last_iteration, run.rows) for run in listed] == expected
    assert [run.serial for run in listed] == list(range(1, len(listed) + 1))


@pytest.mark.parametrize("name", NAMES)
def test_parse_log_reads_them_with_their_times(name):
    shown = CliRunner().invoke(parse_log, ["--json", str(FOLDER / f"{name}.log")])
    assert shown.exit_code == 0, shown.output
    found = [json.loads(line) for line in shown.output.splitlines()]
    assert all(one["at"] is not None for one in found)
    if name in RANKS or name == "deepspeed":
        rows_shown = [one["fields"] for one in found if one["kind"] == "performance"]
        assert rows_shown == [step.fields for step in steps(name)]
    serials = {one["run"] for one in found if one["kind"] == "performance"}
    assert serials == ({1, 2} if name == "ranks_restart" else {1})


def test_the_sessions_can_be_made_anew():
    """Their script knows each; what it needs to run them is not installed here."""
    said = subprocess.run(
        [sys.executable, str(FOLDER / "make.py"), "--list"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert sorted(said.split()) == NAMES
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert [name for name in NAMES if f"`{name}`" not in readme] == []
    assert recorded.FOLDER == FOLDER


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("framework", generated.FRAMEWORKS)
def test_a_generated_session_comes_to_what_it_was_made_of(framework, seed):
    session = generated.session(framework, seed)
    parsed = [(said, parse_line(said.text)) for said in session.lines]
    found = [
        generated.Step(said.pod, one.label, one.fields)
        for said, one in parsed
        if one.kind == "performance"
    ]
    assert found == session.steps
    assert {one.framework for _, one in parsed if one.kind == "performance"} == {framework}

    given = [
        Given(Line(said.at_ns, said.pod, *session.pods[said.pod], "n", "c", said.stream, said.text), said.pod, one)
        for said, one in parsed
    ]  # fmt: skip
    effects = of_lines(given, arrival_ns=given[-1].line.at_ns, keep_lines="none", findings=Findings(), seq=1)  # fmt: skip
    told_of = Counter(
        (one.event_type, one.attributes.get("role", "")) for one in effects.records
    )
    assert told_of == session.findings

    listed = runs(effects.rows, pod_names=session.pods)
    assert [
        (run.serial, run.first_iteration, run.last_iteration, run.rows) for run in listed
    ] == [
        (1, 1, generated.CRASH, session.rows[0]),
        (2, generated.LOADED + 1, generated.LAST, session.rows[1]),
    ]
