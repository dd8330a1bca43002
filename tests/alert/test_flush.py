"""Is it news? The table of Alertmanager's dedup stage and our own; and what may be told."""

import json

import pytest

from heliograph.alert.engine.flush import Hold, Look, judge, reason_to_tell, stages, tellable
from heliograph.alert.inhibition import Inhibitor
from heliograph.alert.model import Reason, Told
from heliograph.alert.silences import Silencer
from tests.alert.alert_runner import ns

REPEAT_S = 600


def told(firing="", resolved="", maybe="", at_s=0.0):
    return Told(
        "g", "i", frozenset(firing), frozenset(resolved), ns(at_s), maybe=frozenset(maybe)
    )


CASES = [
    # case                                        told            firing  resolved  later, s  reason
    ("a first alert is news",                     None,             "x",  "",  0, Reason.FIRST),
    ("what only ever resolved is not",            None,             "",   "x", 0, None),
    ("the same again is not news",                told("x"),        "x",  "",  60, None),
    ("one more alert is news",                    told("x"),        "xy", "",  60, Reason.NEW_ALERTS),
    ("one that resolved is news",                 told("xy"),       "x",  "y", 60, Reason.SOME_RESOLVED),
    ("one that was never told and resolved is not", told("x"),      "x",  "y", 60, None),
    ("everything resolved is news",               told("xy"),       "",   "xy", 60, Reason.ALL_RESOLVED),
    ("all resolved is told once",                 told("", "xy"),   "",   "xy", 60, None),
    ("firing after all resolved starts over",     told("", "x"),    "x",  "",  60, Reason.FIRST),
    ("just before the repeat, not news",          told("x"),        "x",  "",  REPEAT_S - 1, None),
    ("at the repeat interval, news",              told("x"),        "x",  "",  REPEAT_S, Reason.REPEAT),
    ("what may have been told is news",           told(maybe="x"),  "x",  "",  1, Reason.FIRST),
    ("and so is its end",                         told(maybe="x"),  "",   "x", 1, Reason.ALL_RESOLVED),
    ("all held back, nothing to tell",            told("x"),        "",   "",  REPEAT_S, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("last", "firing", "resolved", "later_s", "reason"),
    [pytest.param(*row, id=case) for case, *row in CASES],
)
def test_reason_to_tell(last, firing, resolved, later_s, reason):
    found = reason_to_tell(
        last, frozenset(firing), frozenset(resolved), now_ns=ns(later_s),
        repeat_ns=REPEAT_S * 10**9, send_resolved=True,
    )  # fmt: skip

    assert found is reason


def test_dedup_needs_update(shared_data):
    table = json.loads((shared_data / "tables" / "am_dedup_needs_update.json").read_text())
    assert len(table["cases"]) == 11
    for case in table["cases"]:
        entry = case["nflog_entry"]
        last = None
        if entry is not None:
            at_ns = 0 if entry["age_s"] is None else ns(-entry["age_s"])
            last = Told("g", "i", names(entry["firing"]), names(entry["resolved"]), at_ns)
        reason = reason_to_tell(
            last, names(case["firing"]), names(case["resolved"]), now_ns=ns(0),
            repeat_ns=case["repeat_interval_s"] * 10**9, send_resolved=case["send_resolved"],
        )  # fmt: skip
        assert (reason is not None) == case["notify"], case["comment"]


def names(numbers):
    return frozenset(str(number) for number in numbers)


def test_who_was_told_is_told_the_end_though_it_is_held_back():
    holds = {
        "a": Hold("silence", "s"), "b": Hold("inhibit", "z"), "c": Hold("mute", "night"),
        "d": Hold("silence", "s"),
    }  # fmt: skip
    resolved = frozenset("abcde")

    assert tellable(resolved, holds, told("abc")) == frozenset("abe")
    assert tellable(resolved, {}, None) == resolved


def test_the_first_stage_that_holds_counts():
    looks = [Look("1", {"a": "b"})]
    muted = stages(Inhibitor(()), ("night", "weekend"), Silencer(), ns(0))

    assert judge(looks, muted) == {"1": Hold("mute", "night,weekend")}
    assert judge(looks, stages(Inhibitor(()), (), Silencer(), ns(0))) == {}
