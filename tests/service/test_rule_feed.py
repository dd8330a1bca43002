"""Rules over what streams in, as the applier works with them: said once, clocks apart, counted."""

from types import SimpleNamespace

import pytest

from heliograph.alert.model import Context
from heliograph.alert.rules import pack
from heliograph.alert.rules.decode import decode
from heliograph.core.clock import ManualClock
from heliograph.core.duration import HOUR_NS, SECOND_NS
from heliograph.core.record import Record
from heliograph.core.training import TrainingRow
from heliograph.receive.lines import Line, LineBlock
from heliograph.service import rule_feed
from heliograph.service.line_parses import LineParses
from heliograph.service.log_patterns import InForce
from heliograph.service.meters import Meters
from heliograph.service.rule_book import Rules
from heliograph.service.rule_feed import RuleFeed
from heliograph.training import shapes
from heliograph.training.parse import parse_line

T0 = 1_800_000_000 * SECOND_NS
DAY_S = 86_400


def rule(config, rule_id="r", **over):
    given = {"name": "R", "source": "log", "severity": "warning", **over, "rule_config": config}
    return decode(given, rule_id=rule_id)


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

    def line(self, text, *, at_s=0, pod="a", namespace="n", seq=1):
        at_ns = T0 + at_s * SECOND_NS
        one = Line(at_ns, "", namespace, pod, "", "c", "stdout", text)
        self.feed.line(one, "", seq, T0)


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


ALIVE = {"match": {"pattern": "alive"}, "window": "1m", "by": ["namespace"]}


@pytest.mark.parametrize(
    "others",
    [
        [rule({"pattern": "other"}, rule_id="o")],
        [rule(ALIVE, rule_type="absence", rule_id="o")],
        [],
    ],
)
def test_a_rule_that_stays_remembers_what_it_counted_whatever_else_changes(others):
    bench = Bench(rule(THRICE), rule({"pattern": "gone"}, rule_id="g"))
    bench.line("flap", at_s=0)
    bench.line("flap", at_s=1)
    # As from the store: decoded anew, and perhaps with other words.
    bench.put(rule(THRICE, annotations={"summary": "flapping"}), *others)
    assert bench.look() == []
    bench.line("flap", at_s=2)
    assert bench.look() == ["firing"]


def test_a_rule_that_looks_for_another_thing_forgets():
    bench = Bench(rule(THRICE))
    bench.line("flap", at_s=0)
    bench.line("flap", at_s=1)
    bench.put(rule({**THRICE, "pattern": "fl.p"}))
    assert bench.look() == []
    bench.line("flap", at_s=2)
    assert bench.look() == []


def test_an_absence_goes_on_while_other_rules_change():
    bench = Bench(rule(ALIVE, rule_type="absence"))
    bench.line("alive", at_s=0)
    bench.clock.advance(61.5)
    assert bench.look() == ["firing"]
    bench.put(rule(ALIVE, rule_type="absence"), rule({"pattern": "x"}, rule_id="x"))
    bench.clock.advance(2)
    assert "resolved" not in bench.look()


