"""The site's own patterns and field names for log lines, in force: those of the configuration, and
those made over the API.

    book.in_force().parse("my trainer: it=7 l=2.5")       as the patterns of the moment read it

Every edit makes another `InForce` with the next version, before it is answered; what another process
on the same state edited is seen within REFRESH_S. A pattern of the configuration stands before one
of the same name that was made over the API.
"""

import logging
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from heliograph.core.clock import Clock
from heliograph.core.errors import Refused
from heliograph.service.meters import Meters
from heliograph.service.pattern_document import Document, decode
from heliograph.store.state import log_patterns, versions
from heliograph.store.state.lanes import Lane
from heliograph.store.state.log_patterns import Hits, PatternRow
from heliograph.store.state.state import State
from heliograph.training.parse import Parsed, parse_line
from heliograph.training.site import Pattern, Site
from heliograph.training.site_fields import key_of

log = logging.getLogger(__name__)

REFRESH_S = 5.0
# What the id of a pattern of the configuration begins with.
CONFIGURED = "config:"
NO_HITS = Hits(0, 0)
_GROUP = re.compile(r"\(\?P<(\w+)>")


class InForce(NamedTuple):
    """How lines are read now; *own* where the site has patterns or field names, *named* what it calls
    values that are no training fields: those have samples."""

    version: int
    parse: Callable[[str], Parsed]
    own: bool
    named: frozenset[str] = frozenset()


class Shown(NamedTuple):
    """A pattern as a reader sees it; one of the configuration has no times."""

    id: str
    pattern: Pattern
    in_force: bool
    hits: Hits
    created_ns: int
    updated_ns: int
    created_by: str


