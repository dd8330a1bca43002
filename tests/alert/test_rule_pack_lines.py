"""The built-in rules over lines: what they fire on, what they leave alone, and that the parser, which
reads the same lines more exactly, knows of nothing that they do not tell.
"""

import json
import re

import pytest

from heliograph.alert.model import Context
from heliograph.alert.rules import pack as rule_pack
from heliograph.alert.rules import pack_lines as rule_pack_lines
from heliograph.alert.rules.rule import LinePattern, Said
from heliograph.alert.rules.stream import RuleStream
from heliograph.core import labels as core_labels
from heliograph.training.parse import parse_line
from tests.training import (
    test_findings_checkpoints,
    test_findings_collectives,
    test_findings_devices,
    test_findings_memory,
    test_findings_numbers,
    test_findings_quiet,
    test_newer_findings,
    test_outside_findings,
    test_unseen_findings,
)

T0 = 1_767_225_600 * 10**9
RULES = rule_pack.rules()
OURS = {document["name"] for document in rule_pack_lines.DOCUMENTS}
MATCHING = RuleStream(RULES, since_ns=T0)


def names_of(text):
    """The names of the rules of `pack_lines` that fire on a line."""
    hits = MATCHING.match(text)
    if not hits:
        return set()
    stream = RuleStream(RULES, since_ns=T0)
    stream.line(hits, Said(T0, "c", Context(pod_name="p0"), {}, text), arrival_ns=T0)
    posts = stream.drain()[0]
    return {core_labels.get(post.labels, "alertname") for post in posts} & OURS


FIRES = {
    "NaNLoss": [
        "{'train_runtime': 10.0, 'train_samples_per_second': '1.638', 'train_loss': 'nan', 'epoch': 1.0}",
        "{'loss': nan, 'grad_norm': 1}",
        '{"loss": NaN, "epoch": 1}',
        "[batch=1/50]:  Train loss/train/total: nan",
        "global_step: 5 | reduced_train_loss: nan | train_step_timing in s: 1.0",
        "Train step of epoch 0: 60%|######  | 3/5 [00:06<00:03, gpt_loss=nan, lr=5e-7]",
        "Epoch 0: 100%|##| 5/5 [00:06<00:03, train_loss_step=nan, train_loss_epoch=888]",
        "[titan] 2025-01-01 00:00:00,123 - root - INFO - step: 1990  loss:  nan  memory: 68.57GiB(86.1%)",
        "step: 5  loss: nan",
        "eval_loss: nan",
        "ce_loss = -nan",
        "step 100 | loss nan | lr 1e-4",
        "Loss nan (nan)",
        "loss: nan (not finite)",
        "loss: tensor(nan, device='cuda:0')",
        "losses: [nan, 0.1]",
        " iteration 12/ 500 | load_balancing_loss: nan | params norm: 238.330 |",
        ':::MLLOG {"key": "train_loss", "value": nan, "metadata": {}}',
        " iteration 12/ 500 | lm loss: INF | loss scale: 1.0 |",
        "Epoch 0: 10%|#| 1/9 [00:01<00:03, loss=inf, v_num=0]",
        "NaN loss detected",
        "loss became NaN",
        "ValueError: Loss is NaN",
        "ERROR: loss is not finite: nan",
        "Loss is nan, stopping training. Please check whether the input has NaN values",
        "{'loss': nan, 'best_loss': inf}",
        "loss: inf",
        "Loss: -inf",
        "loss=inf",
        "mlm loss: inf",
        "step 12 loss: inf, best loss: inf",
        "best loss: inf\tstep loss: inf",
        "FloatingPointError: Loss became infinite or NaN at iteration=123!",
        "lm loss: nan | number of nan iterations: 0 |",
    ],
    "OOMDetected": [
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 123 bytes.",
        "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 1234 bytes",
        "slurmstepd: error: Detected 1 oom_kill event in StepId=1.batch.",
        "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=12",
        "cudaErrorMemoryAllocation: out of memory",
        "CUDA failure 2: out of memory",
        "CUDA_ERROR_OUT_OF_MEMORY",
        "oom-kill:constraint=CONSTRAINT_MEMCG",
        "MemoryError: Unable to allocate 1.2 GiB for an array",
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB, try to avoid fragmentation",
        "[rank 0] CUDA out of memory error",
        "Warning  OOMKilling   kubelet  System OOM encountered, victim process: python, pid: 3321",
        "[rank3] crashed on OutOfMemoryError at step 12",
        "worker died on torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
    ],
    "NCCLError": [
        "NCCL communicator was aborted on rank 3",
        "Some NCCL operations have failed or timed out",
        "To avoid data inconsistency, we are taking the entire process down.",
        "[Rank 3] Received a dump signal due to a collective timeout from rank 5",
        "RCCL error",
        "torch.distributed.DistNetworkError: The client socket has timed out after 600000ms while trying to connect to (10.0.0.1, 29500).",
        "RuntimeError: Timed out waiting 1800000ms for recv operation to complete",
        "will restart on NCCL error: unhandled system error",
        "worker will stop: RuntimeError: NCCL error in: ProcessGroupNCCL.cpp:1970, unhandled system error",
        "h:1:2 [0] NCCL WARN Connect to 10.1.1.7<56821> failed : Connection refused",
    ],
    "CheckpointFailed": [
        "Exception while saving checkpoint: No space left on device",
        "Error: saving checkpoint to /ckpt",
        "failed to upload checkpoint to s3",
        "failed to persist checkpoint",
        "Checkpointing failed",
        "save_checkpoint failed",
        "checkpoint save failed: No space left on device",
        "error when saving checkpoint: disk full",
        "[rank0]: RuntimeError: PytorchStreamWriter failed writing file data/42: file write failed",
        "RuntimeError: [enforce fail at inline_container.cc:603] . unexpected pos 10245312 vs 10245200",
        "Checkpoint failed without error message",
    ],
    "ECCError": [
        "Volatile uncorrectable ECC error count: 2",
        "CUDA error: uncorrectable ECC error encountered",
        "GPU 0 uncorrectable ECC error",
        "EDAC MC0: 1 UE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0",
        "amdgpu 0000:c1:00.0: amdgpu: 2 uncorrectable hardware errors detected in umc block",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "line"), [(name, line) for name, lines in FIRES.items() for line in lines]
)
def test_a_line_fires(name, line):
    assert names_of(line) == {name}


