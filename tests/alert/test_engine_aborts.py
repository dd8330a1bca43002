"""A turn that fails leaves no trace: a history with aborted turns tells the same, at the same times, as
one without, whatever else was in those turns."""

from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.alert.config import configuration
from heliograph.alert.engine.limits import Limits
from heliograph.alert.model import Delivery, Enriched, Silence
from tests.alert.alert_runner import SENT, Runner, ns, post, shown

PARTS = {
    "inhibit_rules": [{"source_matchers": ['alertname="Down"'],
                       "target_matchers": ['alertname="Slow"'], "equal": ["node"]}],
    "receivers": [
        {"name": "all", "alertmanager_configs": [{"url": "http://a"}],
         "webhook_configs": [{"url": "http://h/0"}]},
        {"name": "b", "webhook_configs": [{"url": "http://h/1", "send_resolved": False}]},
        {"name": "nobody"},
    ],
}  # fmt: skip
TIMES = {"group_wait": "10s", "group_interval": "60s", "repeat_interval": "10m"}
ROUTES = {
    "plain": {"receiver": "all", "group_by": ["alertname"], "routes": [
        {"matchers": ["severity=critical"], "receiver": "b", "continue": True},
        {"matchers": ["node=~.+"], "receiver": "all"}]},
    "moved": {"receiver": "b", "group_by": [], "routes": [
        {"matchers": ["node=n1"], "receiver": "all", "group_by": ["node"]}]},
    "none": {"receiver": "nobody", "group_by": ["alertname"]},
}  # fmt: skip
SETUPS = {
    name: configuration.parse({"route": {**route, **TIMES}, **PARTS})
    for name, route in ROUTES.items()
}
IDENTITIES = [{"alertname": n, "node": node} for n in ("Down", "Slow") for node in ("n1", "n2")]
DELIVERIES = {
    "ok": SENT,
    "down": Delivery("later", "connection refused"),
    "unsure": Delivery("later", "timed out", unsure=True),
    "asks": Delivery("later", "busy", 429, retry_after_s=45),
    "spent": Delivery("later", "rate", retry_after_s=20, messages=0),
    "refuses": Delivery("refused", "no", 400),
}
# What else is in a turn that is aborted; "": no turn is.
TOO = ("plain", "fire", "resolve", "silence", "expire", "twice", *sorted(SETUPS))

identity = st.integers(0, len(IDENTITIES) - 1)
node = st.sampled_from(["n1", "n2"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("fire"), identity, st.sampled_from(["", "warning", "critical"])),
        st.tuples(st.just("resolve"), identity),
        st.tuples(st.just("wait"), st.sampled_from([3, 11, 45, 130, 700, 1300])),
        st.tuples(st.just("silence"), node, st.sampled_from([20, 300])),
        st.tuples(st.just("expire"), node),
        st.tuples(st.just("reload"), st.sampled_from(sorted(SETUPS))),
        st.tuples(st.just("receiver"), st.integers(0, 2), st.sampled_from(sorted(DELIVERIES))),
    ),
    max_size=20,
)
aborts = st.lists(st.sampled_from(["", *TOO]), min_size=1, max_size=7)


