import hmac
import json
from base64 import b64encode
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from heliograph.alert.model import Context
from heliograph.core.clock import ManualClock
from heliograph.notify import facts, wording
from heliograph.notify.split import json_bytes, shorten, split, utf8_bytes
from heliograph.notify.wording import MARKDOWN, PLAIN, Room
from tests.notify.fakes import (
    NEW_YEAR_NS,
    Provider,
    Reply,
    StrictRobot,
    alert,
    channels,
    in_turn,
    integration,
    message,
)

OK = Reply(200, {"errcode": 0, "errmsg": "ok"})
texts = st.text(st.characters(codec="utf-8"), max_size=300)


@given(texts, st.integers(4, 80), st.sampled_from([utf8_bytes, json_bytes]))
def test_pieces_fit_and_nothing_but_line_ends_is_lost(text, limit, size):
    limit = max(limit, 12)
    pieces = split(text, limit, size)
    assert all(size(piece) <= limit for piece in pieces)
    joined = "".join(pieces).replace("\n", "")
    assert "".join(joined.split()) == "".join(text.split("\n"))[:0] + "".join(
        text.replace("\n", "").split()
    )


@given(texts)
def test_json_bytes_are_those_of_the_body(text):
    encoded = json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert json_bytes(text) >= len(encoded) - 2


@given(texts, st.integers(0, 100))
def test_what_is_shortened_fits_and_says_so(text, limit):
    short = shorten(text, limit)
    assert utf8_bytes(short) <= limit
    assert short == text or short.endswith("…") or not short


def test_cuts_are_between_lines_and_never_inside_a_code_point():
    assert split("first\nsecond\nthird", 12) == ["first\nsecond", "third"]
    assert split("好好好好", 7) == ["好好", "好好"]
    assert split("ab\n好好好\ncd", 6) == ["ab", "好好", "好\ncd"]


