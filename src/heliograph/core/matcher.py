"""Matchers: which series (or alerts) are meant. Prometheus semantics. Server side: needs google-re2.

    job="train"    rank!="0"    pod=~"llm-.*"    pod!~"test-.*"

A regular expression is RE2 and matches the whole value, its `.` all but a line's end (as in
Alertmanager; `(?s)` adds that); a missing label equals "". RE2 because these come from users: it
is linear in the length of the value, whatever the pattern.
"""

import re
from collections.abc import Sequence

import re2

from heliograph.core.labels import Labels

# As much as a label's value by default: the names of a job's 200 pods, and what stands between.
PATTERN_BYTES_MAX = 4096
PATTERN_MEMORY_BYTES_MAX = 1024 * 1024
OPERATORS = ("=~", "!~", "!=", "=")

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = PATTERN_MEMORY_BYTES_MAX

_SHAPE = re.compile(
    r"""\s*(?P<name>[a-zA-Z_:][a-zA-Z0-9_:.]*|"(?:[^"\\]|\\.)+")\s*(?P<op>=~|!~|!=|=)\s*+
        (?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"',{}]*)\s*\Z""",
    re.VERBOSE | re.DOTALL,
)
# An escape that is none of these is left as it is: `\d` is what a pattern says.
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}


class Matcher:
    """One condition on one label. Immutable; equal by name, operator and value.

    Raises ValueError when the operator is unknown or the pattern is not RE2, too long or too big.
    """

    __slots__ = ("_pattern", "name", "op", "value")

    def __init__(self, name: str, op: str, value: str) -> None:
        if op not in OPERATORS:
            raise ValueError(f"unknown operator {op!r}")
        self.name = name
        self.op = op
        self.value = value
        self._pattern = compile_pattern(value) if op.endswith("~") else None

    def matches(self, value: str) -> bool:
        """Whether a label of *value* ("" when it is absent) fulfils the condition."""
        if self._pattern is not None:
            try:
                found = self._pattern.fullmatch(value) is not None
            except UnicodeEncodeError:
                # RE2 reads UTF-8, which has no lone surrogate; it counts as an unknown character.
                text = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
                found = self._pattern.fullmatch(text) is not None
            return found if self.op == "=~" else not found
        return (value == self.value) == (self.op == "=")

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.op}"{escaped}"'

    def __repr__(self) -> str:
        return f"Matcher({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Matcher) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, str, str]:
        return self.name, self.op, self.value


def parse(text: str) -> Matcher:
    """The matcher that *text* writes (`pod=~"llm-.*"`). Raises ValueError that quotes the text."""
    match = _SHAPE.match(text)
    if match is None:
        raise ValueError(f'not a matcher: {text!r} (write e.g. pod="llm-0" or pod=~"llm-.*")')
    try:
        return Matcher(_unquoted(match["name"]), match["op"], _unquoted(match["value"]))
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error


def all_match(matchers: Sequence[Matcher], labels: Labels) -> bool:
    """Whether *labels* fulfil every one of *matchers*."""
    values = dict(labels)
    return all(matcher.matches(values.get(matcher.name, "")) for matcher in matchers)


def compile_pattern(pattern: str) -> "re2._Regexp[str]":
    """A compiled RE2 *pattern* from a user. Raises ValueError with RE2's own words."""
    size_bytes = len(pattern.encode("utf-8", "surrogatepass"))
    if size_bytes > PATTERN_BYTES_MAX:
        raise ValueError(f"pattern of {size_bytes} bytes, limit {PATTERN_BYTES_MAX}")
    try:
        return re2.compile(pattern, _OPTIONS)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        raise ValueError(f"not a regular expression: {reason}") from error


def _unquoted(text: str) -> str:
    if text[:1] not in {'"', "'"}:
        return text
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), text[1:-1], flags=re.DOTALL)