class Faltering(Runner):
    """A runner whose turns are aborted first, and then done, where *aborted* has a word for one."""

    def __init__(self, aborted=("",), setup=SETUPS["plain"], limits=None):
        super().__init__(setup, limits=limits or Limits(ended=3, ended_ns=90 * 10**9))
        self.aborted = cycle(aborted)
        self.modes = {}
        self.deliver = lambda message, integration, at_s: DELIVERIES[
            self.modes.get(integration, "ok")
        ]
        self.heard = []

    def turned(self, work):
        """Do *work* and commit it, perhaps after turns that came to nothing."""
        too = next(self.aborted)
        for _ in range(bool(too) + (too == "twice")):
            work()
            self.and_too(too)
            self.engine.changes()
            self.engine.abort()
            assert not self.engine.changes(checkpoint=0)
        done = work()
        self.commit()
        return done

    def and_too(self, what):
        if what == "fire":
            other = post({"alertname": "Down", "node": "n3"}, at_ns=self.now_ns)
            self.engine.take(other, Enriched(), self.now_ns)
        elif what == "resolve":
            for one in IDENTITIES:
                over = post(one, at_ns=self.now_ns, ends_ns=self.now_ns)
                self.engine.take(over, Enriched(), self.now_ns)
        elif what == "silence":
            self.put_silence("n1", 50)
        elif what == "expire":
            self.engine.expire_silence("n1", self.now_ns)
        elif what in SETUPS:
            self.engine.reload(SETUPS[what], self.now_ns)
        else:
            return
        self.engine.step(self.now_ns)
        for outgoing in self.engine.ready(self.now_ns):
            self.engine.begin(outgoing, self.now_ns)
            self.engine.settle(outgoing, SENT, self.now_ns)

    def put_silence(self, node, span_s):
        until_ns = self.now_ns + span_s * 10**9
        self.engine.put_silence(
            Silence(node, (("node", "=", node),), self.now_ns, until_ns, "", "", 0, 0)
        )

    def turn(self):
        now_ns, engine = self.now_ns, self.engine
        self.turned(lambda: engine.step(now_ns))
        for outgoing in engine.ready(now_ns):
            message = self.turned(lambda row=outgoing: engine.begin(row, now_ns))
            if message is not None:
                delivery = self.deliver(message, outgoing.integration, self.now_s)
                self.heard.append(
                    (self.now_s, outgoing.integration, message.key, message.reason.value,
                     delivery.outcome, *shown(message))
                )  # fmt: skip
                self.turned(
                    lambda row=outgoing, came=delivery: engine.settle(row, came, now_ns)
                )

    def say(self, labels, *, over=False, severity=""):
        one = post(
            labels, at_ns=self.now_ns, ends_ns=self.now_ns if over else None, severity=severity,
            resolve_after_ns=0,
        )  # fmt: skip
        self.turned(lambda: self.engine.take(one, Enriched(), self.now_ns))

    def do(self, step):
        match step:
            case ("fire", which, severity):
                self.say(IDENTITIES[which], severity=severity)
            case ("resolve", which):
                self.say(IDENTITIES[which], over=True)
            case ("wait", span_s):
                self.until(self.now_s + span_s)
            case ("silence", node, span_s):
                self.turned(lambda: self.put_silence(node, span_s))
            case ("expire", node):
                self.turned(lambda: self.engine.expire_silence(node, self.now_ns))
            case ("reload", name):
                self.turned(lambda: self.engine.reload(SETUPS[name], self.now_ns))
            case ("receiver", number, mode):
                name = ("all/alertmanager[0]", "all/webhook[0]", "b/webhook[0]")[number]
                self.modes[name] = mode

    def left(self):
        """What is remembered of who is told what, and when."""
        state = self.engine._state
        return {
            "told": dict(state.outbox.told.items()),
            "orphans": dict(state.orphans.items()),
            "lingering": dict(state.lingering.items()),
            "refusals": dict(state.outbox.refusals.items()),
            "not before": dict(state.outbox.not_before.items()),
            "resends": dict(state.resends._at.items()),
            "looks": dict(state.groups._timers._at.items()),
            "marks": dict(state.ledger._marks.items()),
            "episodes": sorted(filter(None, state.book.ids)),
        }


@settings(max_examples=250)
@given(steps, aborts)
def test_a_history_with_aborted_turns_tells_the_same(history, aborted):
    steady, faltering = Faltering(), Faltering(aborted)
    for step in [*history, ("wait", 130)]:
        steady.do(step)
        faltering.do(step)
        assert faltering.heard == steady.heard
        assert faltering.store.entries == steady.store.entries
        assert faltering.left() == steady.left()


@pytest.mark.parametrize("too", TOO)
def test_of_resends_orphans_and_refusals_nothing_is_lost(too):
    """One history that has all of them, so that none of it depends on luck."""
    history = [
        ("fire", 0, "critical"), ("fire", 3, ""), ("wait", 130), ("reload", "none"),
        ("wait", 45), ("resolve", 0), ("wait", 130), ("reload", "plain"), ("fire", 1, ""),
        ("wait", 130), ("receiver", 0, "refuses"), ("receiver", 1, "asks"), ("fire", 2, ""),
        ("wait", 130), ("receiver", 0, "ok"), ("silence", "n2", 300), ("wait", 700),
        ("receiver", 1, "ok"), ("resolve", 3), ("wait", 700), ("resolve", 1), ("resolve", 2),
        ("wait", 1300),
    ]  # fmt: skip
    steady, faltering = Faltering(), Faltering([too])
    for step in history:
        steady.do(step)
        faltering.do(step)
        assert faltering.left() == steady.left(), step
    assert faltering.heard == steady.heard
    reasons = {reason for _, _, _, reason, *_ in steady.heard}
    assert reasons >= {"first notification", "all resolved", "repeat"}
    left = {name: what for name, what in steady.left().items() if what}
    assert left.keys() <= {"episodes"}


def test_a_reload_that_the_store_refuses_forgets_nobody_who_is_owed_an_end():
    run = Faltering()
    run.say(IDENTITIES[0])
    run.until(30)
    run.do(("reload", "none"))
    run.until(45)
    run.engine.reload(SETUPS["plain"], run.now_ns)
    run.engine.changes()
    run.engine.abort()
    run.say(IDENTITIES[0], over=True)
    run.until(1300)

    ended = {integration for _, integration, *_, resolved in run.heard if resolved}
    assert ended == {"all/alertmanager[0]", "all/webhook[0]"}
    assert (run.store.told, run.store.groups) == ({}, {})


def test_what_was_to_be_forgotten_is_so_at_once_when_the_turn_before_failed():
    run = Runner(SETUPS["none"], limits=Limits(ended_ns=60 * 10**9))
    run.post(alertname="OOM")
    run.at(20).post(alertname="OOM", ends_s=20)
    run.now_ns = ns(200)
    run.engine.step(run.now_ns)
    run.commit()
    run.now_ns = ns(400)
    run.engine.step(run.now_ns)
    run.engine.changes()
    run.engine.abort()
    run.until(400)

    assert run.engine.gauges()["episodes_held"] == 0
