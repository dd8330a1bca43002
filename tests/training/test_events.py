"""Lines that start, end, save and load; and sentences that only look like it."""

import json

import pytest

from heliograph.training.events import RULES as EVENT_RULES
from heliograph.training.framework import combined
from heliograph.training.parse import RULES, parse_line

START, END = "training_start", "training_end"
SAVE, SAVED, LOAD = "checkpoint_save_start", "checkpoint_save_end", "checkpoint_load"
TITAN = "[rank0]:[titan] 2025-06-20 19:13:39,663 - root - INFO - "
CASES = [
    ("training ...", START, {}),
    ("training...", START, {}),
    ("[20251202 09:12:08][rank-0/8][INFO ] [--trainer.py:1] : training ...", START, {}),
    ("[before the start of training step] datetime: 2025-12-02 10:00:00 ", START, {}),
    (TITAN + "Training starts at step 1.", START, {"iteration": 1}),
    ("Training starts at step 1001", START, {"iteration": 1001}),
    ("[INFO|trainer.py:2134] 2024-09-17 23:35:34,372 >> ***** Running training *****", START, {}),
    ("[after training is done] datetime: 2025-12-02 10:00:00 ", END, {}),
    ("[exiting program at iteration 300] datetime: 2025-12-02 10:00:00 ", END, {"iteration": 300}),
    ("[exiting program after 10.5 minutes] datetime: 2025-12-02 10:00:00 ", END, {}),
    (TITAN + "Training completed", END, {}),
    ("saving checkpoint at iteration     100 to /tmp/ckpt in torch_dist format", SAVE, {"iteration": 100, "path": "/tmp/ckpt"}),
    ("[rank-0/8][INFO ] : saving checkpoint at iteration 7 to /a b/ckpt", SAVE, {"iteration": 7, "path": "/a b/ckpt"}),
    ("  scheduled an async checkpoint save at iteration     100 to /tmp/ckpt", SAVE, {"iteration": 100, "path": "/tmp/ckpt", "async": True}),
    (TITAN + "Saving the checkpoint.", SAVE, {}),
    (TITAN + "Saving the checkpoint (or staging if async is enabled).", SAVE, {}),
    (TITAN + "Saving a full checkpoint at last step, step 644.", SAVE, {"iteration": 644}),
    (TITAN + "Saving a model weights only checkpoint in torch.bfloat16 at last step, step 10.", SAVE, {"iteration": 10}),
    ("(WorkerDict pid=7) Saving actor checkpoint to ckpts/actor/global_step_400", SAVE, {"iteration": 400, "path": "ckpts/actor/global_step_400"}),
    ("100%|██| 24/24 [2:48<00:00, 16.34s/it][2025-11-06 11:25:06,763] [INFO] Saving model checkpoint to models/checkpoint-24", SAVE, {"iteration": 24, "path": "models/checkpoint-24"}),
    ("successfully saved checkpoint at iteration 100 to /tmp/ckpt, took 1234 ms", SAVED, {"iteration": 100, "path": "/tmp/ckpt", "duration_ms": 1234.0, "duration_s": 1.234}),
    ("successfully saved checkpoint at iteration 100 took 1234ms", SAVED, {"iteration": 100, "duration_ms": 1234.0, "duration_s": 1.234}),
    ("  successfully saved checkpoint from iteration     845 to /tmp/ckpt", SAVED, {"iteration": 845, "path": "/tmp/ckpt"}),
    ("  successfully saved checkpoint from iteration     845 to /tmp/ckpt [ t 1/2, p 1/1 ]", SAVED, {"iteration": 845, "path": "/tmp/ckpt"}),
    (TITAN + "Finished saving the checkpoint in 1.20 seconds.", SAVED, {"duration_ms": 1200.0, "duration_s": 1.2}),
    (TITAN + "Finished saving the checkpoint (or staging if async is enabled)in 5.53 seconds.", SAVED, {"duration_ms": 5530.0, "duration_s": 5.53}),
    ("[default0]:[NeMo I 2025-03-07 model_checkpoint:522] Async checkpoint save for step 10 (/c/step=9-last.ckpt) finalized successfully.", SAVED, {"iteration": 10, "async": True}),
    (" loading checkpoint from /tmp/ckpt at iteration 845", LOAD, {"iteration": 845, "path": "/tmp/ckpt", "phase": "start"}),
    (" loading distributed checkpoint from /tmp/ckpt at iteration 845", LOAD, {"iteration": 845, "path": "/tmp/ckpt", "phase": "start"}),
    (" successfully loaded checkpoint from /tmp/ckpt [ t 1/1, p 1/1 ] at iteration 845", LOAD, {"iteration": 845, "path": "/tmp/ckpt", "phase": "end"}),
    (TITAN + "Loading the checkpoint from assets/dcp/llama3.1-8B.", LOAD, {"path": "assets/dcp/llama3.1-8B", "phase": "start"}),
    (TITAN + "Loading the checkpoint at step 10.", LOAD, {"iteration": 10, "phase": "start"}),
    (TITAN + "Finished loading the checkpoint in 14.20 seconds.", LOAD, {"duration_ms": 14200.0, "duration_s": 14.2, "phase": "end"}),
]  # fmt: skip
NONE = [
    "we are training ...",
    "checkpoint saved",
    "starting model",
    "Saving checkpoint every 500 steps",
    "Loading checkpoint shards: 33%|███",
    "advice: avoid saving checkpoint at iteration 5",
    'print("saving checkpoint at iteration 5 to x")',
    "what if it failed while saving checkpoint at iteration 5",
    "saving checkpoint at iteration 5 to /x failed us before",
    "Training completed tasks: 5",
    "will not load any checkpoints and will start from random",
    "checkpoint_interval: 500",
]