def dingtalk_check(secret=None, clock=None):
    def check(request):
        assert len(request.body) <= 20_000 or None
        if len(request.body) > 20_000:
            return None
        if secret:
            query = parse_qs(urlsplit(request.path).query)
            stamp = query["timestamp"][0]
            digest = hmac.digest(secret.encode(), f"{stamp}\n{secret}".encode(), "sha256")
            assert query["sign"] == [b64encode(digest).decode()]
            assert abs(int(stamp) - clock.now_ns() // 1_000_000) < 3_600_000
        document = request.document
        assert document["msgtype"] == "markdown"
        return document["markdown"]["text"]

    return check


def wecom_check(request):
    text = request.document["markdown"]["content"]
    return text if len(text.encode()) <= 4096 else None


def strict(kind, clock, secret=None):
    if kind == "dingtalk":
        check, codes = dingtalk_check(secret, clock), (460101, 130101)
    else:
        check, codes = wecom_check, (40058, 45009)
    return StrictRobot(clock, check=check, too_long=codes[0], too_fast=codes[1])


def storm(count, **labels):
    """*count* alerts; every tenth is critical, values are long and not English."""
    return [
        alert(
            f"显存不足{n % 7}",
            severity="critical" if n % 10 == 0 else "warning",
            annotations={
                "summary": f"第{n}号 GPU 显存 " + "很长的说明" * 30,
                "description": "x" * 400,
            },
            pod=f"llama-{n}",
            n=str(n),
            **labels,
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("kind", ["dingtalk", "wecom"])
def test_one_alert(kind):
    one = structs.replace(
        alert(
            "GPUMemoryHigh", annotations={"summary": "above 90%", "description": "GPU 0 at 95%"}
        ),
        context=Context(workload_id="w1", pod_name="worker-0", node_name="n1"),
    )
    clock = ManualClock(NEW_YEAR_NS)
    robot = strict(kind, clock, "SEC1")
    with Provider(robot) as provider:
        came = channels(clock)[kind].deliver(
            message(one),
            integration(
                kind, webhook_url=f"{provider.url}/robot/send?access_token=t", secret="SEC1"
            ),
        )
    assert (came.outcome, came.messages, robot.rejections) == ("sent", 1, [])
    end = "  \n" if kind == "dingtalk" else "\n"
    assert robot.texts == [
        "**[FIRING:1] GPUMemoryHigh (warning w1)**\n\n"
        + end.join(
            [
                "**GPUMemoryHigh**",
                "**Severity**: warning",
                "**Source**: metric",
                "**Status**: firing",
                "**Time**: 2025-12-31T23:55:00Z",
                "**Workload**: w1",
                "**Pod**: worker-0",
                "**Node**: n1",
                "**Description**: GPU 0 at 95%",
                "**Summary**: above 90%",
            ]
        )
    ]


@pytest.mark.parametrize("kind", ["dingtalk", "wecom"])
def test_a_storm_in_one_message(kind):
    """Five hundred alerts: no rejection, each a line or counted, the critical first."""
    clock = ManualClock(NEW_YEAR_NS)
    robot = strict(kind, clock, "S")
    with Provider(robot) as provider:
        came = channels(clock)[kind].deliver(
            message(*storm(500)), integration(kind, webhook_url=f"{provider.url}/x", secret="S")
        )
    assert (came.outcome, robot.rejections) == ("sent", [])
    assert came.messages == len(robot.texts) <= 4
    assert represented(robot.texts) == 500
    lines = [
        line for text in robot.texts for line in text.split("\n") if line.startswith("- [")
    ]
    critical = [line.startswith("- [critical]") for line in lines]
    assert critical == sorted(critical, reverse=True)
    assert sum(critical) >= (50 if kind == "dingtalk" else 20)


def represented(told):
    """Lines of alerts and the numbers of those that were counted."""
    count = 0
    for text in told:
        for line in text.split("\n"):
            if line.startswith("- ["):
                count += 1
            elif line.startswith("… and "):
                count += int(line.split()[2])
    return count


@pytest.mark.parametrize("kind", ["dingtalk", "wecom"])
def test_a_storm_of_groups(kind):
    """Five hundred groups at once for one robot, told as a runner does: what is ready goes together
    when the budget is short. No rejection, no ban, every alert told."""
    clock = ManualClock(NEW_YEAR_NS)
    robot = strict(kind, clock)
    told, rounds = set(), 0
    with Provider(robot) as provider:
        opened = channels(clock)
        channel = opened[kind]
        target = integration(kind, webhook_url=f"{provider.url}/x")
        waiting = [
            message(one, key=f"key-{n}", group=("alertname", "n"))
            for n, one in enumerate(storm(500))
        ]
        waiting.sort(key=lambda one: not facts.of(one).urgent)
        while waiting:
            rounds += 1
            assert rounds < 200
            if (wait_s := channel.wait_s(target, urgent=facts.of(waiting[0]).urgent)) > 0:
                clock.advance(wait_s)
                continue
            batch = waiting[: channel.together_max] if len(waiting) > 10 else waiting[:1]
            came = channel.deliver_together(batch, target)
            assert len(came) == len(batch)
            if came[0].outcome == "sent":
                told |= {one.key for one in batch}
                waiting = waiting[len(batch) :]
            else:
                assert came[0].messages == 0
                clock.advance(came[0].retry_after_s)
    assert (len(told), robot.rejections) == (500, [])
    assert opened.counts["digest"] >= 3
    assert clock.monotonic_s() < 60


@pytest.mark.parametrize("kind", ["dingtalk", "wecom"])
def test_a_runner_that_makes_no_digest_meets_no_ban_either(kind):
    clock = ManualClock(NEW_YEAR_NS)
    robot = strict(kind, clock)
    with Provider(robot) as provider:
        channel = channels(clock)[kind]
        held = 0
        for number in range(60):
            for _ in range(100):
                came = channel.deliver(
                    message(alert(n=str(number)), key=f"k{number}"),
                    integration(kind, webhook_url=f"{provider.url}/x"),
                )
                if came.outcome == "sent":
                    break
                assert (came.outcome, came.messages) == ("later", 0)
                held += 1
                clock.advance(came.retry_after_s)
    assert (len(robot.texts), robot.rejections) == (60, [])
    assert held >= 2


def test_robots_of_one_address_share_a_budget_and_others_do_not():
    with Provider(lambda _: OK) as provider:
        channel = channels()["wecom"]
        first = structs.replace(
            integration("wecom", webhook_url=f"{provider.url}/a"), id="a/wecom[0]"
        )
        same = structs.replace(first, id="b/wecom[0]", receiver="b")
        other = integration("wecom", webhook_url=f"{provider.url}/b")
        critical = [message(alert(severity="critical"), key=str(n)) for n in range(21)]
        for one in critical[:20]:
            assert channel.deliver(one, first).outcome == "sent"
        assert channel.deliver(critical[20], same).outcome == "later"
        assert channel.wait_s(same, urgent=True) == pytest.approx(61.0)
        assert channel.deliver(critical[20], other).outcome == "sent"


@pytest.mark.parametrize(
    ("too_fast", "words"),
    [
        (Reply(200, {"errcode": 130101, "errmsg": "send too fast"}), "errcode 130101"),
        (Reply(429, "slow down"), "HTTP 429: slow down"),
    ],
)
def test_a_robot_that_says_too_fast_is_left_alone(too_fast, words):
    clock = ManualClock(NEW_YEAR_NS)
    with Provider(in_turn(too_fast, too_fast, OK)) as provider:
        channel = channels(clock)["dingtalk"]
        target = integration("dingtalk", webhook_url=provider.url)
        first = channel.deliver(message(alert()), target)
        assert (first.outcome, first.retry_after_s) == ("later", 60)
        assert words in first.answer
        held = channel.deliver(message(alert()), target)
        assert (held.messages, len(provider.requests)) == (0, 1)
        clock.advance(60)
        assert channel.deliver(message(alert()), target).retry_after_s == 120
        clock.advance(120)
        assert channel.deliver(message(alert()), target).outcome == "sent"


def test_a_provider_whose_limit_is_lower_than_it_says_gets_halves():
    def answer(request):
        good = len(request.document["markdown"]["content"].encode()) <= 1500
        return OK if good else Reply(200, {"errcode": 40058, "errmsg": "exceed max length"})

    with Provider(answer) as provider:
        came = channels()["wecom"].deliver(
            message(*storm(8)), integration("wecom", webhook_url=provider.url)
        )
        for one in storm(8):
            pod = dict(one.labels)["pod"]
            assert any(pod in r.document["markdown"]["content"] for r in provider.requests)
    assert came.outcome == "sent"


def test_halves_that_were_taken_are_not_sent_again():
    """A limit so low that the halves are more than the rate bears: the next attempt goes on."""
    clock, taken = ManualClock(NEW_YEAR_NS), []

    def answer(request):
        content = request.document["markdown"]["content"]
        if len(content.encode()) > 600:
            return Reply(200, {"errcode": 40058, "errmsg": "exceed max length"})
        taken.append(content)
        return OK

    with Provider(answer) as provider:
        channel = channels(clock)["wecom"]
        target = integration("wecom", webhook_url=provider.url)
        long = message(*storm(20))
        came = channel.deliver(long, target)
        first = came
        for _ in range(5):
            if came.outcome != "later":
                break
            # At most what the rate bears, and the receiver may know some of it.
            assert len(provider.requests) <= 20
            assert came.unsure
            clock.advance(came.retry_after_s)
            provider.requests.clear()
            came = channel.deliver(long, target)
    assert (first.outcome, came.outcome) == ("later", "sent")
    assert len(set(taken)) == len(taken)
    for one in storm(20):
        assert any(dict(one.labels)["pod"] in content for content in taken)


def test_parts_that_were_taken_are_not_sent_again():
    replies = in_turn(OK, Reply(503), OK)
    with Provider(replies) as provider:
        channel = channels()["wecom"]
        target = integration("wecom", webhook_url=provider.url)
        long = message(*storm(12))
        first, second = channel.deliver(long, target), channel.deliver(long, target)
        bodies = [one.body for one in provider.requests]
    assert (first.outcome, second.outcome) == ("later", "sent")
    assert len(bodies) > 2
    assert bodies[1] == bodies[2]
    assert len(set(bodies)) == len(bodies) - 1


@pytest.mark.parametrize(
    ("at", "wanted", "said"),
    [
        ({"mobiles": ["138", "139"]}, {"atMobiles": ["138", "139"]}, "@138 @139"),
        (["138"], {"atMobiles": ["138"]}, "@138"),
        ({"user_ids": ["u1"], "all": False}, {"atUserIds": ["u1"]}, "@u1"),
        ({"all": True}, {"isAtAll": True}, ""),
        ({"atMobiles": ["1"], "isAtAll": True}, {"atMobiles": ["1"], "isAtAll": True}, "@1"),
    ],
)
def test_who_is_mentioned(at, wanted, said):
    with Provider(lambda _: OK) as provider:
        channels()["dingtalk"].deliver(
            message(alert()), integration("dingtalk", webhook_url=provider.url, at=at)
        )
    document = provider.requests[0].document
    assert document["at"] == wanted
    assert document["markdown"]["text"].endswith(said)


def test_markup_in_a_label_is_inert():
    evil = "[click](http://evil) ![x](http://t) <@all> <font color=red>\n# HEAD\n**bold** @all"
    known = facts.of(message(alert(pod=evil, annotations={"summary": evil, "other": evil})))
    made = "\n".join(wording.texts(known, MARKDOWN, Room(4096, 4)))
    for bad in ("](http", "<@", "<font", "\n# "):
        assert bad not in made
    assert made.replace("\u200b", "").count("[click](http://evil)") >= 3


def test_no_value_begins_a_line_of_its_own():
    """A carriage return ends a line of markdown too, and three blanks may stand before a heading."""
    ends = ("\r", "\r\n", "\n", "\x0b", "\x85", "\u2028")
    evil = "oom" + "".join(f"{end}# HEAD" for end in ends)
    (made,) = wording.texts(facts.of(message(alert(pod=evil))), MARKDOWN, Room(4096, 4))
    assert not any(line.startswith("#") for line in made.splitlines())
    for line, told in (
        ("a\r# b", "a\r\u200b# b"),
        ("a\n  # b", "a\n  \u200b# b"),
        ("a\r\n===", "a\r\n\u200b==="),
        ("a # b", "a # b"),
    ):
        assert wording.inert_markdown(line) == told


def test_a_text_of_the_operators_own():
    with Provider(lambda _: OK) as provider:
        opened = channels()
        for text in (
            "{{ .Status }}: {{ .CommonLabels.alertname }}",
            "{{ .Nope }}",
            "x" * 3 + "{{ range .Alerts }}" + "y" * 30000 + "{{ end }}",
        ):
            came = opened["wecom"].deliver(
                message(alert(), key=text[:20]),
                integration("wecom", webhook_url=provider.url, text=text),
            )
            assert came.outcome == "sent"
    told = [one.document["markdown"]["content"] for one in provider.requests]
    assert told[0] == "firing: GPUHot"
    assert "**Severity**: warning" in told[1]
    assert "(template text: the value has no Nope)" in told[1]
    assert told[2].startswith("**[FIRING:1] GPUHot")
    assert opened.counts["template_fallback"] == 1
    assert opened.counts["template_too_long"] == 1


@given(st.integers(1, 60), st.integers(60, 2000), st.integers(1, 5), st.integers(0, 9))
def test_no_alert_is_left_out_whatever_the_limit(count, limit, parts_max, truncated):
    known = facts.of(message(*storm(count), truncated=truncated))
    limit = max(limit, 400)
    made = wording.texts(known, PLAIN, Room(limit, parts_max))
    assert len(made) <= parts_max
    assert all(utf8_bytes(one) <= limit for one in made)
    whole = sum(text.count("Severity: ") for text in made)
    assert whole + represented(made) >= count + truncated


def test_what_the_engine_left_out_is_counted_too():
    known = facts.of(message(alert(), truncated=7))
    assert "7 that are not listed" in wording.texts(known, PLAIN, Room(4096, 1))[0]


def test_a_digest_has_each_alert_once_as_it_is_now():
    before, after = alert("A"), alert("A", ends_s=5)
    late = structs.replace(message(after, key="b"), now_ns=NEW_YEAR_NS + 1)
    digest = facts.together([message(before, alert("B"), key="a"), late])
    assert [one.name for one in digest.alerts] == ["A", "B"]
    assert digest.alerts[0].ends_ns is not None
    assert digest.key == "a+b"
