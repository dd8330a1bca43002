"""Rules over what streams in, as the applier works with them: said once, clocks apart, counted."""

from types import SimpleNamespace

from heliograph.alert.model import Context
from heliograph.alert.rules.decode import decode
from heliograph.core.clock import ManualClock
from heliograph.core.duration import HOUR_NS, SECOND_NS
from heliograph.core.record import Record
from heliograph.receive.lines import Line
from heliograph.service.rule_book import Rules
from heliograph.service.rule_feed import RuleFeed

T0 = 1_800_000_000 * SECOND_NS
DAY_S = 86_400


def rule(config, **over):
    given = {"name": "R", "source": "log", "severity": "warning", **over, "rule_config": config}
    return decode(given, rule_id="r")


class Bench:
    """A feed over rules that can be changed, on a clock that can be moved."""

    def __init__(self, *rules):
        self.clock = ManualClock(T0)
        self.put(*rules)
        self.feed = RuleFeed(
            SimpleNamespace(rules=lambda: self.rules), SimpleNamespace(read=lambda _: []),
            self.clock, resolve_after_ns=HOUR_NS, owner=lambda *_: Context(),
        )  # fmt: skip

    def put(self, *rules):
        version = getattr(self, "rules", Rules(0, {})).version + 1
        self.rules = Rules(version, {one.id: one for one in rules})

    def look(self):
        """What the applier does when nothing arrives."""
        self.feed.refresh()
        self.feed.tick()
        posts = self.feed.posts()
        self.feed.taken()
        return [post.status for post in posts]

    def line(self, text, *, at_s=0, pod="a", namespace="n"):
        at_ns = T0 + at_s * SECOND_NS
        one = Line(at_ns, "", namespace, pod, "", "c", "stdout", text)
        self.feed.line(one, "", 1, T0)


def test_what_was_taken_is_not_said_again_though_no_state_changed():
    bench = Bench(rule({"match": {"pattern": "step"}, "window": "1m"}, rule_type="absence"))
    bench.clock.advance(61.5)
    assert bench.look() == ["firing"]
    assert [bench.look() for _ in range(4)] == [[]] * 4
    bench.clock.advance(1)
    assert bench.look() == ["firing"]
    bench.put()
    assert bench.look() == ["resolved"]
    bench.clock.advance(5)
    assert bench.look() == []


THRICE = {"pattern": "flap", "threshold": {"count": 3, "window": "1m"}}


def test_senders_known_by_the_name_of_their_pod_have_clocks_of_their_own():
    bench = Bench(rule(THRICE))
    bench.line("flap", at_s=DAY_S, pod="tomorrow")
    for at_s in (0, 1, 2):
        bench.line("flap", at_s=at_s, pod="today")
    assert bench.look() == ["firing"]


def test_records_known_by_pod_workload_or_session_have_clocks_of_their_own():
    die = {"match": {"event_type": "die"}, "threshold": {"count": 2, "window": "1m", "by": []}}
    for name in ("pod_name", "workload_id", ""):
        bench = Bench(rule(die, source="event", rule_type="match"))
        for number, (at_s, who) in enumerate(((DAY_S, "x"), (0, "y"), (1, "y"))):
            resource = {name: who} if name else {}
            at_ns = T0 + at_s * SECOND_NS
            one = Record(
                f"t-{number}", at_ns, at_ns, who, "container", "die", resource=resource
            )
            bench.feed.record(one, number, T0)
        assert bench.look() == ["firing"], name


def test_bounds_that_were_reached_stay_counted_when_rules_change():
    bench = Bench(rule(THRICE))
    bench.line("flap", at_s=DAY_S)
    bench.line("flap", at_s=0)
    assert bench.feed.counts["late"] == 1
    bench.put(rule(THRICE, severity="critical"))
    bench.look()
    assert bench.feed.counts["late"] == 1
    bench.line("flap", at_s=DAY_S)
    bench.line("flap", at_s=0)
    assert bench.feed.counts["late"] == 2
