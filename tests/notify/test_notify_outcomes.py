import json

import pytest

from heliograph.core.clock import ManualClock
from heliograph.notify import outcome, redact
from heliograph.notify.budget import Budget, Rate
from heliograph.notify.dingtalk import sign
from heliograph.notify.outcome import Kind
from tests.notify.fakes import Provider, Reply, alert, channels, in_turn, integration, message

JUDGES = {
    "dingtalk": outcome.of_dingtalk,
    "wecom": outcome.of_wecom,
    "slack": outcome.of_slack,
    "webhook": outcome.of_status,
}
MEANING = {
    "delivered": {Kind.DELIVERED},
    "retry_after_throttle": {Kind.THROTTLED},
    "permanent_split_and_resend": {Kind.TOO_LONG},
    "permanent_truncate_and_resend": {Kind.MALFORMED},
    "permanent_config_error": {Kind.CONFIG},
    "retry": {Kind.RETRY, Kind.THROTTLED},
    "permanent": {Kind.PERMANENT},
    "permanent_or_follow": {Kind.PERMANENT},
}
URLS = {
    "dingtalk": {"webhook_url": "{}/robot?access_token=t0ken-of-robot"},
    "wecom": {"webhook_url": "{}/send?key=k3y-of-robot"},
    "slack": {"api_url": "{}/services/T000/B000/XXXXXXXX"},
    "webhook": {"url": "{}/hook"},
}


def settings(kind, url):
    return {key: value.format(url) for key, value in URLS[kind].items()}


def test_the_shared_table_of_provider_answers(shared_data):
    table = json.loads((shared_data / "tables/notifier_provider_responses.json").read_text())
    assert len(table["cases"]) == 20
    for case in table["cases"]:
        body = case["body"] if isinstance(case["body"], str) else json.dumps(case["body"])
        verdict = JUDGES[case["provider"]](case["http_status"], body.encode(), 0.0)
        assert verdict.kind in MEANING[case["classify"]], case


def test_the_shared_table_through_the_channels(shared_data):
    """The same answers from a server: told, put off or refused, and never taken for told."""
    table = json.loads((shared_data / "tables/notifier_provider_responses.json").read_text())
    for number, case in enumerate(table["cases"]):
        with Provider(lambda _, c=case: Reply(c["http_status"], c["body"])) as provider:
            kind = case["provider"]
            came = channels()[kind].deliver(
                message(alert(), key=f"k{number}"),
                integration(kind, **settings(kind, provider.url)),
            )
        wanted = case["classify"].split("_")[0]
        outcomes = {"delivered": "sent", "retry": "later", "permanent": "refused"}
        assert came.outcome == outcomes[wanted], (case, came)
        if case["classify"] == "retry_after_throttle":
            assert came.retry_after_s >= 1


def test_the_shared_signature(shared_data):
    table = json.loads((shared_data / "tables/dingtalk_sign_vector.json").read_text())
    for case in table["cases"]:
        assert sign(case["secret"], int(case["timestamp_ms"])) == case["query_value"]


@pytest.mark.parametrize(
    ("provider", "status", "body", "kind"),
    [
        ("dingtalk", 200, {"errcode": -1, "errmsg": "system busy"}, Kind.RETRY),
        ("dingtalk", 200, {"errcode": 424242}, Kind.RETRY),
        ("dingtalk", 200, "<html>portal</html>", Kind.RETRY),
        ("dingtalk", 200, "", Kind.RETRY),
        ("dingtalk", 200, "[0]", Kind.RETRY),
        ("dingtalk", 200, {"errcode": "0"}, Kind.RETRY),
        ("dingtalk", 200, {"errcode": True}, Kind.RETRY),
        ("dingtalk", 403, {"errcode": 0}, Kind.PERMANENT),
        ("dingtalk", 502, {"errcode": 0}, Kind.RETRY),
        ("wecom", 200, {"errcode": 93000, "errmsg": "invalid webhook url"}, Kind.CONFIG),
        ("wecom", 200, "[" * 5000, Kind.RETRY),
        ("slack", 200, "OK?", Kind.RETRY),
        ("slack", 200, "", Kind.RETRY),
        ("slack", 200, {"ok": True, "ts": "1.2", "channel": "C1"}, Kind.DELIVERED),
        ("slack", 200, {"ok": False, "error": "ratelimited"}, Kind.THROTTLED),
        ("slack", 200, {"ok": False, "error": "internal_error"}, Kind.RETRY),
        ("slack", 200, {"ok": "true"}, Kind.RETRY),
        ("slack", 403, "invalid_token", Kind.PERMANENT),
        ("slack", 404, "no_service", Kind.PERMANENT),
        ("slack", 500, "ok", Kind.RETRY),
        ("webhook", 202, "", Kind.DELIVERED),
        ("webhook", 299, "", Kind.DELIVERED),
        ("webhook", 400, "", Kind.PERMANENT),
        ("webhook", 408, "", Kind.RETRY),
        ("webhook", 425, "", Kind.RETRY),
        ("webhook", 503, "", Kind.RETRY),
        ("webhook", 307, "", Kind.PERMANENT),
        ("webhook", 600, "", Kind.RETRY),
    ],
)
def test_answers_that_the_table_lacks(provider, status, body, kind):
    raw = body if isinstance(body, str) else json.dumps(body)
    assert JUDGES[provider](status, raw.encode(), 0.0).kind is kind


