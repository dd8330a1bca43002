"""The words of trainers: printed key → field, by what each framework's source prints.

    consumed samples, num_input_tokens_seen, tokens/total     what was seen so far
    lm loss, reduced_train_loss                                lm_loss; any other `loss` is total_loss
    actor/ppo_kl, critic/score/mean, timing_s/gen              under `extra`, by one name each

Keys are canonical here: lower case, words parted by single blanks, `/` kept.
"""

from heliograph.training import rates

(
    WHOLE,
    NUMBER,
    TIME,
    TFLOPS,
    RATE,
    PERCENT,
    MEMORY,
    FRACTION,
    QUADRUPLE,
    SHARE,
    MAX_MEMORY,
    STEP,
    COUNT,
) = range(13)
# A number beside these is their running average; beside a count it is a target or a total.
AVERAGED = frozenset({TIME, TFLOPS, RATE, NUMBER, PERCENT})

_MEMORY: dict[str, float] = {
    **dict.fromkeys(("tb", "tib"), 1024.0),
    **dict.fromkeys(("gb", "gib", "g"), 1.0),
    **dict.fromkeys(("mb", "mib", "m"), 1 / 1024),
    **dict.fromkeys(("kb", "kib"), 1 / 1024**2),
    **dict.fromkeys(("b", "bytes"), 1 / 1024**3),
}
# How people shorten a number of what is counted, or of milliseconds.
THOUSANDS = {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
# dimension → unit → what a number in it is multiplied by to be in ours
SCALES: dict[int, dict[str, float]] = {
    TIME: {
        **dict.fromkeys(("ms", "msec", "milliseconds"), 1.0),
        **dict.fromkeys(rates.SECOND, 1e3),
        **dict.fromkeys(("us", "µs"), 1e-3),
    },
    # Of the rates that a key names as its unit see `fields`.
    TFLOPS: {"": 1.0, **rates.FLOPS},
    RATE: {"": 1.0, "tgs": 1.0, **THOUSANDS},
    PERCENT: {"%": 1},
    MEMORY: _MEMORY,
    MAX_MEMORY: _MEMORY,
    FRACTION: {"%": 1},
    SHARE: {"": 100.0, "%": 1.0},
    WHOLE: {"": 1},
    NUMBER: {"": 1},
    STEP: {"": 1},
    # `1.258B`: what was seen so far, as people write it.
    COUNT: {"": 1, **THOUSANDS, "b": 1e9},
}

_TIME_MS = "elapsed_time_per_iteration_ms"
# canonical key → (field, dimension, unit where neither key nor value prints one)
NAMES: dict[str, tuple[str, int, str]] = {
    "consumed samples": ("consumed_samples", COUNT, ""),
    "samples seen": ("consumed_samples", COUNT, ""),
    "consumed tokens": ("consumed_tokens", COUNT, ""),
    "num tokens": ("consumed_tokens", COUNT, ""),
    "num input tokens seen": ("consumed_tokens", COUNT, ""),
    "num tokens seen": ("consumed_tokens", COUNT, ""),
    "tokens seen": ("consumed_tokens", COUNT, ""),
    "total tokens": ("consumed_tokens", COUNT, ""),
    "tokens/total": ("consumed_tokens", COUNT, ""),
    "n tokens seen": ("consumed_tokens", COUNT, ""),
    "ntokens seen": ("consumed_tokens", COUNT, ""),
    **dict.fromkeys(
        (
            *("step", "steps", "iter", "iteration", "completed step", "global step"),
            *("current step", "current steps", "iterations", "current iteration"),
            *("global steps", "finished training step", "trainer/global step"),
            *("global step/max steps", "completed profiler activation/deactivation step"),
        ),
        ("current_iteration", STEP, ""),
    ),
    **dict.fromkeys(
        ("total steps", "max steps", "target iteration", "total iterations", "train iters"),
        ("target_iteration", WHOLE, ""),
    ),
    "epoch": ("epoch", NUMBER, ""),
    "epochs": ("epoch", NUMBER, ""),
    "elapsed time per iteration": (_TIME_MS, TIME, ""),
    "elapsed time per step": (_TIME_MS, TIME, ""),
    "train step timing": (_TIME_MS, TIME, "s"),
    "iter time": (_TIME_MS, TIME, ""),
    "iteration time": (_TIME_MS, TIME, ""),
    "step time": (_TIME_MS, TIME, ""),
    "time per step": (_TIME_MS, TIME, ""),
    "time per iteration": (_TIME_MS, TIME, ""),
    "time per iter": (_TIME_MS, TIME, ""),
    "perf/time per step": (_TIME_MS, TIME, "s"),
    "train/time": (_TIME_MS, TIME, ""),
    "timing s/step": (_TIME_MS, TIME, "s"),
    "timing/step total": (_TIME_MS, TIME, "s"),
    "dt": (_TIME_MS, TIME, ""),
    "latency": (_TIME_MS, TIME, ""),
    "e2e latency": (_TIME_MS, TIME, ""),
    # MaxText: the whole step's.
    "seconds": (_TIME_MS, TIME, "s"),
    "throughput per gpu": ("tflops", TFLOPS, ""),
    "throughput per npu": ("tflops", TFLOPS, ""),
    "compute per gpu": ("tflops", TFLOPS, ""),
    "approx flops per gpu": ("tflops", TFLOPS, ""),
    "model tflops per gpu": ("tflops", TFLOPS, ""),
    "tokens per gpu": ("tokens_per_gpu", RATE, ""),
    "tokens per npu": ("tokens_per_gpu", RATE, ""),
    "tps": ("tokens_per_gpu", RATE, ""),
    "wps": ("tokens_per_gpu", RATE, ""),
    "tgs": ("tokens_per_gpu", RATE, ""),
    "perf/throughput": ("tokens_per_gpu", RATE, ""),
    "mfu": ("mfu", PERCENT, ""),
    "train/mfu": ("mfu", SHARE, ""),
    "mfu/actor": ("mfu", SHARE, ""),
    "throughput/device/mfu": ("mfu", SHARE, ""),
    **dict.fromkeys(
        (
            *("learning rate", "lr", "actor lr", "act lr", "actor/lr", "current lr"),
            "learning rate/current",
        ),
        ("learning_rate", NUMBER, ""),
    ),
    "global batch size": ("global_batch_size", COUNT, ""),
    "batch size": ("global_batch_size", WHOLE, ""),
    "lm loss": ("lm_loss", NUMBER, ""),
    "reduced train loss": ("lm_loss", NUMBER, ""),
    **dict.fromkeys(
        (
            *("loss", "total loss", "gpt loss", "loss/train/total", "loss step", "sft loss"),
            *("step loss", "loss/train", "loss/global avg loss", "loss/total", "loss/loss"),
        ),
        ("total_loss", NUMBER, ""),
    ),
    "loss mean": ("total_loss_avg", NUMBER, ""),
    "load balancing loss": ("load_balancing_loss", NUMBER, ""),
    "moe lb loss": ("load_balancing_loss", NUMBER, ""),
    "lb loss": ("load_balancing_loss", NUMBER, ""),
    "aux loss": ("auxiliary_loss", NUMBER, ""),
    "auxiliary loss": ("auxiliary_loss", NUMBER, ""),
    "moe aux loss": ("auxiliary_loss", NUMBER, ""),
    "loss scale": ("loss_scale", NUMBER, ""),
    "grad norm": ("grad_norm", NUMBER, ""),
    "gradient norm": ("grad_norm", NUMBER, ""),
    "gnorm": ("grad_norm", NUMBER, ""),
    "global grad norm": ("grad_norm", NUMBER, ""),
    "actor/grad norm": ("grad_norm", NUMBER, ""),
    "actor grad norm": ("grad_norm", NUMBER, ""),
    "l2 norm/grad/global": ("grad_norm", NUMBER, ""),
    "params norm": ("params_norm", NUMBER, ""),
    "param norm": ("params_norm", NUMBER, ""),
    "parameter norm": ("params_norm", NUMBER, ""),
    "num zeros": ("num_zeros", NUMBER, ""),
    "number of skipped iterations": ("skipped_iterations", WHOLE, ""),
    "skipped iterations": ("skipped_iterations", WHOLE, ""),
    "skipped": ("skipped_iterations", WHOLE, ""),
    "number of nan iterations": ("nan_iterations", WHOLE, ""),
    "nan iterations": ("nan_iterations", WHOLE, ""),
    "rank": ("rank", WHOLE, ""),
    "global rank": ("rank", WHOLE, ""),
    "world size": ("world_size", WHOLE, ""),
    # A fraction, although an early model of it said GB.
    "mem usages": ("mem_usage_ratio", FRACTION, ""),
    "step tokens per second": ("tokens_per_second", RATE, ""),
}
# canonical key → its one name under `extra`
ELSEWHERE = {
    "train runtime": "runtime_s",
    "actor/pg loss": "policy_loss",
    # TRL's PPO.
    "loss/policy avg": "policy_loss",
    "loss/value avg": "value_loss",
    "objective/kl": "kl",
    "objective/entropy": "entropy",
    "objective/rlhf reward": "reward",
    "policy loss": "policy_loss",
    "actor loss": "policy_loss",
    "act loss": "policy_loss",
    "cri loss": "value_loss",
    "pg": "policy_loss",
    "critic/vf loss": "value_loss",
    "value loss": "value_loss",
    "critic loss": "value_loss",
    "critic/grad norm": "critic_grad_norm",
    "critic grad norm": "critic_grad_norm",
    "critic/lr": "critic_lr",
    "critic lr": "critic_lr",
    "crt lr": "critic_lr",
    "critic/score/mean": "score_mean",
    "critic/rewards/mean": "reward_mean",
    "actor/ppo kl": "kl",
    "actor/entropy": "entropy",
    "actor/entropy loss": "entropy",
    "response length/mean": "response_length_mean",
    "prompt length/mean": "prompt_length_mean",
}
# What only a running step can tell; a list of settings has none of these.
MEASURED = frozenset(
    {
        *(_TIME_MS, "tflops", "mfu", "tokens_per_gpu", "steps_per_second"),
        *("tokens_per_second", "samples_per_second", "lm_loss", "total_loss"),
        *("load_balancing_loss", "grad_norm", "params_norm", "num_zeros"),
        *("mem_usage_gb", "mem_usage_ratio", "skipped_iterations"),
    }
)
# The same of what is kept under `extra`.
MEASURED_ELSEWHERE = frozenset({"policy_loss", "value_loss", "reward", "reward_mean"})