def test_rows_are_of_the_pods_that_lines_name(monkeypatch):
    monkeypatch.setattr(rule_feed, "NAMED_MAX", 2)
    each = {
        "fields": ["loss"],
        "op": ">",
        "value": 1,
        "threshold": {"by": ["pod_name", "node_name"]},
    }
    bench = Bench(rule(each, rule_type="field"))
    bench.feed._owner = lambda uid, name, node: Context(
        pod_id=uid, pod_name=name, node_name=node
    )

    def told(*pods):
        for pod in pods:
            row = TrainingRow(pod, "log", "", T0, 1, None, "x", {"loss": 2.0})
            bench.feed.rows([row], 1, T0)
        posts = bench.feed.posts()
        bench.feed.taken()
        return [
            tuple(post.by_name().get(n, "") for n in ("pod_name", "node_name"))
            for post in posts
        ]

    assert told("u-1") == [("", "")]
    bench.feed.heard(
        [("u-1", "ns", "p-1", "n-1", "c", "stdout"), ("u-2", "ns", "p-2", "", "c", "stdout")]
    )
    # A second shipper knows no node.
    bench.feed.heard(
        [("u-1", "ns", "p-1", "", "c", "stderr"), ("", "ns", "p-9", "n", "c", "stdout")]
    )
    assert told("u-1", "u-2") == [("p-1", "n-1"), ("p-2", "")]
    assert bench.feed.counts["names_evicted"] == 0
    # Bounded: the one unheard for longest is known by its uid alone, for those who ask from now on.
    bench.feed.heard([("u-3", "ns", "p-3", "n-3", "c", "stdout")])
    bench.feed._stream.forget_owners()
    assert told("u-3", "u-1", "u-2") == [("p-3", "n-3"), ("p-1", "n-1"), ("", "")]
    assert bench.feed.counts["names_evicted"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mCUDA out of \x1b[1mmemory\x1b[0m",
        "[31mCUDA out of [1mmemory[0m",
        "#033[31mCUDA out of#033[0m memory",
    ],
)
def test_a_line_is_looked_at_without_its_colours(text):
    bench = Bench(rule({"pattern": "^CUDA out of memory$"}))
    bench.line(text)
    assert bench.look() == ["firing"]
    bench.line("[4096x8192] CUDA out of memory")
    assert bench.look() == []


def test_senders_known_by_the_name_of_their_pod_have_clocks_of_their_own():
    bench = Bench(rule(THRICE))
    bench.line("flap", at_s=DAY_S, pod="tomorrow")
    for at_s in (0, 1, 2):
        bench.line("flap", at_s=at_s, pod="today")
    assert bench.look() == ["firing"]


@pytest.mark.parametrize("ahead_s", [420, 3600, 365 * DAY_S])
def test_one_wrong_time_makes_nothing_late(ahead_s):
    bench = Bench(rule(THRICE))
    bench.line("flap", at_s=ahead_s)
    for at_s in (0, 1, 2):
        bench.line("flap", at_s=at_s)
    assert bench.look() == ["firing"]
    assert bench.feed.counts["late"] == 0


@pytest.mark.parametrize("ahead_s", [290, 305, 400])
def test_a_line_of_the_future_that_is_sent_again_counts_once(ahead_s):
    bench = Bench(rule({**THRICE, "threshold": {"count": 2, "window": "1m"}}))

    def say(at_ns, seq, arrived_s):
        one = Line(at_ns, "", "n", "a", "", "c", "stdout", "flap")
        bench.feed.line(one, "", seq, T0 + arrived_s * SECOND_NS)

    at_ns = T0 + ahead_s * SECOND_NS
    for seq, arrived_s in enumerate((0, 10, 0), 1):
        say(at_ns, seq, arrived_s)
    assert bench.look() == []
    say(at_ns + 1, 4, 20)
    assert bench.look() == ["firing"]


def test_a_clock_that_stays_ahead_counts_by_itself():
    bench = Bench(rule(THRICE))
    for at_s in (0, 40, 80, 100):
        bench.line("flap", at_s=DAY_S + at_s)
    assert bench.look() == []
    bench.line("flap", at_s=DAY_S + 120)
    assert bench.look() == ["firing"]


def test_a_row_of_the_future_hides_no_later_one_from_an_anomaly():
    spike = {"fields": ["loss"], "z": 6, "size": 50, "least": 20}
    bench = Bench(rule(spike, rule_type="anomaly"))
    losses = [(n, 2 + n % 7 / 100) for n in range(40)]
    losses.insert(30, (300 * DAY_S, 2.0))
    for at_s, loss in [*losses, (41, 9.0)]:
        row = TrainingRow(
            "p", "log", "", T0 + at_s * SECOND_NS, at_s, None, "x", {"loss": loss}
        )
        bench.feed.rows([row], 1, T0)
    assert bench.look() == ["firing"]


def test_an_event_of_the_future_hides_no_others_of_its_sender_from_a_share():
    part = {"op": ">", "value": 0.5, "window": "1m", "least": 4, "match": {"event_type": "e"}}
    bench = Bench(rule(part, source="event", rule_type="share"))
    for n, at_s in enumerate((DAY_S, 0, 1, 2, 3, 4)):
        at_ns = T0 + at_s * SECOND_NS
        one = Record(f"t-{n}", at_ns, at_ns, "http", "s", "e", severity="error")
        bench.feed.record(one, 1, T0)
    assert bench.look() == ["firing"]
    assert bench.feed.counts["late"] == 0


def test_a_line_that_a_shipper_sends_again_counts_once():
    bench = Bench(rule(THRICE))
    for seq in range(3):
        bench.line("flap", at_s=0, seq=seq)
        bench.line("flap", at_s=1, seq=seq)
    assert bench.look() == []
    bench.line("flap", at_s=1, namespace="other")
    assert bench.look() == ["firing"]


def test_equal_lines_of_one_request_are_as_many():
    bench = Bench(rule(THRICE))
    for seq in (1, 2):
        for _ in range(2):
            bench.line("flap", seq=seq)
    assert bench.look() == []
    for _ in range(3):
        bench.line("flap", seq=3)
    assert bench.look() == ["firing"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[rank3]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 1 has a total",
         {"rank": "3", "device": "1"}),
        ("NVRM: Xid (PCI:0000:91:00): 79, pid=1, GPU has fallen off the bus.", {"device": "0000:91:00"}),
        ("out of memory: unknown", {}),
        # What nothing else is read of has a speaker, too.
        ("[rank5]: quite out of memory", {"rank": "5"}),
        ("[rank12/64] quite out of memory", {"rank": "12"}),
    ],
)  # fmt: skip
def test_an_alert_of_a_line_says_which_rank_and_device(text, expected):
    bench = Bench(rule({"pattern": "out of memory|Xid"}))
    line = Line(T0, "p", "n", "a", "", "c", "stdout", text)
    bench.feed.line(line, "p", 1, T0, parse_line(text))
    (post,) = bench.feed.posts()
    said = dict(post.annotations)
    assert {name: said[name] for name in ("rank", "device") if name in said} == expected
    assert [name for name, _ in post.labels] == ["alertname", "severity"]


