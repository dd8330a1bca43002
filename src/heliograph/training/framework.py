"""Which framework prints such a line, and what a stream of them is.

One line often cannot tell: Primus prints some lines exactly as Megatron-LM does, and torchtitan's
may be Primus' too. So a stream's framework is the most telling one that any of its lines showed.
"""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

UNKNOWN = "unknown"
MEGATRON_LM = "megatron-lm"
MEGATRON_DEEPSPEED = "megatron-deepspeed"
MINDSPEED = "mindspeed-llm"
NEMO = "nemo"
PRIMUS = "primus"
TORCHTITAN = "torchtitan"
DEEPSPEED = "deepspeed"
HF_TRAINER = "hf-trainer"
LIGHTNING = "pytorch-lightning"
MAXTEXT = "maxtext"
T5X = "jax-t5x"
VERL = "verl"
OPENRLHF = "openrlhf"
TORCHTUNE = "torchtune"
LLAMA_FACTORY = "llama-factory"
AXOLOTL = "axolotl"
COMPOSER = "composer"
VLLM = "vllm"
FAIRSEQ = "fairseq"

# What wraps another framework, or is a fork of it, tells more than what it wraps.
_TELLING = {
    UNKNOWN: 0,
    **dict.fromkeys((MEGATRON_LM, DEEPSPEED, HF_TRAINER, VLLM, FAIRSEQ), 1),
    **dict.fromkeys((TORCHTITAN, LIGHTNING, MAXTEXT, T5X, COMPOSER, TORCHTUNE), 2),
    **dict.fromkeys((MINDSPEED, MEGATRON_DEEPSPEED, NEMO, AXOLOTL, LLAMA_FACTORY), 3),
    **dict.fromkeys((VERL, OPENRLHF), 3),
    PRIMUS: 4,
}
# T5X logs by absl; many a program else has a `train.py`.
_ABSL = re.compile(r"[IWEF]\d{4} [\d:.]{8,18}\s{1,8}\d{1,20} train(?:er)?\.py:")
# What a line's own logger or text says; the first that is there.
_NAMED = (
    ("[titan]", TORCHTITAN),
    ("torchtitan", TORCHTITAN),
    ("[NeMo ", NEMO),
    ("[rank-", PRIMUS),
    ("[axolotl.", AXOLOTL),
    ("axolotl.", AXOLOTL),
    ("llamafactory", LLAMA_FACTORY),
    ("torchtune", TORCHTUNE),
    ("[deepspeed]", DEEPSPEED),
    ("log_dist]", DEEPSPEED),
    ("[INFO|trainer.py:", HF_TRAINER),
    ("pytorch_lightning", LIGHTNING),
    ("composer.", COMPOSER),
    ("max_logging.py", MAXTEXT),
    ("metric_logger.py", MAXTEXT),
    ("logging_writer.py", T5X),
    ("PPOTrainer pid=", OPENRLHF),
    ("(TaskRunner pid=", VERL),
    ("(main_task pid=", VERL),
    ("(WorkerDict pid=", VERL),
)
# The keys by which one framework means what others call otherwise, or nothing of it.
_SPELLED = {
    FAIRSEQ: {
        "wps": "tokens per second",
        "ups": "steps per second",
        "bsz": "global batch size",
        "num_updates": "step",
    },
    LLAMA_FACTORY: {"throughput": "tokens per second"},
    # TRL's.
    HF_TRAINER: {"step_time": "step_time (s)"},
}


def spelled_out(name: str, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """*pairs* of a line of framework *name*, whose keys are what all others call them."""
    spelled = _SPELLED.get(name)
    if spelled is None:
        return pairs
    return [(spelled.get(key, key), value) for key, value in pairs]


def of_piped(text: str, *, primus: bool) -> str:
    """The framework of a piped iteration line; *primus* when its keys have said so already."""
    if primus or "trainer.py:" in text or "[rank-" in text:
        return PRIMUS
    if "Training epoch" in text:
        return NEMO
    if "max_memory_allocated(" in text:
        return MINDSPEED
    if "per iteration (s)" in text or "lm-loss" in text:
        return MEGATRON_DEEPSPEED
    if "consumed tokens" in text and "throughput per GPU" not in text:
        return MEGATRON_DEEPSPEED
    return MEGATRON_LM if "iteration" in text else of_prefix(text)


def of_prefix(text: str) -> str:
    """The framework that a line's own logger names, or `unknown`."""
    for word, name in _NAMED:
        if word in text:
            return name
    return UNKNOWN


def of_spaced(head: str, keys: AbstractSet[str]) -> str:
    """The framework of a line of keys without pipes; *keys* as printed."""
    named = of_prefix(head)
    if named != UNKNOWN:
        return named
    if {"wps", "gnorm"} <= keys:
        return FAIRSEQ
    if "completed step" in keys or "TFLOP/s/device" in keys:
        return MAXTEXT
    if not keys.isdisjoint({"tps", "wps"}):
        return TORCHTITAN
    if not keys.isdisjoint(
        {"CurrSamplesPerSec", "SamplesPerSec", "iter time (s)", "skipped", "act_loss"}
    ):
        return DEEPSPEED
    if "timing_s/step" in keys or "actor/grad_norm" in keys or "global_seqlen/mean" in keys:
        return VERL
    if "tokens_per_second_per_gpu" in keys or "peak_memory_active" in keys:
        return TORCHTUNE
    if "memory" in keys and "step" in keys:
        return TORCHTITAN
    return T5X if _ABSL.search(head) is not None else UNKNOWN


def of_dict(head: str, pairs: Sequence[tuple[str, str]]) -> str:
    """The framework of a dict's line: by what stands before it, then by its keys."""
    named = of_prefix(head)
    if named != UNKNOWN:
        return named
    keys = {key for key, _ in pairs}
    if "reduced_train_loss" in keys:
        return NEMO
    if "num_updates" in keys and not keys.isdisjoint({"wps", "ups", "gnorm", "update"}):
        return FAIRSEQ
    if any(key.startswith(("memory/max_", "memory/device_")) for key in keys):
        return AXOLOTL
    if not keys.isdisjoint({"num_input_tokens_seen", "current_steps", "throughput"}):
        return LLAMA_FACTORY
    if not keys.isdisjoint({"policy_loss", "act_lr", "actor_lr", "gpt_loss"}):
        return OPENRLHF
    if "learning_rate" in keys or any(key.startswith(("train_", "objective/")) for key in keys):
        return HF_TRAINER
    return UNKNOWN


def of_bar(described: str, values: str) -> str:
    """The framework that draws a bar of this description and these values."""
    if (
        "rain step of epoch" in described
        or "rain epoch [" in described
        or "Episode [" in described
    ):
        return OPENRLHF
    if "gpt_loss=" in values:
        return OPENRLHF
    if "reduced_train_loss" in values:
        return NEMO
    if "v_num=" in values or "train_loss_step" in values:
        return LIGHTNING
    words = described.strip(" :")
    if words == "Training Progress":
        return VERL
    if not words:
        return UNKNOWN if "=" in values else HF_TRAINER
    return LIGHTNING if words.startswith("Epoch ") and words[6:].isdigit() else UNKNOWN


def combined(one: str, other: str) -> str:
    """The framework of a stream that showed *one* and *other*; in any order and grouping."""
    return max(one, other, key=lambda name: (_TELLING.get(name, 0), name))
