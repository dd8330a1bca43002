"""GPU names as the world writes them."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.usage import devices
from heliograph.usage.builders.labeled import LabeledMetricsBuilder
from heliograph.usage.gpu_names import gpu_type, primary_gpu

TABLE = Path(__file__).with_name("gpu_names.txt")


def rows():
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [
        tuple(part.strip() for part in line.rsplit("|", 1))
        for line in lines
        if line and not line.startswith("#")
    ]


def test_every_name_of_the_table():
    assert len(rows()) >= 150
    assert [
        (name, kind, gpu_type(name)) for name, kind in rows() if gpu_type(name) != kind
    ] == []


def test_case_and_separators_say_nothing():
    for name, kind in rows():
        if "MIG" in name or "." in name:
            continue
        assert gpu_type(name.lower()) == kind
        assert gpu_type(f" {name.replace(' ', '_')} ") == kind


def test_the_name_of_no_device():
    assert [gpu_type(name) for name in ("", None, 42, True, "NVIDIA GeForce")] == [
        "", "NONE", "42", "TRUE", "NVIDIA",
    ]  # fmt: skip


PRIMARY = [
    # case                                            names                                  primary
    ("the newer generation", ["NVIDIA A100", "NVIDIA H100", "NVIDIA V100"], "H100"),
    ("none", [], "unknown"),
    ("one", ["Tesla T4"], "T4"),
    ("Blackwell boards before chips", ["NVIDIA GB200", "GeForce RTX 5090"], "RTX5090"),
    ("an RTX PRO is Blackwell", ["NVIDIA H200", "NVIDIA RTX PRO 6000 Blackwell"], "RTXPRO6000"),
    ("an RTX 6000 Ada is not", ["NVIDIA RTX 6000 Ada Generation", "NVIDIA H100"], "H100"),
    ("but newer than Ampere", ["NVIDIA A100", "NVIDIA RTX 6000 Ada Generation"], "RTX6000"),
    ("and a Quadro RTX 6000 is Turing", ["Quadro RTX 6000", "NVIDIA A100"], "A100"),
    ("Thor before B200", ["NVIDIA B200", "NVIDIA Jetson T5000"], "T5000"),
    ("a Quadro T1000 is no Thor", ["Quadro T1000", "NVIDIA A100"], "A100"),
    ("GTX at last", ["GeForce GTX 1080 Ti", "Tesla V100-SXM2-16GB"], "V100"),
    ("listed before unlisted", ["foo 9x", "foo 9x", "Tesla K80"], "K80"),
    ("the most common of unlisted", ["AMD Instinct MI300X"] * 2 + ["foo 9x"], "MI300X"),
    ("of as many, the larger name", ["foo 1x", "bar 2y"], "2Y"),
    ("the larger number of one series", ["GeForce RTX 4070", "GeForce RTX 4090"], "RTX4090"),
]


@pytest.mark.parametrize(
    ("names", "primary"), [pytest.param(*row, id=case) for case, *row in PRIMARY]
)
def test_primary(names, primary):
    assert primary_gpu(names) == primary
    assert LabeledMetricsBuilder()._extract_primary_gpu(tuple(reversed(names))) == primary


@given(st.text(max_size=40))
def test_any_name_has_a_type(name):
    kind = gpu_type(name)

    assert kind == kind.upper()
    assert bool(kind) == bool(re.sub(r"[ \-_/,()\[\]™®©]|\((?:TM|R|C)\)", "", name.upper()))


def test_what_is_remembered_of_lists_is_bounded():
    short = [[f"A{n} {m}" for m in range(3)] for n in range(devices.REMEMBERED_MAX + 1)]
    for names in [*short, ["L4"] * 129, ["H100"] * 129, ["x" * 3_000_000]]:
        assert devices.of(names).count == len(names)

    assert len(devices._remembered) <= devices.REMEMBERED_MAX
    assert list(devices._last.values()) == [devices.of(["H100"] * 129)]
