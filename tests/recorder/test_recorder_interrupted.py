"""Ctrl-C, signal handlers, callbacks that hang: nobody who comes later waits for them."""

import os
import signal
import threading

import pytest

from heliograph.core.clock import ManualClock
from heliograph.core.errors import Unavailable
from heliograph.recorder import journal, watching
from heliograph.recorder.exchange import Exchange
from heliograph.recorder.journal import BridgeLogger
from heliograph.recorder.together import Together
from tests.service.live import CLOCK, until

fcntl = pytest.importorskip("fcntl")


class Post:
    """Answers each item by itself; those of *held* wait until `open` is set."""

    def __init__(self, *held):
        self.posted, self.held = [], held
        self.open, self.begun = threading.Event(), threading.Event()

    def __call__(self, path, items):
        self.posted.append(list(items))
        if set(items) & set(self.held):
            self.begun.set()
            assert self.open.wait(20)
        return [{"status": item} for item in items]


@pytest.fixture
def signalled():
    """Have *handler* called in this thread, by a signal, once *when* holds."""
    before = signal.getsignal(signal.SIGUSR1)
    threads = []

    def arrange(handler, when):
        signal.signal(signal.SIGUSR1, lambda *_: handler())

        def send():
            until(when, "the moment of the signal")
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

        threads.append(threading.Thread(target=send))
        threads[-1].start()

    yield arrange
    for thread in threads:
        thread.join(20)
    signal.signal(signal.SIGUSR1, before)


def interrupt():
    raise KeyboardInterrupt


def in_a_thread(call):
    """What `call()` came to in a thread, which must end."""
    found = []
    thread = threading.Thread(target=lambda: found.append(call()), daemon=True)
    thread.start()
    thread.join(10)
    assert found, "it still waits"
    return found[0]


def leading(together, post):
    thread = threading.Thread(target=lambda: together.send("/m", ["held"]), daemon=True)
    thread.start()
    assert post.begun.wait(10)
    return thread


def test_who_is_interrupted_while_he_waits_holds_up_nobody(signalled):
    post = Post("held")
    together = Together(post, items_max=10)
    leader = leading(together, post)
    signalled(interrupt, lambda: len(together._waiting) == 1)
    with pytest.raises(KeyboardInterrupt):
        together.send("/m", ["mine"])
    post.open.set()
    leader.join(10)

    assert in_a_thread(lambda: together.send("/m", ["later"])) == [{"status": "later"}]
    assert post.posted == [["held"], ["later"]]


def test_who_is_interrupted_while_he_sends_holds_up_nobody(signalled):
    post = Post("held")
    together = Together(post, items_max=10)
    signalled(interrupt, post.begun.is_set)
    with pytest.raises(KeyboardInterrupt):
        together.send("/m", ["held"])
    post.open.set()

    assert in_a_thread(lambda: together.send("/m", ["later"])) == [{"status": "later"}]


def test_who_is_interrupted_while_he_takes_holds_up_nobody(monkeypatch):
    together = Together(Post(), items_max=10)
    take = Together._take

    def interrupted(self, call, group):
        take(self, call, group)
        self._waiting.appendleft(group[-1])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Together, "_take", interrupted)
        with pytest.raises(KeyboardInterrupt):
            together.send("/m", ["mine"])

    assert in_a_thread(lambda: together.send("/m", ["later"])) == [{"status": "later"}]


def test_a_handler_that_records_while_its_thread_sends_is_answered(signalled):
    post, answers = Post("held"), []
    together = Together(post, items_max=10)

    def handler():
        answers.append(together.send("/e", ["told"]))
        post.open.set()

    signalled(handler, post.begun.is_set)
    assert together.send("/m", ["held"]) == [{"status": "held"}]
    assert answers == [[{"status": "told"}]]


def test_a_handler_that_records_while_its_thread_waits_is_answered(signalled):
    post, answers = Post("held"), []
    together = Together(post, items_max=10)
    leading(together, post)

    def handler():
        answers.append(together.send("/e", ["told"]))
        post.open.set()

    signalled(handler, lambda: len(together._waiting) == 1)
    assert together.send("/m", ["mine"]) == [{"status": "mine"}]
    assert answers == [[{"status": "told"}]]


