import threading

import pytest

from heliograph.alert.model import Delivery
from heliograph.core.clock import SystemClock
from heliograph.notify.beside import BEHIND, PASSED_OVER, Beside
from tests.service.live import until

TOOK, FAILED = Delivery("sent", status=200), Delivery("later", "no")
CLOCK = SystemClock()


class Slow:
    """Tells when it is let go; counts how often it was asked."""

    def __init__(self, came=TOOK):
        self.asked = 0
        self.going = threading.Event()
        self.came = came

    def __call__(self):
        self.asked += 1
        assert self.going.wait(30)
        return self.came


def told(beside, *tells, wait_s=10.0):
    """What came of *tells*, who are called `a`, `b` and so on."""
    until_s = CLOCK.monotonic_s() + wait_s
    return beside.tell(dict(zip("abcdef", tells, strict=False)), until_s)


def test_what_came_is_in_the_order_of_who_was_told():
    def after(tell, came):
        def wait():
            assert tell.going.wait(30)
            return came

        return wait

    late = Slow()
    late.going.set()
    beside = Beside(CLOCK)
    assert told(beside, lambda: TOOK) == [TOOK]
    assert told(beside, after(late, FAILED), lambda: TOOK, lambda: FAILED) == [
        FAILED, TOOK, FAILED,
    ]  # fmt: skip


def test_who_is_behind_is_passed_over_until_it_has_answered():
    beside, slow = Beside(CLOCK), Slow()
    assert told(beside, slow, lambda: TOOK) == [BEHIND, TOOK]
    for _ in range(3):
        assert told(beside, slow, lambda: TOOK) == [PASSED_OVER, TOOK]
    # The others are no reason to ask it, either.
    assert told(beside, slow, lambda: FAILED) == [PASSED_OVER, FAILED]
    assert (slow.asked, beside._threads) == (1, 1)
    slow.going.set()
    until(lambda: told(beside, slow, lambda: TOOK) == [TOOK, TOOK], "it is told again")
    assert slow.asked == 2
    until(lambda: (beside._threads, dict(beside._behind)) == (0, {}), "nothing is kept")


def test_where_nobody_took_it_the_slow_one_is_waited_for():
    beside, slow = Beside(CLOCK), Slow()
    threading.Timer(0.2, slow.going.set).start()
    assert told(beside, slow, lambda: FAILED) == [TOOK, FAILED]
    never = Slow()
    assert told(beside, never, lambda: FAILED, wait_s=0.1) == [BEHIND, FAILED]
    never.going.set()


def test_threads_are_bounded_and_the_rest_is_told_by_the_caller():
    beside, slow = Beside(CLOCK, threads_max=2), [Slow() for _ in range(2)]
    found = []

    def mine():
        found.append(threading.current_thread())
        return TOOK

    assert told(beside, *slow, mine, mine) == [BEHIND, BEHIND, TOOK, TOOK]
    assert found == [threading.current_thread()] * 2
    assert beside._threads == 2
    for one in slow:
        one.going.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_a_thread_is_one_of_the_caller():
    threads = []

    def bug():
        threads.append(threading.current_thread())
        raise KeyError("x")

    beside = Beside(CLOCK)
    with pytest.raises(AssertionError):
        told(beside, bug, lambda: TOOK)
    threads[0].join()
    assert (beside._threads, dict(beside._behind)) == (0, {})
