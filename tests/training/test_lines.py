"""One line in, fields out: every shape that Megatron-LM, Primus and torchtitan print, and what is none."""

import math

import pytest

from heliograph.training.parse import LINE_CHARS_MAX, RULES, parse_line
from heliograph.training.reading import EXTRA_FIELDS_MAX

IT = {"current_iteration": 12, "target_iteration": 500}
HEAD = "iteration       12/     500 | "
NAN = math.nan


def piped(rest, **fields):
    return HEAD + rest, IT | fields


MEGATRON = [
    ("the oldest form has no colons",
     "iteration 12/ 500 | elapsed time per iteration (ms): 99.5 | learning rate 1.500E-04 | lm loss 9.1E+00 | loss scale 65536.0 |",
     IT | {"elapsed_time_per_iteration_ms": 99.5, "learning_rate": 1.5e-4, "lm_loss": 9.1, "loss_scale": 65536.0}),
    ("padded numbers",
     " iteration       12/     500 | consumed samples:         3072 | elapsed time per iteration (ms): 4321.0 | learning rate: 5.625E-05 | global batch size:   256 | lm loss: 7.5E+00 | loss scale: 1.0 | grad norm: 2.250 | number of skipped iterations:   0 | number of nan iterations:   1 |",
     IT | {"consumed_samples": 3072, "elapsed_time_per_iteration_ms": 4321.0, "learning_rate": 5.625e-05, "global_batch_size": 256, "lm_loss": 7.5, "loss_scale": 1.0, "grad_norm": 2.25, "skipped_iterations": 0, "nan_iterations": 1}),
    ("no loss and no grad norm when every step was skipped (trap 4)",
     HEAD + "consumed samples: 8 | loss scale: 1073741824.0 | number of skipped iterations:   1 | number of nan iterations:   0 |",
     IT | {"consumed_samples": 8, "loss_scale": 1073741824.0, "skipped_iterations": 1, "nan_iterations": 0}),
    ("elapsed time in seconds (trap 4)", *piped("elapsed time per iteration (s): 105.22 |", elapsed_time_per_iteration_ms=105220.0)),
    ("no blank before the unit", *piped("elapsed time per iteration(ms): 17658.3 |", elapsed_time_per_iteration_ms=17658.3)),
    ("elapsed time without a unit is no milliseconds", *piped("elapsed time per iteration: 17.5 | lm loss: 2.0", lm_loss=2.0, extra={"elapsed_time_per_iteration": 17.5})),
    ("the unit beside the number wins", *piped("elapsed time per iteration (ms): 1.5s |", elapsed_time_per_iteration_ms=1500.0)),
    ("consumed tokens and the DeepSpeed trailer", *piped("consumed tokens:  20155564032 | samples per second: 19.463 | TFLOPs: 149.02 |", consumed_tokens=20155564032, samples_per_second=19.463, tflops=149.02)),
    ("lm-loss with a hyphen", *piped("lm-loss: 1.244238E+01 | loss scale: -1.0 |", lm_loss=12.44238, loss_scale=-1.0)),
    ("a timestamp in front", " [2025-08-13 03:42:28] " + HEAD + "lm loss: 2.0 |", IT | {"lm_loss": 2.0}),
    ("quoted in a comment", "# [2025-12-16 14:44:49] " + HEAD + "lm loss: 2.0 |", IT | {"lm_loss": 2.0}),
    ("srun's task number is no rank", "   1:  " + HEAD + "lm loss: 2.0 |", IT | {"lm_loss": 2.0}),
    ("torchrun's local rank is no rank", " [default7]: " + HEAD + "lm loss: 2.0 |", IT | {"lm_loss": 2.0}),
    ("a named rank", "[rank3]: " + HEAD + "lm loss: 2.0 |", IT | {"lm_loss": 2.0, "rank": 3}),
    ("the process group's rank stands second (trap 11)", "115: [rank115]:[Rank 14] " + HEAD + "lm loss: 2.0 |", IT | {"lm_loss": 2.0, "rank": 115}),
    ("a level and an arrow in front", "INFO [2026-06-22 19:25:37] >>  " + HEAD + "max_memory_allocated(GB): 19.07 | max_memory_reserved(GB): 20.90 |", IT | {"mem_usage_gb": 19.07, "mem_reserved_gb": 20.9}),
    ("mixture of experts", *piped("load_balancing_loss: 1.041994E+00 | params norm: 238.330 | num zeros: 320483924.0 |", load_balancing_loss=1.041994, params_norm=238.33, num_zeros=320483924.0)),
    ("mem usages is a fraction", *piped("mem usages: 0.7494 |", mem_usage_ratio=74.94)),
    ("mem usages in per cent", *piped("mem usages: 74.94% |", mem_usage_ratio=74.94)),
    ("mem usages over one is neither", *piped("mem usages: 153.81 | lm loss: 1.0 |", lm_loss=1.0, extra={"mem_usages": 153.81})),
    ("mem usages in gigabytes is no ratio", *piped("mem usages: 0.5GB | lm loss: 1.0 |", lm_loss=1.0)),
    ("nan", *piped("lm loss: nan | grad norm: NaN |", lm_loss=NAN, grad_norm=NAN)),
    ("infinities", *piped("grad norm: inf | lm loss: -inf |", grad_norm=math.inf, lm_loss=-math.inf)),
    ("exponents", *piped("grad norm: 3.2e+06 | num zeros: 9.6E8 | loss scale: 4.3e9 |", grad_norm=3.2e6, num_zeros=9.6e8, loss_scale=4.3e9)),
    ("thousands separators", *piped("consumed samples: 1,234,567 | grad norm: 16,921.991 |", consumed_samples=1234567, grad_norm=16921.991)),
    ("a count printed with a decimal", *piped("global batch size: 128.0 |", global_batch_size=128)),
    ("half a count is none", *piped("global batch size: 128.5 | lm loss: 1.0 |", lm_loss=1.0)),
    ("what does not parse is absent, not 0", *piped("lm loss: 1.2.3 | grad norm: -- | loss scale: 0x10 | num zeros: 1_000 | learning rate: 12,34 | params norm: | consumed samples: 7", consumed_samples=7)),
    ("unknown keys are kept", *piped("lm loss: 1.0 | mtp_1 loss: 2.5 | total grad norm: 2.773 | actual seqlen: 4096 | skipped samples: 3 |", lm_loss=1.0, extra={"mtp_1_loss": 2.5, "total_grad_norm": 2.773, "actual_seqlen": 4096.0, "skipped_samples": 3.0})),
    ("unknown keys keep their units", *piped("lm loss: 1.0 | power per GPU (W/GPU): 512.5 | board: 80.5W |", lm_loss=1.0, extra={"power_per_gpu_w_gpu": 512.5, "board_w": 80.5})),
    ("words after the last value", *piped("lm loss: 1.0 | saved in 5", lm_loss=1.0)),
    ("GFLOP and PFLOP", *piped("throughput per GPU (PFLOP/s/GPU): 0.5 |", tflops=500.0)),
    ("a unit that is no throughput", *piped("throughput per GPU (tokens/min): 5 | lm loss: 1.0", lm_loss=1.0, extra={"tflops": 5.0})),
    ("fields in another order, the iteration last", "[2025-01-01 00:00:00] lm loss: 4.0 | grad norm: 1.0 | iteration 12/ 500", IT | {"lm_loss": 4.0, "grad_norm": 1.0}),
    ("twice the same", *piped("lm loss: 4.0 | lm loss: 4.0 |", lm_loss=4.0)),
    ("twice, and not the same: the first", *piped("lm loss: 4.0 | lm loss: 5.0 |", lm_loss=4.0)),
    ("twice, the first unreadable", *piped("lm loss: -- | lm loss: 5.0 |", lm_loss=5.0)),
    ("the next line glued on", *piped("lm loss: 4.0 | [2025-01-01 00:00:00] iteration 13/ 500 | lm loss: 3.0 | grad norm: 9.0 |", lm_loss=4.0)),
    ("without a target", "iteration 12 | lm loss: 4.0 |", {"current_iteration": 12, "lm_loss": 4.0}),
    ("the memory report", "[Rank 0] (after 1 iterations) memory (MB) | allocated: 1024.0 | max allocated: 2048.0 | reserved: 3072.0 | max reserved: 4096.0",
     {"current_iteration": 1, "rank": 0, "mem_usage_gb": 1.0, "mem_max_gb": 2.0, "mem_reserved_gb": 3.0, "extra": {"mem_reserved_max_gb": 4.0}}),
]  # fmt: skip

