"""Monitors over HTTP: what the service refuses is watched nowhere, what it misses it hears later."""

import threading

import pytest

from heliograph.core.errors import Refused, Unavailable
from heliograph.recorder import monitors
from heliograph.recorder.faults import Faults
from heliograph.recorder.points import Point
from heliograph.recorder.registering import Registering


class Keeper:
    """A service's rules by name; *fault* is raised while there is one."""

    def __init__(self):
        self.rules = {}
        self.fault = None
        self.asked = 0

    def register_monitor(self, definition):
        self._ask()
        self.rules[definition.name] = definition.value
        return "r"

    def remove_monitor(self, name):
        self._ask()
        return self.rules.pop(name, None) is not None

    def _ask(self):
        self.asked += 1
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def keeper():
    return Keeper()


@pytest.fixture
def told():
    return []


@pytest.fixture
def registering(keeper, told):
    made = Registering(keeper, Faults(lambda what, error: told.append((what, str(error)))))
    yield made
    made.close()


def slow(value=1, name="slow"):
    return monitors.define(name, "threshold", {"metric": "m", "value": value})


def test_what_the_service_refuses_is_a_value_error(registering, keeper):
    keeper.fault = Refused("403 not an editor", status=403)
    with pytest.raises(ValueError, match="not an editor"):
        registering.put(slow())
    with pytest.raises(ValueError, match="not an editor"):
        registering.remove("slow")
    assert registering.waiting == 0


def test_what_the_service_did_not_hear_it_hears_later_and_the_last_word_counts(
    registering, keeper
):
    keeper.rules["old"] = 5
    keeper.fault = Unavailable("down")
    registering.put(slow(1))
    registering.put(slow(2))
    registering.put(slow(name="brief"))
    assert registering.remove("brief") is False
    assert registering.remove("old") is False
    assert registering.waiting == 3
    before = keeper.asked
    registering.retry()
    # A service that is down is asked once, not for each.
    assert (keeper.asked, registering.waiting) == (before + 1, 3)

    keeper.fault = None
    registering.retry()
    assert (keeper.rules, registering.waiting) == ({"slow": 2}, 0)


def test_a_rule_refused_later_is_told_and_given_up(registering, keeper, told):
    keeper.fault = Unavailable("down")
    registering.put(slow())
    keeper.fault = Refused("taken by another")
    registering.retry()

    assert registering.waiting == 0
    assert told == [("the rule of monitor slow", "taken by another")]


@pytest.mark.parametrize("removing", [False, True])
def test_what_is_refused_leaves_what_waits(registering, keeper, removing):
    keeper.fault = Unavailable("down")
    registering.put(slow(1))
    keeper.fault = Refused("taken by another")
    with pytest.raises(ValueError, match="taken"):
        registering.remove("slow") if removing else registering.put(slow(2))
    keeper.fault = None
    registering.retry()

    assert (keeper.rules, registering.waiting) == ({"slow": 1}, 0)


def test_a_thread_tries_while_something_waits(registering, keeper, monkeypatch):
    monkeypatch.setattr("heliograph.recorder.registering.RETRY_S", 0.001)
    heard = threading.Event()
    keeper.fault = Unavailable("down")
    registering.put(slow())
    register = keeper.register_monitor

    def listened(definition):
        register(definition)
        heard.set()

    keeper.register_monitor = listened
    keeper.fault = None

    assert heard.wait(30)
    registering.close()
    assert keeper.rules == {"slow": 1}


def test_a_recorder_whose_service_is_down_watches_all_the_same(made):
    told = []
    recorder = made("folder", storage_config={"connection_string": "http://127.0.0.1:9"})
    recorder.add_monitor("slow", metric="m", value=1, callback=told.append)
    recorder._watching.take_points([Point("m", 5.0, None, 0, "", "")])
    stats = recorder.health_check()["stats"]

    assert [one.state for one in told] == ["firing"]
    assert stats["monitors_unregistered"] == 1
    assert recorder.remove_monitor("slow") is True
    assert [one.state for one in told] == ["firing", "resolved"]


def test_what_no_rule_can_say_is_watched_nowhere(made):
    recorder = made("folder", storage_config={"connection_string": "http://127.0.0.1:9"})
    for kind, options in (
        ("rate", {"event_type": "A", "op": "<", "value": 3}),
        ("rate", {"event_type": "A", "value": 10_001}),
        ("threshold", {"metric": "m", "aggregate": "count", "op": "<", "value": 3}),
        ("threshold", {"metric": "m", "aggregate": "sum", "op": "<=", "value": 0}),
    ):
        with pytest.raises(ValueError, match="rule"):
            recorder.add_monitor("few", kind=kind, callback=print, **options)
    assert recorder._watching.names() == []
    assert "monitors_unregistered" not in recorder.health_check()["stats"]