class PatternBook:
    """Keeps patterns in state. Thread-safe. *fields* and *configured* are the configuration's."""

    def __init__(
        self,
        state: State,
        clock: Clock,
        meters: Meters,
        *,
        fields: Mapping[str, str],
        configured: Sequence[Pattern],
    ) -> None:
        self._state = state
        self._clock = clock
        self._meters = meters
        self._fields = dict(fields)
        self._configured = {one.name: one for one in configured}
        self._lock = threading.Lock()
        self._made: dict[str, tuple[PatternRow, Pattern]] = {}
        self._in_force = InForce(0, parse_line, False)
        self._seen = -1
        self._refresh_s = clock.monotonic_s() + REFRESH_S
        self._reload()
        self._forget_hits()

    def in_force(self) -> InForce:
        """How lines are read now."""
        return self._in_force

    def refresh(self) -> None:
        """Take over what another process changed; looked at every REFRESH_S."""
        now_s = self._clock.monotonic_s()
        if now_s < self._refresh_s:
            return
        self._refresh_s = now_s + REFRESH_S
        if self._state.read(lambda tx: versions.get(tx, log_patterns.VERSION)) != self._seen:
            with self._lock:
                self._reload()

    def create(self, document: Document, created_by: str) -> str:
        """Make a pattern of *document*; its id. Raises Refused: what is wrong with it, a name that is
        there."""
        pattern = decode(document)
        with self._lock:
            row = self._row(str(uuid.uuid4()), pattern, document, created_by)
            self._check_all(row.id, pattern)
            self._write(lambda tx: log_patterns.create(tx, row))
        return row.id

    def replace(self, pattern_id: str, document: Document, created_by: str) -> None:
        """Put *document* in place of the pattern *pattern_id*. Raises Refused, 404 where there is
        none."""
        self._refuse_configured(pattern_id)
        pattern = decode(document)
        with self._lock:
            row = self._row(pattern_id, pattern, document, created_by)
            self._check_all(pattern_id, pattern)
            self._write(lambda tx: log_patterns.replace(tx, row))

    def remove(self, pattern_id: str) -> None:
        """Remove the pattern. Raises Refused (404)."""
        self._refuse_configured(pattern_id)
        with self._lock:
            self._write(lambda tx: log_patterns.remove(tx, pattern_id))

    def one(self, pattern_id: str) -> Shown:
        """The pattern *pattern_id*. Raises Refused (404)."""
        for shown in self.shown():
            if shown.id == pattern_id:
                return shown
        raise Refused(f"no pattern {pattern_id[:100]!r}", code="not_found", status=404)

    def shown(self) -> list[Shown]:
        """Every pattern, newest first, those of the configuration last."""
        hits = self._state.read(log_patterns.hits)
        made = self._made
        found = [
            Shown(
                row.id,
                pattern,
                pattern.enabled and pattern.name not in self._configured,
                hits.get(pattern.name, NO_HITS),
                row.created_ns,
                row.updated_ns,
                row.created_by,
            )
            for row, pattern in reversed(made.values())
        ]
        found += [
            Shown(
                CONFIGURED + one.name, one, one.enabled, hits.get(one.name, NO_HITS), 0, 0, ""
            )
            for one in self._configured.values()
        ]
        return found

    def trial(self, document: Document) -> Callable[[str], Parsed]:
        """What *document* alone, beside the site's field names, makes of a line; nothing is stored.
        Raises Refused."""
        pattern = decode({**document, "enabled": True})
        return Site.of(self._fields, [pattern]).parse

    def _forget_hits(self) -> None:
        """Forget the hits of patterns that are no more, as the configuration had other ones."""
        names = {*self._configured, *(row.name for row, _ in self._made.values())}
        if self._state.read(log_patterns.hits).keys() - names:
            kept = sorted(names)
            self._state.write(
                lambda tx: log_patterns.keep_hits(tx, kept), lane=Lane.CONTROL
            ).result()

    def _row(
        self, pattern_id: str, pattern: Pattern, document: Document, created_by: str
    ) -> PatternRow:
        if pattern.name in self._configured:
            raise log_patterns.name_taken(pattern.name)
        now_ns = self._clock.now_ns()
        stored = msgspec.json.encode(document)
        return PatternRow(pattern_id, pattern.name, stored, now_ns, now_ns, created_by)

    def _check_all(self, pattern_id: str, pattern: Pattern) -> None:
        """Raise Refused where *pattern* is one too many for all to be read together."""
        others = [one for key, (_, one) in self._made.items() if key != pattern_id]
        if pattern.name not in {one.name for one in others}:
            Site.of(self._fields, self._used([*others, pattern]))

    def _used(self, made: Sequence[Pattern]) -> list[Pattern]:
        """Those that are in force, of the configuration's and *made*."""
        rest = (one for one in made if one.name not in self._configured)
        return [one for one in (*self._configured.values(), *rest) if one.enabled]

    def _refuse_configured(self, pattern_id: str) -> None:
        name = pattern_id.removeprefix(CONFIGURED)
        if name != pattern_id and name in self._configured:
            raise Refused(
                "a pattern of the configuration is edited there (logs.patterns)",
                code="configured",
                status=409,
            )

    def _write(self, work: Callable[[Connection], None]) -> None:
        self._state.run(work, lane=Lane.CONTROL)
        self._reload()

    def _reload(self) -> None:
        # The number first: a change in between is seen by the next look.
        self._seen = self._state.read(lambda tx: versions.get(tx, log_patterns.VERSION))
        made: dict[str, tuple[PatternRow, Pattern]] = {}
        for row in self._state.read(log_patterns.load):
            try:
                made[row.id] = row, decode(msgspec.json.decode(row.document))
            except Refused as error:
                # Stored by a version that knew more; it shows in no list, and is kept.
                self._meters.pattern_errors.add(1, "", "invalid_pattern")
                log.warning("pattern left out", extra={"name_": row.name, "why": error.detail})
        used = self._used([one for _, one in made.values()])
        own = bool(self._fields or used)
        parse = self._site(used).parse if own else parse_line
        self._made = made
        named = frozenset(key_of(name).field for name in self._names(used))
        self._in_force = InForce(self._in_force.version + 1, parse, own, named)

    def _names(self, used: Sequence[Pattern]) -> Iterator[str]:
        """The names that the site gives to values."""
        yield from self._fields.values()
        for one in used:
            if one.kind == "performance":
                yield from _GROUP.findall(one.pattern)

    def _site(self, used: Sequence[Pattern]) -> Site:
        try:
            return Site.of(self._fields, used)
        except Refused as error:
            # Each was fine when it was made; a version that takes fewer reads by its own file.
            self._meters.pattern_errors.add(1, "", "invalid_pattern")
            log.warning("patterns left out", extra={"why": error.detail})
            return Site.of(self._fields, self._used([]))