FOUR = {
    "mem_usage_gb": 153.81,
    "mem_free_gb": 102.17,
    "mem_total_gb": 255.98,
    "mem_usage_ratio": 60.09,
}
HIP = "hip mem usage/free/total/usage_ratio: 153.81GB/102.17GB/255.98GB/60.09% | "
ROCM = "rocm mem usage/free/total/usage_ratio: 150.11GB/105.87GB/255.98GB/58.64% | "
ROCM_EXTRA = {
    "rocm_mem_usage_gb": 150.11,
    "rocm_mem_free_gb": 105.87,
    "rocm_mem_total_gb": 255.98,
    "rocm_mem_usage_ratio": 58.64,
}
PRIMUS = [
    ("legacy: value and running average", *piped("elapsed time per iteration (ms): 2701.3/2712.7 | throughput per GPU (TFLOP/s/GPU): 210.5/217.3 | tokens per GPU (tokens/s/GPU): 12130.4/12525.5 |",
     elapsed_time_per_iteration_ms=2701.3, elapsed_time_per_iteration_ms_avg=2712.7, tflops=210.5, tflops_avg=217.3, tokens_per_gpu=12130.4, tokens_per_gpu_avg=12525.5)),
    ("26.5 renamed both (trap 2)", *piped("compute per GPU (TFLOP/s/GPU): 615.5 (avg 614.25) | tokens/s/GPU inst/harmonic mean: 11941.8/11940.5 |",
     tflops=615.5, tflops_avg=614.25, tokens_per_gpu=11941.8, tokens_per_gpu_avg=11940.5)),
    ("the old and the new name on one line (trap 2)", *piped("throughput per GPU (TFLOP/s/GPU): 1290.3/1162.8  | tokens/s/GPU inst/harmonic mean: 25032.8/22288.1 |",
     tflops=1290.3, tflops_avg=1162.8, tokens_per_gpu=25032.8, tokens_per_gpu_avg=22288.1)),
    ("hip memory (trap 3)", *piped(HIP, **FOUR)),
    ("rocm memory where it is all there is", *piped(ROCM, mem_usage_gb=150.11, mem_free_gb=105.87, mem_total_gb=255.98, mem_usage_ratio=58.64)),
    ("hip is fresh, rocm is repeated (trap 3)", *piped(HIP + ROCM, **FOUR, extra=ROCM_EXTRA)),
    ("whichever stands first", *piped(ROCM + HIP, **FOUR, extra=ROCM_EXTRA)),
    ("another rank's memory is not this one's", *piped(HIP + "rank-3 rocm max mem usage/usage_ratio: 151.00GB/58.99% |", **FOUR, extra={"rocm_max_mem_usage_gb": 151.0, "rocm_max_mem_usage_ratio": 58.99, "rocm_max_mem_rank": 3})),
    ("GiB", *piped(HIP.replace("GB", "GiB"), **FOUR)),
    ("whole gigabytes", *piped("hip mem usage/free/total/usage_ratio: 205GB/83GB/288GB/71% |", mem_usage_gb=205.0, mem_free_gb=83.0, mem_total_gb=288.0, mem_usage_ratio=71.0)),
    ("MiB", *piped("hip mem usage/free/total/usage_ratio: 1024MiB/3072MiB/4096MiB/25% |", mem_usage_gb=1.0, mem_free_gb=3.0, mem_total_gb=4.0, mem_usage_ratio=25.0)),
    ("three names, three others: the ratio tells free", "        memory usage/free/total: 145.40GiB/142.58GiB(50.49%) | throughput per GPU (TFLOP/s/GPU): 347.9 |",
     {"mem_usage_gb": 145.4, "mem_free_gb": 142.58, "mem_usage_ratio": 50.49, "tflops": 347.9}),
    ("three names, three others: the ratio tells total", *piped("memory usage/free/total: 145.40GiB/287.98GiB(50.49%) |", mem_usage_gb=145.4, mem_total_gb=287.98, mem_usage_ratio=50.49)),
    ("a size that is neither is left out", *piped("memory usage/free/total: 145.40GiB/9.00GiB(50.49%) |", mem_usage_gb=145.4, mem_usage_ratio=50.49)),
    ("memory that does not parse", *piped("hip mem usage/free/total/usage_ratio: N/A | lm loss: 2.0 |", lm_loss=2.0)),
    ("rank and world, colours without ESC, a stray 0 (trap 1)",
     "0[[32m20251202 06:26:45[0m][[36mrank-7/8[0m][[1mINFO [0m] [1m[--------trainer.py:2560] : " + HEAD + "lm loss: 4.092303E-03 | number of nan iterations: 0 |[0m",
     IT | {"lm_loss": 4.092303e-03, "nan_iterations": 0, "rank": 7, "world_size": 8}),
    ("colours with ESC, two timestamps",
     "\x1b[32mINFO\x1b[0m [\x1b[32m20260923 15:34:02\x1b[0m][\x1b[36mrank-7/8\x1b[0m]\x1b[34m\x1b[1m[DEBUG]    \x1b[0m\x1b[34m\x1b[1m[----utils.py:425] : [2026-09-23 15:34:04.269468] " + HEAD + "lm loss: 1.5 |\x1b[0m",
     IT | {"lm_loss": 1.5, "rank": 7, "world_size": 8}),
    ("a first step has single values", *piped("elapsed time per iteration (ms): 8146.7 | throughput per GPU (TFLOP/s/GPU): 103.7 |", elapsed_time_per_iteration_ms=8146.7, tflops=103.7)),
    ("separators in a pair", *piped("tokens/s/GPU inst/harmonic mean: 11,941.8/11,940.5 |", tokens_per_gpu=11941.8, tokens_per_gpu_avg=11940.5)),
    ("nan beside its average", *piped("throughput per GPU (TFLOP/s/GPU): nan/210.5 |", tflops=NAN, tflops_avg=210.5)),
    ("three numbers are no value and average", *piped("throughput per GPU (TFLOP/s/GPU): 1.0/2.0/3.0 | lm loss: 1.0 |", lm_loss=1.0)),
    ("half a pair", *piped("throughput per GPU (TFLOP/s/GPU): 1.0/ | lm loss: 1.0 |", lm_loss=1.0)),
]  # fmt: skip