LOCKS = [
    lambda telemetry: telemetry._counting,
    lambda telemetry: telemetry.storage._lock,
    lambda telemetry: telemetry.logger._loops._lock,
    lambda telemetry: telemetry._watching._error_rate._lock,
]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_handler_that_records_while_its_thread_records_is_answered(made, lock):
    telemetry = made("memory")

    def record():
        with lock(telemetry):
            telemetry.record_metric("m", 1)
            return telemetry.record_event({"event_type": "END", "source": "signal"})

    assert in_a_thread(record)["status"] == "success"


def test_a_handler_that_asks_while_its_thread_asks_is_answered():
    exchange = Exchange("http://127.0.0.1:9")

    def ask():
        with exchange._lock:
            with pytest.raises(Unavailable) as told:
                exchange.ask("GET", "/x")
            return told.value.detail

    assert "no answer" in in_a_thread(ask)


def test_a_callback_that_hangs_does_not_keep_the_recorder_from_closing(made, monkeypatch):
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(watching, "CLOSE_S", 0.1)
    telemetry, called, go = made("memory"), threading.Event(), threading.Event()

    def callback(alert):
        called.set()
        go.wait(20)

    telemetry.add_monitor(
        "dead", kind="absence", event_type="BEAT", window="1s", callback=callback
    )
    telemetry._clock.advance(5)
    assert called.wait(10)
    began_s = CLOCK.monotonic_s()
    telemetry.close()
    go.set()
    assert CLOCK.monotonic_s() - began_s < 5


def test_a_look_that_raises_is_counted_and_followed_by_others(made, monkeypatch):
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 0.01)
    telemetry = made("memory")

    def failing():
        raise ValueError("odd")

    telemetry._watching.look = failing
    telemetry.add_monitor(
        "dead", kind="absence", event_type="BEAT", window="1s", callback=print
    )
    until(lambda: telemetry._faults.raised >= 2, "two looks")
    assert telemetry.health_check()["stats"]["callbacks_raised"] >= 2


def filled(tmp_path, clock, **more):
    log = {"log_path": str(tmp_path / "log.jsonl"), "enable_console": False, **more}
    return BridgeLogger({"max_log_size": 200, **log}, clock)


def test_a_journal_whose_files_a_stopped_process_moves_goes_on(tmp_path):
    logger = filled(tmp_path, ManualClock())
    held = os.open(tmp_path / ".log.jsonl.lock", os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        for n in range(3):
            logger.log({"message": f"line {n}"})
        assert len(logger.path.read_text().splitlines()) == 3
    finally:
        os.close(held)
    logger.log({"message": "and moves them later"})
    assert len(logger.path.read_text().splitlines()) == 1
    assert logger.lost == 0


def test_a_child_that_was_forked_while_files_moved_holds_no_turn(tmp_path, monkeypatch):
    logger, copies, close = filled(tmp_path, ManualClock()), [], os.close

    def with_a_copy(fd):
        copies.append(os.dup(fd))
        close(fd)

    monkeypatch.setattr(journal.os, "close", with_a_copy)
    for n in range(4):
        logger.log({"message": f"line {n}"})
    for fd in copies:
        close(fd)
    assert len(logger.path.read_text().splitlines()) == 1


def test_a_journal_whose_path_is_none_counts_what_is_lost(tmp_path):
    logger = filled(tmp_path, ManualClock(), log_path=str(tmp_path / "a\0b"))
    assert logger.log({"message": "x"})
    assert logger.lost == 1


def test_points_of_metrics_beyond_the_bound_are_counted_as_points(made):
    telemetry = made("memory", storage_config={"backend": "memory", "max_metrics": 1})
    telemetry.record_metrics([("a", 1), ("b", 1), ("b", 2)])
    telemetry.record_metric("a", 1)
    telemetry.record_metric("b", 1)
    assert telemetry.health_check()["stats"]["metrics_refused"] == 4
