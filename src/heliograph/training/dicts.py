"""Lines that hold a dict of numbers, as Python or JSON print it.

    {'loss': 2.9859, 'grad_norm': 0.97, 'learning_rate': 4.17e-05, 'epoch': 0.16}      HF Trainer
    {'train_runtime': '158.8', 'train_loss': '1.567', 'memory/max_active (GiB)': '2.42'}  Axolotl,
                                                                           of its whole run
    [INFO|…] llamafactory.train.callbacks:143 >> {'loss': 1.4, 'throughput': 1234.5}
    (PPOTrainer pid=7) Global step 12: {'policy_loss': -0.01, 'kl': 0.02, 'actor_lr': 5e-07}
    {"current_steps": 5, "total_steps": 900, "loss": 1.2, "lr": 5e-05, "epoch": 0.01}

Numbers may be strings, `np.float64(0.5)` or `tensor(0.5)`. Only the outermost level is read, and
what a logger puts into an envelope of its own (`"step": 16, "data": {"loss": 2.5}`). A dict
that tells of an evaluation, of settings or of data is none: it has no measure of a step.
"""

import re
from collections.abc import Set as AbstractSet

from heliograph.training import evaluations, reading
from heliograph.training import fields as fields_of
from heliograph.training import framework as frameworks
from heliograph.training.outcome import Outcome

# What Transformers prints when a run is over: its means.
SUMMARY = "dict_summary"
PAIRS_MAX = 512
# The words before a dict that can be about it.
ABOUT_CHARS_MAX = 80

_PAIR = re.compile(
    r"""(?:'([^'\\\n]{1,100})'|"([^"\\\n]{1,100})")\s{0,8}:\s{0,8}"""
    r"""(?:(?:np\.)?(?:float\d\d|int\d\d|tensor|array)\(\s?)?"""
    r"""['"]?([-+]?(?:[\d.][\d.,:/eE+-]{0,60}|nan|NaN|inf|Infinity)(?:%|s|GB|GiB)?)['"]?(?=[\s,})\]]|\Z)"""
)
# A logger's envelope around the values: `"step": 16, "data": {"loss": 2.5}`.
_INNER = re.compile(r"""["'](?:data|metrics|logs|values)["']\s{0,8}:\s{0,8}\{\s{0,8}\Z""")
_BRACES = re.compile(r"[{}]")
_GLOBAL_STEP = re.compile(
    r"\b(?:global[ _]step|step|iteration)[ :=]{1,2}(\d{1,15})(?:\s?/\s?(\d{1,15}))?[\s:,>-]{0,6}\Z",
    re.IGNORECASE,
)
# `TrainOutput(global_step=500, training_loss=0.693, metrics={…})`
_OUTPUT = re.compile(r"\bTrainOutput\(global_step=(\d{1,15})(), [^{}]{0,100}\bmetrics=\Z")
# What tells of the best step so far is no step either.
_EVALUATION = re.compile(rf"(?:{evaluations.SPOKEN}|(?i:\bbest\b))[\w\s:,=*.-]{{0,40}}\Z")
_EVALUATED = re.compile(
    r"""["'](?:event|split|mode|phase|stage|type|set|name)["']\s{0,8}:\s{0,8}["']"""
    rf"""{evaluations.WORD}["']"""
)


def read(text: str, named: reading.Named = fields_of.named) -> Outcome | None:
    """The values of the dict in *text*, a cleaned line; None when it holds none of training."""
    start = text.find("{")
    if start < 0:
        return None
    head = text[:start]
    if _EVALUATION.search(head[-ABOUT_CHARS_MAX:]):
        return None
    pairs = _pairs(text, start)
    if not pairs or _EVALUATED.search(text, start):
        return None
    name = frameworks.of_dict(head, pairs)
    pairs = frameworks.spelled_out(name, pairs)
    step = _GLOBAL_STEP.search(head[-60:]) or _OUTPUT.search(head[-160:])
    read_here = reading.read(pairs, stepped=step is not None, named=named)
    if not read_here.measured:
        return None
    fields = read_here.fields
    if step is not None:
        fields["current_iteration"] = int(step[1])
        if step[2]:
            fields["target_iteration"] = int(step[2])
    rule = SUMMARY if _sums_up({key for key, _ in pairs}) else "dict"
    return Outcome(fields, name, rule, head, read_here)


_OF_STEPS = {
    *("loss", "step", "global_step", "current_steps", "lr", "learning_rate", "grad_norm"),
    *("val_loss", "eval_loss"),
}


def _sums_up(keys: AbstractSet[str]) -> bool:
    """Whether a dict of *keys* is of a whole run: steps tell how long it runs too, and their loss."""
    told = {"train_loss", "train_samples_per_second"}
    return "train_runtime" in keys and keys.isdisjoint(_OF_STEPS) and not keys.isdisjoint(told)


def _pairs(text: str, start: int) -> list[tuple[str, str]]:
    """Keys and values of the first dict of *text*, of its outermost level."""
    pairs: list[tuple[str, str]] = []
    end = _end(text, start)
    depth = 1
    at = start + 1
    for match in _PAIR.finditer(text, at, end):
        gap = text[at : match.start()]
        if (turn := gap.count("{") - gap.count("}")) and _INNER.search(gap) is None:
            depth += turn
        at = match.end()
        if depth == 1:
            pairs.append((match[1] or match[2], match[3].rstrip(",")))
            if len(pairs) >= PAIRS_MAX:
                break
    return pairs


def _end(text: str, start: int) -> int:
    """Where the dict that opens at *start* closes; the end of the text when it does not."""
    depth = 0
    for match in _BRACES.finditer(text, start):
        depth += 1 if match[0] == "{" else -1
        if not depth:
            return match.start()
    return len(text)
