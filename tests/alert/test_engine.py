"""Stories of the engine: episodes, silences, retries, restarts, reloads, the ledger."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from heliograph.alert.changes import Kept
from heliograph.alert.config import configuration
from heliograph.alert.config.setup import empty
from heliograph.alert.engine.cold import said_of
from heliograph.alert.engine.engine import Engine
from heliograph.alert.engine.limits import Limits
from heliograph.alert.model import Delivery, Reason, Status, Suppression
from heliograph.core import instant
from heliograph.core.errors import Unavailable
from heliograph.core.matcher import Matcher
from tests.alert.alert_runner import SENT, Runner, context, ns, post

ALL = "all/webhook[0]"
SILENCED = [("alertname", "=", "OOM")]


def setup(**over):
    route = {
        "receiver": "all", "group_by": ["alertname"],
        "group_wait": "10s", "group_interval": "60s", "repeat_interval": "1h",
    } | over.pop("route", {})  # fmt: skip
    receivers = over.pop(
        "receivers", [{"name": "all", "webhook_configs": [{"url": "http://h/0"}]}]
    )
    return configuration.parse({"route": route, "receivers": receivers, **over})


def test_an_alert_that_fires_again_is_a_new_episode_and_is_told():
    run = Runner(setup())
    first = run.post(alertname="OOM")
    run.at(20).post(alertname="OOM", ends_s=20)
    run.until(100)
    again = run.post(alertname="OOM")
    run.until(120)

    assert first.new
    assert again.new
    assert first.alert_id < again.alert_id
    assert run.told() == [(10, ["OOM"], []), (70, [], ["OOM"]), (110, ["OOM"], [])]
    assert [alert.episode for alert in run.store.alerts.values()] == [1, 2]
    assert {run.sent[0][2].alerts[0].fingerprint} == {run.sent[2][2].alerts[0].fingerprint}


def test_a_new_episode_in_the_same_look_tells_both():
    run = Runner(setup())
    run.post(alertname="OOM")
    run.at(20).post(alertname="OOM", ends_s=20)
    run.at(25).post(alertname="OOM")
    run.until(71)

    assert run.told() == [(10, ["OOM"], []), (70, ["OOM"], ["OOM"])]


def test_words_are_refreshed_and_repeats_are_not_written_at_once():
    run = Runner(setup())
    run.post(alertname="OOM", annotations={"summary": "90 %"})
    repeat = run.engine.take(
        post({"alertname": "OOM"}, at_ns=ns(1), annotations={"summary": "90 %"}), None, ns(1)
    )
    assert repeat.durable
    assert not run.engine.changes(checkpoint=0)
    assert [move[3] for move in run.engine.changes().moved] == [2]
    run.commit()
    news = run.engine.take(
        post({"alertname": "OOM"}, at_ns=ns(2), annotations={"summary": "95 %"}), None, ns(2)
    )
    assert not news.durable
    assert [alert.annotations for alert in run.commit().alerts] == [(("summary", "95 %"),)]
    run.until(10)

    assert run.sent[0][2].alerts[0].annotations == (("summary", "95 %"),)
    stored = run.store.alerts[news.alert_id]
    assert (stored.count, stored.raw, stored.enriched) == (3, b"{}", b'{"node":"n1"}')


def test_repeat_is_the_short_way_of_take():
    run = Runner(setup())
    one = post({"alertname": "OOM"}, at_ns=ns(0), annotations={"a": "b"})
    said = said_of(one)

    def repeat(**more):
        given = {
            "starts_ns": None,
            "ends_ns": None,
            "resolve_after_ns": 60 * 10**9,
            "now_ns": ns(5),
        }
        return run.engine.repeat(one.fingerprint, **({"said": said} | given | more))

    assert repeat() is None
    alert_id = run.take([one])[0].alert_id
    assert repeat(said=said + 1) is None
    assert repeat(ends_ns=ns(4)) is None
    assert repeat(starts_ns=ns(-1)) is None
    assert repeat() == alert_id
    assert run.engine.alert(alert_id).ends_ns == ns(65)
    assert repeat(ends_ns=ns(30)) is None
    run.take([structs.replace(one, ends_ns=ns(30))])
    assert repeat() is None
    assert repeat(ends_ns=ns(40)) == alert_id
    assert repeat(ends_ns=ns(20)) == alert_id
    assert run.engine.alert(alert_id).ends_ns == ns(40)
    assert repeat(now_ns=ns(41), ends_ns=ns(50)) is None


def test_what_resolved_before_it_was_told_is_not_told():
    run = Runner(setup())
    run.post(alertname="OOM")
    run.at(5).post(alertname="OOM", ends_s=5)
    run.post(alertname="Other", ends_s=3)
    run.until(200)

    assert run.told() == []
    assert run.engine.gauges()["groups"] == 0
    assert [(e.kind, e.stage, e.cause) for e in run.store.entries] == [
        ("held", "compare", "it was over before it was told")
    ]
    assert {tuple(sums[:2]) for sums in run.store.statistics.values()} == {(1, 1), (0, 1)}


def test_an_alert_without_news_times_out_and_its_end_is_told():
    run = Runner(setup())
    run.post(alertname="OOM", resolve_after_ns=100 * 10**9)
    run.until(200)

    assert run.told() == [(10, ["OOM"], []), (130, [], ["OOM"])]


def test_a_silenced_alert_is_told_when_the_silence_ends():
    run = Runner(setup())
    run.silence(SILENCED, 0, 100)
    taken = run.post(alertname="OOM", resolve_after_ns=0)
    assert run.engine.suppression(taken.alert_id, run.now_ns) == Suppression(silences=("s1",))
    run.until(140)

    assert run.told() == [(130, ["OOM"], [])]
    held, sent = run.store.entries
    assert (held.kind, held.stage, held.cause, held.at_ns) == ("held", "silence", "s1", ns(10))
    assert (sent.kind, sent.cause, sent.at_ns) == ("sent", "first notification", ns(130))


def test_who_was_told_is_told_the_end_during_a_silence():
    run = Runner(setup())
    run.post(alertname="OOM")
    run.until(15)
    run.silence(SILENCED, 15, 1000)
    run.at(20).post(alertname="OOM", ends_s=20)
    run.until(100)

    assert run.told() == [(10, ["OOM"], []), (70, [], ["OOM"])]


def test_a_silence_is_asked_again_before_every_attempt():
    run = Runner(setup(), deliver=lambda *_: Delivery("later", "down"))
    run.post(alertname="OOM")
    run.until(10)
    assert len(run.attempts) == 1
    run.silence(SILENCED, 10, 1000)
    run.until(65)

    assert len(run.attempts) == 1
    assert [(e.kind, e.stage) for e in run.store.entries] == [
        ("failed", ""),
        ("held", "silence"),
    ]
    assert run.store.outbox == {}


def test_an_end_waits_for_a_mute_interval_to_be_over():
    night = {"name": "night", "time_intervals": [{"times": [
        {"start_time": "00:01", "end_time": "00:10"}]}]}  # fmt: skip
    route = {"routes": [{"matchers": [], "mute_time_intervals": ["night"]}]}
    run = Runner(setup(route=route, time_intervals=[night]))
    run.post(alertname="OOM")
    run.at(20).post(alertname="OOM", ends_s=20)
    taken = run.at(70).post(alertname="OOM", node="n2")
    assert run.engine.suppression(taken.alert_id, run.now_ns) == Suppression(mutes=("night",))
    run.until(700)

    assert run.told()[0] == (10, ["OOM"], [])
    at_s, firing, resolved = run.told()[1]
    assert 600 <= at_s < 661
    # The other came and went while it was night.
    assert resolved == ["OOM"]
    assert firing == []


def test_a_failing_channel_neither_stops_nor_repeats_its_sibling():
    receivers = [
        {"name": "all", "webhook_configs": [{"url": "http://h/0"}, {"url": "http://h/1"}]}
    ]

    def fails(_, one, at_s):
        return Delivery("later", "502", 502) if one == ALL and at_s < 40 else SENT

    run = Runner(setup(receivers=receivers), deliver=fails)
    run.post(alertname="OOM")
    run.until(69)

    assert run.told("all/webhook[1]") == [(10, ["OOM"], [])]
    [(at_s, *_)] = run.told(ALL)
    assert at_s >= 40
    attempts = [(at_s, message.key) for at_s, one, message in run.attempts if one == ALL]
    assert len({key for _, key in attempts}) == 1
    waits = [later - sooner for (sooner, _), (later, _) in pairwise(attempts)]
    assert len(waits) >= 5
    assert all(0.25 * 2**n <= wait <= 0.75 * 2**n for n, wait in enumerate(waits))


def test_looks_with_no_news_do_not_hurry_a_message_that_fails():
    down = Delivery("later", "500", 500)
    run = Runner(setup(route={"group_interval": "2s"}), deliver=lambda *_: down)
    run.post(alertname="OOM", resolve_after_ns=0)
    run.until(400)
    times = [at_s for at_s, *_ in run.attempts]
    assert len(times) < 15
    waits = [later - sooner for sooner, later in pairwise(times)]
    assert all(0.25 * 2**n <= wait <= 0.75 * 2**n for n, wait in enumerate(waits))
    # What is news goes at once.
    run.post(alertname="OOM", n="2", resolve_after_ns=0)
    run.until(403)
    assert run.attempts[-1][0] >= 400


def test_retry_after_is_kept_to():
    def busy(_, __, at_s):
        return Delivery("later", "429", 429, retry_after_s=45) if at_s < 30 else SENT

    run = Runner(setup(), deliver=busy)
    run.post(alertname="OOM")
    run.until(100)

    assert [at_s for at_s, *_ in run.attempts] == [10, 55]


def test_what_is_refused_is_tried_with_every_look_and_noted_once():
    answers = {500: "no such token"}

    def deliver(message, integration, at_s):
        # An answer comes a little after the look, and has a number of its own.
        run.now_ns += 10**7
        words = answers.get(at_s // 100 * 100, "no such robot")
        return Delivery("refused", f"{words} id=4f{at_s:.0f}-a", 400)

    run = Runner(setup(), deliver=deliver)
    run.post(alertname="OOM", resolve_after_ns=0)
    run.until(1000)
    assert [round(at_s) for at_s, *_ in run.attempts] == list(range(10, 1001, 60))
    assert [(e.kind, e.cause, e.answer.split(" id")[0]) for e in run.store.entries] == [
        ("dead", "refused", answer)
        for answer in ("no such robot", "no such token", "no such robot")
    ]
    assert run.engine.counts["dead"] == len(run.attempts)

    run.deliver = lambda *_: SENT
    run.until(1040)
    assert [(at_s, *about) for at_s, *about in run.told()] == [(1030, ["OOM"], [])]
    run.deliver = deliver
    run.post(alertname="OOM", ends_s=1040)
    run.until(1210)
    assert [round(at_s) for at_s, *_ in run.attempts][-3:] == [1090, 1150, 1210]
    last = run.store.entries[-1]
    assert (len(run.store.entries), last.kind, last.status) == (5, "dead", Status.RESOLVED)


def test_what_is_refused_is_noted_once_also_where_a_silence_holds_others():
    run = Runner(setup(), deliver=lambda *_: Delivery("refused", "no", 400))
    run.silence([("node", "=", "n2")], 0, 5000)
    for node in ("n1", "n2"):
        run.post(alertname="OOM", node=node, resolve_after_ns=0)
    run.until(1000)
    assert [(one.kind, one.stage) for one in run.store.entries] == [
        ("held", "silence"), ("dead", ""),
    ]  # fmt: skip


def test_giving_up_is_written_down_and_begun_anew_while_it_fires():
    run = Runner(
        setup(),
        deliver=lambda *_: Delivery("later", "down"),
        limits=Limits(give_up_ns=200 * 10**9),
    )
    run.post(alertname="OOM", resolve_after_ns=0)
    run.until(900)

    dead = [e for e in run.store.entries if e.kind == "dead"]
    assert len(dead) > 1
    assert dead[0].cause.startswith("given up after")
    run.post(alertname="OOM", ends_s=900)
    run.until(2000)
    assert run.engine.gauges()["groups"] == 0


def test_a_rate_that_is_used_up_holds_a_message():
    run = Runner(setup())
    run.post(alertname="OOM")
    run.engine.step(ns(10))
    run.commit()
    [outgoing] = run.engine.ready(ns(10))
    run.engine.postpone(outgoing, ns(29.5), "20 messages a minute", ns(10))
    run.commit()
    # Used up by others when its time has come, which is no news.
    [outgoing] = run.engine.ready(ns(30))
    run.engine.postpone(outgoing, ns(40), "20 messages a minute", ns(30))
    run.commit()
    run.until(100)

    assert [at_s for at_s, *_ in run.sent] == [40]
    assert [(e.kind, e.stage, e.cause) for e in run.store.entries] == [
        ("held", "rate", "20 messages a minute, next at 2026-01-01T00:00:30Z"),
        ("sent", "", "first notification"),
    ]


def test_a_receiver_without_channels_and_one_that_wants_no_ends():
    receivers = [{"name": "all"}]
    run = Runner(setup(receivers=receivers))
    run.post(alertname="OOM", resolve_after_ns=0)
    run.until(100)
    assert [(e.kind, e.stage, e.cause) for e in run.store.entries] == [
        ("held", "route", "receiver all has no channel")
    ]
    quiet = [{"name": "all", "webhook_configs": [{"url": "http://h", "send_resolved": False}]}]
    run = Runner(setup(receivers=quiet))
    run.post(alertname="OOM")
    run.at(20).post(alertname="OOM", ends_s=20)
    run.until(200)
    assert run.told() == [(10, ["OOM"], [])]
    assert run.store.entries[-1].cause == "send_resolved is off"
    assert (run.engine.gauges()["groups"], run.store.told) == (0, {})


def test_without_any_configuration_alerts_are_kept_and_nobody_is_told():
    run = Runner(empty())
    run.post(alertname="OOM", resolve_after_ns=0)
    run.until(1000)

    assert (len(run.engine), run.sent, run.store.entries) == (1, [], [])


def test_a_restart_extends_ends_by_the_time_away_and_loses_nothing():
    run = Runner(setup())
    taken = run.post(alertname="OOM", resolve_after_ns=100 * 10**9)
    run.until(50)
    run.restart(at_s=2000)

    assert run.engine.alert(taken.alert_id).ends_ns == ns(100 + 2000 - 10)
    run.until(2089)
    assert run.told() == [(10, ["OOM"], [])]
    run.until(2200)
    assert run.told()[1][1:] == ([], ["OOM"])


def test_a_restart_leaves_an_end_at_the_end_of_time_there():
    run = Runner(setup())
    taken = run.post(alertname="OOM", ends_s=(instant.AT_NS_MAX - ns(0)) // 10**9 - 100)
    run.until(50)
    run.restart(at_s=2000)

    assert run.engine.alert(taken.alert_id).status(ns(2000)) is Status.FIRING


def test_after_a_restart_what_inhibits_has_time_to_come():
    rules = [{"source_matchers": ["alertname=Down"], "target_matchers": ["alertname=Slow"]}]
    run = Runner(setup(inhibit_rules=rules))
    run.at(1).post(alertname="Slow", resolve_after_ns=0)
    run.at(2).restart(at_s=500)
    run.until(505).post(alertname="Down", resolve_after_ns=0)
    run.until(600)

    assert run.told() == [(515, ["Down"], [])]


def test_an_old_alert_is_told_at_once_but_not_right_after_the_start():
    run = Runner(setup())
    run.at(5).post(alertname="Early", starts_s=-100)
    run.at(50).post(alertname="Late", starts_s=-100)
    run.until(60)

    assert [(at_s, firing) for at_s, firing, _ in run.told()] == [
        (10, ["Early"]),
        (50, ["Late"]),
    ]


@pytest.mark.parametrize("told", [True, False])
def test_a_reload_moves_what_was_told_and_tells_ends_where_it_was_told(told):
    run = Runner(setup())
    run.post(alertname="OOM", team="a", resolve_after_ns=0)
    run.until(10 if told else 5)
    other = setup(
        route={"group_by": ["team"]} if told else {"receiver": "other"},
        receivers=[
            {"name": name, "webhook_configs": [{"url": f"http://{name}"}]} for name in ("all", "other")
        ],
    )  # fmt: skip
    run.setup = other
    run.engine.reload(other, run.now_ns)
    run.commit()
    run.until(1000)
    assert run.told() == ([(10, ["OOM,a"], [])] if told else [(15, ["OOM,a"], [])])
    run.post(alertname="OOM", team="a", ends_s=1000)
    run.until(1100)
    assert run.told()[-1][1:] == ([], ["OOM,a"])
    assert len(run.told()) == 2


def test_a_reload_to_another_receiver_leaves_an_orphan_that_tells_the_end():
    receivers = [
        {"name": name, "webhook_configs": [{"url": f"http://{name}"}]}
        for name in ("all", "other")
    ]
    run = Runner(setup(receivers=receivers))
    run.post(alertname="OOM", resolve_after_ns=0)
    run.until(10)
    run.engine.reload(setup(receivers=receivers, route={"receiver": "other"}), run.now_ns)
    run.commit()
    run.until(500)
    run.restart(setup=setup(receivers=receivers, route={"receiver": "other"}))
    run.post(alertname="OOM", ends_s=500)
    run.until(700)

    assert {(one, message.reason) for _, one, message in run.sent} == {
        (ALL, Reason.FIRST), (ALL, Reason.ALL_RESOLVED),
        ("other/webhook[0]", Reason.FIRST), ("other/webhook[0]", Reason.ALL_RESOLVED),
    }  # fmt: skip
    assert len(run.sent) == 4
    assert run.engine.gauges()["groups"] == 0


def test_a_message_shows_the_most_severe_first_and_what_all_share():
    run = Runner(setup(route={"group_by": []}), limits=Limits(message_alerts=2))
    for severity in ("info", "critical", "warning"):
        run.post({"alertname": "OOM", "severity": severity, "job": "a"}, annotations={"s": "x"})
    run.until(10)

    [(_, _, message)] = run.sent
    assert [alert.severity for alert in message.alerts] == ["critical", "warning"]
    assert message.truncated == 1
    assert message.common_labels == (("alertname", "OOM"), ("job", "a"))
    assert message.common_annotations == (("s", "x"),)
    assert message.status is Status.FIRING


def test_find_and_groups():
    run = Runner(setup())
    for job in ("a", "b"):
        for name in ("OOM", "NaN"):
            run.post({"alertname": name, "job": job}, context=context(workload_id=f"w-{job}"))
    run.post(alertname="NaN", job="b", ends_s=0)
    wide = {f"label{i:02d}": "x" for i in range(20)} | {"job": "c"}
    run.post(wide)

    def found(*matchers):
        alerts = run.engine.find([Matcher(*one) for one in matchers], run.now_ns)
        return sorted(",".join(value for _, value in alert.labels[:2]) for alert in alerts)

    assert found(("job", "=", "a")) == ["NaN,a", "OOM,a"]
    assert found(("job", "=", "a"), ("alertname", "=", "OOM")) == ["OOM,a"]
    assert found(("job", "=", "a"), ("alertname", "=~", "N.*")) == ["NaN,a"]
    assert found(("workload_id", "=", "w-b")) == ["OOM,b"]
    assert found(("source", "=", "metric"), ("job", "!=", "a")) == ["OOM,b", "c,x"]
    assert found(("label19", "=", "x")) == ["c,x"]
    assert found(("label19", "=", "x"), ("job", "=", "c")) == ["c,x"]
    assert found(("job", "=", "")) == []
    assert len(list(run.engine.find((), run.now_ns))) == 4
    groups = {
        view.group.labels: len(list(view.alerts)) for view in run.engine.groups(run.now_ns)
    }
    assert groups == {(("alertname", "NaN"),): 1, (("alertname", "OOM"),): 2, (): 1}

    def grouped(*matchers, told=None):
        some = [Matcher(*one) for one in matchers]
        views = run.engine.groups(run.now_ns, some, told)
        found = {view.group.labels: len(list(view.alerts)) for view in views}
        return {labels: count for labels, count in found.items() if count}

    receivers = {view.group.receiver for view in run.engine.groups(run.now_ns)}
    for told, expected in ((receivers.__contains__, groups), (lambda _: False, {})):
        assert grouped(told=told) == expected
        assert len(list(run.engine.find((), run.now_ns, told))) == sum(expected.values())
    assert grouped(("job", "=", "a")) == {
        (("alertname", "NaN"),): 1,
        (("alertname", "OOM"),): 1,
    }
    assert grouped(("job", "=~", "a|c")) == grouped(("job", "!=", "b"))
    assert grouped(("workload_id", "=", "w-b")) == {(("alertname", "OOM"),): 1}
    assert grouped(("job", "=", "none")) == {}
    starts = [alert.starts_ns for alert in run.engine.find((), run.now_ns)]
    newest = [alert.starts_ns for alert in run.engine.newest(2, run.now_ns)]
    assert newest == sorted(starts, reverse=True)[:2]


def test_bounds_refuse_and_count():
    run = Runner(setup(), limits=Limits(alerts=1))
    run.post(alertname="OOM")
    with pytest.raises(Unavailable, match="too many alerts"):
        run.post(alertname="Other")
    run.post(alertname="OOM")
    run.post(alertname="Gone", ends_s=0)
    assert run.engine.counts["alerts_refused"] == 1
    run = Runner(setup(), limits=Limits(groups=1))
    run.post(alertname="OOM")
    with pytest.raises(Unavailable, match="too many groups"):
        run.post(alertname="Other")
    run.post(alertname="OOM", node="n2")
    assert (len(run.engine), run.engine.gauges()["groups"]) == (2, 1)


def test_a_start_takes_as_many_groups_as_there_are():
    """Other routes may make more of them than may be; who does not start tells nobody."""
    run = Runner(setup(), limits=Limits(groups=1))
    for node in ("n1", "n2", "n3"):
        run.post(alertname="OOM", node=node)
    run.until(60)
    before = len(run.told())

    run.restart(at_s=70, setup=setup(route={"group_by": ["node"]}))

    assert run.engine.gauges()["groups"] == 3
    with pytest.raises(Unavailable, match="too many groups"):
        run.post(alertname="OOM", node="n4")
    run.post(alertname="OOM", node="n3", ends_s=80)
    run.until(1000)
    assert any(resolved for _, _, resolved in run.told()[before:])


def test_ended_episodes_are_forgotten_after_a_while_and_beyond_the_bound():
    run = Runner(setup(), limits=Limits(ended_ns=600 * 10**9, ended=3))
    for number in range(6):
        run.post(alertname=f"a{number}", ends_s=0)
    run.until(1)
    run.post(alertname="tick")
    assert run.engine.gauges()["episodes_held"] == 4
    run.until(700)
    assert run.engine.gauges()["episodes_held"] == 1
    assert len(run.store.alerts) == 7


def test_a_replayed_rule_changes_nothing():
    run = Runner(setup())
    taken = run.post(alertname="OOM", seq=7)
    again = run.engine.take(post({"alertname": "OOM"}, at_ns=ns(1), seq=7), None, ns(1))
    assert (again.alert_id, again.new) == (taken.alert_id, False)
    assert not run.engine.changes(checkpoint=0)
    run.engine.take(post({"alertname": "OOM"}, at_ns=ns(1), seq=8), None, ns(1))
    [alert] = run.commit().alerts
    assert (alert.seq, alert.count) == (8, 2)


def test_a_severity_that_rises_reaches_who_is_told_of_it():
    routes = [{"matchers": ["severity=critical"], "receiver": "pager"}]
    receivers = [
        {"name": name, "webhook_configs": [{"url": f"http://{name}"}]}
        for name in ("all", "pager")
    ]
    run = Runner(setup(receivers=receivers, route={"routes": routes}))
    run.post(alertname="OOM", severity="warning", resolve_after_ns=0)
    run.until(30)
    run.post({"alertname": "OOM"}, severity="warning", resolve_after_ns=0)
    run.until(31)
    run.post({"alertname": "NaN"}, severity="warning", resolve_after_ns=0)
    run.post({"alertname": "NaN"}, severity="critical", resolve_after_ns=0)
    run.until(60)

    assert run.told("pager/webhook[0]") == [(41, ["NaN"], [])]


def test_another_alertmanager_is_told_again_every_minute_and_ends_for_a_quarter_of_an_hour():
    run = Runner(setup())
    receiver = run.setup.receivers["all"]
    one = structs.replace(
        receiver.integrations[0], id="all/alertmanager[0]", kind="alertmanager"
    )
    both = structs.replace(receiver, integrations=(*receiver.integrations, one))
    run = Runner(structs.replace(run.setup, receivers={"all": both}))
    run.post(alertname="OOM", resolve_after_ns=0)
    run.until(15)
    run.post(alertname="OOM", node="n2", resolve_after_ns=0)
    run.until(300)
    assert run.told(ALL) == [(10, ["OOM"], []), (70, ["OOM", "OOM,n2"], [])]
    told = run.told(one.id)
    assert [at_s for at_s, *_ in told] == [10, 70, 130, 190, 250]
    assert told[-1][1:] == (["OOM", "OOM,n2"], [])
    run.post(alertname="OOM", ends_s=300)
    run.post(alertname="OOM", node="n2", ends_s=300)
    run.until(3000)
    assert run.told(ALL)[2:] == [(310, [], ["OOM", "OOM,n2"])]
    ends = [at_s for at_s, firing, resolved in run.told(one.id) if not firing]
    assert ends == [310 + 60 * n for n in range(15)]
    assert run.engine.gauges()["groups"] == 0
    assert (
        len([e for e in run.store.entries if e.integration == one.id and e.kind == "sent"]) == 5
    )
    run.post(alertname="OOM", resolve_after_ns=0)
    run.until(3011)
    run.restart(at_s=3100)
    run.until(3101)
    assert run.told(one.id)[-1][0] == 3100


LIFECYCLES = [
    ("repeat-firing-after-sent", "ff", 1),
    ("repeat-firing-after-failed-notification", "Ff", 1),
    ("firing-then-resolved", "fr", 2),
    ("resolved-first", "r", 0),
    ("refire-after-resolved", "frf", 3),
    ("silenced-then-silence-expires", "sf", 1),
    ("silenced-then-resolved", "sr", 0),
]


@pytest.mark.parametrize(("name", "events", "notifications"), LIFECYCLES)
def test_lifecycles(shared_data, name, events, notifications):
    """The reference's sequences, as they should have been; `F` is a firing whose first try fails."""
    table = json.loads((shared_data / "lens_vectors" / "alert_lifecycle.json").read_text())
    case = {case["id"]: case for case in table["cases"]}[name]
    wanted = case["observed"] | case.get("recommended", {})
    fails_until = 11 if "F" in events else 0
    run = Runner(
        setup(),
        deliver=lambda _, __, at_s: Delivery("later", "x") if at_s < fails_until else SENT,
    )
    for number, event in enumerate(events):
        run.until(100 * number)
        if event == "s":
            run.silence(SILENCED, run.now_s, run.now_s + 90)
        over = event == "r"
        run.post(alertname="OOM", ends_s=run.now_s if over else None, resolve_after_ns=0)
    run.until(100 * len(events) + 100)

    assert len(run.sent) == notifications == wanted.get("notifications", notifications)
    [*_, last] = run.store.alerts.values()
    assert last.status(run.now_ns) == wanted.get("stored_status", last.status(run.now_ns))
    if name == "resolved-first":
        [sums] = run.store.statistics.values()
        assert sums[:2] == [
            wanted["statistics_firing_count"],
            wanted["statistics_resolved_count"],
        ]


