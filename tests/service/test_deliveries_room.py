"""Room for attempts: channels that hang leave some for the others, and nothing queues in flight."""

from collections import Counter

from heliograph.alert.model import Integration
from heliograph.core.clock import ManualClock
from heliograph.service import deliveries
from heliograph.service.alert_meters import AlertMeters
from heliograph.service.deliveries import AT_ONCE_MAX, EVERY, Deliveries
from heliograph.service.measure import Registry
from heliograph.service.supervisor import Supervisor


class Row:
    """A message that is due."""

    due_ns = 0
    key = "k"

    def __init__(self, integration):
        self.integration = integration


class Due:
    """An engine with ten messages due for each of *count* channels."""

    def __init__(self, count):
        self.names = [f"r{n}" for n in range(count)]
        self.begun = Counter()

    def ready(self, now_ns, but):
        return [Row(name) for name in self.names if name not in but for _ in range(10)]

    def integration(self, name):
        return Integration(id=name, receiver="r", kind="webhook", settings={})

    def urgent(self, outgoing):
        return False

    def begin(self, outgoing, now_ns):
        self.begun[outgoing.integration] += 1
        return outgoing


class Channel:
    """Takes one message at a time, at any rate."""

    together_max, together_from = 1, 2

    def wait_s(self, integration, *, urgent):
        return 0.0


def room(monkeypatch):
    registry = Registry()
    monkeypatch.setattr(deliveries.Workers, "submit", lambda *_: None)
    return Deliveries(
        {"webhook": Channel()}, Supervisor(registry), AlertMeters(registry), ManualClock(0),
        whole=lambda _: {},
    )  # fmt: skip


def test_many_channels_that_hang_leave_room_for_another(monkeypatch):
    sending, hanging, other = room(monkeypatch), Due(64), Due(0)
    other.names = ["good"]
    for _ in range(5):
        sending.begin(hanging, 0)
        sending.send(None)
    assert set(hanging.begun.values()) == {1, deliveries.PER_INTEGRATION}
    sending.begin(other, 0)
    sending.send(None)
    assert other.begun["good"] == 1


def test_nothing_is_begun_while_no_worker_is_free(monkeypatch):
    sending, hanging = room(monkeypatch), Due(1000)
    for _ in range(5):
        sending.begin(hanging, 0)
        sending.send(None)
    assert (sending.in_flight, sending.full) == (AT_ONCE_MAX, EVERY)
    assert "whoever" in sending.full
    assert sum(hanging.begun.values()) == AT_ONCE_MAX
