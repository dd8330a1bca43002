"""One log line → what it says of training. The only entry; a pure function of the line.

    " iteration  4/ 20 | lm loss: 1.101008E+01 | grad norm: 19.806 |"
        performance, megatron-lm, {current_iteration: 4, target_iteration: 20, lm_loss: 11.01008, …}
    "[titan] … - Finished saving the checkpoint in 1.20 seconds."
        event checkpoint_save_end {duration_ms: 1200.0}
    "time (ms) | forward-compute: 53.79 | …"
        none

Most lines are noise: a few searches for fixed words turn them away before anything else is done.
"""

import re
from typing import Any, NamedTuple

from heliograph.training import clean, events, grammar, reading
from heliograph.training import fields as fields_of
from heliograph.training import framework as frameworks
from heliograph.training.events import Event

# Longer lines are dumps of settings or of data; trainers' lines have a tenth of this.
LINE_CHARS_MAX = 16_384
# Text this far before the first key can still name the rank.
HEAD_CHARS_MAX = 400

RULES = frozenset({"none", "too_long", "piped", "piped_headless", "piped_memory", "spaced"}) | (
    events.RULES
)

_KEY_AFTER_PREFIX = re.compile(r"[\]>#:]|\s-\s")
_LEVEL = re.compile(r"\s*(?:[\d.,Z]+\s+)?(?:INFO|DEBUG|WARNING|WARN)\s+")
_EPOCH = re.compile(r"\bepoch\s+(\d{1,9}),\s*\Z", re.IGNORECASE)
_MEMORY_REPORT = re.compile(r"(?:\(?after (\d{1,18}) iterations\)?)\s*memory \((\w+)\)\s*\Z")
_MEMORY_FIELDS = {
    "allocated": "max memory allocated",
    "max allocated": "max allocated memory",
    "reserved": "max memory reserved",
}
_EVALUATION = ("valid", "eval", "test")


class Parsed(NamedTuple):
    """What one line said.

    kind        `performance`, `event` or `none`
    framework   as given, else as the line shows it, else `unknown`
    fields      training field → number (NaN and infinities kept); `extra` holds the rest.
                A field that is not on the line is absent. Of an event: rank and world_size
    events      what happened, in order; () unless *kind* is `event`
    rule        which reading matched: one of RULES
    label       what keeps the ranks of one stream apart: see `clean.Speaker`
    """

    kind: str
    framework: str
    fields: dict[str, Any]
    events: tuple[Event, ...]
    rule: str
    label: str


def parse_line(text: str, framework: str | None = None) -> Parsed:
    """What *text*, one line, says. Never raises.

    *framework*, where the caller knows it, is answered as given; it changes no value.
    """
    piped = "|" in text and ":" in text
    spaced = "step:" in text
    # The first letters are left out: they come in both cases.
    eventful = "heckpoint" in text or "raining" in text or "uccessfully" in text
    if not (piped or spaced or eventful or "exiting program" in text):
        return _none(framework)
    if len(text) > LINE_CHARS_MAX:
        return _none(framework, "too_long")
    text = clean.uncolored(text)
    found = _piped(text) if piped else None
    if found is None and spaced:
        found = _spaced(text)
    if found is None:
        found = _event(text)
    if found is None:
        return _none(framework)
    return found._replace(framework=framework) if framework is not None else found


def _none(given: str | None, rule: str = "none") -> Parsed:
    return Parsed("none", given or frameworks.UNKNOWN, {}, (), rule, "")


