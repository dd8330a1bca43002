"""Lines of `key: value |`: Megatron-LM and all its kin, NeMo, MindSpeed.

iteration 4/ 20 | consumed samples: 64 | elapsed time per iteration (ms): 654.5/735.1 |
Training epoch 1, iteration 2/19 | lr: 4.498e-07 | global_batch_size: 512 | global_step: 22 |
memory usage/free/total: 145.40GiB/142.58GiB(50.49%) | throughput per GPU (TFLOP/s/GPU): 347.9 |
[Rank 0] (after 1 iterations) memory (MB) | allocated: 70974.6 | max allocated: 71100.0 | …
"""

import re
from typing import Any

from heliograph.training import clean, evaluations, grammar, reading
from heliograph.training import fields as fields_of
from heliograph.training import framework as frameworks
from heliograph.training.outcome import Outcome
from heliograph.training.vocabulary import MEASURED

# A logger's own pipes stand before the message.
LOGGERS_SEGMENTS_MAX = 4
# Its iteration is one of its epoch, and beside it stands the one of all.
OF_EPOCH = "piped_epoch"
# Without an iteration on it, a line needs one of these: cheap to look for.
_HEADLESS = ("er GPU", "emory", "mem ", "oss", "norm")

_KEY_AFTER_PREFIX = re.compile(r"[\]>#:]|\s-\s")
_LEVEL = re.compile(r"\s*(?:[\d.,Z]+\s+)?(?:INFO|DEBUG|WARNING|WARN)\s+")
_EPOCH = re.compile(r"\bepoch\s+(\d{1,9}),\s*\Z", re.IGNORECASE)
# `[Step 100/5000] Loss: 3.12 | LR: 1e-4 |`
_BRACKETED = re.compile(
    r"\[\s?(?:step|iter|iteration)[ :]\s?(\d{1,15})(?:\s?/\s?(\d{1,15}))?\]", re.IGNORECASE
)
_MEMORY_REPORT = re.compile(r"(?:\(?after (\d{1,18}) iterations\)?)\s*memory \((\w+)\)\s*\Z")
_MEMORY_FIELDS = {
    "allocated": "memory allocated",
    "max allocated": "max memory allocated",
    "reserved": "memory reserved",
}
# A machine's memory is measured too, and not by a trainer alone.
_TRAINED = MEASURED - {"mem_usage_gb", "mem_usage_ratio"}


def hinted(text: str) -> bool:
    """Whether *text*, a raw line, can be of this shape: a few searches for fixed words."""
    return "iteration" in text or any(word in text for word in _HEADLESS)


def read(text: str, named: reading.Named = fields_of.named) -> Outcome | None:
    """The values of *text*, a cleaned line; None when it is no such line."""
    segments = grammar.piped(text)
    if not segments:
        return None
    first = segments[0]
    if "memory (" in text:
        for place, segment in enumerate(segments[:LOGGERS_SEGMENTS_MAX]):
            report = _MEMORY_REPORT.search(segment)
            if report is not None:
                return _memory_report(segments[place:], report)
    head: grammar.Head | None = None
    head_segment = ""
    pairs: list[tuple[str, str]] = []
    for place, segment in enumerate(segments):
        key, colon, value = segment.rpartition(":")
        named_here = value if colon and not key.endswith("iteration") else segment
        candidate = grammar.head(segment) if "iteration" in named_here else None
        if candidate is not None:
            if head is not None and candidate.iteration != head.iteration:
                break  # The next line was glued on: its values are another row's.
            if not _is_step(segment, candidate.at):
                return None
            head, head_segment = candidate, segment
            continue
        if not colon:
            message = segment if place else segment[clean.message_at(segment) :]
            if evaluations.named(message.strip()):
                return None
            key, value = grammar.key_value(segment)
        if not place:
            key = _first_key(key, named)
        if colon or _is_field(key, named):
            pairs.append((key, value))
    if not pairs:
        return None
    read_here = reading.read(pairs, stepped=head is not None, named=named)
    fields = read_here.fields
    if head is None:
        # Without an iteration, a list of settings looks the same but for what it cannot know.
        sure = read_here.known >= 2 and not read_here.unread and "extra" not in fields
        if not sure or _TRAINED.isdisjoint(fields) or evaluations.signed(first):
            return None
        if "[" in text:
            _keep_bracketed(text, fields)
    elif not read_here.known:
        return None
    else:
        fields["current_iteration"] = head.iteration
        if head.target is not None:
            fields["target_iteration"] = head.target
        if (epoch := _EPOCH.search(head_segment[: head.at])) is not None:
            fields["epoch"] = int(epoch[1])
    name = frameworks.of_piped(text, primus=read_here.primus)
    rule = "piped" if head else "piped_headless"
    of_all = fields.get("extra", {}).get("global_step")
    if "epoch" in fields and head and isinstance(of_all, int):
        rule = OF_EPOCH
    return Outcome(fields, name, rule, first, read_here)


def _first_key(words: str, named: reading.Named) -> str:
    """The key that *words*, the line's first, end with: behind what launchers and loggers print."""
    key = _LEVEL.sub("", _KEY_AFTER_PREFIX.split(words)[-1])
    if _is_field(key, named):
        return key
    return _LEVEL.sub("", _KEY_AFTER_PREFIX.split(words[clean.message_at(words) :])[-1])


def _keep_bracketed(text: str, fields: dict[str, Any]) -> None:
    """The step that the message of *text* opens with in brackets, among its *fields*."""
    step = _BRACKETED.match(text[clean.message_at(text) :].lstrip(" |\t\r"))
    if step is not None and "current_iteration" not in fields:
        fields["current_iteration"] = int(step[1])
        if step[2]:
            fields["target_iteration"] = int(step[2])


def _is_field(key: str, named: reading.Named) -> bool:
    """Whether *key* is a training field: without a colon, other words are prose."""
    meaning = named(key)
    return meaning is not None and meaning.known


def _is_step(segment: str, at: int) -> bool:
    """Whether the iteration at *at* is a training step's: not an evaluation's, nor in prose."""
    before = segment[max(0, at - clean.PREFIX_CHARS_MAX) : at]
    before = before.rstrip(" :")
    if not before or before[-1] in "]>#":
        return True
    own_words = _KEY_AFTER_PREFIX.split(before)[-1]
    return clean.begins(segment, at) and not evaluations.spoken(own_words)


def _memory_report(segments: list[str], report: re.Match[str]) -> Outcome | None:
    """`[Rank 0] (after 1 iterations) memory (MB) | allocated: 70974.6 | max allocated: …`."""
    pairs = []
    for segment in segments[1:]:
        key, value = grammar.key_value(segment)
        key = key.strip()
        name = _MEMORY_FIELDS.get(key, key)
        pairs.append((f"{name} ({report[2]})", value))
    read_here = reading.read(pairs)
    fields = read_here.fields
    if not fields.keys() - {"extra"}:
        return None
    fields["current_iteration"] = int(report[1])
    return Outcome(fields, frameworks.MEGATRON_LM, "piped_memory", segments[0], read_here)
