"""What a restart owes: nothing ends for our absence, nobody is told too early, nothing is told twice.

Each life is a fork that dies without a word; the clock stands still unless it is told to go on.
"""

import os

import pytest

from heliograph.core import instant
from heliograph.core.clock import ManualClock
from tests.service.dying import DIED, START_NS, forked
from tests.service.dying_alerts import Site
from tests.service.whole import assert_whole

HOUR_S = 3600.0
CRACKED = {
    "name": "Cracked",
    "source": "log",
    "rule_type": "pattern",
    "rule_config": {"pattern": "it cracked", "threshold": {"count": 3, "window": "30m"}},
    "labels": {"n": "cracked"},
}
SILENT = {
    "name": "Silent",
    "source": "log",
    "rule_type": "absence",
    "rule_config": {"match": {"pattern": "it cracked"}, "window": "10m"},
    "labels": {"n": "silent"},
}


@pytest.fixture
def lives(tmp_path):
    """Runs works, each in a life of its own that dies when it is done."""
    clock_s = [0.0]

    def run(work, *, away_s=0.0, **config):
        clock_s[0] += away_s

        def die():
            clock = ManualClock(START_NS)
            clock.advance(clock_s[0])
            site = Site(tmp_path / "data", clock, None, **config)
            work(site)
            passed_s = (clock.now_ns() - START_NS) / 1e9
            (tmp_path / "clock").write_text(str(passed_s))
            os._exit(DIED)

        assert forked(die) == DIED
        clock_s[0] = float((tmp_path / "clock").read_text())

    return run


def said(site, since=0):
    """(name, status) of what the first integration was told, in order."""
    return [
        (name, status)
        for one in site.receiver.told()[since:]
        if one["line"][1] == "r/webhook[0]"
        for name, _, status in one["alerts"]
    ]


def fires(site, name, seconds):
    """Post an alert that ends by itself."""
    ends = instant.text_of(site.clock.now_ns() + seconds * 10**9)
    site.post_one({"labels": {"alertname": "A", "n": name}, "endsAt": ends})


@pytest.mark.parametrize("settle_s", [0, 5])
def test_ends_are_put_off_by_the_time_that_we_were_away(lives, settle_s):
    def before(site):
        fires(site, "x", 60)
        site.wait(settle_s)

    def after(site):
        site.wait(10)
        assert said(site) == [("x", "firing")]
        site.wait(35 - settle_s)
        assert said(site) == [("x", "firing")]
        assert site.status("x") == "firing"
        site.wait(30)
        assert said(site) == [("x", "firing"), ("x", "resolved")]

    lives(before)
    # Again and again: what was away counts once.
    for _ in range(3):
        lives(lambda site: None, away_s=HOUR_S)
    lives(after, away_s=HOUR_S)


def test_an_inhibitor_may_come_after_the_restart(lives):
    rule = {
        "source_matchers": ['n="switch"'], "target_matchers": ['n=~"pod.*"'], "equal": [],
    }  # fmt: skip
    config = {"alerting": {"inhibit_rules": [rule]}}

    def before(site):
        site.post("pod-1")

    def after(site):
        # Older than its group_wait, so it would be told at once.
        begun = instant.text_of(site.clock.now_ns() - 10**12)
        site.post_one({"labels": {"alertname": "B", "n": "pod-2"}, "startsAt": begun})
        assert said(site) == []
        site.post("switch")
        site.wait(10)
        assert said(site) == [("switch", "firing")]

    lives(before, **config)
    lives(after, away_s=HOUR_S, **config)


def test_what_was_told_is_not_told_again_but_for_the_repeat(lives):
    def before(site):
        site.post("x", "y")
        site.silence("s-1")
        site.post("m", muted="yes")
        site.wait(5)
        assert said(site) == [("x", "firing"), ("y", "firing")]

    def soon(site):
        site.wait(30)
        assert said(site) == [("x", "firing"), ("y", "firing")]
        site.post("x", "y")
        site.post("m", muted="yes")

    def late(site):
        site.wait(5)
        assert said(site, 2) == [("x", "firing"), ("y", "firing")]
        assert_whole(site.side, site.core.state)

    lives(before)
    lives(soon, away_s=HOUR_S)
    # Within the repeat interval of 6 h it is quiet, after it the group is told again.
    lives(late, away_s=6 * HOUR_S)


def test_windows_of_rules_go_on_and_frames_count_once(lives):
    def before(site):
        site.side.rules.create(CRACKED, "me")
        site.crack(1)
        site.crack(2)
        site.apply()
        assert site.status("cracked") is None

    def died_before_applying(site):
        site.crack(3)

    def after(site):
        site.apply()
        assert site.status("cracked") == "firing"
        site.wait(5)
        assert said(site) == [("cracked", "firing")]

    def replay(site):
        site.flow.applier._reader = site.core.log.reader(0)
        site.flow.applier._effects_seq = 0
        site.apply()
        site.wait(5)
        assert said(site) == [("cracked", "firing")]
        assert site.side.alerting.counts().get("episodes", 0) == 0

    lives(before)
    lives(died_before_applying, away_s=60)
    lives(after, away_s=60)
    lives(replay, away_s=60)


def test_absence_is_told_once_and_ends_after_the_restart(lives):
    def listen(site, minutes):
        for _ in range(minutes):
            site.wait(60)
            site.apply()
            site.flow.applier._listen()

    def before(site):
        site.side.rules.create(SILENT, "me")
        site.crack(1)
        site.apply()
        listen(site, 5)
        assert said(site) == []

    def silent(site):
        # While we were away nobody could be heard: the window begins anew.
        listen(site, 8)
        assert said(site) == []
        listen(site, 4)
        assert said(site) == [("silent", "firing")]

    def still(site):
        listen(site, 12)
        assert said(site) == [("silent", "firing")]
        site.crack(2)
        site.apply()
        site.wait(5)
        assert said(site) == [("silent", "firing"), ("silent", "resolved")]

    lives(before)
    lives(silent, away_s=HOUR_S)
    lives(still, away_s=60)


def test_a_repeat_that_was_answered_is_not_forgotten(lives):
    config = {"alerting": {"resolve_after": "300s"}}

    def before(site):
        site.post("x")
        site.wait(170)
        # Answered from memory; the end on disk is near for one who repeats so seldom.
        site.post("x")
        site.wait(5)

    def after(site):
        site.wait(140)
        assert site.status("x") == "firing"
        assert said(site) == [("x", "firing")]

    lives(before, **config)
    lives(after, away_s=30, **config)
