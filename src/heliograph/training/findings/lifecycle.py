"""Training that begins or ends, by each trainer's words.

    training ...                                                  Megatron-LM
    Training starts at step 1.                                    torchtitan
    ***** Running training *****                                  Transformers
    BEGIN Train loop.                                             T5X
    [exiting program at iteration 300] datetime: …                Megatron-LM
    `Trainer.fit` stopped: `max_steps=100` reached.               Lightning
    Detected stragglers. Terminating training...                  NeMo, with its reason
    Detected KeyboardInterrupt, attempting graceful shutdown ...  Lightning
    ***** train metrics *****                                     Transformers' scripts
    [launch.py:351:main] Process 123 exits successfully.          DeepSpeed's launcher, of each rank
    [default] worker group successfully finished. Waiting …       torchrun, of a node

The sentence must begin where a message can begin, and go on as such a message does: advice and
settings are none. Attributes: iteration, reason, where the line says so.
"""

import re
from itertools import islice
from typing import Any

from heliograph.training import clean, framework
from heliograph.training.findings.event import INFO, TRIES_MAX, WARNING, Event, Found
from heliograph.training.findings.patterns import compiled

HINT = (
    r"raining|RAINING|exiting program|(?i:begin train|end train|`?trainer\.fit|trainer\.fit)|"
    r"KeyboardInterrupt, attempting|(?i:fit stopped|pretraining (?:done|finished))|"
    r"\* train metrics \*|exits successfully|worker group successfully finished"
)

_START, _END = "training_start", "training_end"
_MEANING = {
    "megatron_start": (_START, framework.MEGATRON_LM),
    "titan_start": (_START, framework.TORCHTITAN),
    "start": (_START, framework.UNKNOWN),
    "megatron_end": (_END, framework.MEGATRON_LM),
    "end": (_END, framework.UNKNOWN),
    "deepspeed_end": (_END, framework.DEEPSPEED),
    "fit_end": (_END, framework.LIGHTNING),
    "terminated": (_END, framework.UNKNOWN),
}
_STOPS = r"(?=\s*(?:$|[.!,(]|(?:with|after|in|at|for)\b))"
_AT = r"(?:step|iteration|epoch) \d"
_SENTENCES: dict[str, tuple[str, ...]] = {
    "megatron_start": (
        r"training ?\.\.\.(?=\s*$)",
        r"\[before the start of training step\]",
    ),
    "titan_start": (r"training starts(?= at step \d)",),
    "start": (
        r"\*{3,} running training \*{3,}",
        r"begin train(?:ing)? loop",
        r"training for (?=\d+ (?:steps|epochs|iterations)\b)",
        (
            r"(?:starting|begin(?:ning)?|start) (?:\w+ )?training(?: loop)?"
            rf"(?=\s*(?:$|[.!]|for \d|from {_AT}|at {_AT}))"
        ),
        rf"(?:resuming|continuing) training(?= (?:from|at) {_AT})",
    ),
    "megatron_end": (
        r"\[after training is done\]",
        r"\[exiting program (?=after|at iteration|at step)",
    ),
    "end": (
        r"training completed?(?=\s*(?:$|[.!]))",
        rf"training (?:has )?(?:finished|is done|done|has ended){_STOPS}",
        rf"(?:finished|completed|done) training{_STOPS}",
        r"end train(?:ing)? loop",
        r"\*{3,} train metrics \*{3,}",
        r"worker group successfully finished",
    ),
    "deepspeed_end": (r"process \d+ exits successfully",),
    "fit_end": (r"`?trainer\.fit`? stopped(?=: )",),
    "terminated": (
        r"detected stragglers\. terminating training",
        r"detected keyboardinterrupt, attempting graceful shutdown",
        r"terminating training(?=\s*(?:$|\.\.\.|due to\b))",
        r"stopping training(?=\s*(?:$|\.\.\.|due to\b|because\b|early\b))",
    ),
}
RULES = tuple(_MEANING)

_ANY = compiled(
    "|".join(f"(?P<{rule}>{'|'.join(said)})" for rule, said in _SENTENCES.items()),
    re.IGNORECASE,
)
_FAILED = compiled(r"\b(?:fail(?:ed|ure|s)|error|could not|cannot|unable)\b", re.IGNORECASE)
_ITERATION = compiled(
    r"\b(?:iteration|step)s?\s+(\d{1,18})\b|\bmax_steps=(\d{1,18})", re.IGNORECASE
)
_REASONS = (
    ("stragglers", "stragglers"),
    ("receiving sig", "signal"),
    ("keyboardinterrupt", "signal"),
    ("max_", "target"),
)


def read(text: str) -> Found | None:
    """The beginning or end of training that *text* tells, or None."""
    for match in islice(_ANY.finditer(text), TRIES_MAX):
        # What a bar's last value stands beside is a line of its own too.
        beside = match.lastgroup == "fit_end" and text.endswith("  ", 0, match.start())
        if not beside and not clean.begins(text, match.start()):
            continue
        rest = text[match.end() :]
        rule = str(match.lastgroup)
        if _FAILED.search(rest) and rule != "terminated":
            return None
        kind, name = _MEANING[rule]
        attributes: dict[str, Any] = {}
        iteration = _ITERATION.search(match[0] + rest)
        if iteration is not None:
            attributes["iteration"] = int(iteration[1] or iteration[2])
        severity = INFO
        if kind == _END:
            sentence = (match[0] + rest).lower()
            reason = next((to for word, to in _REASONS if word in sentence), None)
            if rule == "terminated" or reason == "signal":
                severity = WARNING
            if reason is not None:
                attributes["reason"] = reason
        return Found(Event(kind, severity, attributes), match.start(), name, f"event_{rule}")
    return None
