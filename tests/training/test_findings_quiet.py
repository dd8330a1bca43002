"""What must not fire: health, prose, advice, settings, zeros; and that findings agree with others."""

import json

import pytest

from heliograph.training import clean, events
from heliograph.training.parse import parse_line

QUIET = [
    "Xid errors are logged by the driver; see the documentation",
    "NVRM: Xid error: xyz, invalid data",
    "NVRM: loading NVIDIA UNIX x86_64 Kernel Module  535.129.03",
    "[0] NCCL INFO Channel 15/0 : 1[c5000] -> 0[29000] via P2P/IPC/read",
    "host:1:2 [0] NCCL INFO NET/IB : No device found.",
    "host:1:2 [3] NCCL INFO comm 0x55 rank 3 nranks 8 cudaDev 3 busId 1a000 - Destroy COMPLETE",
    "NCCL version 2.21.5+cuda12.4",
    "TORCH_NCCL_ASYNC_ERROR_HANDLING=1",
    "Setting TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC to 600",
    "To avoid CUDA out of memory errors, set PYTORCH_CUDA_ALLOC_CONF",
    "DeepSpeed: offload_optimizer to avoid RuntimeError: CUDA out of memory",
    "CUDA out of memory errors: 0",
    "    except RuntimeError as e:  # CUDA out of memory",
    "[rank 3] HIP out of memory retries = 0",
    "If you run out of memory, reduce the batch size",
    "If reserved but unallocated memory is large try setting max_split_size_mb to avoid fragmentation",
    "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.",
    "For debugging consider passing CUDA_LAUNCH_BLOCKING=1",
    "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.",
    "the job was killed by the user",
    "we killed the process",
    "Killed",
    "killed",
    "ECC mode is enabled, 0 errors",
    "Uncorrectable ECC errors: 0",
    "OOMKilled: false",
    "State: Running OOMKilled: False ExitCode: 0",
    '            "OOMKilled": false,',
    "OOMKilled=0",
    "OOMKilled={{.State.OOMKilled}}",
    "loss is nan: False",
    "loss is nan? no",
    "Found NaN in loss: 0",
    "NaN loss detected: 'no'",
    "user said: my loss is NaN, what should I do?",
    "why is the loss = nan after 100 steps?",
    "the loss is nan, should I lower the learning rate?",
    "Volatile uncorrectable ECC error count: 0",
    "0 uncorrectable ECC errors",
    "ECC Errors: Volatile: 0 Aggregate: 0",
    "amdgpu 0000:c1:00.0: amdgpu: 0 uncorrectable hardware errors detected in umc block",
    "amdgpu 0000:c1:00.0: amdgpu: GPU reset(1) succeeded!",
    "amdgpu 0000:c1:00.0: amdgpu: SMU is initialized successfully!",
    "[drm] amdgpu kernel modesetting enabled.",
    "mlx5_core 0000:53:00.0 enp83s0f0np0: Link up",
    "mlx5_core 0000:53:00.0 mlx5_3: Port: 1 Link ACTIVE",
    "IPv6: ADDRCONF(NETDEV_CHANGE): ib0: link becomes ready",
    "number of nan iterations:   0",
    "nan check is enabled for loss and grad",
    "check for nan in loss: True",
    "args.check_for_nan_in_loss_and_grad ............ True",
    "loss scale: 1.0",
    "skipping nan loss if any",
    "[default0]:  check_for_nan_in_loss_and_grad ......................... True",
    "Loss is not nan",
    "the lm loss: 1.0 nanoseconds",
    "Dataloader workers: 8",
    "DataLoader worker seed 1234",
    "UserWarning: This DataLoader will create 8 worker processes in total. Our suggested max number of worker in current system is 4",
    "FutureWarning: `torch.cuda.amp.autocast(args...)` is deprecated.",
    "/usr/lib/python3/x.py:12: UserWarning: Detected call of `lr_scheduler.step()` before `optimizer.step()`.",
    "DeprecationWarning: invalid escape sequence",
    "INFO: no errors found",
    "Error: 0.3",
    "Total Error: 0.25",
    "mean squared error: 0.01",
    "WARNING: could not find the metadata file /ckpt/latest_checkpointed_iteration.txt",
    "    will not load any checkpoints and will start from random",
    "Saving checkpoint every 500 steps",
    "save_checkpoint_interval ........ 500",
    "checkpoint_interval: 500",
    "Using checkpoint path /ckpt",
    "Gradient checkpointing enabled",
    "use_reentrant checkpoint is deprecated",
    "Loading checkpoint shards: 100%|██████████| 4/4 [00:05<00:00,  1.25s/it]",
    "Some weights of the model checkpoint at bert-base were not used when initializing",
    "Deleting older checkpoint [out/checkpoint-500] due to args.save_total_limit",
    "Preemption is enabled for this partition",
    "if preempted, the job is requeued automatically",
    "#SBATCH --requeue",
    "signal handler for SIGTERM installed",
    "Setting up SIGTERM handler",
    "Exit code: 0",
    "exits with return code = 0",
    "local_rank: 0 finished with exitcode: 0",
    "process exited with exit code 0",
    "Fatal Python error handlers installed",
    "faulthandler enabled for SIGSEGV",
    "import torch.distributed.elastic.multiprocessing.errors as errors",
    "from torch.distributed.elastic.multiprocessing.errors import record",
    "except torch.cuda.OutOfMemoryError:",
    '    raise ValueError("no data")',
    '  File "/x/train.py", line 8, in main',
    "training is about to start",
    "Training config:",
    "we are training ...",
    "PCIe link down-trained to gen3",
    "link downloads",
    "downlink down",
    "tokenizer: Loading vocab from checkpoint-free source",
    "Successfully preprocessed all matching files.",
    "[rank0]:[W ProcessGroupNCCL.cpp:1168] Warning: process group has NOT been destroyed before we destruct ProcessGroupNCCL.",
    "WARNING:root:Retrying after ConnectionError: timed out",
    "2024-01-01 10:00:00 INFO retry: ConnectionResetError: [Errno 104] while downloading, retrying",
    "oom_score_adj: 0",
    "vm.panic_on_oom = 0",
    "OOM killer disabled.",
    "[timestamp] allocate 4 workers",
    "max_memory: 80 GB",
    "torch.cuda.memory_allocated: 1.2",
    "Memory usage: allocated 10 GiB",
    "slurmstepd: info: task_p_post_launch",
    "srun: job 123 queued and waiting for resources",
    "srun: job 123 has been allocated resources",
    "wandb: Run finished",
    "Epoch 3: loss inf-norm 1.0",
    "inference loss 1.2",
    "information: loss 3.4",
    "step 10 loss 2.0 info ok",
    "NVLink 5 enabled",
    "healthy: NVLink links up: 18, down: 0",
    "Watchdog started",
    "watchdog: enabled on all CPUs",
    "NMI watchdog: Enabled. Permanently consumes one hw-PMU counter.",
    "Heartbeat monitor started",
    "resumed job monitoring",
    "Resuming download",
    "HF_HUB: Resuming download of model-00001.safetensors",
    "restored terminal settings",
    "loaded states: 5",
    "gloo initialized, timeout 1800s",
    "Gloo connectFullMesh failed with [../third_party/gloo] no",
    "Xid 79 means the GPU has fallen off the bus",
    "See Xid (79) docs",
    "ValueErrorHandler registered",
    "ErrorGroup: 3",
    "Timeout: 30",
    "test_traceback (most recent call) ",
    "Status: 0/8 failed",
    "0 failed (exitcode: 0)",
    "Sending process group info",
    "[INFO] Exception handling enabled",
    "Killing time",
    "Received signal strength -40",
    "RuntimeWarning: coroutine was never awaited",
    "2024: Error rate: 0.0",
    "AUC/Error: 0.5",
    "Terminating training on user request? no",
    "PASSED test OutOfMemoryError handling",
    "loading distributed checkpoint weights",
    "Checkpointing enabled",
    "saved model config",
    "saving model every 10 epochs",
    "Model saved: True",
]  # fmt: skip

