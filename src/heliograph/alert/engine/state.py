"""All that the engine knows, in memory: what its stages work on.

Rows that a store keeps are in `Rows` and in the book, which can put back what there was at the last
commit; indexes beside them (what silences, what inhibits) are told of every change, both ways.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from heliograph.alert.config.setup import Setup
from heliograph.alert.engine.book import Book
from heliograph.alert.engine.cold import Cold, seen_of
from heliograph.alert.engine.groups import Groups
from heliograph.alert.engine.ledger import Ledger
from heliograph.alert.engine.limits import Limits
from heliograph.alert.engine.outbox import Outbox
from heliograph.alert.engine.rows import Rows
from heliograph.alert.engine.tally import Tally
from heliograph.alert.inhibition import Inhibitor
from heliograph.alert.model import Alert, Correlation, Integration, Silence
from heliograph.alert.silences import Silencer


class Correlator(Protocol):
    """What finds alerts that belong together; bounded and pure. `correlation.correlate` is one."""

    def add_all(self, alerts: Sequence[Alert]) -> tuple[list[Correlation], list[str]]:
        """*alerts* fire: groups that are new or changed, each once, ids of those that are no more."""
        ...

    def resolve(self, alert: Alert) -> tuple[list[Correlation], list[str]]:
        """*alert* is over: the same."""
        ...

    def load(self, alerts: Iterable[Alert]) -> None:
        """Begin from the episodes that were kept."""
        ...

    def commit(self) -> None:
        """What was found is stored."""
        ...

    def abort(self) -> None:
        """Put back what there was at the last commit."""
        ...


class State:
    """The engine's memory.

    started_ns   when this engine started: inhibitors may still be on their way
    now_ns       of the last step
    changed      slots to be written whole, in the order they were touched; with the alert where it
                 is known as it is to be written
    documents    raw and enriched that the store does not have yet of those without, by slot
    moved        slots whose end moved, to be written by a checkpoint, and since when they wait
    hurried      those of them whose stored end is near: the next checkpoint has to write them
    orphans      integrations that groups without a route owe an end, by group
    lingering    until when ends are told again, by alert (`resends`)
    """

    def __init__(self, setup: Setup, limits: Limits, now_ns: int) -> None:
        self.setup = setup
        self.limits = limits
        self.started_ns = self.now_ns = now_ns
        self.book = Book()
        self.groups = Groups()
        self.outbox = Outbox()
        self.ledger = Ledger()
        self.tally = Tally()
        self.silences: Rows[str, Silence] = Rows()
        self.silencer = Silencer()
        self.inhibitor = Inhibitor(setup.inhibitions)
        self.correlator: Correlator | None = None
        self.uncorrelated: list[tuple[Sequence[Alert], bool]] = []
        self.correlations: dict[str, Correlation] = {}
        self.correlations_gone: dict[str, None] = {}
        self.integrations: dict[str, Integration] = {}
        self.orphans: dict[str, tuple[Integration, ...]] = {}
        self.documents: dict[int, tuple[bytes, bytes]] = {}
        self.changed: dict[int, Alert | None] = {}
        self.moved: dict[int, int] = {}
        self.hurried: dict[int, None] = {}
        self.lingering: dict[str, int] = {}
        self.resend_at: dict[tuple[str, str], int] = {}
        self.resend_heap: list[tuple[int, tuple[str, str]]] = []
        self.counts: Counter[str] = Counter()
        self.learn(setup)

    def learn(self, setup: Setup) -> None:
        """Work by *setup* from now on."""
        self.setup = setup
        self.integrations = {
            one.id: one
            for receiver in setup.receivers.values()
            for one in receiver.integrations
        }

    def move(self, slot: int, stored_ns: int, now_ns: int) -> None:
        """Note that the end in *slot*, which was *stored_ns*, moved; the first time is what counts."""
        if slot not in self.moved:
            self.moved[slot] = now_ns
            # One who repeats so seldom may not come again before the end that is stored.
            half_ns = (self.book.ends[slot] - now_ns) // 2
            if stored_ns - now_ns < max(self.limits.hurried_ns, half_ns):
                self.hurried[slot] = None

    def touched(self, slot: int) -> None:
        """What is in *slot* is to be written whole, as it is then."""
        alert = self.changed.get(slot)
        if alert is not None:
            self.documents[slot] = (alert.raw, alert.enriched)
        self.changed[slot] = None

    def settle(self, slot: int) -> None:
        """The end in *slot* is written, or with something else."""
        self.moved.pop(slot, None)
        self.hurried.pop(slot, None)

    def seen(self, alert: Cold | Alert) -> dict[str, str]:
        """What matchers see of *alert*."""
        return seen_of(alert)

    def correlated(self, alerts: Sequence[Alert], *, fires: bool) -> None:
        """Let the correlator know that *alerts* fire, or are over; when `correlate` is called."""
        if self.correlator is not None:
            self.uncorrelated.append((alerts, fires))

    def correlate(self) -> None:
        """Correlate what was taken. All of it together: by turns with the rest of intake it, and
        the rest, take twice as long."""
        correlator, waiting = self.correlator, self.uncorrelated
        self.uncorrelated = []
        for alerts, fires in waiting:
            assert correlator is not None
            steps = [correlator.add_all(alerts)] if fires else map(correlator.resolve, alerts)
            for found, gone in steps:
                for one in found:
                    self.correlations[one.id] = one
                    self.correlations_gone.pop(one.id, None)
                for one_id in gone:
                    self.correlations.pop(one_id, None)
                    self.correlations_gone[one_id] = None

    def forget(self, leaving: Collection[int]) -> None:
        """Let go of ended episodes that no group and no sender asks for any more: *leaving*, and
        the oldest where more are kept than may be."""
        book = self.book
        over = len(book) - book.firing - self.limits.ended
        if over > len(leaving):
            ended = [slot for slot in book if book.over(slot)]
            self.counts["ended_forgotten"] += over
            leaving = dict.fromkeys((*leaving, *ended[:over]))
        for slot in leaving:
            if not book.over(slot) or book.groups[slot]:
                book.keep(slot, self.now_ns + self.limits.ended_ns)
                continue
            self.ledger.forget([book.ids[slot]])
            self.settle(slot)
            book.forget(slot)

    def clear(self) -> None:
        """What was changed is stored, or never was."""
        self.changed.clear()
        self.documents.clear()
        self.tally.clear()
        self.uncorrelated.clear()
        self.correlations.clear()
        self.correlations_gone.clear()
