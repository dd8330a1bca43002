"""Lines of saves and loads, joined: every end finds its start, in whatever order they come."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.training.checkpoints import Checkpoint, CheckpointEvent, joined
from heliograph.training.parse import parse_line

S = 10**9
START, END, LOAD = "checkpoint_save_start", "checkpoint_save_end", "checkpoint_load"


def of_line(at_s, text, pod="p", **more):
    """The event of a line, as the service makes it."""
    parsed = parse_line(text)
    (event,) = parsed.events
    speaker = more.get("speaker", parsed.label)
    return CheckpointEvent(at_s * S, pod, speaker, event.event_type, event.attributes)


def shown(checkpoints):
    return [
        (c.kind, c.status, c.iteration, c.path, _s(c.start_ns), _s(c.end_ns), c.duration_ms)
        for c in checkpoints
    ]


def _s(at_ns):
    return None if at_ns is None else at_ns / S


CASES = [
    (
        "Megatron pads the iteration in its end",
        [(10, "saving checkpoint at iteration     100 to /ckpt in torch_dist format"),
         (12, "  successfully saved checkpoint from iteration     100 to /ckpt")],
        [("save", "success", 100, "/ckpt", 10, 12, 2000.0)],
    ),
    (
        "torchtitan names no iteration",
        [(10, "[titan] - root - INFO - Saving the checkpoint (or staging if async is enabled)."),
         (12, "[titan] - root - INFO - Finished saving the checkpoint (or staging if async is enabled)in 1.20 seconds.")],
        [("save", "success", None, None, 10, 12, 1200.0)],
    ),
    (
        "the last save names its step, its end does not",
        [(10, "[titan] - root - INFO - Saving a full checkpoint at last step, step 644."),
         (12, "[titan] - root - INFO - Finished saving the checkpoint in 1.50 seconds.")],
        [("save", "success", 644, None, 10, 12, 1500.0)],
    ),
    (
        "an end without a start, which says how long it took",
        [(12, "Finished saving the checkpoint in 2.00 seconds.")],
        [("save", "success", None, None, 10, 12, 2000.0)],
    ),
    (
        "an end without a start, which does not",
        [(12, "successfully saved checkpoint from iteration 100 to /ckpt")],
        [("save", "success", 100, "/ckpt", None, 12, None)],
    ),
    (
        "a save that failed",
        [(10, "saving checkpoint at iteration 100 to /ckpt"),
         (12, "Failed to save checkpoint at iteration 100: No space left on device")],
        [("save", "failed", 100, "/ckpt", 10, 12, 2000.0)],
    ),
    (
        "a start without an end",
        [(10, "saving checkpoint at iteration 100 to /ckpt")],
        [("save", "in_progress", 100, "/ckpt", 10, None, None)],
    ),
    (
        "a crash in between: the second attempt is what ended",
        [(10, "saving checkpoint at iteration 100 to /ckpt"),
         (50, "saving checkpoint at iteration 100 to /ckpt"),
         (55, "successfully saved checkpoint from iteration 100 to /ckpt")],
        [("save", "failed", 100, "/ckpt", 10, None, None),
         ("save", "success", 100, "/ckpt", 50, 55, 5000.0)],
    ),
    (
        "two processes without a name, of which one prints the end",
        [(10, "saving checkpoint at iteration 100 to /ckpt"),
         (12, "saving checkpoint at iteration 100 to /ckpt"),
         (25, "successfully saved checkpoint from iteration 100 to /ckpt")],
        [("save", "in_progress", 100, "/ckpt", 10, None, None),
         ("save", "success", 100, "/ckpt", 12, 25, 13000.0)],
    ),
    (
        "the same iteration to another place is another save",
        [(10, "saving checkpoint at iteration 100 to /ckpt/a"),
         (50, "saving checkpoint at iteration 100 to /ckpt/b")],
        [("save", "in_progress", 100, "/ckpt/a", 10, None, None),
         ("save", "in_progress", 100, "/ckpt/b", 50, None, None)],
    ),
    (
        "Transformers print no end: each was saved when the next is, or when it is loaded",
        [(10, "Saving model checkpoint to out/checkpoint-500"),
         (20, "Saving model checkpoint to out/checkpoint-1000"),
         (50, "Loading model from out/checkpoint-1000")],
        [("save", "success", 500, "out/checkpoint-500", 10, None, None),
         ("save", "success", 1000, "out/checkpoint-1000", 20, None, None),
         ("load", "in_progress", 1000, "out/checkpoint-1000", 50, None, None)],
    ),
    (
        "the one that was cut is neither loaded nor saved again",
        [(10, "Saving model checkpoint to out/checkpoint-500"),
         (20, "Saving model checkpoint to out/checkpoint-1000"),
         (50, "Loading model from out/checkpoint-500"),
         (70, "Saving model checkpoint to out/checkpoint-1500")],
        [("save", "success", 500, "out/checkpoint-500", 10, None, None),
         ("save", "in_progress", 1000, "out/checkpoint-1000", 20, None, None),
         ("load", "in_progress", 500, "out/checkpoint-500", 50, None, None),
         ("save", "in_progress", 1500, "out/checkpoint-1500", 70, None, None)],
    ),
    (
        "where ends are printed, a later save is no end",
        [(10, "saving checkpoint at iteration 100 to /ckpt"),
         (20, "saving checkpoint at iteration 200 to /ckpt"),
         (30, "successfully saved checkpoint from iteration 200 to /ckpt")],
        [("save", "in_progress", 100, "/ckpt", 10, None, None),
         ("save", "success", 200, "/ckpt", 20, 30, 10000.0)],
    ),
    (
        "asynchronous saves overlap",
        [(10, "scheduled an async checkpoint save at iteration 100 to /ckpt"),
         (20, "scheduled an async checkpoint save at iteration 200 to /ckpt"),
         (25, "successfully saved checkpoint from iteration 100 to /ckpt"),
         (30, "successfully saved checkpoint from iteration 200 to /ckpt")],
        [("save", "success", 100, "/ckpt", 10, 25, 15000.0),
         ("save", "success", 200, "/ckpt", 20, 30, 10000.0)],
    ),
    (
        "two ranks of one pod",
        [(10, "[rank0]: saving checkpoint at iteration 100 to /ckpt"),
         (11, "[rank1]: saving checkpoint at iteration 100 to /ckpt"),
         (15, "[rank1]: successfully saved checkpoint from iteration 100 to /ckpt"),
         (18, "[rank0]: successfully saved checkpoint from iteration 100 to /ckpt")],
        [("save", "success", 100, "/ckpt", 10, 18, 8000.0),
         ("save", "success", 100, "/ckpt", 11, 15, 4000.0)],
    ),
    (
        "another iteration's end does not end it",
        [(10, "saving checkpoint at iteration 100 to /ckpt"),
         (12, "successfully saved checkpoint from iteration 200 to /ckpt")],
        [("save", "in_progress", 100, "/ckpt", 10, None, None),
         ("save", "success", 200, "/ckpt", None, 12, None)],
    ),
    (
        "both at one instant",
        [(10, "successfully saved checkpoint from iteration 100 to /ckpt"),
         (10, "saving checkpoint at iteration 100 to /ckpt")],
        [("save", "success", 100, "/ckpt", 10, 10, 0.0)],
    ),
    (
        "a load is one thing too",
        [(10, "loading checkpoint from /ckpt at iteration 845"),
         (14, "successfully loaded checkpoint from /ckpt [ t 1/1, p 1/1 ] at iteration 845")],
        [("load", "success", 845, "/ckpt", 10, 14, 4000.0)],
    ),
    (
        "a load of torchtitan",
        [(10, "[titan] - root - INFO - Loading the checkpoint from /ckpt/step-10."),
         (24, "[titan] - root - INFO - Finished loading the checkpoint in 14.20 seconds.")],
        [("load", "success", 10, "/ckpt/step-10", 10, 24, 14200.0)],
    ),
    (
        "a load does not end a save",
        [(10, "saving checkpoint at iteration 100 to /ckpt"),
         (14, "successfully loaded checkpoint from /ckpt at iteration 100")],
        [("save", "in_progress", 100, "/ckpt", 10, None, None),
         ("load", "success", 100, "/ckpt", None, 14, None)],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "expected"), [pytest.param(*row, id=case) for case, *row in CASES]
)
def test_lines_become_checkpoints(lines, expected):
    events = [of_line(*line) for line in lines]

    assert shown(joined(events)) == expected
    assert shown(joined([*reversed(events), *events])) == expected


def test_pods_are_apart():
    found = joined(
        [
            CheckpointEvent(1 * S, "a", "", START, {"iteration": 5}),
            CheckpointEvent(3 * S, "b", "", END, {"iteration": 5}),
        ]
    )

    assert found == [
        Checkpoint("save", "in_progress", "a", "", 5, None, 1 * S, None, None),
        Checkpoint("save", "success", "b", "", 5, None, None, 3 * S, None),
    ]


def test_a_pod_that_comes_again_repeats_the_save_that_was_cut():
    def told(*, loads):
        lines = [
            (10, "saving checkpoint at iteration 100 to /ckpt", "a"),
            (60, "loading checkpoint from /ckpt at iteration 50", "b"),
            (90, "saving checkpoint at iteration 100 to /ckpt", "b"),
            (95, "successfully saved checkpoint from iteration 100 to /ckpt", "b"),
        ]
        events = [of_line(*line) for line in lines if loads or line[0] != 60]
        return [(c.pod_uid, c.status) for c in joined(events) if c.kind == "save"]

    assert told(loads=True) == [("a", "failed"), ("b", "success")]
    # Pods of one job save the same together, and one may be slow.
    assert told(loads=False) == [("a", "in_progress"), ("b", "success")]


def calls_of(work, *args):
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        work(*args)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(
    ("ranks", "saves"), [(1, 400), (40, 5)], ids=["of one rank", "of many ranks that load"]
)
def test_twice_the_saves_without_an_end_cost_twice_as_much(ranks, saves):
    def events(ranks, saves):
        return [
            CheckpointEvent(n * 100 * S, f"p{rank}", str(rank), *what)
            for rank in range(ranks)
            for n in range(saves)
            for what in [
                (START, {"iteration": 10 * n + 5}),
                (LOAD, {"iteration": n, "phase": "end"}),
            ][: 1 + (ranks > 1)]
        ]

    one = calls_of(joined, events(ranks, saves))
    two = calls_of(joined, events(2 * ranks, saves) if ranks > 1 else events(1, 2 * saves))
    assert two < 3 * one


EVENTS = st.builds(
    CheckpointEvent,
    st.integers(0, 6).map(lambda s: s * S),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["", "0"]),
    st.sampled_from([START, END, LOAD]),
    st.fixed_dictionaries(
        {},
        optional={
            "iteration": st.integers(0, 3),
            "path": st.sampled_from(["/a", "/b"]),
            "duration_ms": st.sampled_from([500.0, 1000.0]),
            "phase": st.sampled_from(["start", "end"]),
        },
    ),
)


@given(st.lists(EVENTS, max_size=12), st.randoms(use_true_random=False))
def test_a_function_of_the_set(events, rng):
    shuffled = [*events, *rng.choices(events, k=len(events))] if events else []
    rng.shuffle(shuffled)
    found = joined(shuffled)

    assert found == joined(events)
    assert all(c.status == "success" for c in found if c.end_ns is not None)
    # What has no end was at least begun, and of loads nothing else tells.
    assert all(c.start_ns is not None for c in found if c.end_ns is None)
    assert all(
        c.status == "in_progress" for c in found if c.kind == "load" and c.end_ns is None
    )
    starts = sum(c.start_ns is not None for c in found)
    assert starts <= len(events)