def _piped(text: str) -> Parsed | None:
    segments = grammar.piped(text)
    if not segments:
        return None
    first = segments[0]
    report = _MEMORY_REPORT.search(first) if "memory (" in first else None
    if report is not None:
        return _memory_report(segments, report)
    head: grammar.Head | None = None
    head_segment = ""
    pairs: list[tuple[str, str]] = []
    for place, segment in enumerate(segments):
        candidate = grammar.head(segment) if "iteration" in segment else None
        if candidate is not None:
            if head is not None and candidate.iteration != head.iteration:
                break  # The next line was glued on: its values are another row's.
            if not _is_step(segment, candidate.at):
                return None
            head, head_segment = candidate, segment
            continue
        key, value = grammar.key_value(segment)
        if not place:
            key = _LEVEL.sub("", _KEY_AFTER_PREFIX.split(key)[-1])
        if ":" in segment or _is_field(key):
            pairs.append((key, value))
    if not pairs:
        return None
    read = reading.read(pairs)
    if head is None:
        # Without an iteration, a list of settings looks the same but for what it cannot know.
        if read.known < 2 or not read.measured or read.unread or "extra" in read.fields:
            return None
    elif not read.known:
        return None
    fields = read.fields
    if head is not None:
        fields["current_iteration"] = head.iteration
        if head.target is not None:
            fields["target_iteration"] = head.target
        if (epoch := _EPOCH.search(head_segment[: head.at])) is not None:
            fields["epoch"] = int(epoch[1])
    name = frameworks.of_piped(text, primus=read.primus)
    return _performance(fields, name, "piped" if head else "piped_headless", first)


def _is_field(key: str) -> bool:
    """Whether *key* is a training field: without a colon, other words are prose."""
    meaning = fields_of.named(key)
    return meaning is not None and meaning.known


def _is_step(segment: str, at: int) -> bool:
    """Whether the iteration at *at* is a training step's: not an evaluation's, nor in prose."""
    before = segment[max(0, at - HEAD_CHARS_MAX) : at]
    before = before.rstrip(" :")
    if not before or before[-1] in "]>#":
        return True
    own_words = _KEY_AFTER_PREFIX.split(before)[-1].lower()
    return clean.begins(segment, at) and not any(word in own_words for word in _EVALUATION)


def _memory_report(segments: list[str], report: re.Match[str]) -> Parsed | None:
    """`[Rank 0] (after 1 iterations) memory (MB) | allocated: 70974.6 | max allocated: …`."""
    pairs = []
    for segment in segments[1:]:
        key, value = grammar.key_value(segment)
        key = key.strip()
        name = _MEMORY_FIELDS.get(key, key)
        pairs.append((f"{name} ({report[2]})", value))
    fields = reading.read(pairs).fields
    if not fields.keys() - {"extra"}:
        return None
    fields["current_iteration"] = int(report[1])
    return _performance(fields, frameworks.MEGATRON_LM, "piped_memory", segments[0])


def _spaced(text: str) -> Parsed | None:
    pairs = grammar.spaced(text)
    for key, _, at in pairs:
        if key == "step" and not clean.begins(text, at) and not _after_value(text, at):
            return None
    read = reading.read((key, value) for key, value, _ in pairs)
    if "current_iteration" not in read.fields or read.known < 2 or not read.measured:
        return None
    head = text[: min(pairs[0][2], HEAD_CHARS_MAX)]
    return _performance(read.fields, frameworks.TORCHTITAN, "spaced", head)


def _after_value(text: str, at: int) -> bool:
    """Whether what precedes is another key's number: `loss:  5.9866  step: 530`."""
    words = text[max(0, at - HEAD_CHARS_MAX) : at].split()
    return bool(words) and bool(grammar.pieces(words[-1]))


def _performance(fields: dict[str, Any], name: str, rule: str, head: str) -> Parsed:
    who = clean.speaker(head[:HEAD_CHARS_MAX])
    if who.rank is not None:
        fields["rank"] = who.rank
    if who.world_size is not None:
        fields["world_size"] = who.world_size
    return Parsed("performance", name, fields, (), rule, who.label)


def _event(text: str) -> Parsed | None:
    found = events.find(text)
    if found is None:
        return None
    who = clean.speaker(text[: min(found.at, HEAD_CHARS_MAX)])
    fields: dict[str, Any] = {}
    if who.rank is not None:
        fields["rank"] = who.rank
    if who.world_size is not None:
        fields["world_size"] = who.world_size
    named = frameworks.of_prefix(text)
    name = named if named != frameworks.UNKNOWN else found.framework
    return Parsed("event", name, fields, (found.event,), found.rule, who.label)
