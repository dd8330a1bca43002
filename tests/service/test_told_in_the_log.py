"""What a night comes to in the log: read again from where, full since when; and no passwords."""

import json

import pytest

from heliograph.core.clock import ManualClock
from heliograph.core.errors import Unavailable
from heliograph.service.backpressure import Backpressure
from heliograph.store.state import state as states
from tests.service.lives import CLOCK, Life


def test_a_life_after_a_kill_says_what_it_reads_again(tmp_path):
    life = Life(tmp_path / "data").start()
    try:
        assert life.write([({"__name__": "n"}, [(CLOCK.now_ns() // 10**6, 1.0)])]).status == 204
        (end,) = life.measured("heliograph_log_end").values()
        life.kill()
        life.start()
        assert life.stop() == 0
        life.start()
    finally:
        life.end()
    said = [json.loads(line) for line in life.words().splitlines()]
    (again,) = (one for one in said if one["event"] == "the end of the log is read again")
    # Not after a stop that was asked for, which leaves nothing.
    assert (again["from_seq"], again["frames"]) == (1, end)


def test_a_full_log_is_told_once_when_it_begins_and_when_it_ends(caplog):
    used = 0
    pressure = Backpressure(
        ManualClock(),
        end=lambda: 0,
        applied=lambda: 0,
        away=lambda: False,
        log_bytes=lambda: used,
        log_bytes_max=10,
    )
    for used in (10, 11, 12, 10, 9):
        if used > 10:
            with pytest.raises(Unavailable, match="limit 10"):
                pressure.check()
        else:
            pressure.check()
    assert [(one.message, one.bytes) for one in caplog.records] == [
        ("the log is full: writers are refused", 11),
        ("the log has room again", 10),
    ]


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:sekrit@127.0.0.1:1/h", "postgresql://u@127.0.0.1:1/h?password=sekrit"],
)
def test_a_state_that_is_away_is_told_of_without_its_password(url, tmp_path):
    with pytest.raises(Unavailable) as away:
        states.State.open(url, tmp_path, CLOCK)
    assert "sekrit" not in away.value.detail
    assert "127.0.0.1:1/h" in away.value.detail
