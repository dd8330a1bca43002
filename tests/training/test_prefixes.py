"""What launchers, loggers and shippers put before a line changes nothing of what it tells."""

import pytest

from heliograph.training.parse import parse_line
from heliograph.training.rows import iteration_of

LINES = [
    " iteration       12/      50 | consumed samples:   1536 | elapsed time per iteration (ms): 4210.5 | lm loss: 1.5E+00 | grad norm: 7.5 |",
    "step: 30  loss:  7.25  grad_norm:  1.25  memory: 101.5GiB(52.5%)  tps: 13,201  tflops: 689.5  mfu: 52.75%",
    "completed step: 14, seconds: 5.75, TFLOP/s/device: 488.5, Tokens/s/device: 9871.25, loss: 6.5",
    "{'loss': 1.25, 'grad_norm': 0.5, 'learning_rate': 1.5e-05, 'epoch': 0.125}",
    "  3%|▎         | 150/5000 [02:31<1:21:05,  1.00s/it]",
    "Epoch 2:  10%|█         | 12/120 [00:11<01:41,  1.25it/s, v_num=8, train_loss=1.250]",
    "1|52|Loss: 1.25:   3%|▎         | 52/1617 [01:52<56:41,  2.25s/it]",
    "step:83 - actor/pg_loss:0.005 - actor/grad_norm:0.5 - perf/mfu/actor:0.25 - timing_s/step:61.5",
    "steps: 10 loss: 3.25 iter time (s): 0.5 samples/sec: 31.250",
    "Training epoch 0, iteration 3/99 | lr: 6e-06 | global_batch_size: 8 | global_step: 3 | reduced_train_loss: 11.5",
    "Throughput: 12.5 requests/s, 5678.5 total tokens/s, 2345.5 output tokens/s",
    "Step 7 | loss:1.25 lr:1.5e-05 tokens_per_second_per_gpu:712.5",
    "[batch=12/4800]:",
    "\t Train loss/train/total: 2.25",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.50 GiB",
    "saving checkpoint at iteration     100 to /ckpt in torch_dist format",
    "RuntimeError: DataLoader worker (pid 4411) is killed by signal: Killed. ",
    "slurmstepd: error: *** JOB 32391783 ON cn119 CANCELLED AT 2021-06-18T13:05:36 DUE TO PREEMPTION ***",
]  # fmt: skip
PREFIXES = [
    "[1,5]<stdout>:", "[1,5]<stderr>: ", "node7: ", "gpu-node-12: ", "worker-3: ", "node7:3: ", "10.0.0.3: ",
    "12: ", "[rank3]: ", "[rank12]:", "[default7]:", "Rank 3: ", "[RANK 3] ", "[worker-3] ", "0: [rank0]: ",
    "(RayTrainWorker pid=812, ip=10.0.0.3) ", "\x1b[36m(WorkerDict pid=4410)\x1b[0m ",
    "2025-11-10 10:11:12.123 | INFO     | trainer.loop:log:123 - ", "Nov 22 11:44:17 node7 python[1234]: ",
    "2025-11-22 11:44:17 node7 train[12]: ", "2025-11-22T11:44:17.436123456Z ", "2025-11-22T11:44:17+01:00 ",
    "2025-11-22T11:44:17.436Z stdout F ", "2025-11-22 11:44:17,436 - INFO - ", "2025-11-22 11:44:17,436 INFO ",
    "2025-11-22 11:44:17,436\tINFO\ttrainer.py:12 -- ", "[2025-11-22 11:44:17,436] [INFO] [trainer.py:123:log] ",
    "INFO:trainer:", "[pod/train-3/pytorch] ", "trainer-1  | ", "stderr: ", "Sat Nov 22 11:44:17 2025: ",
    "[2025-11-22 11:44:17][rank-3/8][INFO ] [trainer.py:12] : ", "I1122 11:44:17.123456 1234 trainer.py:12] ",
    "11/22/2025 11:44:17 - INFO - __main__ - ", "[INFO|trainer.py:123] 2025-11-22 11:44:17,436 >> ",
    "llm-7b-worker-0 pytorch ", "trainer-6d4cf56db6-x7k2p main ", "llm-7b-worker-0 pytorch [rank3]: ",
    "gpu-node-01.cluster.local: ", "ip-10-0-0-3.ec2.internal: ", "rank=3 ", "rank=3, ",
]  # fmt: skip


def values(line):
    """What *line* tells but for who speaks, in whatever order."""
    parsed = parse_line(line)
    who = {"rank", "world_size"}
    return (
        parsed.kind,
        {name: value for name, value in parsed.fields.items() if name not in who},
        [(event.event_type, event.attributes) for event in parsed.events],
    )


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_changes_nothing(prefix):
    assert [values(prefix + line) for line in LINES] == [values(line) for line in LINES]
    assert all(values(line)[0] != "none" for line in LINES)


