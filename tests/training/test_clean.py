"""Colour codes go, whatever became of their ESC byte; brackets that are text stay."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.training.clean import begins, uncolored

CASES = [
    ("\x1b[32mGreen\x1b[0m text", "Green text"),
    (
        "[[32m20251202 06:56:28[0m][[1mINFO [0m] [1m[--- x]",
        "[20251202 06:56:28][INFO ] [--- x]",
    ),
    ("[38;5;10mX[0m", "X"),
    ("#033[32mX#033[0m", "X"),
    ("\\u001b[1mB\\u001b[0m", "B"),
    ("^[[31mR^[[0m", "R"),
    ("\x1b]0;title\x07text", "text"),
    ("\x1b[?25l\x1b[2Kbar", "bar"),
    ("Epoch [9074/5000000] loss", "Epoch [9074/5000000] loss"),
    ("matmul [4096x8192]", "matmul [4096x8192]"),
    ("rate(x[5m])", "rate(x[5m])"),
    ("took [1m30s]", "took [1m30s]"),
    ("[2h ago]", "[2h ago]"),
    ("heap [128m]", "heap [128m]"),
    ("[512m free", "[512m free"),
    ("[rank0]: x", "[rank0]: x"),
]


@pytest.mark.parametrize(("text", "clean"), CASES)
def test_codes(text, clean):
    assert uncolored(text) == clean


def test_shared_cases(shared_data):
    cases = json.loads((shared_data / "lens_vectors" / "ansi_strip.json").read_text("utf-8"))
    for case in cases["cases"]:
        assert uncolored(case["input"]) == case.get("recommended", case["observed"]), case["id"]


@given(st.text(alphabet=st.characters(exclude_characters="[\x1b\\#^"), max_size=80))
def test_text_without_brackets_or_escapes_stays(text):
    assert uncolored(text) == text


@pytest.mark.parametrize(
    ("before", "can"),
    [
        ("", True),
        ("[rank0]: ", True),
        ("2025 - root - INFO - ", True),
        ("INFO ", True),
        ("100%|██| 5/5 [00:01<00:00, 1.0s/it][x] ", True),
        ("while ", False),
        ("print('", False),
        ('log("', False),
        ("f(", False),
    ],
)
def test_where_a_message_begins(before, can):
    assert begins(before + "saving", len(before)) is can