TITAN = [
    ("2024: wps, per cent", "2: 2024-03-04 00:44:44,441 - root - INFO - step: 1990  loss:  3.4370  memory: 68.57GiB(86.69%)  wps: 6,785  mfu: 39.73%",
     {"current_iteration": 1990, "total_loss": 3.437, "mem_usage_gb": 68.57, "mem_usage_ratio": 86.69, "tokens_per_gpu": 6785.0, "mfu": 39.73}),
    ("coloured", "1: 2025-03-04 00:44:44,441 - root - INFO - \x1b[36mstep: 10  \x1b[32mloss:  3.0  \x1b[33mmemory: 68.57GiB(86.69%)  \x1b[34mtps: 6,785  \x1b[35mmfu: 39.73%\x1b[39m",
     {"current_iteration": 10, "total_loss": 3.0, "mem_usage_gb": 68.57, "mem_usage_ratio": 86.69, "tokens_per_gpu": 6785.0, "mfu": 39.73}),
    ("2025: tps, tflops, a named rank (trap 5)", "[rank0]:[titan] 2025-12-13 06:45:34,345 - root - INFO - step: 530  loss:  5.9866  grad_norm:  0.5402  memory: 63.36GiB(45.35%)  tps: 829  tflops: 23.15  mfu: 2.34%",
     {"current_iteration": 530, "total_loss": 5.9866, "grad_norm": 0.5402, "mem_usage_gb": 63.36, "mem_usage_ratio": 45.35, "tokens_per_gpu": 829.0, "tflops": 23.15, "mfu": 2.34, "rank": 0}),
    ("2026: five digits, a padded size (trap 10)", "[titan] 2026-05-04 13:58:42,191 - root - INFO - step: 10  loss:  1.93761  memory:  3.18GiB(1.70%)  tps: 121,163",
     {"current_iteration": 10, "total_loss": 1.93761, "mem_usage_gb": 3.18, "mem_usage_ratio": 1.7, "tokens_per_gpu": 121163.0}),
    ("step with a target", "step: 640/644 = 99.3789%  loss:  6.2116  tps: 52,142",
     {"current_iteration": 640, "target_iteration": 644, "total_loss": 6.2116, "tokens_per_gpu": 52142.0}),
    ("another order", "loss:  5.9866  tps: 829  step: 530", {"current_iteration": 530, "total_loss": 5.9866, "tokens_per_gpu": 829.0}),
    ("nan", "[titan] step: 7  loss:  nan  grad_norm:  inf  tps: 1", {"current_iteration": 7, "total_loss": NAN, "grad_norm": math.inf, "tokens_per_gpu": 1.0}),
    ("mfu without its sign may be a fraction", "[titan] step: 7  loss:  1.0  mfu: 0.39", {"current_iteration": 7, "total_loss": 1.0, "extra": {"mfu": 0.39}}),
    ("mfu without its sign, twice", "[titan] step: 7  loss:  1.0  mfu: 0.39/0.40", {"current_iteration": 7, "total_loss": 1.0}),
    ("unknown keys", "[titan] step: 7  loss:  1.0  lr: 3e-4  n_tokens: 512", {"current_iteration": 7, "total_loss": 1.0, "learning_rate": 3e-4, "extra": {"n_tokens": 512.0}}),
]  # fmt: skip