def test_a_group_of_a_pattern_hides_what_the_line_tells():
    bench = Bench(
        rule({"pattern": r"as rank(?P<rank>\d)", "threshold": {"by": ["rank", "device"]}})
    )
    text = (
        "[rank3]: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 1 has a total, as rank4"
    )
    bench.feed.line(
        Line(T0, "p", "n", "a", "", "c", "stdout", text), "p", 1, T0, parse_line(text)
    )
    (post,) = bench.feed.posts()
    assert {"rank": "4", "device": "1"}.items() <= dict(post.labels).items()


def test_records_known_by_pod_workload_or_session_have_clocks_of_their_own():
    die = {"match": {"event_type": "die"}, "threshold": {"count": 2, "window": "1m", "by": []}}
    for name in ("pod_name", "workload_id", ""):
        bench = Bench(rule(die, source="event", rule_type="match"))
        for number, (at_s, who) in enumerate(((DAY_S, "x"), (0, "y"), (1, "y"))):
            resource = {name: who} if name else {}
            if name == "pod_name":
                resource["node"] = "n-1"
            at_ns = T0 + at_s * SECOND_NS
            one = Record(
                f"t-{number}", at_ns, at_ns, who, "container", "die", resource=resource
            )
            bench.feed.record(one, number, T0)
        assert bench.look() == ["firing"], name


def test_bounds_that_were_reached_stay_counted_when_rules_change():
    bench = Bench(rule(THRICE))
    bench.line("flap", at_s=0)
    bench.line("flap", at_s=-DAY_S)
    assert bench.feed.counts["late"] == 1
    bench.put(rule(THRICE, severity="critical"))
    bench.look()
    assert bench.feed.counts["late"] == 1
    bench.line("flap", at_s=0)
    bench.line("flap", at_s=-DAY_S)
    assert bench.feed.counts["late"] == 2


def read_by_plan(monkeypatch, texts):
    """Lines of *texts*, and what is read of them once their shapes are known."""
    monkeypatch.setattr(shapes, "LINES_PER_LESSON", 1)
    in_force = InForce(0, parse_line, own=False)
    parses = LineParses(SimpleNamespace(in_force=lambda: in_force), Meters())
    given = [Line(T0, "p", "", "", "", "c", "stdout", text) for text in texts]
    for _ in range(2):
        read = parses.read(LineBlock.of(given))
    return given, read


