"""The rules in force: those that are built in, and those made over the API, which may stand over one
that is built in: by its id, to change or disable it, or by its name, to have it made anew.

Readers take the rules of the moment; every edit makes another `Rules`, with the next version.
"""

import logging
import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from heliograph.alert.rules import decode as rule_decode
from heliograph.alert.rules.rule import Rule
from heliograph.core.clock import Clock
from heliograph.core.errors import Refused
from heliograph.store.state import alert_rules
from heliograph.store.state.alert_rules import RuleRow
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State

log = logging.getLogger(__name__)

Document = Mapping[str, Any]


class Rules(NamedTuple):
    """The rules of one moment, by id, built-in ones first; and what they are decoded of, JSON."""

    version: int
    by_id: Mapping[str, Rule]
    documents: Mapping[str, bytes] = {}

    @property
    def enabled(self) -> Sequence[Rule]:
        """Those that are evaluated."""
        return [rule for rule in self.by_id.values() if rule.enabled]


class Shown(NamedTuple):
    """A rule as a reader sees it: its document, and when it was made, 0 for one that is built in."""

    rule: Rule
    document: Document
    created_ns: int
    updated_ns: int
    created_by: str


class RuleBook:
    """Keeps rules in state. Thread-safe."""

    def __init__(
        self, state: State, clock: Clock, builtin: Mapping[str, Document], pack: Sequence[Rule]
    ) -> None:
        self._state = state
        self._clock = clock
        self._builtin = builtin
        self._pack = {rule.id: rule for rule in pack}
        self._packed = {
            rule_id: msgspec.json.encode(document) for rule_id, document in builtin.items()
        }
        self._lock = threading.Lock()
        self._rules = Rules(0, {})
        self._reload()

    def rules(self) -> Rules:
        """The rules in force."""
        return self._rules

    def read(self, rule_id: str, document: bytes) -> Rule | None:
        """The rule that *document*, of `Rules.documents`, is or was; None where it cannot be read."""
        if document == self._packed.get(rule_id):
            return self._pack[rule_id]
        try:
            return self._decoded(rule_id, document)
        except Refused:
            return None

    def create(self, document: Document, created_by: str) -> Rule:
        """Make a rule of *document*. Raises Refused: what is wrong with it, a name that is there."""
        rule = rule_decode.decode(document, rule_id=str(uuid.uuid4()))
        return self._put(rule, document, created_by, new=True)

    def replace(self, rule_id: str, document: Document, created_by: str) -> Rule:
        """Put *document* in place of the rule *rule_id*. Raises Refused, 404 where there is none.

        Without `rule_config` it is laid over what a built-in rule says: `{enabled: false}` will do.
        """
        # Whoever names no rule learns that first, whatever else is wrong. One that is left out is
        # mended so.
        if rule_id not in self._stored_ids():
            self.one(rule_id)
        builtin = self._pack.get(rule_id)
        if builtin is not None and "rule_config" not in document:
            document = {**self._document(rule_id), **document}
        rule = rule_decode.decode(document, rule_id=rule_id, builtin=builtin is not None)
        if builtin is not None and rule.name != builtin.name:
            raise Refused("the name of a built-in rule stays", field="name")
        new = builtin is not None and rule_id not in self._stored_ids()
        return self._put(rule, document, created_by, new=new)

    def remove(self, rule_id: str) -> None:
        """Remove the rule; one that is built in is again what it was. Raises Refused (404)."""
        if rule_id in self._pack and rule_id not in self._stored_ids():
            raise Refused(
                "a built-in rule cannot be removed; disable it (PUT with enabled: false)",
                code="builtin",
                status=409,
            )
        with self._lock:
            # What it remembers goes when what it said is ended: see `rule_memory`.
            self._write(lambda tx: alert_rules.remove(tx, rule_id))
            self._reload()

    def one(self, rule_id: str) -> Shown:
        """The rule *rule_id*. Raises Refused (404)."""
        shown = {one.rule.id: one for one in self.shown()}
        if rule_id not in shown:
            raise Refused(f"no rule {rule_id[:100]!r}", code="not_found", status=404)
        return shown[rule_id]

    def shown(self) -> list[Shown]:
        """Every rule, newest first, built-in ones last."""
        rows = {row.id: row for row in self._state.read(alert_rules.load)}
        by_id = self._rules.by_id
        found = [
            Shown(
                by_id[row.id],
                msgspec.json.decode(row.document),
                row.created_ns,
                row.updated_ns,
                row.created_by,
            )
            for row in reversed(rows.values())
            if row.id in by_id
        ]
        found += [
            # One whose name was taken is not evaluated.
            Shown(
                rule if rule.id in by_id else structs.replace(rule, enabled=False),
                self._builtin[rule.id],
                0,
                0,
                "",
            )
            for rule in self._pack.values()
            if rule.id not in rows
        ]
        return found

    def _put(self, rule: Rule, document: Document, created_by: str, *, new: bool) -> Rule:
        now_ns = self._clock.now_ns()
        row = RuleRow(
            id=rule.id,
            name=rule.name,
            source=rule.source,
            enabled=rule.enabled,
            rule_type=rule.rule_type,
            document=msgspec.json.encode(document),
            created_ns=now_ns,
            updated_ns=now_ns,
            created_by=created_by,
        )
        with self._lock:
            if new:
                self._write(lambda tx: alert_rules.create(tx, row))
            else:
                self._write(lambda tx: alert_rules.replace(tx, row))
            self._reload()
        return rule

    def _write(self, work: Any) -> None:
        self._state.run(work, lane=Lane.CONTROL)

    def _document(self, rule_id: str) -> Document:
        """What the built-in rule *rule_id* says now."""
        for row in self._state.read(alert_rules.load):
            if row.id == rule_id:
                stored: Document = msgspec.json.decode(row.document)
                return stored
        return self._builtin[rule_id]

    def _stored_ids(self) -> set[str]:
        return {row.id for row in self._state.read(alert_rules.load)}

    def _decoded(self, rule_id: str, document: bytes) -> Rule:
        """The rule of a stored *document*. Raises Refused."""
        return rule_decode.decode(
            msgspec.json.decode(document),
            rule_id=rule_id,
            builtin=rule_id in self._pack,
            kept=True,
        )

    def _reload(self) -> None:
        made: dict[str, Rule] = {}
        documents = dict(self._packed)
        for row in self._state.read(alert_rules.load):
            try:
                made[row.id] = self._decoded(row.id, row.document)
                documents[row.id] = row.document
            except Refused as error:
                # Stored by a version that knew more, or allowed it; it shows in no list, and is kept.
                log.warning(
                    "rule left out",
                    extra={"rule": row.name, "rule_id": row.id, "why": error.detail},
                )
        names = {rule.name for rule in made.values()}
        by_id = {rule.id: rule for rule in self._pack.values() if rule.name not in names}
        self._rules = Rules(self._rules.version + 1, {**by_id, **made}, documents)