@pytest.mark.parametrize(
    ("prefix", "rank", "label"),
    [
        ("[rank12]: ", 12, "12"),
        ("[RANK 3] ", 3, "3"),
        ("Rank 3: ", 3, "3"),
        ("rank=3 ", 3, "3"),
        ("llm-7b-worker-0 pytorch [rank3]: ", 3, "3"),
        ("[1,5]<stdout>:", None, "task5"),
        ("7: ", None, "task7"),
        ("node7: ", None, ""),
    ],
)
def test_who_speaks(prefix, rank, label):
    parsed = parse_line(prefix + LINES[1])
    assert (parsed.fields.get("rank"), parsed.label) == (rank, label)


@pytest.mark.parametrize(
    "line",
    [
        "[0] step: 30  loss:  7.25  tps: 13,201",
        "[0] completed step: 30, seconds: 5.75, loss: 6.5",
        "[0] step=30 loss=2.5 lr=0.5",
    ],
)
def test_a_number_in_brackets_is_no_step_where_one_is_named(line):
    assert parse_line(line).fields.get("current_iteration") in {30, None}


def test_a_key_with_a_number_is_no_host():
    fields = parse_line("loss1: 2.5 step: 5 loss: 1.5").fields
    assert fields == {"current_iteration": 5, "total_loss": 1.5, "extra": {"loss1": 2.5}}


@pytest.mark.parametrize(
    "suffix",
    [
        " [repeated 7x across cluster]",
        " [repeated 7x across cluster] (Ray deduplicates logs by default. Set RAY_DEDUP_LOGS=0 to disable.)",
        "       trainer.py:12",
        "                                                           my_trainer.py:1012  ",
    ],
)
def test_what_stands_behind_a_line_changes_nothing(suffix):
    assert [values(line + suffix) for line in LINES] == [values(line) for line in LINES]


@pytest.mark.parametrize(
    "line",
    [
        "gpt-4 says that iteration 5/10 had lm loss: 3.0",
        "checkpoint-500 saved step: 500 loss: 2.5 lr: 1e-4",
        "the model.eval: step: 5 loss: 2.5",
        "gpt-4 model trained for 100 steps with a loss of 2.3",
        "llama-eval-0 pytorch Step 7 | loss:1.25 lr:1.5e-05",
        "trainer-x7k2p pytorch loaded shard 17 of 99 in 3.2 s",
    ],
)
def test_other_words_before_a_line_are_no_tool(line):
    assert parse_line(line).kind == "none"


def test_a_tool_may_name_the_framework():
    assert parse_line("rank=3 step=5 loss=2.5").fields == {
        "rank": 3,
        "current_iteration": 5,
        "total_loss": 2.5,
    }
    assert (
        parse_line("llamafactory.train.callbacks: Step 7 | loss:1.25").framework
        == "llama-factory"
    )


WRAPPED = [
    "\x1b[32m{}\x1b[0m", "[32m{}[0m", "\x1b[1;38;5;196m{}\x1b[0m\x1b[K", "\\u001b[33m{}\\u001b[0m", "{}\r", "{}\r\n", "{}   ",
    "\r{}", "\t{}", "   {}",
]  # fmt: skip
SHORT = [
    "NVRM: Xid (PCI:0000:18:00): 48, pid=812, name=python, Ch 00000008",
    "EDAC MC0: 1 CE memory read error on CPU_SrcID#0_MC#0_Chan#1_DIMM#0",
    "python3[4242]: segfault at 7f00 ip 00007f3 sp 00007ff error 4 in libtorch_cuda.so[7f+100]",
    "ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.",
]  # fmt: skip


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_colours_and_blanks_change_nothing(wrapped):
    lines = [*LINES, *SHORT]
    assert [values(wrapped.format(line)) for line in lines if "{" not in line] == [
        values(line) for line in lines if "{" not in line
    ]


def test_dmesg_colours_the_word_before():
    line = "\x1b[32m[  812.1] \x1b[0m\x1b[33mNVRM: \x1b[0mXid (PCI:0000:18:00): 79, pid=812, GPU has fallen off the bus."
    assert [event.attributes["xid"] for event in parse_line(line).events] == [79]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    "line", ["Validation | Step:  3 | loss:  0.42", "eval | step: 100 | loss: 2.5"]
)
def test_an_evaluation_is_one_behind_any_prefix(prefix, line):
    assert parse_line(prefix + line).kind == "none"


@pytest.mark.parametrize("prefix", [*PREFIXES, "INFO "])
def test_rules_of_signs_before_a_message_are_none_of_it(prefix):
    line = "### saving checkpoint at iteration 100 to /ckpt"
    assert values(prefix + line) == values(line.removeprefix("### "))


def test_batches_count_within_their_epoch():
    parsed = parse_line("[Train] Epoch 2/3, Batch 12/100, Loss: 2.5")
    assert (parsed.rule, iteration_of(parsed)) == ("bar", 212)
    assert iteration_of(parse_line("Epoch 2/3, Step 12/100, Loss: 2.5")) == 12
