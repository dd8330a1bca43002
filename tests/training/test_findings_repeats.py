"""What goes on without end is told at its beginning, now and then, and anew after a rest."""

import pytest

from heliograph.training.findings import repeats
from heliograph.training.findings.event import Event
from heliograph.training.findings.repeats import EVERY_NS, TOLD_MAX, Repeats

S = 10**9
NAN = Event("nan_loss", "critical", {"field": "lm_loss", "iteration": 7})
CORRECTED = Event("pcie_error", "warning", {"pci": "0000:07:00.0", "corrected": True})


def told_at(event, seconds, held=None, speaker="p1"):
    held = Repeats() if held is None else held
    return [at for at in seconds if held.tells(speaker, event, at * S)]


@pytest.mark.parametrize("event", [NAN, CORRECTED])
def test_the_first_ones_and_then_now_and_then(event):
    every_s = EVERY_NS // S
    steps = range(0, 3 * every_s, 5)
    first = [*range(0, 5 * TOLD_MAX, 5)]
    last = first[-1]
    assert told_at(event, steps) == [*first, last + every_s, last + 2 * every_s]


def test_after_a_rest_all_begins_anew():
    held = Repeats()
    assert len(told_at(NAN, range(100), held)) == TOLD_MAX
    rest_s = 99 + EVERY_NS // S
    assert told_at(NAN, range(rest_s, rest_s + 3), held) == [rest_s, rest_s + 1, rest_s + 2]


def test_each_speaker_and_subject_for_itself():
    held = Repeats()
    assert len(told_at(NAN, range(50), held)) == TOLD_MAX
    assert told_at(NAN, [50], held, "p2") == [50]
    other = NAN._replace(attributes={"field": "grad_norm"})
    assert told_at(other, [50], held) == [50]
    assert held.counts == {"repeated": 50 - TOLD_MAX}


def test_what_does_not_go_on_is_always_told():
    for event in (
        Event("oom", "critical", {}),
        Event("pcie_error", "critical", {"pci": "0000:07:00.0", "corrected": False}),
    ):
        held = Repeats()
        assert len(told_at(event, range(40), held)) == 40
        assert (held.touched, dict(held.counts)) == (set(), {})


def test_lines_that_come_again_or_late_are_not_told_anew():
    held = Repeats()
    told_at(NAN, range(30), held)
    assert told_at(NAN, range(30), held) == []
    assert told_at(NAN, [-1000], held) == []


def test_a_frame_that_is_read_again_gives_the_same():
    held = Repeats()
    held.begin(1)
    told_at(NAN, range(4), held)
    held.begin(2)
    once = told_at(NAN, range(4, 30), held)
    known = held.get(("p1", "nan_loss lm_loss "))
    held.begin(2)
    assert told_at(NAN, range(4, 30), held) == once
    assert held.get(("p1", "nan_loss lm_loss ")) == known
    again = Repeats([known])
    assert again.get(("p1", "nan_loss lm_loss ")) == known


def test_at_the_bound_the_longest_at_rest_go(monkeypatch):
    monkeypatch.setattr(repeats, "SUBJECTS_MAX", 2)
    held = Repeats()
    for speaker in ("a", "b", "a", "c"):
        held.tells(speaker, NAN, 0)
    assert held.get(("b", "nan_loss lm_loss ")) is None
    assert held.get(("a", "nan_loss lm_loss ")) is not None
    assert ("b", "nan_loss lm_loss ") in held.touched
    assert held.counts["evicted"] == 1