HEALTHY = (
    " iteration        4/      20 | consumed samples:           64 | elapsed time per iteration (ms): "
    "654.5/735.1 | learning rate: 9.698463E-06 | global batch size:    16 | lm loss: 1.101008E+01 | "
    "loss scale: 1.0 | grad norm: 19.806 | number of skipped iterations:   0 | "
    "number of nan iterations:   0 |"
)
# Event type → built-in rules that fire on such lines by their own patterns.
AGREED = {
    "RuntimeError: CUDA out of memory. Tried to allocate 304.00 MiB": "oom",
    "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 978.00 MiB.": "oom",
    "Out of memory: Killed process 4242 (python) total-vm:1kB": "oom",
    "[rank3]:[E ProcessGroupNCCL.cpp:523] [Rank 3] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=15": "nccl_timeout",
    "RuntimeError: NCCL error in: ProcessGroupNCCL.cpp:1970, unhandled system error": "nccl_error",
    "{'loss': nan, 'grad_norm': nan, 'learning_rate': 2.0e-05, 'epoch': 0.27}": "nan_loss",
    HEALTHY.replace("1.101008E+01", "NAN"): "nan_loss",
    HEALTHY.replace("nan iterations:   0", "nan iterations:   2"): "nan_loss",
    "AssertionError: Rank 0: found NaN in local forward loss calculation.": "nan_loss",
    "CUDA error: uncorrectable ECC error encountered": "ecc",
    "NVRM: Xid (PCI:0000:91:00): 79, pid='<unknown>', GPU has fallen off the bus.": "xid",
    "NVRM: Xid (PCI:0000:05:00): 61, pid=9": "xid",
    "[6781741.548783] NVRM: GPU 0000:91:00.0: GPU has fallen off the bus.": "xid",
    "nvidia-nvswitch0: SXid (PCI:0000:05:00.0): 20034, Fatal, Link 63 LTSSM Fault Up": "xid",
}  # fmt: skip