NONE = [
    ("empty", ""),
    ("blank", "   "),
    ("timers", "time (ms) | forward-compute: 53.79 | forward-recv: 38.38 | optimizer: 49.42 | batch-generator: 2.35"),
    ("validation", " validation loss at iteration 1000 | lm loss value: 2.3E+00 | lm loss PPL: 1.0E+01 | "),
    ("validation named as training is", "[titan] - root - INFO - validate step: 10  loss:  5.98  memory: 63.36GiB(45.35%)  tps: 829"),
    ("evaluation of an iteration", "Evaluating iteration 12/ 500 | lm loss: 2.0 |"),
    ("advice", "NOTE: at iteration 12/ 500 | lm loss: 2.0 | lower the learning rate | try it"),
    ("advice in pipes", "set learning rate: 1e-4 | grad norm: 1.0 | or disable fp16"),
    ("settings", "learning rate: 1e-4 | global batch size: 32 |"),
    ("a table of settings", "| lr | global batch size | loss scale |"),
    ("settings with dots", "  learning_rate ................... 0.00015"),
    ("an iteration alone", "iteration 12/ 500 |"),
    ("an iteration with words", HEAD + "all is well"),
    ("prose with a step", "see step: 5 for what to do when loss: 3.0"),
    ("a code listing", "logger.info('step: 5  loss: 3.0')"),
    ("a YAML step", "step: 5"),
    ("nvidia-smi", "| N/A   30C    P0    60W / 400W |   1024MiB / 81920MiB |      0%      Default |"),
    ("a shape", "matmul [4096x8192] took 3ms"),
    ("too long", HEAD + "lm loss: 2.0 |" + " " * LINE_CHARS_MAX),
]  # fmt: skip


