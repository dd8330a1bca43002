"""Real lines of public logs: no wrong value in the frameworks that are read, and in no other."""

import json
import math

import pytest

from bench.extraction import score
from heliograph.training.parse import parse_line

RENAMED = {
    "mem_usages": "mem_usage_gb",
    "mem_free": "mem_free_gb",
    "mem_total": "mem_total_gb",
    "skipped_iterations_number": "skipped_iterations",
    "nan_iterations_number": "nan_iterations",
}
# Under `extra`: no field of the contract.
EXTRA = {"total_grad_norm", "actual_seqlen"}


@pytest.fixture(scope="module")
def lines(shared_data):
    text = (shared_data / "loglines.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_precision_and_recall(lines):
    found = score([x for x in lines if tells_values(x)])
    assert found.right > 600
    assert (found.wrong, found.missed) == (0, 0), found.faults


def tells_values(line):
    """A line of values: also one whose loss is NaN, and an overflow's."""
    return line["kind"] in {"perf", "nan"}


def test_no_wrong_value_on_other_lines(lines):
    for line in lines:
        if not tells_values(line):
            assert parse_line(line["line"]).kind != "performance", line["id"]


def test_performance_vectors(shared_data):
    for name in ("log_performance_lines", "log_external_lines"):
        document = json.loads(
            (shared_data / "lens_vectors" / f"{name}.json").read_text("utf-8")
        )
        for case in document["cases"]:
            recommended = case.get("recommended", {})
            observed = case.get("observed", {}).get("performance", {})
            wanted = (
                recommended.get("performance", observed) if "observed" in case else recommended
            )
            fields = parse_line(case["raw"]).fields
            for key, value in (wanted or {}).items():
                if key == "mem_usage_fraction" or (key == "mem_usages" and value < 1):
                    assert math.isclose(fields["mem_usage_ratio"], 100 * value), case["id"]
                elif key in EXTRA:
                    assert fields["extra"][key] == value
                else:
                    assert fields[RENAMED.get(key, key)] == value, (case["id"], key)


def test_hip_and_rocm_on_one_line(shared_data):
    document = json.loads(
        (shared_data / "lens_vectors" / "log_performance_lines.json").read_text("utf-8")
    )
    (case,) = [x for x in document["cases"] if x["id"] == "neg-hip-and-rocm-both"]
    fields = parse_line(case["raw"]).fields
    assert fields["mem_usage_gb"] == 153.81
    assert fields["extra"]["rocm_mem_usage_gb"] == 150.11