@pytest.mark.parametrize(("line", "event_type", "attributes"), CASES)
def test_events(line, event_type, attributes):
    parsed = parse_line(line)
    assert parsed.kind == "event"
    assert [tuple(event) for event in parsed.events] == [(event_type, "info", attributes)]
    assert parsed.rule in RULES


def test_every_line_has_a_rule_that_is_known():
    rules = {parse_line(line).rule for line, _, _ in CASES}
    assert len(rules) > 10
    assert rules <= EVENT_RULES < RULES


@pytest.mark.parametrize("line", NONE)
def test_no_events(line):
    assert parse_line(line).kind == "none"


def test_an_event_carries_its_rank():
    parsed = parse_line("[rank-0/8] : training ...")
    assert (parsed.fields, parsed.label) == ({"rank": 0, "world_size": 8}, "0")


def test_shared_cases(shared_data):
    kinds = {"start_training": START, "end_training": END, "start_saving": SAVE, "end_saving": SAVED, "loading": LOAD}  # fmt: skip
    cases = json.loads(
        (shared_data / "lens_vectors" / "log_event_lines.json").read_text("utf-8")
    )
    for case in cases["cases"]:
        wanted = case.get("recommended") or case["observed"]
        parsed = parse_line(case["line"])
        if wanted is None:
            assert parsed.kind == "none", case["line"]
            continue
        event = parsed.events[0]
        assert event.event_type == kinds[wanted["subtype"]]
        groups = wanted.get("groups", {})
        assert str(event.attributes.get("iteration", "")) == groups.get("Iteration", "")
        if "Path" in groups:
            assert event.attributes["path"] == groups["Path"]
        if "DurationMs" in groups:
            assert event.attributes["duration_ms"] == float(groups["DurationMs"])


def test_the_most_telling_line_names_the_stream():
    assert combined("unknown", "megatron-lm") == "megatron-lm"
    assert combined("primus", "megatron-lm") == combined("megatron-lm", "primus") == "primus"
    assert combined("torchtitan", "unknown") == "torchtitan"
