"""All that the engine knows, in memory: what its stages work on.

Rows that a store keeps are in `Rows` and in the book, which can put back what there was at the last
commit; indexes beside them (what silences, what inhibits) are told of every change, both ways.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from heliograph.alert.config.setup import Setup
from heliograph.alert.engine.book import Book
from heliograph.alert.engine.groups import Groups
from heliograph.alert.engine.held_silences import Silences
from heliograph.alert.engine.ledger import Ledger
from heliograph.alert.engine.limits import Limits
from heliograph.alert.engine.outbox import Line, Outbox
from heliograph.alert.engine.rows import Rows
from heliograph.alert.engine.tally import Tally
from heliograph.alert.engine.timers import Timers
from heliograph.alert.inhibition import Inhibitor
from heliograph.alert.model import Alert, Correlation, Integration


class _Kept(Protocol):
    """What can go back to the last commit."""

    def commit(self) -> None:
        """What there is, is stored."""
        ...

    def abort(self) -> None:
        """Put back what there was at the last commit."""
        ...


class Correlator(_Kept, Protocol):
    """What finds alerts that belong together; bounded and pure. `correlation.correlate` is one."""

    def add_all(self, alerts: Sequence[Alert]) -> list[Correlation]:
        """*alerts* fire: groups that are new or changed, each once."""
        ...

    def resolve(self, alert: Alert) -> list[Correlation]:
        """*alert* is over: the same."""
        ...

    def load(self, alerts: Iterable[Alert]) -> None:
        """Begin from the episodes that were kept."""
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
    cut          of alerts that take more routes than may be: how many, the receiver of the first that
                 is left out; until the ledger says so
    lingering    until when ends are told again, by alert; and when what was told is (`resends`)
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
        self.silences = Silences()
        self.inhibitor = Inhibitor(setup.inhibitions)
        self.correlator: Correlator | None = None
        self.uncorrelated: list[tuple[Sequence[Alert], bool]] = []
        self.correlations: dict[str, Correlation] = {}
        self.integrations: dict[str, Integration] = {}
        self.orphans: Rows[str, tuple[Integration, ...]] = Rows()
        self.documents: dict[int, tuple[bytes, bytes]] = {}
        self.changed: dict[int, Alert | None] = {}
        self.moved: dict[int, int] = {}
        self.hurried: dict[int, None] = {}
        self.cut: dict[str, tuple[int, str]] = {}
        self.lingering: Rows[str, int] = Rows()
        self.resends: Timers[Line] = Timers()
        self.counts: Counter[str] = Counter()
        self.learn(setup)

    def learn(self, setup: Setup) -> None:
        """Work by *setup* from now on."""
        self.setup = setup
        self.integrations = {one.id: one for one in setup.integrations()}
        self.retired = frozenset(one.id for one in setup.retired)

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
            for found in steps:
                self.correlations |= {one.id: one for one in found}

    def lingers(self, alert_id: str, now_ns: int) -> bool:
        """Whether the end of an alert is still told again."""
        until_ns = self.lingering.get(alert_id)
        return until_ns is not None and until_ns > now_ns

    def forget(self, leaving: Collection[int]) -> None:
        """Let go of ended episodes that no group and no sender asks for any more: *leaving*, and
        those that are so the longest where more are kept than may be. The book is committed."""
        book = self.book
        for slot in leaving:
            if book.wake[slot] > self.now_ns:
                # A sender asked for it in this turn.
                continue
            if book.over(slot) and not book.groups[slot]:
                self._forget(slot)
            else:
                book.keep(slot, self.now_ns + self.limits.ended_ns)
        # Where groups hold too many, there is nothing to look at.
        while book.idle and len(book) - book.firing > self.limits.ended:
            slot = next(iter(book.idle))
            if book.groups[slot]:
                # A start put it there; it is idle again when it leaves.
                del book.idle[slot]
            else:
                self.counts["ended_forgotten"] += 1
                self._forget(slot)

    def _forget(self, slot: int) -> None:
        alert_id = self.book.ids[slot]
        self.ledger.forget([alert_id])
        self.lingering.drop(alert_id)
        self.settle(slot)
        self.book.forget(slot)

    def commit(self) -> None:
        """What was changed is stored."""
        for one in self._kept():
            one.commit()
        self._clear()

    def abort(self) -> None:
        """What was changed could not be stored: put back what there was at the last commit."""
        for one in self._kept():
            one.abort()
        self._clear()

    def _kept(self) -> "tuple[_Kept, ...]":
        """All that can be put back, beside the book, whose `abort` has something to say."""
        kept = (
            *(self.groups, self.outbox, self.ledger, self.silences),
            *(self.orphans, self.lingering, self.resends),
        )
        return kept if self.correlator is None else (*kept, self.correlator)

    def _clear(self) -> None:
        self.changed.clear()
        self.documents.clear()
        self.tally.clear()
        self.cut.clear()
        self.uncorrelated.clear()
        self.correlations.clear()