@pytest.mark.parametrize("provider", ["dingtalk", "wecom"])
@pytest.mark.parametrize(
    ("status", "asked_s", "wait_s"), [(429, 0, 60), (429, 5, 60), (429, 90, 90), (503, 5, 5)]
)
def test_how_long_a_robot_is_left_alone_that_says_so_in_http(provider, status, asked_s, wait_s):
    assert JUDGES[provider](status, b"no", asked_s).retry_after_s == wait_s


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0), ("", 0), ("120", 120), (" 7 ", 7), ("1.5", 1.5), ("-5", 0), ("soon", 0),
        ("99999999999", 3600), ("Thu, 01 Jan 2026 00:02:00 GMT", 120),
        ("Wed, 01 Jan 2020 00:00:00 GMT", 0), ("1e9", 0), ("١٢", 12),
    ],
)  # fmt: skip
def test_retry_after_in_both_forms(header, seconds, clock):
    found = outcome.retry_after_s(header, clock.now_ns(), most_s=3600.0)
    assert found == pytest.approx(seconds)


def test_retry_after_is_passed_on():
    with Provider(in_turn(Reply(503, "busy", (("Retry-After", "17"),)))) as provider:
        came = channels()["webhook"].deliver(
            message(alert()), integration("webhook", url=provider.url)
        )
    assert (came.outcome, came.status, came.retry_after_s, came.answer) == (
        "later",
        503,
        17,
        "HTTP 503: busy",
    )


SECRETS = {
    "webhook_url": "https://user:pass%20word@h.example/robot/send?access_token=abcdef0123",
    "secret": "SECdeadbeef",
    "http_config": {
        "basic_auth": {"username": "me", "password": "hunter2"},
        "authorization": {"credentials": "cred-token-1"},
        "http_headers": {"X-Key": {"secrets": ["header-secret"]}},
    },
    "headers": {"Authorization": "Bearer tok-tok-tok", "Content-Type": "application/json"},
    "auth_password": "multi\nline",
    "channel": "#general",
}


@pytest.mark.parametrize(
    "leak",
    [
        "abcdef0123", "SECdeadbeef", "hunter2", "cred-token-1", "header-secret", "tok-tok-tok",
        "multi\nline", "pass word", "pass%20word", "bWU6aHVudGVyMg==",
        "https://user:pass%20word@h.example/robot/send?access_token=abcdef0123",
        "https%3A%2F%2Fuser%3Apass%2520word%40h.example%2Frobot%2Fsend%3Faccess_token%3Dabcdef0123",
    ],
)  # fmt: skip
def test_no_spelling_of_a_secret_is_shown(leak):
    shown = redact.scrub(f"before {leak} after #general", redact.secrets_of(SECRETS))
    assert leak not in shown
    assert shown.startswith("before <secret>")
    assert shown.endswith("after #general")


@pytest.mark.parametrize("kept", [8, 20, len("abcdef0123-abcdef0123") - 1])
def test_nor_is_the_beginning_of_one_where_a_text_breaks_off(kept):
    secret = "abcdef0123-abcdef0123"
    shown = redact.scrub(f"no room for {secret[:kept]}", [secret])
    assert shown == "no room for <secret>"


TOKEN = "abcdefghijklmnopqrstuvwx0123456789ABCDEF"


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("webhook", lambda said: Reply(500, said)),
        ("webhook", lambda said: Reply(200, said)),
        ("dingtalk", lambda said: Reply(200, {"errcode": 300001, "errmsg": said})),
        ("wecom", lambda said: Reply(200, {"errcode": 93000, "errmsg": said})),
        ("wecom", lambda said: Reply(502, said)),
        ("slack", lambda said: Reply(400, said)),
        ("slack", lambda said: Reply(200, {"ok": False, "error": said})),
        ("alertmanager", lambda said: Reply(400, said)),
    ],
)
def test_a_secret_on_the_cut_of_an_answer_is_known_for_one(kind, wrong):
    """Wherever an answer is cut to its length, no part of a token is left."""
    key = "url" if kind in {"webhook", "alertmanager"} else next(iter(URLS[kind]))
    replies = [wrong(f"{'x' * before} {TOKEN} more") for before in range(20, 510, 14)]
    with Provider(in_turn(*replies)) as provider:
        url = f"{provider.url}/wh/{TOKEN}?access_token={TOKEN}"
        for number in range(len(replies)):
            came = channels()[kind].deliver(
                message(alert(), key=f"k{number}"), integration(kind, **{key: url})
            )
            assert TOKEN[:6] not in came.answer, number
            assert len(came.answer) <= 320


def test_an_answer_is_one_line_of_bounded_text():
    shown = redact.scrub("a\x00b\r\nc\x1b[31m\u202e\ud800" + "x" * 1000, ())
    assert len(shown) == 500
    assert shown.startswith("a b c [31m ?")


