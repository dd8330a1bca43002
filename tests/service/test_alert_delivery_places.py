"""Places of a channel: free when the outcome is on disk, so that no crash forgets more than them."""

import threading
from concurrent.futures import Future

import pytest

from heliograph.alert.model import Delivery, Integration, Outgoing, Reason
from heliograph.core.clock import ManualClock
from heliograph.core.errors import Unavailable
from heliograph.service.alert_meters import AlertMeters
from heliograph.service.deliveries import PER_INTEGRATION, Deliveries
from heliograph.service.meters import Meters
from tests.notify.fakes import alert, message
from tests.service.live import until

NAME = "team/webhook[0]"
NOBODY = frozenset()


class Channel:
    together_max, together_from = 1, 2

    def wait_s(self, integration, *, urgent):
        del integration, urgent
        return 0.0

    def deliver(self, told, integration):
        del told, integration
        return Delivery("sent", "ok", 200)


class Tries:
    """A supervisor that takes every fault."""

    def attempt(self, work, *, where):
        del where
        try:
            work()
        except Unavailable as error:
            return error
        return None


class Turns:
    """Takes what is to be done in a turn, and has no turns of its own."""

    closing = False

    def __init__(self):
        self.jobs = []
        self._lock = threading.Lock()

    def submit(self, work, *, urgent):
        assert urgent
        done = Future()
        with self._lock:
            self.jobs.append((work, done))
        return done

    def take(self, count):
        until(lambda: len(self.jobs) >= count, f"{count} outcomes")
        with self._lock:
            some, self.jobs = self.jobs[:count], self.jobs[count:]
        return some


class Engine:
    """As the outbox has it: what is begun is no more due, what is settled is gone."""

    now_ns = 0

    def __init__(self, count):
        self.due = [
            Outgoing(f"g{n}", NAME, f"k{n}", Reason.FIRST, NOBODY, NOBODY, 0, 0)
            for n in range(count)
        ]
        self.settled = []
        self.engine = self

    def ready(self, now_ns, but):
        del now_ns
        return [] if NAME in but else list(self.due)

    def integration(self, name):
        return Integration(name, "team", "webhook", {})

    def urgent(self, outgoing):
        del outgoing
        return False

    def begin(self, outgoing, now_ns):
        del now_ns
        self.due.remove(outgoing)
        return message(alert(), key=outgoing.key)

    def settle(self, outgoing, delivery, now_ns, *, key):
        assert (outgoing.key, delivery.outcome, now_ns) == (key, "sent", 0)
        self.settled.append(key)


@pytest.fixture
def deliveries():
    clock = ManualClock()
    meters = AlertMeters(Meters().registry)
    made = Deliveries({"webhook": Channel()}, Tries(), meters, clock, whole=lambda _: {})
    yield made
    made.close()


def test_a_place_is_free_in_the_turn_that_settles_and_not_before(deliveries):
    engine, turns = Engine(10), Turns()
    deliveries.begin(engine, 0)
    deliveries.send(turns)
    until(lambda: len(turns.jobs) == PER_INTEGRATION, "all have their answer")
    assert (deliveries.in_flight, set(deliveries.full)) == (PER_INTEGRATION, {NAME})

    (work, done), *_ = turns.take(1)
    work(engine)
    assert set(deliveries.full) == set()
    deliveries.begin(engine, 0)
    assert len(engine.due) == 10 - PER_INTEGRATION - 1
    done.set_result(None)
    deliveries.send(turns)
    assert deliveries.in_flight == PER_INTEGRATION
    for _, done in turns.take(PER_INTEGRATION):
        done.set_result(None)


def test_a_turn_that_fails_frees_nothing_and_its_repetition_once(deliveries):
    engine, turns = Engine(10), Turns()
    deliveries.begin(engine, 0)
    deliveries.send(turns)
    for _ in range(3):
        jobs = turns.take(2)
        for work, _ in jobs:
            work(engine)
        before = list(engine.due)
        deliveries.begin(engine, 0)
        assert len(engine.due) == len(before) - 2
        # The disk is full.
        engine.due = before
        deliveries.drop()
        for _, done in jobs:
            done.set_exception(Unavailable("the turn failed"))
        assert (deliveries.in_flight, set(deliveries.full)) == (PER_INTEGRATION, {NAME})

    engine.settled = []
    jobs = turns.take(PER_INTEGRATION)
    for work, done in jobs:
        work(engine)
        done.set_result(None)
    assert sorted(engine.settled) == [f"k{n}" for n in range(PER_INTEGRATION)]
    deliveries.send(turns)
    assert deliveries.in_flight == 0
    deliveries.begin(engine, 0)
    deliveries.send(turns)
    assert deliveries.in_flight == PER_INTEGRATION
    for _, done in turns.take(PER_INTEGRATION):
        done.set_result(None)
