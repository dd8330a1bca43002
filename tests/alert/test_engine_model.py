"""Random histories of the engine with failing receivers, crashes and failed transactions.

Whatever happens: nothing is lost, nothing is told twice but for a crash or an unsure attempt (and
then with the same key), who was told that an alert fires is told that it is over, and what is in
memory is what is stored.
"""

import copy
from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.alert.config import configuration
from heliograph.alert.correlation.correlate import Correlator
from heliograph.alert.engine.engine import EVERYTHING
from heliograph.alert.model import Delivery, Status
from tests.alert.alert_runner import SENT, Crashed, Runner, ns, post

ROUTES = {
    "plain": {
        "route": {
            "receiver": "all", "group_by": ["alertname"],
            "group_wait": "10s", "group_interval": "60s", "repeat_interval": "10m",
            "routes": [
                {"matchers": ['team="b"'], "receiver": "b", "group_by": [], "continue": True},
                {"matchers": ['node=~".+"'], "receiver": "all"},
            ],
        },
    },
    "moved": {
        "route": {
            "receiver": "b", "group_by": [],
            "group_wait": "5s", "group_interval": "30s", "repeat_interval": "10m",
            "routes": [{"matchers": ['team="a"'], "receiver": "all", "group_by": ["node"]}],
        },
    },
}  # fmt: skip
PARTS = {
    "inhibit_rules": [{"source_matchers": ['alertname="Down"'],
                       "target_matchers": ['alertname="Slow"'], "equal": ["node"]}],
    "receivers": [
        {"name": "all", "webhook_configs": [
            {"url": "http://h/0"}, {"url": "http://h/1", "send_resolved": False}]},
        {"name": "b", "webhook_configs": [{"url": "http://h/2"}]},
    ],
}  # fmt: skip
SETUPS = {name: configuration.parse({**route, **PARTS}) for name, route in ROUTES.items()}
IDENTITIES = [
    {"alertname": name, "node": node, "team": team}
    for name in ("Down", "Slow")
    for node, team in (("n1", "a"), ("n2", "b"))
]
SILENT_ABOUT_RESOLVED = "all/webhook[1]"

identity = st.integers(0, len(IDENTITIES) - 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("fire"), identity, st.sampled_from(["", "news"])),
        st.tuples(st.just("resolve"), identity),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 3, 11, 45, 130, 700])),
        st.tuples(st.just("silence"), st.sampled_from(["n1", "n2"]), st.sampled_from([20, 300])),
        st.tuples(st.just("unsilence"), st.sampled_from(["n1", "n2"])),
        st.tuples(
            st.just("receiver"), st.integers(0, 2),
            st.sampled_from(["ok", "down", "unsure", "slow", "refuses"]),
        ),
        st.tuples(st.just("crash"), st.integers(1, 6), st.sampled_from([0, 40, 900])),
        st.tuples(st.just("fail"), st.integers(1, 4)),
        st.tuples(st.just("reload"), st.sampled_from(sorted(SETUPS))),
    ),
    max_size=30,
)  # fmt: skip


class Failed(Exception):
    """The transaction."""


