"""Attempts to deliver: from the engine's outbox to the channels' threads, and the outcome back.

    in a turn       ready ─► budget of the provider ─► begin (silences once more)
    after it        a worker thread for each: the attempt is on disk before it is made
    worker          deliver, blocking ─► settle, in the engine's next turn; there its place is free

A channel that hangs takes its own places only: each integration has a few, and the others go on. A
burst for one robot that its rate cannot carry becomes a digest.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec import structs

from heliograph.alert.config.setup import Setup
from heliograph.alert.engine.engine import Engine
from heliograph.alert.model import Alert, Delivery, Integration, Message, Outgoing
from heliograph.core.clock import Clock
from heliograph.core.duration import SECOND_NS
from heliograph.core.errors import Unavailable
from heliograph.notify.protocol import Channel, Paced
from heliograph.service.alert_meters import AlertMeters
from heliograph.service.alerting import Alerting, Turn
from heliograph.service.supervisor import Supervisor
from heliograph.service.workers import WORKERS_MAX, Workers
from heliograph.store.state import alert_attempts
from heliograph.store.state.state import State

log = logging.getLogger(__name__)

PER_INTEGRATION = 4
# Attempts at once, of all; from half of them on each integration has one, so that channels that hang
# leave room for the others.
AT_ONCE_MAX = WORKERS_MAX
CROWDED = AT_ONCE_MAX // 2
# How long a stop waits for the attempts that run.
CLOSE_S = 3.0
REPORT_AGAIN_S = 1.0
# What a provider may count still when we start: longer than the span of any rate.
RECALLED_NS = 120 * SECOND_NS


# Ids → alerts with their documents, of those that are stored.
Whole = Callable[[Sequence[str]], Mapping[str, Alert]]


class _Every(Collection[str]):
    """Every integration there is."""

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


EVERY = _Every()


class _Begun(NamedTuple):
    """One attempt to be made: messages of one integration, more than one as a digest."""

    integration: Integration
    messages: Sequence[tuple[Outgoing, Message]]


class Deliveries:
    """Begins what is due and reports what came of it. `begin` runs on the engine's thread."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        supervisor: Supervisor,
        meters: AlertMeters,
        clock: Clock,
        *,
        whole: Whole,
    ) -> None:
        self._channels = channels
        self._whole = whole
        self._supervisor = supervisor
        self._meters = meters
        self._clock = clock
        self._workers = Workers("notify")
        self._closing = False
        self._busy: Counter[str] = Counter()
        # Places of attempts whose outcome is in the turn that runs; free when that is on disk, so
        # that no crash forgets more outcomes than there are places. Of the engine's thread.
        self._settled: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._begun: list[_Begun] = []

    @property
    def in_flight(self) -> int:
        """Attempts being made, or whose outcome is not on disk yet."""
        with self._lock:
            return sum(self._busy.values())

    @property
    def full(self) -> Collection[str]:
        """Integrations that have no room for an attempt now; `EVERY` where no worker is free."""
        taken = self._taken()
        all_busy = taken.total()
        if all_busy >= AT_ONCE_MAX:
            return EVERY
        most = _most(all_busy)
        return frozenset(name for name, busy in taken.items() if busy >= most)

    def recall(self, setup: Setup, state: State) -> None:
        """Take what was sent shortly before this start off the rates of those who count it: what the
        ledger has, and what a crash left in flight, of which nobody knows how much went out."""
        paced: dict[str, tuple[Paced, Integration]] = {}
        for one in setup.integrations():
            channel = self._channels.get(one.kind)
            if isinstance(channel, Paced):
                paced[one.id] = channel, one
        if not paced:
            return
        now_ns = self._clock.now_ns()
        kinds = {one.kind for _, one in paced.values()}
        found = state.read(lambda tx: alert_attempts.since(tx, now_ns - RECALLED_NS, kinds))
        told: list[tuple[str, str | None, int]] = [
            (one.integration, one.answer, now_ns - one.at_ns) for one in found
        ]
        left = Counter(state.read(alert_attempts.in_flight))
        for name, count in left.items():
            # A digest is many.
            told += [(name, None, 0)] * min(count, PER_INTEGRATION)
        for name, answer, ago_ns in told:
            if name in paced:
                pacer, one = paced[name]
                pacer.recall(one, answer, max(ago_ns, 0) / SECOND_NS)

    def close(self) -> None:
        """Begin no more attempts, and wait a little for those that run: their outcome still reaches
        the engine. One that is open then is made again, with its key, after the next start."""
        self._closing = True
        if not self._workers.close(CLOSE_S):
            log.warning("attempts left open", extra={"attempts": self.in_flight})

    def begin(self, engine: Engine, now_ns: int) -> None:
        """Begin the attempts that are due, as far as there is room and rate."""
        if self._closing:
            return
        waiting: dict[str, list[Outgoing]] = {}
        for outgoing in engine.ready(now_ns, self.full):
            waiting.setdefault(outgoing.integration, []).append(outgoing)
        for name, found in waiting.items():
            integration = engine.integration(name)
            if integration is not None:
                self._begin_one(engine, integration, found, now_ns)

    def send(self, alerting: Alerting) -> None:
        """Hand what was begun to the workers."""
        begun, self._begun = self._begun, []
        with self._lock:
            self._busy -= self._settled
        self._settled.clear()
        for one in begun:
            with self._lock:
                self._busy[one.integration.id] += 1
            self._workers.submit(lambda one=one: self._attempt(alerting, one))  # type: ignore[misc]

    def drop(self) -> None:
        """What was begun is not on disk: it stays in the outbox. Nor is what was settled: it will be
        again."""
        self._begun = []
        self._settled.clear()

    def _taken(self) -> Counter[str]:
        """Places that are taken, by integration."""
        with self._lock:
            return self._busy - self._settled

    def _begin_one(
        self, engine: Engine, integration: Integration, found: list[Outgoing], now_ns: int
    ) -> None:
        channel = self._channels[integration.kind]
        together = channel.together_max if len(found) >= channel.together_from else 1
        # The worst first: of a burst, what is critical has the budget before the rest.
        found.sort(key=lambda one: (not engine.urgent(one), one.due_ns))
        taken = self._taken()
        all_busy = taken.total() + len(self._begun)
        busy = taken[integration.id]
        for some in _cut(found, together):
            if all_busy >= AT_ONCE_MAX or busy >= _most(all_busy):
                return
            wait_s = channel.wait_s(integration, urgent=engine.urgent(some[0]))
            if wait_s > 0:
                for outgoing in found:
                    engine.postpone(outgoing, now_ns + round(wait_s * 1e9), "rate", now_ns)
                return
            messages = [
                (outgoing, message)
                for outgoing in some
                if (message := engine.begin(outgoing, now_ns)) is not None
            ]
            found = found[len(some) :]
            if messages:
                self._begun.append(_Begun(integration, messages))
                all_busy, busy = all_busy + 1, busy + 1

    def _attempt(self, alerting: Alerting, one: _Begun) -> None:
        integration = one.integration
        channel = self._channels[integration.kind]
        found: list[Delivery] = []
        started_s = self._clock.monotonic_s()

        def deliver() -> None:
            messages = [self._filled(message) for _, message in one.messages]
            if len(messages) == 1:
                found.append(channel.deliver(messages[0], integration))
            else:
                found.extend(channel.deliver_together(messages, integration))

        error = self._supervisor.attempt(deliver, where="notify")
        if error is not None or len(found) != len(one.messages):
            failed = Delivery("later", "a bug of ours; it is in the log", unsure=True)
            found = [failed] * len(one.messages)
        self._meters.attempt_seconds.observe(
            self._clock.monotonic_s() - started_s, integration.kind
        )
        for (_, message), delivery in zip(one.messages, found, strict=True):
            self._meters.attempts.add(1, integration.kind, delivery.outcome)
            self._meters.unnamed.add(message.truncated, integration.kind)
        self._report(alerting, one, found)

    def _filled(self, message: Message) -> Message:
        """*message* with what its alerts were posted as and what is known of them beyond: the engine
        does not hold that. Without it, where the store is busy: the message matters more."""
        try:
            documents = self._whole([alert.id for alert in message.alerts])
        except Unavailable:
            return message
        alerts = tuple(
            structs.replace(alert, raw=found.raw, enriched=found.enriched)
            if (found := documents.get(alert.id)) is not None
            else alert
            for alert in message.alerts
        )
        return structs.replace(message, alerts=alerts)

    def _report(self, alerting: Alerting, one: _Begun, found: Sequence[Delivery]) -> None:
        def settle(turn: Turn) -> None:
            for (outgoing, message), delivery in zip(one.messages, found, strict=True):
                turn.engine.settle(outgoing, delivery, turn.now_ns, key=message.key)
            self._settled[one.integration.id] += 1

        def report() -> None:
            alerting.submit(settle, urgent=True).result()

        # What the provider has taken must be noted, whatever the store says now: else it is told
        # again.
        while self._supervisor.attempt(report, where="notify") is not None:
            if alerting.closing:
                return
            self._clock.sleep(REPORT_AGAIN_S)


def _most(all_busy: int) -> int:
    """Attempts that one integration may have at once."""
    return PER_INTEGRATION if all_busy < CROWDED else 1


def _cut(found: list[Outgoing], size: int) -> list[list[Outgoing]]:
    return [found[start : start + size] for start in range(0, len(found), size)]
