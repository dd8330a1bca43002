"""Lines of saves and loads, joined: every end finds its start, in whatever order they come."""

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
        [("save", "in_progress", 100, "/ckpt", 10, None, None),
         ("save", "success", 100, "/ckpt", 50, 55, 5000.0)],
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
    assert all((c.status == "success") == (c.end_ns is not None) for c in found)
    starts = sum(c.start_ns is not None for c in found)
    assert starts <= len(events)
