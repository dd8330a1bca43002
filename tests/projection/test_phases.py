"""Phases: nested scopes per thread, told as events and read back from them."""

import threading

import pytest

from heliograph.projection import phase_replay, phases
from heliograph.projection.events import TelemetryEvent
from heliograph.projection.phase_replay import Attribution, PhaseFault, phase_at, phases_of
from heliograph.projection.phases import PhaseProtocolError, PhaseRecorder
from tests.projection.telemetry_samples import event


def at(mark, at_ns, **fields):
    """*mark* as an event."""
    return TelemetryEvent(**event(
        timestamp_ns=at_ns, event_type=mark.event_type, context=mark.context,
        metadata=mark.metadata, **fields,
    ))  # fmt: skip


def test_scopes_nest_and_share_one_sequence():
    recorder = PhaseRecorder("run-7", rank=1)
    outer = recorder.enter("train", thread_id=5)
    inner = recorder.enter("forward", thread_id=5, metadata={"step": 3})
    left = recorder.exit(inner.scope_id, thread_id=5)

    assert (outer.event_type, outer.context) == ("phase_enter", "Phase entered: train")
    assert inner.metadata == {
        "step": 3,
        "phase_scope": {
            "action": "enter", "name": "forward", "path": ["train", "forward"],
            "scope_id": "run-7:2", "parent_scope_id": "run-7:1", "thread_id": 5, "sequence": 2,
        },
    }  # fmt: skip
    assert (left.event_type, left.context) == ("phase_exit", "Phase exited: train / forward")
    scope = {**inner.metadata["phase_scope"], "action": "exit", "sequence": 3}
    assert left.metadata == {"step": 3, "phase_scope": scope}
    assert recorder.current_scope(5) == {
        "name": "train", "path": ["train"], "scope_id": "run-7:1", "parent_scope_id": None,
        "thread_id": 5,
    }  # fmt: skip
    recorder.exit(outer.scope_id, thread_id=5)
    assert recorder.current_scope(5) is None
    assert recorder.enter("next").scope_id == "run-7:5"


def test_threads_have_stacks_of_their_own():
    recorder = PhaseRecorder("run-7")
    recorder.enter("main")
    found = []

    def work():
        mark = recorder.enter("loader")
        found.append((recorder.current_scope()["path"], recorder.exit(mark.scope_id).context))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(["loader"], "Phase exited: loader")]
    assert recorder.current_scope()["path"] == ["main"]


MISUSES = [
    # scope      thread  what is said
    ("run-7:1", 1, "phase 'a' is left before 'b', which is inside it"),
    ("run-7:2", 2, "phase 'b' was entered on another thread"),
    ("run-7:9", 1, "phase scope 'run-7:9' is not open"),
]


@pytest.mark.parametrize(("scope_id", "thread_id", "said"), MISUSES)
def test_a_misuse_says_what_it_is_and_changes_nothing(scope_id, thread_id, said):
    recorder = PhaseRecorder("run-7")
    recorder.enter("a", thread_id=1)
    recorder.enter("b", thread_id=1)

    with pytest.raises(PhaseProtocolError, match=f"^{said}$"):
        recorder.exit(scope_id, thread_id=thread_id)
    assert recorder.exit("run-7:2", thread_id=1).metadata["phase_scope"]["sequence"] == 3


def test_names_and_depth_are_bounded(monkeypatch):
    monkeypatch.setattr(phases, "DEPTH_MAX", 2)
    recorder = PhaseRecorder("run-7")
    with pytest.raises(ValueError, match="^phase name must be a non-empty string$"):
        recorder.enter(" ")
    recorder.enter("a")
    recorder.enter("b")
    with pytest.raises(PhaseProtocolError, match="^more than 2 phases open on one thread$"):
        recorder.enter("c")
    assert recorder.current_scope()["path"] == ["a", "b"]


