"""The ingest thread: what one fsync carries, and who goes first."""

import threading

import pytest

from heliograph.core.clock import ManualClock
from heliograph.core.errors import Unavailable
from heliograph.service import ingest as ingesting
from heliograph.service.ingest import Ingest
from heliograph.service.meters import Meters
from heliograph.service.supervisor import Supervisor


class Log:
    """A log that notes what was appended, "|" for a commit."""

    def __init__(self):
        self.seen = []
        self.refuses = False

    def commit(self):
        if self.refuses:
            raise Unavailable("full")
        self.seen.append("|")


class Site:
    def __init__(self):
        self.log, self.meters, self.clock = Log(), Meters(), ManualClock(0)
        self.supervisor = Supervisor(self.meters.registry)
        self.ingest = Ingest(self.log, self.supervisor, self.clock)
        self._begun, self._go = threading.Event(), threading.Event()

    def append(self, what, *, urgent=False, takes_s=0.0):
        def work():
            self.log.seen.append(what)
            self.clock.advance(takes_s)
            return what

        return self.ingest.submit(work, urgent=urgent)

    def hold(self):
        """Keep the thread busy until `release`, so that what comes next waits."""

        def work():
            self._begun.set()
            assert self._go.wait(10)
            self.log.seen.append("held")

        held = self.ingest.submit(work, urgent=True)
        assert self._begun.wait(10)
        return held

    def release(self, *futures):
        self._go.set()
        return [future.result(10) for future in futures]


@pytest.fixture
def site():
    made = Site()
    yield made
    made._go.set()
    made.ingest.close()


def test_what_waited_shares_one_commit(site):
    site.hold()
    waiting = [site.append(n) for n in range(3)]

    assert site.release(*waiting) == [0, 1, 2]
    assert site.log.seen == ["held", "|", 0, 1, 2, "|"]


def test_the_urgent_goes_first_and_is_committed_at_once(site):
    site.hold()
    bulk = [site.append(n) for n in range(2)]
    urgent = [site.append(name, urgent=True) for name in "ab"]

    assert site.release(*urgent, *bulk) == ["a", "b", 0, 1]
    assert site.log.seen == ["held", "a", "b", "|", 0, 1, "|"]


def test_a_group_ends_by_number_and_by_time(site, monkeypatch):
    monkeypatch.setattr(ingesting, "GROUP_REQUESTS_MAX", 2)
    site.hold()
    slow_s = ingesting.GROUP_S_MAX + 0.01
    waiting = [site.append(0), site.append(1), site.append(2, takes_s=slow_s), site.append(3)]

    site.release(*waiting)

    assert site.log.seen == ["held", "|", 0, 1, "|", 2, "|", 3, "|"]


def test_a_full_queue_refuses_bulk_but_not_the_urgent(site, monkeypatch):
    monkeypatch.setattr(ingesting, "QUEUE_REQUESTS_MAX", 1)
    site.hold()
    waiting = site.append("bulk")

    with pytest.raises(Unavailable, match="full"):
        site.append("more")
    urgent = site.append("urgent", urgent=True)

    assert site.ingest.queued == 2
    assert site.release(urgent, waiting) == ["urgent", "bulk"]


def test_closing_finishes_what_waits_and_takes_no_more(site):
    site.hold()
    waiting = [site.append("last"), site.append("first", urgent=True)]
    closing = threading.Thread(target=site.ingest.close)
    closing.start()
    while not site.ingest._closed:
        pass
    with pytest.raises(Unavailable, match="stopping"):
        site.append("late")

    assert site.release(*waiting) == ["last", "first"]
    closing.join(10)
    assert not closing.is_alive()


def test_a_commit_that_fails_fails_all_that_it_carried(site):
    site.log.refuses = True
    site.hold()
    waiting = [site.append(n) for n in range(2)]
    with pytest.raises(Unavailable):
        site.release(*waiting)

    assert [type(future.exception(10)) for future in waiting] == [Unavailable] * 2
    # Who asked counts it, by its code.
    assert not site.meters.refused_for_now.items()


def test_where_the_thread_is_idle_work_runs_on_the_callers(site):
    ran = []

    def work():
        ran.append(threading.current_thread())
        site.log.seen.append("here")
        return 1

    assert site.ingest.run_now(work) == (None,)
    assert ran == [threading.current_thread()]
    assert site.log.seen == ["here", "|"]


def test_what_appends_nothing_commits_nothing(site):
    assert site.ingest.run_now(lambda: 0) == (None,)
    assert site.log.seen == []


def test_where_it_is_busy_or_closed_nothing_is_done(site):
    held = site.hold()
    assert site.ingest.run_now(lambda: site.log.seen.append("now") or 1) is None
    waiting = site.append("waiting")
    assert site.ingest.run_now(lambda: site.log.seen.append("now") or 1) is None
    site.release(held, waiting)
    site.ingest.close()
    assert site.ingest.run_now(lambda: site.log.seen.append("now") or 1) is None
    assert "now" not in site.log.seen


def test_one_at_a_time_has_the_log(site):
    """What is submitted meanwhile is appended when the caller has committed."""
    begun, go = threading.Event(), threading.Event()

    def work():
        begun.set()
        assert go.wait(10)
        site.log.seen.append("here")
        return 1

    caller = threading.Thread(target=site.ingest.run_now, args=(work,))
    caller.start()
    assert begun.wait(10)
    later = site.append("later", urgent=True)
    assert not later.done()
    go.set()
    assert later.result(10) == "later"
    caller.join(10)

    assert site.log.seen == ["here", "|", "later", "|"]


def test_who_runs_it_is_told_that_the_disk_refused(site):
    site.log.refuses = True

    (error,) = site.ingest.run_now(lambda: 3)

    assert isinstance(error, Unavailable)
    # Who asked counts it, by its code.
    assert not site.meters.refused_for_now.items()


def test_a_bug_of_work_leaves_the_log_to_others(site):
    with pytest.raises(ZeroDivisionError):
        site.ingest.run_now(lambda: 1 // 0)
    assert site.append("next").result(10) == "next"