def told(fields):
    """Comparable: NaN equals NaN."""
    return {
        name: told(value)
        if isinstance(value, dict)
        else "nan"
        if isinstance(value, float) and math.isnan(value)
        else value
        for name, value in fields.items()
    }


def table(framework, cases):
    return [pytest.param(framework, *case[1:], id=f"{framework}: {case[0]}") for case in cases]


@pytest.mark.parametrize(
    ("framework", "line", "expected"),
    table("megatron", MEGATRON) + table("primus", PRIMUS) + table("titan", TITAN),
)
def test_fields(framework, line, expected):
    parsed = parse_line(line)
    assert (parsed.kind, told(parsed.fields)) == ("performance", told(expected))
    assert {event.event_type for event in parsed.events} <= {"nan_loss"}
    assert parsed.rule in RULES


@pytest.mark.parametrize("line", [pytest.param(line, id=name) for name, line in NONE])
def test_none(line):
    parsed = parse_line(line)
    assert (parsed.kind, parsed.fields, parsed.events) == ("none", {}, ())
    assert parsed.rule in RULES


def test_there_are_enough_cases():
    assert len(MEGATRON) + len(PRIMUS) + len(TITAN) + len(NONE) >= 60


@pytest.mark.parametrize(
    ("line", "framework"),
    [
        (HEAD + "lm loss: 2.0 |", "megatron-lm"),
        (HEAD + "elapsed time per iteration (s): 2.0 |", "megatron-deepspeed"),
        (HEAD + HIP, "primus"),
        (HEAD + "elapsed time per iteration (ms): 1.0/2.0 |", "primus"),
        ("[rank-7/8][INFO ] : " + HEAD + "lm loss: 2.0 |", "primus"),
        (TITAN[0][1], "torchtitan"),
        (MEGATRON[15][1], "mindspeed-llm"),
        ("hello", "unknown"),
    ],
)
def test_framework_of_a_line(line, framework):
    assert parse_line(line).framework == framework


def test_a_given_framework_is_answered_and_changes_no_value():
    line = MEGATRON[1][1]
    assert parse_line(line, "primus") == parse_line(line)._replace(framework="primus")
    assert parse_line("noise", "primus").framework == "primus"


@pytest.mark.parametrize(
    ("prefix", "label"),
    [
        ("", ""),
        ("[rank3]: ", "3"),
        ("[rank-7/8] ", "7"),
        ("[default3]: ", "default3"),
        ("  12: ", "task12"),
        ("[rank-9/8] ", ""),
    ],
)
def test_ranks_of_one_stream_are_kept_apart(prefix, label):
    assert parse_line(prefix + HEAD + "lm loss: 2.0 |").label == label


def test_extra_fields_are_bounded():
    line = HEAD + "lm loss: 2.0 | " + " | ".join(f"k{n}: {n}" for n in range(200))
    extra = parse_line(line).fields["extra"]
    assert len(extra) == EXTRA_FIELDS_MAX + 1
    assert extra["fields_dropped"] == 200 - EXTRA_FIELDS_MAX