SILENT = [
    "Volatile uncorrectable ECC error count: 0",
    "uncorrectable ECC errors: 0",
    "Uncorrectable ECC Errors : 0",
    "No uncorrectable ECC errors found",
    "0 uncorrectable ECC errors",
    "amdgpu 0000:c1:00.0: amdgpu: 0 uncorrectable hardware errors detected in umc block",
    "Checkpoint failed files: 0",
    '{"checkpoint_failures": 0, "failed": false}',
    "checkpoint failure recovery enabled: True",
    "no checkpoint failures",
    "Error if saving checkpoint takes > 10m",
    "if it failed to save a checkpoint, retry",
    "raise an error when saving checkpoint fails: True",
    "Will retry if checkpoint save fails",
    "ckpt_fail_on_error: false",
    "successfully saved checkpoint at iteration 10",
    "--loss-nan-tolerance",
    "--loss-nan-tolerance 3",
    "loss_nan_check=True",
    "loss nan check: enabled",
    "loss is nan: False",
    "check_for_nan_in_loss_and_grad .................. True",
    "skip_nan_loss: true",
    "Enabling NaN loss detection",
    "nan loss checks disabled",
    "if loss is nan: skip",
    "loss is nan check passed",
    "[rank0]:     raise ValueError(f'Loss is NaN at step {step}')",
    "loss: nanometer",
    "rank 0 best loss: inf at step 1200",
    "best_loss=inf",
    "best_val_loss: inf",
    "{'best_train_loss': inf}",
    "best_eval_loss=inf",
    "loss_scale: inf",
    "loss_scaler=inf",
    "loss_mask: nan",
    "nan loss detected in 0 batches",
    # The first steps of fp16 overflow, and are skipped.
    " iteration 12/ 500 | lm loss: 1.0E+00 | loss scale: 1.0 | grad norm: nan |",
    "{'loss': 2.3045, 'grad_norm': nan, 'learning_rate': 2e-05}",
    "val_loss improved from inf to 0.31",
    "Epoch 3: loss inf-norm 1.0",
    "iteration 10 | lm loss: 2.3E+00 | grad norm: 1.0 | number of nan iterations:   0 |",
    "CUDA out of memory errors: 0",
    "CUDA OutOfMemoryError count: 0",
    "out of memory events: 0",
    "num oom retries: 0",
    "oom_kill 0",
    "slurmstepd: Detected 0 oom_kill events in StepId=1.0",
    "catch OutOfMemoryError and retry",
    "import torch.cuda.OutOfMemoryError",
    "except torch.cuda.OutOfMemoryError:",
    "except MemoryError:",
    "Set PYTORCH_CUDA_ALLOC_CONF to avoid CUDA out of memory",
    "NCCL errors: 0",
    "NCCL error count: 0",
    "NCCL_DEBUG=WARN",
    "NCCL errors will be handled asynchronously",
    "h:1:2 [0] NCCL WARN NCCL_SOCKET_IFNAME set to eth0 by environment",
    "Using gloo backend with Timeout(ms)=600000",
    "Loss NaN count: 0",
    "val_loss=nan (not computed yet)",
    "eval_loss: nan (no eval batches)",
    "best val_loss: inf",
    "2025-11-03 10:00:00 INFO best loss: inf",
    "EarlyStopping: best loss inf -> 2.31",
    "lowest validation loss: inf in 0 evaluations",
    "previous loss: inf",
    "NCCL WARN count: 0",
    "NCCL error handling: async",
    "Will retry on NCCL error up to 3 times",
    "auto-resume enabled: will restart on NCCL error",
    "INFO: on OutOfMemoryError the trainer halves the micro batch",
    "torch.cuda.OutOfMemoryError is caught and retried with smaller batch",
    "DeepSpeed: offload_optimizer to avoid RuntimeError: CUDA out of memory",
    "save_interval: 1000, on checkpoint failure: raise",
    "[INFO] on_save_checkpoint_failure=warn",
    "Resuming from checkpoint after failure",
    "ckpt saver: no error saving checkpoint",
    "RuntimeError: [enforce fail at inline_container.cc:257] . file not found: archive/data.pkl",
]


