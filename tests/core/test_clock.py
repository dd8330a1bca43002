"""The clocks: the machine's moves, the manual one moves when told."""

from heliograph.core.clock import ManualClock, SystemClock


def test_the_machines_clock_goes_on():
    clock = SystemClock()
    began_ns, began_s = clock.now_ns(), clock.monotonic_s()

    clock.sleep(0.01)

    assert clock.monotonic_s() - began_s >= 0.009
    # Later than 2020: nanoseconds, not seconds or microseconds.
    assert began_ns > 1_577_836_800 * 10**9


def test_a_manual_clock_stands_still():
    clock = ManualClock(5)
    assert [clock.now_ns(), clock.now_ns(), clock.monotonic_s()] == [5, 5, 0.0]


def test_a_manual_clock_moves_when_it_is_told_or_slept_on():
    clock = ManualClock(5)
    clock.advance(1.5)
    clock.sleep(0.25)
    assert (clock.now_ns(), clock.monotonic_s()) == (5 + 1_750_000_000, 1.75)


def test_the_wall_may_jump_back_but_the_monotonic_clock_does_not():
    clock = ManualClock(100)
    clock.advance(2)
    clock.set_wall(7)
    assert (clock.now_ns(), clock.monotonic_s()) == (7, 2.0)