def test_an_empty_store_starts_an_empty_engine():
    engine = Engine.load(setup(), Kept(), ns(0))

    assert (len(engine), bool(engine.changes()), engine.due_ns()) == (0, False, None)


@given(st.lists(st.tuples(*[st.sampled_from([None, -50, -1, 0, 1, 30, 200])] * 2), max_size=6))
def test_the_short_way_of_take_ends_where_the_long_one_does(posts):
    short, long = Runner(setup()), Runner(setup())
    for number, (start, end) in enumerate([(None, None), *posts]):
        one = post(
            {"alertname": "OOM"}, at_ns=ns(number), resolve_after_ns=100 * 10**9,
            starts_ns=None if start is None else ns(min(start, 99 if end is None else end)),
            ends_ns=None if end is None else ns(end),
        )  # fmt: skip
        short.now_ns = long.now_ns = ns(number)
        short.take([one])
        # A replay that is later than the last always goes the long way.
        long.take([structs.replace(one, seq=number)])
    times = [
        [(a.starts_ns, a.ends_ns, a.timed_out, a.episode) for a in run.store.alerts.values()]
        for run in (short, long)
    ]
    assert times[0] == times[1]


def test_an_alert_is_muted_where_all_its_groups_are():
    always = {"name": "x", "time_intervals": [{"years": ["2020:2040"]}]}
    muted = {"mute_time_intervals": ["x"]}
    routes = [
        {"matchers": ["host=m"], **muted},
        {"matchers": ["host=c"], **muted, "continue": True},
        {"matchers": ["host=c"], "group_by": ["host"]},
        {"matchers": ["host=b"], **muted, "continue": True},
        {"matchers": ["host=b"], "group_by": ["host"], **muted},
    ]
    run = Runner(setup(route={"routes": routes}, time_intervals=[always]))
    by_host = {
        host: run.post(alertname="OOM", host=host, resolve_after_ns=0).alert_id
        for host in "mncb"
    }
    run.until(30)
    suppression, now_ns = run.engine.suppression, run.now_ns
    mutes = {host: suppression(one, now_ns).mutes for host, one in by_host.items()}
    assert mutes == {"m": ("x",), "n": (), "c": (), "b": ("x",)}
    of_group = [
        suppression(by_host["c"], now_ns, group.key).mutes
        for group in run.engine.groups_of(by_host["c"])
    ]
    assert of_group == [("x",), ()]
    assert [sorted(fires) for _, fires, _ in run.told()] == [["OOM,c"], ["OOM,n"]]


def test_routes_beyond_the_bound_are_named_in_the_ledger():
    routes = [{"matchers": [f"n!={n}"], "continue": True} for n in range(4)]
    routes.append({"matchers": ["alertname=OOM"], "receiver": "pager"})
    receivers = [
        {"name": name, "webhook_configs": [{"url": f"http://{name}"}]}
        for name in ("all", "pager")
    ]
    run = Runner(
        setup(route={"routes": routes}, receivers=receivers), limits=Limits(groups_per_alert=4)
    )
    run.post(alertname="Other", resolve_after_ns=0)
    cut = run.post(alertname="OOM", resolve_after_ns=0).alert_id
    run.post(alertname="OOM", severity="critical", resolve_after_ns=0)

    def left_out():
        return [
            (one.alert_id, one.receiver, one.stage, one.cause)
            for one in run.store.entries
            if one.stage
        ]

    noted = (cut, "pager", "route", "takes 5 routes, limit 4: the others are left out")
    assert left_out() == [noted]
    run.engine.reload(run.setup, run.now_ns)
    run.commit()
    assert left_out() == [noted]
    run.limits = Limits(groups_per_alert=4, alerts=2)
    run.restart()
    assert left_out() == [noted] * 2
