"""A site's own words and patterns, before and beside the built-in grammar. Server side: RE2.

    fields:    {"my tokens rate": tokens_per_gpu, "acc@1": accuracy}
    patterns:  performance  "it=(?P<current_iteration>\\d+) usage=(?P<MemUsage>\\S+)"
               event        "PREEMPT notice for (?P<node>\\S+)"     event_type preempted
               blacklist    "^DEBUG "

A line is looked at in this order: blacklist (the line says nothing), then patterns by priority,
highest first, then the grammar with the site's words. A pattern's groups are field names, also as
earlier systems spelled them (`MemUsage`, `TokensPerGPU`, `skipped_iterations_number`); a number
without a unit is in the field's own, one with a unit (`1.5s`) is converted; other names go to
`extra`. What does not parse as the field's leaves it absent, and a pattern of which nothing can be
read has not hit. An event's groups become attributes; the values of its line are read all the same.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import re2

from heliograph.core.counting import counted
from heliograph.core.errors import Refused
from heliograph.training import clean, reading
from heliograph.training import fields as fields_of
from heliograph.training import framework as frameworks
from heliograph.training.events import Event
from heliograph.training.fields import Key
from heliograph.training.parse import (
    LINE_CHARS_MAX,
    Parsed,
    none,
    of_values,
    parse_line,
    performance,
)
from heliograph.training.site_fields import key_of

FIELDS_MAX = 500
PATTERNS_MAX = 500
PATTERN_BYTES_MAX = 8192
SET_MEMORY_BYTES_MAX = 64 * 1024 * 1024
NAME_CHARS_MAX = 128
ATTRIBUTE_CHARS_MAX = 1024
PRIORITY_MAX = 1_000_000
KINDS = ("performance", "event", "blacklist")
SEVERITIES = ("info", "warning", "error", "critical")

_FIELD_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,63}")
_EVENT_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 4 * 1024 * 1024
_SET_OPTIONS = re2.Options()
_SET_OPTIONS.log_errors = False
_SET_OPTIONS.never_capture = True
_SET_OPTIONS.max_mem = SET_MEMORY_BYTES_MAX


class Pattern(NamedTuple):
    """One pattern of a site.

    name        unique; shown as `pattern:NAME` in what it hit
    kind        one of KINDS
    pattern     RE2, found anywhere in the line without its colours
    priority    the highest is tried first; equal ones by name
    event_type  of an event; severity too, one of SEVERITIES
    framework   answered for a line that it hits; "": as the caller or the line says
    """

    name: str
    kind: str
    pattern: str
    priority: int = 50
    enabled: bool = True
    event_type: str = ""
    severity: str = "info"
    framework: str = ""


def check(pattern: Pattern) -> None:
    """Raises Refused, naming the field at fault."""
    if not pattern.name or len(pattern.name) > NAME_CHARS_MAX:
        raise Refused(f"name: 1 to {NAME_CHARS_MAX} characters", field="name")
    if pattern.kind not in KINDS:
        raise Refused(f"kind: one of {', '.join(KINDS)}", field="kind")
    if abs(pattern.priority) > PRIORITY_MAX:
        raise Refused(f"priority: at most {PRIORITY_MAX}", field="priority")
    groups = _compiled(pattern.pattern).groupindex
    if pattern.kind == "performance" and not groups:
        raise Refused("pattern: a performance pattern needs named groups", field="pattern")
    if pattern.kind == "event":
        if _EVENT_TYPE.fullmatch(pattern.event_type) is None:
            raise Refused("event_type: lower-case letters, digits and _", field="event_type")
        if pattern.severity not in SEVERITIES:
            raise Refused(f"severity: one of {', '.join(SEVERITIES)}", field="severity")


def check_fields(fields: Mapping[str, str]) -> None:
    """Raises Refused, naming the printed key at fault."""
    if len(fields) > FIELDS_MAX:
        raise Refused(f"at most {FIELDS_MAX} field names", field="fields")
    for printed, name in fields.items():
        if not fields_of.canonical_of(printed) or len(printed) > fields_of.KEY_CHARS_MAX:
            raise Refused("a printed key has a letter or a digit", field=f"fields[{printed!r}]")
        if _FIELD_NAME.fullmatch(name) is None:
            raise Refused("a field name is of letters, digits, _", field=f"fields[{printed!r}]")


def _compiled(pattern: str) -> Any:
    if len(pattern.encode("utf-8", "replace")) > PATTERN_BYTES_MAX:
        raise Refused(f"pattern: at most {PATTERN_BYTES_MAX} bytes", field="pattern")
    try:
        compiled = re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        said = error.args[0] if error.args else error
        words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise Refused(f"pattern: not RE2: {words}", field="pattern") from error
    try:
        counted(pattern)
    except ValueError as error:
        raise Refused(f"pattern: {error}", field="pattern") from error
    if compiled.search("") is not None:
        raise Refused("pattern: it matches every line", field="pattern")
    return compiled


class Site:
    """The words and patterns of a site, compiled. Immutable; for any thread."""

    def __init__(
        self, keys: Mapping[str, Key], patterns: Sequence[tuple[Pattern, Any, dict[str, Key]]]
    ) -> None:
        self._keys = keys
        self._patterns = patterns
        self._set: Any = None
        if patterns:
            self._set = re2.Set.SearchSet(_SET_OPTIONS)
            for pattern, _, _ in patterns:
                self._set.Add(pattern.pattern)
            self._set.Compile()

    @classmethod
    def of(cls, fields: Mapping[str, str], patterns: Sequence[Pattern]) -> Self:
        """Raises Refused for the first bad one; a name that stands twice is bad too."""
        check_fields(fields)
        if len(patterns) > PATTERNS_MAX:
            raise Refused(f"at most {PATTERNS_MAX} patterns", field="patterns")
        names: set[str] = set()
        for pattern in patterns:
            check(pattern)
            if pattern.name in names:
                raise Refused(f"name: {pattern.name} is there twice", field="name")
            names.add(pattern.name)
        chosen = sorted(
            (pattern for pattern in patterns if pattern.enabled),
            key=lambda one: (one.kind != "blacklist", -one.priority, one.name),
        )
        compiled = []
        for pattern in chosen:
            regexp = _compiled(pattern.pattern)
            keys = {group: key_of(group) for group in regexp.groupindex}
            compiled.append((pattern, regexp, keys))
        words = {
            fields_of.canonical_of(printed): key_of(name)._replace(measured=True)
            for printed, name in fields.items()
        }
        return cls(words, compiled)

    def parse(self, text: str, framework: str | None = None) -> Parsed:
        """What *text*, one line, says on this site. Never raises."""
        if not self._patterns or len(text) > LINE_CHARS_MAX:
            return self._built_in(text, framework)
        cleaned = clean.uncolored(text).encode("utf-8", "replace").decode("utf-8")
        told: list[tuple[Pattern, Event]] = []
        for place in sorted(self._set.Match(cleaned) or ()):
            pattern, regexp, keys = self._patterns[place]
            if pattern.kind == "blacklist":
                return none(pattern.framework or framework, f"pattern:{pattern.name}")
            match = regexp.search(cleaned)
            if match is None:
                continue
            if pattern.kind == "event":
                told.append(
                    (pattern, Event(pattern.event_type, pattern.severity, _said(match)))
                )
                continue
            found = _read(pattern, match, keys, cleaned, framework)
            if found is not None:
                return _with_events(found, told)
        found = self._built_in(text, framework)
        if told and found.kind == "none":
            found = of_values({}, found.framework, "none", cleaned)._replace(kind="none")
        return _with_events(found, told)

    def _built_in(self, text: str, framework: str | None) -> Parsed:
        """The grammar, with the site's words; the line's own events come from it too."""
        found = parse_line(text, framework)
        if not self._keys or len(text) > LINE_CHARS_MAX:
            return found
        here = performance(clean.uncolored(text), self._named)
        if here is None:
            return found
        here = here._replace(events=found.events or here.events)
        return here if framework is None else here._replace(framework=framework)

    def _named(self, raw: str) -> Key | None:
        return self._keys.get(fields_of.canonical_of(raw)) or fields_of.named(raw)


def _read(
    pattern: Pattern, match: Any, keys: Mapping[str, Key], text: str, framework: str | None
) -> Parsed | None:
    groups = [(group, value) for group, value in match.groupdict().items() if value]
    read_here = reading.read(groups, named=keys.get)
    if not read_here.fields:
        return None
    name = pattern.framework or framework or frameworks.of_prefix(text)
    return of_values(read_here.fields, name, f"pattern:{pattern.name}", text[: match.start()])


def _said(match: Any) -> dict[str, Any]:
    """An event's attributes: numbers as numbers, the rest as text."""
    result: dict[str, Any] = {}
    for group, value in match.groupdict().items():
        if value is None:
            continue
        try:
            result[group] = int(value) if value.isdigit() and len(value) < 19 else float(value)
        except ValueError:
            result[group] = value[:ATTRIBUTE_CHARS_MAX]
    return result


def _with_events(found: Parsed, told: Sequence[tuple[Pattern, Event]]) -> Parsed:
    """*found* and what the site's event patterns tell; the first of them names the rule."""
    if not told:
        return found
    pattern = told[0][0]
    rule = found.rule if found.rule.startswith("pattern:") else f"pattern:{pattern.name}"
    return found._replace(
        kind="event" if found.kind == "none" else found.kind,
        framework=pattern.framework or found.framework,
        events=(*(event for _, event in told), *found.events),
        rule=rule,
        gap=False,
    )
