"""Which framework prints such a line, and what a stream of them is.

One line often cannot tell: Primus prints some lines exactly as Megatron-LM does, and torchtitan's
may be Primus' too. So a stream's framework is the most telling one that any of its lines showed.
"""

UNKNOWN = "unknown"
MEGATRON_LM = "megatron-lm"
MEGATRON_DEEPSPEED = "megatron-deepspeed"
MINDSPEED = "mindspeed-llm"
NEMO = "nemo"
PRIMUS = "primus"
TORCHTITAN = "torchtitan"

# What wraps another framework, or is a fork of it, tells more than what it wraps.
_TELLING = {
    UNKNOWN: 0,
    MEGATRON_LM: 1,
    TORCHTITAN: 2,
    MINDSPEED: 3,
    MEGATRON_DEEPSPEED: 3,
    NEMO: 3,
    PRIMUS: 4,
}


def of_piped(text: str, *, primus: bool) -> str:
    """The framework of a piped iteration line; *primus* when its keys have said so already."""
    if primus or "trainer.py:" in text or "[rank-" in text:
        return PRIMUS
    if "Training epoch" in text:
        return NEMO
    if "max_memory_allocated(" in text:
        return MINDSPEED
    if "per iteration (s)" in text or "consumed tokens" in text or "lm-loss" in text:
        return MEGATRON_DEEPSPEED
    return MEGATRON_LM


def of_prefix(text: str) -> str:
    """The framework that a line's own logger names, or `unknown`."""
    if "[titan]" in text or "torchtitan" in text:
        return TORCHTITAN
    if "[NeMo " in text:
        return NEMO
    if "[rank-" in text:
        return PRIMUS
    return UNKNOWN


def combined(one: str, other: str) -> str:
    """The framework of a stream that showed *one* and *other*; in any order and grouping."""
    return max(one, other, key=lambda name: (_TELLING.get(name, 0), name))
