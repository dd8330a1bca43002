"""Rules over a share of records: when they fire, end, and what of them outlives the process."""

import pytest

from heliograph.alert.rules.decode import decode
from heliograph.alert.rules.rule import Said
from heliograph.alert.rules.sharing import KEYS_MAX
from heliograph.alert.rules.stream import RuleStream
from heliograph.core import instant
from heliograph.core.duration import MINUTE_NS, SECOND_NS
from heliograph.core.errors import Refused
from heliograph.core.record import Record
from tests.alert.rule_trial import trial

S = SECOND_NS
T0 = 1_767_225_600 * S
HALF = {
    "match": {"event_type": "OPERATION"},
    "op": ">=",
    "value": 0.5,
    "window": "1m",
    "least": 4,
}


def rule(config=HALF, **over):
    given = {
        "name": "R",
        "source": "event",
        "rule_type": "share",
        "severity": "warning",
        **over,
    }
    return decode({**given, "rule_config": config}, rule_id="r")


def stream_of(*rules, **over):
    return RuleStream(rules, since_ns=T0, **over)


def record(severity="info", event_type="OPERATION", **attributes):
    return Record("id", T0, T0, "s", "bridge", event_type, severity=severity,
                  attributes=attributes, correlation={"source": "core"})  # fmt: skip


def told(stream, *severities, start_s=0, **attributes):
    """(second, status, annotation) of what is said of a record each second."""
    found = []
    for at_s, severity in enumerate(severities, start_s):
        at_ns = T0 + at_s * S
        one = record(severity, **attributes)
        stream.record(one, Said(at_ns, "s"), seq=at_s, arrival_ns=at_ns)
        found += [
            (at_s, post.status, dict(post.annotations).get("match_reason"))
            for post in stream.drain()[0]
        ]
    return found


def test_it_fires_at_its_share_and_ends_below_it():
    stream = stream_of(rule())

    assert told(stream, "info", "error", "info", "error", "error", "info", "info") == [
        (3, "firing", "2 of 4 within 1m"),
        (6, "resolved", None),
    ]


@pytest.mark.parametrize(
    ("window", "resolve_after_s"), [("5m", 420), ("3h", 3 * 3600 + 120), ("30s", 150)]
)
def test_it_holds_as_long_as_a_window_though_nothing_more_is_told(window, resolve_after_s):
    """What an occurrence takes to resolve is shorter than the window of a share may be."""
    stream = stream_of(rule({**HALF, "window": window}), resolve_after_ns=8 * S)
    for at_s in range(4):
        at_ns = T0 + at_s * S
        one = record("error")
        stream.record(one, Said(at_ns, "s"), seq=at_s, arrival_ns=at_ns)
    (post,) = stream.drain()[0]
    assert post.resolve_after_ns == resolve_after_s * S


def test_too_few_records_say_nothing():
    assert told(stream_of(rule()), "error", "error", "error") == []


def test_others_do_not_count():
    stream = stream_of(rule({**HALF, "match": {"event_type": "COMMAND"}}))

    assert told(stream, *["error"] * 10) == []


def test_part_says_what_counts_and_match_of_what_and_by_for_whom():
    config = {
        "match": {"match": [{"name": "event_source", "value": "core"}]},
        "part": {"attributes": {"result_status": "TIMEOUT", "took_ms": {"op": ">", "value": 10}}},
        "op": ">", "value": 0.3, "least": 2, "window": "1m", "by": ["queue"],
    }  # fmt: skip
    stream = stream_of(rule(config))

    assert told(stream, "info", "info", queue="a", result_status="TIMEOUT", took_ms=5) == []
    assert told(stream, "info", "info", queue="b", result_status="TIMEOUT", took_ms=11) == [
        (1, "firing", "2 of 2 within 1m")
    ]


def test_an_alert_that_lasts_is_said_again_each_minute_of_arrival():
    stream = stream_of(rule({**HALF, "window": "10m"}))

    seconds = [at_s for at_s, _, _ in told(stream, *["error"] * 200)]
    assert seconds == [3, 63, 123, 183]


def test_silence_ends_it():
    stream = stream_of(rule())
    told(stream, *["error"] * 4)

    stream.tick(T0 + 60 * S)
    assert stream.drain()[0] == []
    stream.tick(T0 + 64 * S)
    (post,), rows = stream.drain()
    assert (post.status, dict(post.annotations)["resolved_because"]) == (
        "resolved",
        "no records",
    )
    assert [(row.rule_id, row.state) for row in rows] == [("r", None)]


def test_a_rule_that_is_removed_ends_what_it_said():
    stream = stream_of(rule())
    told(stream, *["error"] * 4)

    stream.retire(T0 + 5 * S)
    (post,) = stream.drain()[0]
    assert (post.status, post.starts_ns) == ("resolved", T0 + 3 * S)


def test_states_outlive_the_process():
    stream = stream_of(rule())
    told(stream, "error", "error")
    rows = stream.everything()
    again = stream_of(rule(), states=rows)

    assert told(again, "info", "info", start_s=2) == [(3, "firing", "2 of 4 within 1m")]
    # An alert that was said goes on, and ends.
    later = stream_of(rule(), states=again.everything())
    assert told(later, "info", start_s=4) == [(4, "resolved", None)]


def test_a_state_of_another_kind_of_rule_is_counted():
    stream = stream_of(rule())
    told(stream, "error")
    (row,) = stream.everything()
    other = stream_of(rule(), states=[row._replace(state=b"junk")])

    assert other.bounds()["state_unread"] == 1


def test_keys_are_bounded():
    stream = stream_of(rule({**HALF, "by": ["queue"]}))
    for number in range(KEYS_MAX + 1):
        one = record(queue=f"q{number}")
        stream.record(one, Said(T0, "s"), arrival_ns=T0)

    assert stream.bounds()["evicted"] == 1
    rows = stream.drain()[1]
    assert sum(row.state is None for row in rows) == 1


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"op": ">"}, "rule_config.value"),
        ({"value": 0.1, "least": 0}, "rule_config.least"),
        ({"value": 0.1, "part": {}}, "rule_config.part.event_type"),
        ({"value": 0.1, "match": {"event_typ": "x"}}, "rule_config.match.event_typ"),
        ({"value": 0.1, "window": "8d"}, "rule_config.window"),
    ],
)
def test_what_is_wrong_is_named(config, field):
    with pytest.raises(Refused) as refused:
        rule(config)
    assert refused.value.field == field


def test_it_can_be_tried():
    records = [
        {
            "event_type": "OPERATION",
            "severity": severity,
            "timestamp": instant.text_of(T0 + n * S),
        }
        for n, severity in enumerate(["info", "error", "error", "error"])
    ]
    document = {"name": "R", "source": "event", "rule_type": "share", "rule_config": HALF}
    tried = trial({"rule": document, "records": records}, now_ns=T0 + MINUTE_NS)

    assert (tried["fires"], tried["alerts"][0]["annotations"]) == (
        True, {"match_reason": "3 of 4 within 1m"},
    )  # fmt: skip
