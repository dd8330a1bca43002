"""Which rule a state is of: its document stands beside it, so that what a change of the rule ends is
still known after a restart.

    ("r1", "…", state), ("r1", "=rule", document)     written in one transaction with the first state

An edit forgets no state. Whoever evaluates the rule says what it ends, and forgets then: at once
while it runs, else at the next start, where the document of the state is another than today's.
"""

from collections.abc import Iterable, Mapping, Sequence

from heliograph.alert.rules import metrics as rule_metrics
from heliograph.alert.rules.rule import Rule, StateRow
from heliograph.service.rule_book import RuleBook, Rules
from heliograph.store.state import rule_states
from heliograph.store.state.state import State

# The key of the row that holds the document; no other key of a state begins so.
DOCUMENT = "=rule"


def load(state: State) -> tuple[list[StateRow], dict[str, bytes]]:
    """The states that are kept, and by rule the documents beside them."""
    rows = [StateRow(*row) for row in state.read(rule_states.load)]
    documents = {
        row.rule_id: row.state for row in rows if row.key == DOCUMENT and row.state is not None
    }
    return [row for row in rows if row.key != DOCUMENT], documents


def as_they_were(
    book: RuleBook,
    rules: Rules,
    rows: Iterable[StateRow],
    documents: Mapping[str, bytes],
    *,
    over_series: bool,
) -> dict[str, Rule]:
    """The rules that *rows* are of, as they were evaluated: those over series, or the others. One that
    no document is kept of, of an earlier version, is the one of *rules*, those of the moment."""
    found = {}
    for rule_id in {row.rule_id for row in rows}:
        document = documents.get(rule_id)
        was = rules.by_id.get(rule_id)
        if document is not None and (was is None or document != rules.documents.get(rule_id)):
            was = book.read(rule_id, document)
        if was is not None and is_over_series(was) == over_series:
            found[rule_id] = was
    return found


def strangers(
    rows: Iterable[StateRow], documents: Mapping[str, bytes], rules: Rules
) -> set[str]:
    """The ids of *rows* of which nobody knows a rule: deleted where an earlier version noted none."""
    return {row.rule_id for row in rows} - documents.keys() - rules.by_id.keys()


def is_over_series(rule: Rule) -> bool:
    """Whether *rule* is the ticker's, not the feed's."""
    return rule_metrics.query(rule, 0) is not None


def noted(rule_id: str, document: bytes) -> StateRow:
    """The row that keeps *document*."""
    return StateRow(rule_id, DOCUMENT, document)


def forgotten(rows: Iterable[StateRow], rule_ids: Iterable[str]) -> Sequence[StateRow]:
    """Rows that forget all *rows* of *rule_ids*, and the documents beside them."""
    gone = set(rule_ids)
    return [
        *(StateRow(row.rule_id, row.key, None) for row in rows if row.rule_id in gone),
        *(StateRow(rule_id, DOCUMENT, None) for rule_id in sorted(gone)),
    ]