def test_spans_are_read_back_whatever_the_order():
    recorder = PhaseRecorder("run-7", rank=1)
    train = recorder.enter("train", thread_id=1)
    step = recorder.enter("step", thread_id=1)
    load = recorder.enter("load", thread_id=2)
    events = [
        at(recorder.exit(step.scope_id, thread_id=1), 30),
        at(train, 10), at(step, 10), at(load, 20),
        TelemetryEvent(**event(timestamp_ns=99)),
    ]  # fmt: skip
    for some in (events, events[::-1]):
        spans, errors = phases_of(some)
        assert errors == []
        assert [(s.name, s.path, s.start_ns, s.end_ns, s.synthetic_end) for s in spans] == [
            ("train", ("train",), 10, 99, True),
            ("step", ("train", "step"), 10, 30, False),
            ("load", ("load",), 20, 99, True),
        ]
    assert (spans[1].rank, spans[1].thread_id, spans[1].parent_scope_id) == (1, 1, "run-7:1")
    assert {s.end_ns for s in phases_of(events, end_ns=50).spans} == {30, 50}

    def found(at_ns, **more):
        of = phase_at(spans, at_ns, **{"session_id": "run-7", "rank": 1, **more})
        return None if of is None else (of.span.name, of.how)

    assert found(5) is None
    assert found(15) == ("step", "unique")
    assert found(25) == ("load", "ambiguous")
    assert found(25, thread_id=1) == ("step", "thread_local")
    assert found(25, scope_id=train.scope_id) == ("train", "exact")
    assert found(40, thread_id=1) == ("train", "thread_local")
    assert found(15, rank=0) is None
    assert found(15, session_id="other") is None
    assert phase_at(spans[:1], 15, session_id="run-7", rank=1) == Attribution(
        spans[0], "unique"
    )


def test_ranks_of_one_session_are_told_apart():
    events = [
        at(PhaseRecorder("run-7", rank=rank).enter("step", thread_id=1), rank, rank=rank)
        for rank in (0, 1)
    ]
    assert [(s.rank, s.end_ns) for s in phases_of(events).spans] == [(0, 1), (1, 1)]


def test_what_does_not_fit_is_told():
    recorder = PhaseRecorder("run-7", rank=1)
    outer, inner = recorder.enter("a", thread_id=1), recorder.enter("b", thread_id=1)
    inner_left = recorder.exit(inner.scope_id, thread_id=1)
    outer_left = recorder.exit(outer.scope_id, thread_id=1)
    spans, errors = phases_of([
        TelemetryEvent(**event(timestamp_ns=1, event_type="phase_enter")),
        at(outer, 2), at(outer, 3), at(inner, 4), at(outer_left, 5), at(inner_left, 6),
        at(inner_left, 7),
    ])  # fmt: skip

    assert errors == [
        PhaseFault("run-7", 1, "", 1, "no scope"),
        PhaseFault("run-7", 1, "run-7:1", 3, "entered twice"),
        PhaseFault("run-7", 1, "run-7:1", 5, "out of order"),
        PhaseFault("run-7", 1, "run-7:2", 7, "never entered"),
    ]
    assert [(s.name, s.start_ns, s.end_ns) for s in spans] == [("a", 2, 5), ("b", 4, 6)]


def test_faults_are_bounded(monkeypatch):
    monkeypatch.setattr(phase_replay, "FAULTS_MAX", 2)
    events = [
        TelemetryEvent(**event(timestamp_ns=n, event_type="phase_exit")) for n in range(5)
    ]

    assert [fault.at_ns for fault in phases_of(events).errors] == [0, 1]


def test_a_scope_of_another_writer_needs_its_id_alone():
    scope = {"scope_id": "x", "path": ["a", 5], "thread_id": "main", "sequence": None}
    (span,) = phases_of([
        TelemetryEvent(**event(event_type="phase_enter", metadata={"phase_scope": scope}))
    ]).spans  # fmt: skip
    assert (span.name, span.path, span.thread_id) == ("5", ("a", "5"), None)