def test_secrets_do_not_come_back_in_answers_nor_in_logs(caplog):
    """Providers that repeat what they were asked, and networks that fail."""
    caplog.set_level("DEBUG")
    secret_url = "/robot/send?access_token=abcdef0123"
    with Provider(lambda r: Reply(400, f"bad: {r.path} {r.headers}")) as provider:
        for url in (provider.url + secret_url, "http://127.0.0.1:1" + secret_url):
            for kind, key in (
                ("webhook", "url"),
                ("dingtalk", "webhook_url"),
                ("slack", "api_url"),
            ):
                came = channels()[kind].deliver(
                    message(alert()),
                    integration(
                        kind,
                        **{key: url},
                        secret="SECdeadbeef",
                        http_config={"authorization": {"credentials": "cred-token-1"}},
                    ),
                )
                assert came.outcome in {"refused", "later"}
                for secret in ("abcdef0123", "SECdeadbeef", "cred-token-1"):
                    assert secret not in came.answer
                    assert secret not in caplog.text
                if kind == "dingtalk" and provider.requests:
                    signed = provider.requests[-1].path.rpartition("sign=")[2]
                    assert not signed or signed not in came.answer


def test_a_window_never_holds_more_than_its_rate():
    budget, sent = Budget(Rate(20, 61.0)), []
    now_s = 0.0
    while len(sent) < 200:
        wait_s = budget.take("robot", now_s)
        if wait_s == 0:
            sent.append(now_s)
            now_s += 0.1
        else:
            now_s += wait_s
    assert all(sum(start <= at_s < start + 60 for at_s in sent) <= 20 for start in sent)
    assert budget.take("another", now_s) == 0


def test_several_parts_are_booked_together_or_not_at_all():
    budget = Budget(Rate(5, 60.0))
    assert budget.take("r", 0.0, parts=3) == 0
    assert budget.take("r", 1.0, parts=3) == pytest.approx(59.0)
    assert budget.take("r", 1.0, parts=2) == 0


def test_the_last_of_a_budget_is_kept_for_what_is_urgent():
    budget = Budget(Rate(5, 60.0, kept=2))
    assert [budget.take("r", 0.0, urgent=False) for _ in range(4)] == [
        0,
        0,
        0,
        pytest.approx(60.0),
    ]
    assert [budget.take("r", 0.0, urgent=True) for _ in range(3)] == [0, 0, pytest.approx(60.0)]


def test_a_robot_that_says_too_much_is_left_alone_for_longer_each_time():
    budget, clock = Budget(Rate(20, 60.0)), ManualClock()
    waits = []
    for _ in range(6):
        # Those that were under way are refused as well: that is the same refusal.
        waits.append([budget.close("r", clock.monotonic_s(), 60.0) for _ in range(4)])
        clock.advance(waits[-1][0])
    assert waits == [[wait_s] * 4 for wait_s in (60, 120, 240, 480, 600, 600)]
    assert budget.wait_s("r", clock.monotonic_s() - 590) == 590
    budget.accepted("r")
    assert budget.close("r", clock.monotonic_s(), 60.0) == 60


def test_budgets_forget_robots_that_are_idle():
    budget = Budget(Rate(1, 1.0))
    for number in range(10_500):
        budget.take(str(number), float(number))
    assert len(budget._robots) <= 10_001


FINE = '{"errcode":0,"errmsg":"ok"}'


@pytest.mark.parametrize(
    ("provider", "status", "body", "words"),
    [
        ("webhook", 200, "thanks", "thanks"),
        ("webhook", 503, FINE, f"HTTP 503: {FINE}"),
        ("webhook", 503, "", "HTTP 503"),
        ("webhook", 503, " \n", "HTTP 503"),
        ("webhook", 429, "slow", "HTTP 429: slow"),
        ("webhook", 400, "bad\nlabel", "HTTP 400: bad label"),
        ("webhook", 302, "elsewhere", "HTTP 302: a redirect, which is not followed"),
        ("webhook", 500, "x" * 1000, "HTTP 500: " + "x" * 1000),
        ("dingtalk", 503, FINE, f"HTTP 503: {FINE}"),
        ("wecom", 403, FINE, f"HTTP 403: {FINE}"),
        ("wecom", 200, '{"errcode":93000,"errmsg":"invalid"}', "errcode 93000: invalid"),
        ("slack", 404, "no_service", "HTTP 404: no_service"),
        ("slack", 400, "invalid_blocks", "HTTP 400: invalid_blocks"),
        ("slack", 429, "", "HTTP 429"),
        ("slack", 429, '{"ok":false,"error":"ratelimited"}', "HTTP 429: ratelimited"),
        ("slack", 500, "ok", "HTTP 500: ok"),
        # By these words the channel knows that a message is gone.
        ("slack", 200, '{"ok":false,"error":"message_not_found"}', "message_not_found"),
    ],
)
def test_the_words_of_a_failure_begin_with_its_number(provider, status, body, words):
    assert JUDGES[provider](status, body.encode(), 0.0).words == words
