"""Impossible speeds stay as printed and count in nothing (trap 8)."""

from heliograph.training.parse import parse_line
from heliograph.training.plausible import MFU_MAX, TFLOPS_MAX, speeds_are_real
from heliograph.training.rows import rows
from heliograph.training.summary import summary

STEP = "completed step: {}, seconds: {}, TFLOP/s/device: {}, Tokens/s/device: {}, total_weights: 1, loss: 10.5"


def test_what_no_device_does():
    assert speeds_are_real({})
    assert speeds_are_real({"tflops": TFLOPS_MAX, "mfu": MFU_MAX})
    assert not speeds_are_real({"tflops": 917442.5})
    assert not speeds_are_real({"mfu": 101.0})


def test_a_summary_leaves_them_out():
    lines = [STEP.format(1, 0.002, 917442.5, 19907654.5), STEP.format(2, 5.5, 300.5, 5315.5)]
    found = summary(
        [
            row
            for at_ns, line in enumerate(lines)
            for row in rows(parse_line(line), pod_uid="p", source="log", at_ns=at_ns)
        ],
        [],
    )
    assert found.rows == 2
    assert found.step_ms == 5500.0
    assert found.throughput == (("tokens_per_gpu", 5315.5), ("tflops", 300.5))