@pytest.mark.parametrize("line", SILENT)
def test_a_line_that_only_speaks_of_it_is_silent(line):
    assert names_of(line) == set()


# What the parser calls it, and the rule that is to tell it.
TOLD_BY = {
    "nan_loss": "NaNLoss",
    "oom": "OOMDetected",
    "nccl_timeout": "NCCLError",
    "nccl_error": "NCCLError",
    "ecc": "ECCError",
}


def found_in(line):
    """The names of the rules that are to tell what the parser finds in a line."""
    found = set()
    for event in parse_line(line).events:
        failed = event.attributes.get("status") == "failed"
        name = "CheckpointFailed" if failed else TOLD_BY.get(event.event_type)
        # A norm that overflows is an error, and no loss.
        told = {"critical"} if name == "NaNLoss" else {"error", "critical"}
        if name is not None and event.severity in told:
            found.add(name)
    return found


FINDINGS = {
    line
    for module in (
        test_findings_checkpoints, test_findings_collectives, test_findings_devices,
        test_findings_memory, test_findings_numbers,
    )
    for line, *_ in module.CASES
} | {
    line
    for module in (test_newer_findings, test_outside_findings, test_unseen_findings)
    for _, line, *_ in module.TOLD
}  # fmt: skip
QUIET = {
    *test_findings_quiet.QUIET,
    *(
        line
        for module in (
            test_findings_checkpoints, test_findings_collectives, test_findings_devices,
            test_findings_numbers, test_newer_findings, test_outside_findings, test_unseen_findings,
        )
        for line in module.SILENT
    ),
}  # fmt: skip
# The parser takes it for a traceback's last line.
SPOKEN_OF = {"ValueError: Caught torch.cuda.OutOfMemoryError"}


def test_what_the_parser_finds_is_told():
    missed = [(found_in(line) - names_of(line), line) for line in sorted(FINDINGS)]
    assert [one for one in missed if one[0]] == []
    # Each of the five is there.
    assert set().union(*map(found_in, FINDINGS)) == OURS


def test_what_the_parser_leaves_alone_is_not_told():
    lines = sorted(line for line in QUIET - SPOKEN_OF if not found_in(line))
    assert len(lines) > 200
    assert [(names_of(line), line) for line in lines if names_of(line)] == []


_LOSS = re.compile(
    r"loss[^\d:=]{0,30}['\"]?\s*[:= ]\s*['\"]?([-+]?\d+\.\d+(?:[eE][-+]?\d+)?)", re.IGNORECASE
)


@pytest.mark.parametrize("value", ["nan", "NaN"])
def test_a_loss_that_becomes_nan_is_told_in_every_trainers_words(shared_data, value):
    changed = []
    for text in (shared_data / "loglines.jsonl").read_text("utf-8").splitlines():
        line = json.loads(text)["line"]
        assert "NaNLoss" not in names_of(line) or "nan" in line.lower()
        for match in _LOSS.finditer(line):
            sick = line[: match.start(1)] + value + line[match.end(1) :]
            if "NaNLoss" in found_in(sick):
                changed.append(sick)
    assert len(changed) > 40
    assert [line for line in changed if "NaNLoss" not in names_of(line)] == []


def test_real_lines_fire_where_the_parser_finds_something_and_nowhere_else(shared_data):
    for text in (shared_data / "loglines.jsonl").read_text("utf-8").splitlines():
        case = json.loads(text)
        if case["kind"] in {"perf", "start", "checkpoint", "other"}:
            assert names_of(case["line"]) == set(), case["id"]
        assert found_in(case["line"]) <= names_of(case["line"]), case["id"]


@pytest.mark.parametrize("rule", [rule for rule in RULES if isinstance(rule.body, LinePattern)])
def test_patterns_are_looked_for_in_many_lines_at_once(rule):
    assert not rule.body.pattern.steep
    assert not re.search(r"(?<!\[)\^|\$|\\[Az]", rule.body.pattern.text)
