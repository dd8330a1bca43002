"""Placing: against a dictionary, whatever comes in whatever order, with restarts in between."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.samples import SampleBatch
from heliograph.recorder.wiring.placing import Placing, nothing_there

SAMPLES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=1, max_size=12)


def batch(samples):
    series, at_ns = zip(*samples, strict=True)
    value = np.arange(len(samples), dtype=np.float64)
    return SampleBatch(np.array(series, np.uint32), np.array(at_ns, np.int64), value)


@given(st.lists(st.tuples(SAMPLES, st.booleans()), max_size=8))
def test_each_sample_gets_an_instant_of_its_own_near_its_own(groups):
    held = {}

    def taken(series, start_ns, end_ns):
        found = [at for (one, at) in held if one == series and start_ns <= at < end_ns]
        return np.array(sorted(found), np.int64)

    placing = Placing(*nothing_there(), taken)
    for samples, restarts in groups:
        if restarts and held:
            times = [at for _, at in held]
            placing = Placing(min(times), max(times), taken)
        given_ = batch(samples)
        placed = placing.place(given_)
        for series, at_ns, value in zip(placed.series, placed.at_ns, placed.value, strict=True):
            told_ns = given_.at_ns[int(value)]
            assert given_.series[int(value)] == series
            assert at_ns >= told_ns
            assert (int(series), int(at_ns)) not in held
            held[int(series), int(at_ns)] = int(value)
        # Nothing moves further than it must: every instant it passed over is taken.
        for series, at_ns, value in zip(placed.series, placed.at_ns, placed.value, strict=True):
            told_ns = int(given_.at_ns[int(value)])
            assert all((int(series), between) in held for between in range(told_ns, int(at_ns)))


def test_recording_a_past_again_asks_for_it_in_ever_wider_spans():
    millis = list(range(0, 5_000_000_000, 1_000_000))
    held = np.array(millis)
    placing = Placing(0, millis[-1], lambda _s, low, high: held[(held >= low) & (held < high)])

    placed = placing.place(batch([(0, at) for at in millis]))

    assert placed.at_ns.tolist() == [at + 1 for at in millis]
    assert placing.asked < 12


def test_a_long_run_at_one_instant_is_not_slow():
    held = []
    placing = Placing(*nothing_there(), lambda _s, low, high: np.array(held)[
        (np.array(held) >= low) & (np.array(held) < high)
    ])  # fmt: skip
    for _ in range(3):
        placed = placing.place(batch([(0, 5)] * 20_000))
        held += placed.at_ns.tolist()

    assert sorted(held) == list(range(5, 60_005))
    assert placing.asked == 3
