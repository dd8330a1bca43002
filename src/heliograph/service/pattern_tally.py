"""How often each of the site's patterns hit, and which lines look like metrics but gave nothing.

Hits are added up in memory and written in the transaction of the applier's cursor, so that a
replay counts none twice and loses none. Gaps are a look at the present, kept in memory: by shape,
that is the line with its numbers as `#`, at most SHAPES_MAX of them; a restart begins anew.

    iteration # loss per token is #        120 lines, sample "iteration 7 loss per token is 2.1"
"""

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from heliograph.service.effects import Given
from heliograph.service.line_parses import Read
from heliograph.service.log_patterns import PatternBook
from heliograph.service.meters import Meters
from heliograph.store.state import log_patterns
from heliograph.training.parse import Parsed

OWN = "pattern:"
TOO_LONG = "too_long"
# Shapes of lines that are remembered; a new one takes the place of the rarest.
SHAPES_MAX = 200
SHAPE_CHARS_MAX = 160
SAMPLE_CHARS_MAX = 300
_NUMBER = re.compile(r"[+-]?\d[\d,._]*(?:[eE][+-]?\d+)?")
_BLANKS = re.compile(r"\s+")


class Gap(NamedTuple):
    """Lines of one shape that look like metrics and gave nothing.

    *sample* is the latest of them, cut at SAMPLE_CHARS_MAX; *first_ns* and *last_ns* their times.
    """

    framework: str
    shape: str
    lines: int
    sample: str
    pod_uid: str
    first_ns: int
    last_ns: int


class PatternTally:
    """Counts for the applier's thread; `gaps` for any. *unlisted* counts lines of forgotten shapes."""

    def __init__(self, patterns: PatternBook, meters: Meters) -> None:
        self._patterns = patterns
        self._meters = meters
        self._hits: dict[str, int] = {}
        self._last_ns: dict[str, int] = {}
        self._gaps: dict[tuple[str, str], Gap] = {}
        self._lock = threading.Lock()
        self.unlisted = 0

    def wanted(self, read: Read) -> Iterator[int]:
        """The places of those lines of *read* that are counted here: see `note`."""
        parsed = read.parsed
        plans = {n for n, plan in enumerate(parsed.plans, 1) if _is_noted(plan.template)}
        if plans:
            yield from (n for n, plan in enumerate(parsed.plan_of) if plan in plans)
        yield from (n for n, said in parsed.said.items() if _is_noted(said))

    def count(self, lines: Iterable[Given]) -> None:
        """Count what of *lines* is told here, which is little: see `note`."""
        for line, pod_uid, parsed in lines:
            if _is_noted(parsed):
                self.note(parsed, line.text, pod_uid, line.at_ns)

    def note(self, parsed: Parsed, text: str, pod_uid: str, at_ns: int) -> None:
        """A line that hit one of the site's patterns, or that looks like metrics and gave nothing."""
        if parsed.rule.startswith(OWN):
            name = parsed.rule.removeprefix(OWN)
            self._hits[name] = self._hits.get(name, 0) + 1
            self._last_ns[name] = max(at_ns, self._last_ns.get(name, at_ns))
        if parsed.rule == TOO_LONG:
            self._meters.pattern_errors.add(1, parsed.framework, TOO_LONG)
        elif parsed.gap:
            self._meters.pattern_errors.add(1, parsed.framework, "gap")
            self._remember(parsed.framework, text, pod_uid, at_ns)

    def _remember(self, framework: str, text: str, pod_uid: str, at_ns: int) -> None:
        key = framework, shape(text)
        sample = text[:SAMPLE_CHARS_MAX]
        with self._lock:
            known = self._gaps.get(key)
            if known is not None:
                self._gaps[key] = known._replace(
                    lines=known.lines + 1,
                    sample=sample,
                    pod_uid=pod_uid,
                    first_ns=min(known.first_ns, at_ns),
                    last_ns=max(known.last_ns, at_ns),
                )
                return
            if len(self._gaps) >= SHAPES_MAX:
                rarest = min(self._gaps, key=lambda key: self._gaps[key].lines)
                self.unlisted += self._gaps.pop(rarest).lines
            self._gaps[key] = Gap(*key, 1, sample, pod_uid, at_ns, at_ns)

    def gaps(self) -> Sequence[Gap]:
        """Shapes of lines, the most frequent first."""
        with self._lock:
            found = list(self._gaps.values())
        return sorted(found, key=lambda gap: (-gap.lines, gap.framework, gap.shape))

    def write(self, tx: Connection) -> None:
        """Add the hits since `settle` to those that are stored."""
        log_patterns.add_hits(
            tx, [(name, count, self._last_ns[name]) for name, count in self._hits.items()]
        )

    def settle(self) -> None:
        """Hits are written."""
        self._hits, self._last_ns = {}, {}


def _is_noted(parsed: Parsed) -> bool:
    return parsed.gap or parsed.rule == TOO_LONG or parsed.rule.startswith(OWN)


def shape(text: str) -> str:
    """*text* with its numbers as `#`, cut at SHAPE_CHARS_MAX."""
    start = _BLANKS.sub(" ", text[: 4 * SHAPE_CHARS_MAX]).strip()
    return _NUMBER.sub("#", start)[:SHAPE_CHARS_MAX]
