"""Lines that start or end training, or save or load a checkpoint → one event each.

    training ...                                                       training_start
    [before the start of training step] datetime: 2025-12-02 …         training_start
    Training starts at step 1.                                         training_start {iteration}
    saving checkpoint at iteration     100 to /ckpt in torch_dist …    checkpoint_save_start
    scheduled an async checkpoint save at iteration     100 to /ckpt   … {async}
    Saving a full checkpoint at last step, step 644.                   checkpoint_save_start
    successfully saved checkpoint from iteration     845 to /ckpt      checkpoint_save_end
    Finished saving the checkpoint in 1.20 seconds.                    … {duration_ms}
    successfully loaded checkpoint from /ckpt [ t 1/1, p 1/1 ] at …    checkpoint_load {phase: end}
    [after training is done] datetime: …                               training_end

The sentence must begin where a message can begin, and go on as such a message does: advice
(`try saving checkpoint less often`) and settings (`Saving checkpoint every 500 steps`) are none.

Attributes: iteration, path, duration_ms, async (True where the line says so), phase of a load
(`start` or `end`). What the line does not say is absent.
"""

import re
from typing import Any, NamedTuple

from heliograph.training import clean, framework

PATH_CHARS_MAX = 1024

_ADJECTIVES = r"(?:the |an? )?(?:[\w.-]+ ){0,4}"
_GOES_ON = r"\b(?=\s*(?:$|[.(]|in\d|(?:to|from|in|took|for step|at (?:iteration|step|last))\b))"
_SENTENCES: tuple[tuple[str, str, str, dict[str, Any], str], ...] = (
    # rule, event type, framework, attributes, sentence
    (
        "megatron_async_save",
        "checkpoint_save_start",
        framework.MEGATRON_LM,
        {"async": True},
        r"scheduled an async checkpoint save(?= at iteration)",
    ),
    (
        "megatron_save_start",
        "checkpoint_save_start",
        framework.MEGATRON_LM,
        {},
        r"saving checkpoint(?= at iteration)",
    ),
    (
        "megatron_save_end",
        "checkpoint_save_end",
        framework.MEGATRON_LM,
        {},
        r"successfully saved checkpoint(?= (?:from|at) iteration)",
    ),
    (
        "async_save_end",
        "checkpoint_save_end",
        framework.UNKNOWN,
        {"async": True},
        r"async checkpoint save for step \d+(?=.* finalized successfully)",
    ),
    (
        "titan_save_end",
        "checkpoint_save_end",
        framework.TORCHTITAN,
        {},
        r"finished saving the checkpoint" + _GOES_ON,
    ),
    (
        "save_end",
        "checkpoint_save_end",
        framework.UNKNOWN,
        {},
        r"(?:model successfully saved|successfully saved (?:\w+ ){0,2}checkpoint)(?= to )",
    ),
    (
        "titan_save_start",
        "checkpoint_save_start",
        framework.TORCHTITAN,
        {},
        r"saving (?:the|a full|a model(?: weights)? only) checkpoint" + _GOES_ON,
    ),
    (
        "save_start",
        "checkpoint_save_start",
        framework.UNKNOWN,
        {},
        rf"saving {_ADJECTIVES}checkpoint(?= to )",
    ),
    (
        "titan_load_end",
        "checkpoint_load",
        framework.TORCHTITAN,
        {"phase": "end"},
        r"finished loading the checkpoint" + _GOES_ON,
    ),
    (
        "titan_load",
        "checkpoint_load",
        framework.TORCHTITAN,
        {"phase": "start"},
        r"loading the checkpoint(?= (?:from|at step)\b)",
    ),
    (
        "megatron_load_end",
        "checkpoint_load",
        framework.MEGATRON_LM,
        {"phase": "end"},
        r"successfully loaded checkpoint(?= from )",
    ),
    (
        "megatron_load",
        "checkpoint_load",
        framework.MEGATRON_LM,
        {"phase": "start"},
        rf"loading {_ADJECTIVES}checkpoint(?= from )",
    ),
    (
        "restore",
        "checkpoint_load",
        framework.UNKNOWN,
        {"phase": "start"},
        r"restoring states from the checkpoint(?= path at )",
    ),
    (
        "megatron_start",
        "training_start",
        framework.MEGATRON_LM,
        {},
        r"training ?\.\.\.(?=\s*$)|\[before the start of training step\]",
    ),
    (
        "titan_start",
        "training_start",
        framework.TORCHTITAN,
        {},
        r"training starts(?= at step \d)",
    ),
    (
        "start",
        "training_start",
        framework.UNKNOWN,
        {},
        r"\*{3,} running training \*{3,}",
    ),
    (
        "megatron_end",
        "training_end",
        framework.MEGATRON_LM,
        {},
        r"\[after training is done\]|\[exiting program (?=after|at iteration|at step)",
    ),
    (
        "end",
        "training_end",
        framework.UNKNOWN,
        {},
        r"training completed(?=\s*(?:$|[.!]))",
    ),
)
RULES = frozenset(f"event_{rule}" for rule, *_ in _SENTENCES)

