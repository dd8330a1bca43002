"""Frameworks by layer: a wrapper drives a base, and the two are no contradiction.

primus over megatron            layers wrapper and base: one stack
deepspeed beside megatron       two of one layer: a conflict
"""

from typing import NamedTuple

WRAPPER, BASE = "wrapper", "base"

WRAPPERS = frozenset(
    {
        *("primus", "lightning", "pytorch_lightning", "transformers_trainer"),
        *("nemo", "axolotl", "llama-factory", "composer", "verl", "openrlhf", "torchtune"),
    }
)
# A name longer than this is no framework's.
NAME_CHARS_MAX = 64

# As lines are told apart by the parser → wrapper, base.
_OF_LINES = {
    "megatron-lm": ("", "megatron"),
    "megatron-deepspeed": ("", "megatron"),
    "mindspeed-llm": ("", "megatron"),
    "primus": ("primus", ""),
    "nemo": ("nemo", ""),
    "hf-trainer": ("transformers_trainer", "transformers"),
    "transformers": ("transformers_trainer", "transformers"),
    "maxtext": ("", "jax"),
    "t5x": ("", "jax"),
}


class Stack(NamedTuple):
    """A wrapper over a base; "" where there is none, or it is not known."""

    wrapper: str = ""
    base: str = ""

    @property
    def framework(self) -> str:
        """The one name of the stack: the wrapper's, which tells more, else the base's."""
        return self.wrapper or self.base

    @property
    def frameworks(self) -> tuple[str, ...]:
        """The names that there are, wrapper first."""
        return tuple(name for name in self if name)


def named(framework: str) -> Stack:
    """The stack of one framework, by its name; empty for no name."""
    name = framework.strip().lower()[:NAME_CHARS_MAX]
    return Stack(wrapper=name) if name in WRAPPERS else Stack(base=name)


def of_lines(framework: str) -> Stack:
    """The stack of which lines of *framework*, in the parser's names, tell; empty for `unknown`."""
    if framework in {"", "unknown"}:
        return Stack()
    known = _OF_LINES.get(framework)
    return named(framework) if known is None else Stack(*known)