class World(Runner):
    """A runner whose process dies, whose store fails and whose receivers misbehave."""

    def __init__(self):
        super().__init__(SETUPS["plain"], correlator=Correlator)
        self.modes = {}
        self.excused = 0
        self.delivered = []
        self.die_in = self.fail_in = 0
        self.deliver = self.receive
        self.die = self.maybe_die
        # Of each identity: whether it fires, for the sender that repeats it.
        self.firing = {}

    def receive(self, message, integration, at_s):
        mode = self.modes.get(integration.rpartition("[")[0][:3] + integration[-2], "ok")
        if mode == "down":
            return Delivery("later", "connection refused")
        if mode == "refuses":
            return Delivery("refused", "400", 400)
        self.delivered.append((integration, message))
        if mode == "unsure":
            self.excused += 1
            return Delivery("later", "timed out", unsure=True)
        if mode == "slow":
            self.excused += 1
            return Delivery("later", "busy", 429, retry_after_s=7, unsure=True)
        return SENT

    def maybe_die(self, point):
        if self.fail_in and point == "before commit":
            self.fail_in -= 1
            if not self.fail_in:
                raise Failed
        if self.die_in:
            self.die_in -= 1
            if not self.die_in:
                raise Crashed

    def commit(self, *, checkpoint=EVERYTHING):
        before = None
        try:
            changes = super().commit(checkpoint=checkpoint)
        except Failed:
            self.engine.abort()
            assert not self.engine.changes(checkpoint=0), before
            self.same()
            raise
        self.same()
        return changes

    def same(self):
        """What is in memory is what is stored."""
        state, store = self.engine._state, self.store
        assert {
            k: msgspec.structs.replace(g, flush_ns=0) for k, g in state.groups.rows.items()
        } == {k: msgspec.structs.replace(g, flush_ns=0) for k, g in store.groups.items()}
        assert dict(state.outbox.told.items()) == store.told
        assert dict(state.outbox.rows.items()) == store.outbox
        moved = {state.book.ids[slot] for slot in state.moved}
        for slot in state.book:
            alert = state.book.view(slot)
            stored = msgspec.structs.replace(store.alerts[alert.id], raw=b"", enriched=b"")
            assert alert == stored or alert.id in moved
            for key in state.book.groups[slot]:
                assert slot in state.groups.members(key)
        for key in state.groups.rows:
            members = list(state.groups.members(key))
            assert len(set(members)) == len(members)
            assert all(key in state.book.groups[slot] for slot in members), key

    def attempt(self, action):
        """Do *action*; a failed transaction is tried again, after a crash the process comes back."""
        try:
            action()
        except Failed:
            # What was in flight when the store failed: the service would settle it again, or die.
            if any(row.in_flight for row in self.engine._state.outbox.rows.values()):
                self.back(0)
        except Crashed:
            self.back(self.away_s)

    def back(self, away_s):
        self.excused += 1
        self.die_in = self.fail_in = 0
        self.restart(self.now_s + away_s)

    def do(self, step):
        match step:
            case ("fire", which, words):
                self.firing[which] = words
                self.attempt(lambda: self.say(which))
            case ("resolve", which):
                self.firing.pop(which, None)
                self.attempt(lambda: self.say(which, over=True))
            case ("wait", span_s):
                end_s = self.now_s + span_s
                while self.now_s < end_s:
                    self.attempt(lambda: self.until(min(end_s, self.now_s + 60)))
                    for which in list(self.firing):
                        self.attempt(lambda which=which: self.say(which))
            case ("silence", node, span_s):
                self.attempt(lambda: self.silence(
                    [("node", "=", node)], self.now_s, self.now_s + span_s, node))  # fmt: skip
            case ("unsilence", node):
                self.attempt(lambda: self.unsilence(node))
            case ("receiver", number, mode):
                self.modes[("all0", "all1", "b/w0")[number]] = mode
            case ("crash", after, away_s):
                self.die_in, self.away_s = after, away_s
            case ("fail", after):
                self.fail_in = after
            case ("reload", name):
                self.attempt(lambda: self.learn(SETUPS[name]))

    def say(self, which, *, over=False):
        one = post(
            IDENTITIES[which], at_ns=self.now_ns, ends_ns=self.now_ns if over else None,
            annotations={"words": self.firing.get(which, "")}, resolve_after_ns=300 * 10**9,
        )  # fmt: skip
        self.take([one])

    def unsilence(self, node):
        self.engine.expire_silence(node, self.now_ns)
        self.commit()

    def learn(self, setup):
        self.engine.reload(setup, self.now_ns)
        self.commit()
        self.setup = setup