_ANY = re.compile(
    "|".join(f"(?P<{rule}>{sentence})" for rule, _, _, _, sentence in _SENTENCES), re.IGNORECASE
)
_MEANING = {rule: (kind, name, attrs) for rule, kind, name, attrs, _ in _SENTENCES}
_FAILED = re.compile(r"\b(?:fail(?:ed|ure|s)|error|could not|cannot|unable)\b", re.IGNORECASE)
_ITERATION = re.compile(r"\b(?:iteration|step)\s+(\d{1,18})\b", re.IGNORECASE)
_ITERATION_IN_PATH = re.compile(r"(?:checkpoint-|(?:global_)?step[-_=]|iter_)(\d{1,18})(?!\d)")
_PATH_END = r"(?=\s+\[|\s+in \w+ format|,?\s+took\b|\s+at (?:iteration|step)\b|[.,]?\s*\Z)"
_TO = re.compile(rf"\bto\s+(\S.*?){_PATH_END}")
_FROM = re.compile(rf"\b(?:from|path at)\s+(\S.*?){_PATH_END}")
_DURATION = re.compile(
    r"\b(?:took|in)\s*(\d+(?:\.\d*)?)\s*(ms|milliseconds?|s|secs?|seconds?|min|minutes?)\b"
)
_MS = {"m": 60_000.0, "s": 1000.0}


class Event(NamedTuple):
    """Something that happened, by the word of a log line.

    event_type   `checkpoint_save_end`, `training_start`, …
    severity     `info`, `warning`, `error` or `critical`
    attributes   what the line says of it
    """

    event_type: str
    severity: str
    attributes: dict[str, Any]


class Found(NamedTuple):
    """An event, the character where its sentence begins, who says it so, and the rule's name."""

    event: Event
    at: int
    framework: str
    rule: str


def find(text: str) -> Found | None:
    """The event that *text*, a cleaned line, tells; None when it tells none."""
    for match in _ANY.finditer(text):
        if not clean.begins(text, match.start()):
            continue
        rest = text[match.end() :]
        if _FAILED.search(rest):
            return None
        rule = str(match.lastgroup)
        kind, name, given = _MEANING[rule]
        attributes = {**_attributes(kind, match[0] + rest, rest), **given}
        return Found(Event(kind, "info", attributes), match.start(), name, f"event_{rule}")
    return None


def _attributes(kind: str, sentence: str, rest: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    path = None
    if kind.startswith("checkpoint"):
        path = (_FROM if kind == "checkpoint_load" else _TO).search(rest)
        duration = _DURATION.search(rest)
        if duration is not None:
            result["duration_ms"] = round(float(duration[1]) * _scale_ms(duration[2]), 3)
    iteration = _ITERATION.search(sentence)
    if iteration is not None:
        result["iteration"] = int(iteration[1])
    elif path is not None and (named := _ITERATION_IN_PATH.findall(path[1])):
        result["iteration"] = int(named[-1])
    if path is not None and len(path[1]) <= PATH_CHARS_MAX:
        result["path"] = path[1]
    return result


def _scale_ms(unit: str) -> float:
    return 1.0 if unit.startswith(("ms", "milli")) else _MS[unit[0]]
