"""`heliograph parse-log`: any log file in, a table, JSON or charts out."""

import gzip
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from heliograph.cli.parse_log import parse_log


def line(iteration, loss="2.5"):
    return f" iteration {iteration:8d}/     100 | elapsed time per iteration (ms): 1000.0 | throughput per GPU (TFLOP/s/GPU): 400.5 | lm loss: {loss} | grad norm: inf |"


LOG = [
    "training ...",
    *(line(n) for n in range(1, 11)),
    "noise",
    "  successfully saved checkpoint from iteration      10 to /ckpt",
    "training ...",
    *(line(n, "nan" if n == 8 else "2.0") for n in range(6, 9)),
]


def run(*arguments, text=None):
    return CliRunner().invoke(parse_log, [str(a) for a in arguments], input=text)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "train.log"
    path.write_text("\n".join(LOG) + "\n", "utf-8")
    return path


def test_table_and_summary(log):
    result = run(log)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0].split() == ["run", "iteration", "lm", "loss", "step", "ms", "TFLOP/s/GPU", "grad", "norm"]  # fmt: skip
    for said in (
        "framework    megatron-lm",
        "iterations   1 → 8 of 100, 13 rows",
        "runs         2",
        "training_start again",
        "lm loss      2.5000 → nan",
        "step time    1,000.0 ms, median",
        "throughput   400.5 TFLOP/s/GPU, median",
        "checkpoints  1 saved",
        "line 13",
    ):
        assert said in result.output


def test_a_save_that_failed_is_not_one_that_was_saved(log):
    with log.open("a") as file:
        file.write("[rank0]: failed to save checkpoint: No space left on device\n")
    assert "checkpoints  1 saved" in run(log).output


def test_a_bar_shows_where_it_stands(tmp_path):
    path = tmp_path / "bars.log"
    path.write_text("\r".join(f" 1%|▌  | {n}/2000 [00:00<08:00,  4.25it/s]" for n in (1, 2)))
    lines = run(path).output.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["iteration", "steps/s"], ["1/2000", "4.25"], ["2/2000", "4.25"],
    ]  # fmt: skip


def test_rows_are_chosen_evenly(log):
    shown = run(log, "--rows", 3).output
    assert "3 of 13 rows, evenly chosen" in shown
    assert [row.split()[1] for row in shown.splitlines()[1:4]] == ["1/100", "7/100", "8/100"]
    assert "evenly" not in run(log, "--rows", 0).output


def test_json(log):
    documents = [json.loads(text) for text in run(log, "--json").output.splitlines()]
    assert [document["line"] for document in documents] == [
        *range(1, 12),
        13,
        14,
        15,
        16,
        17,
        17,
    ]
    assert documents[0] == {"kind": "event", "line": 1, "framework": "megatron-lm", "event_type": "training_start", "severity": "info", "attributes": {}}  # fmt: skip
    assert (documents[-1]["event_type"], documents[-1]["severity"]) == ("nan_loss", "critical")
    assert documents[-2] == {
        "kind": "performance",
        "line": 17,
        "run": 2,
        "framework": "megatron-lm",
        "fields": {
            "elapsed_time_per_iteration_ms": 1000.0,
            "tflops": 400.5,
            "lm_loss": "NaN",
            "grad_norm": "+Inf",
            "current_iteration": 8,
            "target_iteration": 100,
        },
    }


def test_gzip_and_standard_input_say_the_same(log, tmp_path):
    zipped = tmp_path / "train.log.gz"
    zipped.write_bytes(gzip.compress(log.read_bytes()))
    assert run(zipped, "--json").output == run(log, "--json").output
    assert run("-", "--json", text=log.read_text("utf-8")).output == run(log, "--json").output


def test_fluent_bit_lines(tmp_path):
    path = tmp_path / "log.jsonl"
    pod = {"pod_id": "p-1", "pod_name": "w-0", "namespace_name": "train"}
    again = {**pod, "pod_id": "p-2"}
    documents = [
        {"date": 1767225600.5, "log": line(1) + "\n", "kubernetes": pod},
        {"date": "2026-01-01T00:00:02Z", "message": line(2), "kubernetes": again},
        {"date": 1767225603000, "log": line(3), "kubernetes": again},
        {"other": "log"},
        ["log"],
    ]
    path.write_text("\n".join(map(json.dumps, documents)) + '\n{"log": broken', "utf-8")
    told = [json.loads(text) for text in run(path, "--json").output.splitlines()]
    assert [(one["at"], one["run"]) for one in told] == [
        ("2026-01-01T00:00:00.500Z", 1),
        ("2026-01-01T00:00:02Z", 2),
        ("2026-01-01T00:00:03Z", 2),
    ]


def test_plot(log):
    shown = run(log, "--plot").output
    for title in ("loss over iteration", "step time, ms over iteration", "TFLOP/s/GPU over"):
        assert title in shown


def test_plot_of_one_row(tmp_path):
    path = tmp_path / "one.log"
    path.write_text(line(1), "utf-8")
    assert "nothing to draw" in run(path, "--plot").output


def test_framework_is_taken(log):
    assert "framework    primus" in run(log, "--framework", "primus").output


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("missing.log", None, "No such file"),
        ("empty.log", b"", "empty"),
        ("binary.log", b"\x7fELF\0\0", "not a text file"),
        ("windows.log", "iteration 5/ 9 |".encode("utf-16"), "iconv -f UTF-16"),
        ("broken.gz", b"\x1f\x8bnot gzip at all", "gz"),
        (
            "short.gz",
            gzip.compress(b"iteration 1/ 2 | lm loss: 1\n" * 50, mtime=0)[:-12],
            "damaged",
        ),
    ],
)
def test_what_cannot_be_read(tmp_path, name, content, why):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    result = run(path)
    assert result.exit_code == 2
    assert why in result.output


def test_a_log_without_training_says_so(tmp_path):
    path = tmp_path / "other.log"
    path.write_text("hello\nworld\n", "utf-8")
    result = run(path)
    assert (result.exit_code, result.output) == (0, f"{path}: no training lines in 2 lines\n")
    assert run(path, "--json").stdout == ""


def test_the_command_loads_nothing_before_it_runs():
    code = "import heliograph.cli.parse_log, sys; print([m for m in ('rich', 'plotext', 'numpy', 'heliograph.training.parse') if m in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert shown.stdout == "[]\n"