@settings(max_examples=500)
@given(steps)
def test_nothing_is_lost_whatever_happens(history):
    world = World()
    for step in history:
        world.do(step)
    world.die_in = world.fail_in = 0
    world.modes.clear()
    world.do(("unsilence", "n1"))
    world.do(("unsilence", "n2"))
    fire = dict(world.firing)
    # The refused are tried again with the next look; the rest within a group's interval.
    world.do(("wait", 1300))

    state = world.engine._state
    for alert in world.engine.find((), world.now_ns):
        for group in world.engine.groups_of(alert.id):
            if group.key in state.orphans:
                continue
            for one in world.setup.receivers[group.receiver].integrations:
                told = state.outbox.told.get((group.key, one.id))
                inhibited = world.engine.suppression(alert.id, world.now_ns)
                assert inhibited or (told and alert.id in told.firing), (one.id, alert.labels)
    assert len(world.engine) == len(fire)
    check_told(world)

    for which in list(world.firing):
        world.do(("resolve", which))
    world.do(("wait", 1300))
    check_told(world)
    gauges = world.engine.gauges()
    assert (gauges["groups"], gauges["outbox"], gauges["alerts_firing"]) == (0, 0, 0)
    assert world.store.told == {}
    keys = Counter((integration, message.key) for integration, message in world.delivered)
    assert sum(count - 1 for count in keys.values()) <= world.excused
    assert world.engine.gauges()["episodes_held"] <= 200
    check_statistics(world)


def check_told(world):
    """The last word that an integration was told of every episode is what is true."""
    last = {}
    for integration, message in world.delivered:
        for alert in message.alerts:
            last[integration, alert.id] = alert.status(message.now_ns)
    for (integration, alert_id), status in last.items():
        if integration == SILENT_ABOUT_RESOLVED:
            assert status is Status.FIRING
            continue
        alert = world.store.alerts[alert_id]
        if alert.status(world.now_ns) is Status.RESOLVED:
            assert status is Status.RESOLVED, (integration, alert.labels)


def check_statistics(world):
    """The sums are those of the stored episodes."""
    recount = {}
    for alert in world.store.alerts.values():
        hour_ns = alert.starts_ns - alert.starts_ns % (3600 * 10**9)
        sums = recount.setdefault((hour_ns, alert.name), [0, 0, 0])
        over = alert.status(world.now_ns) is Status.RESOLVED
        sums[0] += world.store.fired[alert.id]
        if over:
            sums[1] += 1
            sums[2] += alert.ends_ns - alert.starts_ns
    kept = {}
    for (hour_ns, name, *_), sums in world.store.statistics.items():
        there = kept.setdefault((hour_ns, name), [0, 0, 0])
        for place, number in enumerate(sums):
            there[place] += number
    assert kept == recount


def test_a_crash_at_every_statement_tells_at_least_once_and_at_most_once_more():
    """The same story, with a crash at each point in turn."""
    points = 0
    for crash_at in range(1, 200):
        world = World()
        world.away_s = 3
        world.die_in = crash_at
        world.do(("fire", 0, ""))
        world.do(("wait", 200))
        world.do(("resolve", 0))
        reached = world.die_in == 0
        world.do(("wait", 400))
        world.die_in = 0
        keys = Counter(
            message.reason.value for integration, message in world.delivered
            if integration == "all/webhook[0]"
        )  # fmt: skip
        assert keys["first notification"] in {1, 2}, crash_at
        assert keys["all resolved"] in {1, 2} or not reached, (crash_at, keys)
        assert sum(keys.values()) <= 3 + (crash_at > 0), (crash_at, keys)
        points += reached
    assert points > 15


def test_an_abort_puts_back_exactly_what_was():
    world = World()
    world.do(("fire", 0, ""))
    world.do(("wait", 11))
    before = copy.deepcopy(world.store)
    world.fail_in = 1
    world.do(("fire", 2, ""))
    world.fail_in = 1
    world.do(("fire", 0, "other words"))
    world.fail_in = 1
    world.do(("resolve", 0))
    assert world.store.alerts == before.alerts
    world.firing = {0: ""}
    world.now_ns = ns(world.now_s + 30)
    world.same()
    assert [alert.labels for alert in world.engine.find((), world.now_ns)] == [
        post(IDENTITIES[0], at_ns=0).labels
    ]