@pytest.mark.parametrize("remembered", [1, 8192])
def test_lines_that_a_plan_reads_are_looked_at_only_where_a_digit_may_matter(
    monkeypatch, remembered
):
    monkeypatch.setattr(rule_feed, "GUARDS_MAX", remembered)
    texts = []
    for n in range(60):
        texts.append(
            f" iteration {n + 100}/ 500 | lm loss: 2.{n + 10}E+00 | number of nan iterations:   {n % 20 == 7:d} |"
        )
        texts.append(f"llm-1:{n + 10}:77 [0] NCCL INFO Channel 00/0 : 1[1] -> 0[0] via P2P")
        texts.append(
            f"NVRM: Xid (PCI:0000:03:00): {(63, 79)[n % 2]}, pid={n + 100}, some words"
        )
        texts.append("RuntimeError: CUDA out of memory." if n == 50 else f"words {n}")
    _, read = read_by_plan(monkeypatch, texts)
    assert sum(map(bool, read.parsed.plan_of)) > 200

    bench = Bench(*pack.rules())
    looked = []
    stream = bench.feed._stream
    matching = stream.matching

    def spied(blob, ends, places, **how):
        looked.extend(places)
        return matching(blob, ends, places, **how)

    monkeypatch.setattr(stream, "matching", spied)
    wanted = bench.feed.wanted(read)
    assert wanted == [(n, hits) for n, text in enumerate(texts) if (hits := stream.match(text))]
    # Those without a digit that matters are not looked at, whatever the rest of the line is.
    assert not [n for n in looked if n % 4 == 1]
    assert [n for n in looked if n % 4 == 0] == [28, 108, 188]
    # Other rules have other guards.
    bench.put(rule({"pattern": "Channel 00"}))
    bench.look()
    assert bench.feed.wanted(read) == [(n, (0,)) for n in range(len(texts)) if n % 4 == 1]


@pytest.mark.parametrize("remembered", [1, 8192])
def test_coloured_lines_that_a_plan_reads_are_looked_at_without_colours(
    monkeypatch, remembered
):
    monkeypatch.setattr(rule_feed, "GUARDS_MAX", remembered)
    texts = []
    for n in range(60):
        loss = "nan" if n == 33 else f"2.{n + 10}"
        for begin, middle, end in (
            ("\x1b[31m", "\x1b[32m", "\x1b[39m"),
            ("[31m", "[32m", "[39m"),
            ("", "", ""),
        ):
            texts.append(f"{begin}step: {n + 10}  {middle}loss: {loss}{end}  memory: 9.50GiB")
    given, read = read_by_plan(monkeypatch, texts)
    assert sum(map(bool, read.parsed.plan_of)) > 150

    bench = Bench(
        rule({"pattern": r"step: \d+  loss: nan  memory"}, rule_id="a", name="A"),
        rule({"pattern": r"step: 4[0-2]  loss: \d"}, rule_id="b", name="B"),
    )
    wanted = bench.feed.wanted(read)
    found = [place for place, _ in wanted]
    assert found == sorted([3 * 33, 3 * 33 + 1, 3 * 33 + 2, *range(3 * 30, 3 * 33)])
    for place, hits in wanted:
        bench.feed.line(given[place], "p", 1, T0, read.parsed[place], hits)
    assert {post.by_name()["alertname"] for post in bench.feed.posts()} == {"A", "B"}


def test_records_that_no_rule_is_about_are_not_looked_at():
    match = {"match": {"event_type": ["die", "oom"]}}
    dies = rule(match, source="event", rule_type="match")
    slow = rule({"op": ">", "value_ms": 1.0}, source="trace", rule_type="duration")
    given = [(Record(f"t-{n}", T0, T0, "s", "log", kind), 1, T0) for n, kind in enumerate(("die", "x", "oom"))]  # fmt: skip
    assert Bench(dies).feed.wanted_records(given) == [given[0], given[2]]
    assert Bench(slow).feed.wanted_records(given) == given
    assert Bench(rule(THRICE)).feed.wanted_records(given) == []


def test_owners_are_asked_for_again_when_there_are_others(monkeypatch):
    monkeypatch.setattr(rule_feed, "CONTEXTS_MAX", 2)
    bench, asked, moment = Bench(rule({"pattern": "x"})), [], [object()]
    feed = RuleFeed(
        SimpleNamespace(rules=lambda: bench.rules), SimpleNamespace(read=lambda _: []),
        bench.clock, resolve_after_ns=HOUR_NS, moment=lambda: moment[0],
        owner=lambda *name: asked.append(name) or Context(),
    )  # fmt: skip

    def say(*pods):
        feed.refresh()
        for pod in pods:
            feed.line(Line(T0, pod, "n", "", "", "c", "stdout", "x"), pod, 1, T0)
        found = [pod for pod, *_ in asked]
        asked.clear()
        return found

    assert say("a", "a", "b") == ["a", "b"]
    assert say("a", "b") == []
    assert say("c", "c", "a") == ["c", "a"]
    moment[0] = object()
    assert say("a") == ["a"]