@pytest.mark.parametrize("line", [*QUIET, HEALTHY])
def test_healthy_lines_tell_nothing(line):
    assert parse_line(line).events == ()


@pytest.mark.parametrize("line", AGREED)
def test_findings_see_what_the_built_in_rules_see(line):
    assert [event.event_type for event in parse_line(line).events] == [AGREED[line]]


def test_noise_is_turned_away_at_the_gate():
    assert not events.hinted("h:1:2 [0] NCCL INFO Channel 15/0 : 1[c5000] -> 0[29000] via P2P")
    assert not events.hinted(HEALTHY)
    assert events.hinted("RuntimeError: CUDA out of memory.")
    assert (
        events.find("\ud800 CUDA out of memory. Tried to allocate 1.00 GiB").event.event_type
        == "oom"
    )


@pytest.mark.parametrize("size", [1_000, 100_000])
def test_hostile_lines_are_no_trouble(size):
    """Long runs of what patterns repeat; a quadratic search would take minutes."""
    for text in (
        "Xid (" * size,
        "out of memory " * size,
        "a:" * size + " error: ",
        "checkpoint " * size,
    ):
        events.find(text[:16_384])


def test_shared_lines(shared_data):
    """Findings' own small documents come out under their names, every one."""
    short = {"iteration": "current_iteration", "loss": "total_loss"}
    for row in (shared_data / "loglines.jsonl").read_text("utf-8").splitlines():
        wanted = json.loads(row)
        if wanted["kind"] == "perf":
            continue
        parsed = parse_line(wanted["line"])
        said = dict(parsed.fields)
        for event in parsed.events:
            said.update(event.attributes)
        for name, value in wanted["expected"].items():
            got = said.get(name, said.get(short.get(name)))
            if isinstance(value, float):
                assert got == pytest.approx(value, abs=1e-4), (wanted["id"], name)
            else:
                assert str(got) == str(value), (wanted["id"], name)


def test_shared_watchdog_lines(shared_data):
    names = {"seq": "seq_num", "op": "op_type", "pg": "group"}
    document = json.loads(
        (shared_data / "tables" / "nccl_watchdog_lines.json").read_text("utf-8")
    )
    for case in document["cases"]:
        found = events.find(clean.uncolored(case["line"]))
        if case["expect"] is None:
            assert found is None
            continue
        assert found.event.event_type == "nccl_timeout"
        for name, value in case["expect"].items():
            assert found.event.attributes[names.get(name, name)] == value, case["line"]


def test_shared_xid_lines(shared_data):
    document = json.loads(
        (shared_data / "tables" / "nvidia_xid_log_lines.json").read_text("utf-8")
    )
    for case in document["cases"]:
        found = events.find(case["line"])
        if case["xid"] is None:
            assert found is None, case["line"]
            continue
        assert found.event.attributes["xid"] == case["xid"]
        pci = found.event.attributes["pci"].removesuffix(".0")
        assert pci == case["device"].removeprefix("PCI:")
