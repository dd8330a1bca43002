"""Signal handlers in the middle of a durable call of their own thread: what they record is kept."""

import signal
import threading

import pytest

from heliograph.recorder.wiring import stores
from tests.service.live import until


@pytest.fixture
def interrupted(monkeypatch):
    """`interrupted(call, handler, of)`: does `call()`, and `handler()` in its thread, by a signal, once
    the store is in the middle of its method *of*."""
    before = signal.getsignal(signal.SIGUSR1)

    def arrange(call, handler, of="write"):
        handled, really = threading.Event(), getattr(stores.FolderStores, of)

        def handle(*_):
            handler()
            handled.set()

        def slow(self, *args, **named):
            if not signalled.is_set():
                signalled.set()
                signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            return really(self, *args, **named)

        signalled = threading.Event()
        signal.signal(signal.SIGUSR1, handle)
        monkeypatch.setattr(stores.FolderStores, of, slow)
        answer = call()
        until(handled.is_set, "the end of the handler")
        return answer

    yield arrange
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def idle(made):
    """A recorder that has written, and of whose threads none is at it."""
    recorder = made()
    recorder.record_metric("before", 0.0)
    until(lambda: recorder.storage._committer._idle, "a thread with nothing to do")
    return recorder


def counted(recorder, name):
    found = recorder.get_metrics([name], aggregation="COUNT")["metrics"]
    return found[name]["value"] if name in found else 0


def test_a_handler_records_in_the_middle_of_a_durable_call(idle, interrupted):
    recorder, answers = idle, []

    answer = interrupted(
        lambda: recorder.record_metric("loss", 1.0),
        lambda: answers.extend(
            [recorder.record_metric("loss", 2.0), recorder.flush(), recorder.flush()]
        ),
    )

    assert [one["status"] for one in [answer, *answers]] == ["success"] * 4
    assert counted(recorder, "loss") == 2


def test_a_handler_closes_the_recorder_in_the_middle_of_a_durable_call(idle, made, interrupted):
    interrupted(lambda: idle.record_metric("loss", 1.0), idle.close)

    assert idle.record_metric("loss", 2.0)["status"] == "error"
    assert counted(made(), "loss") == 1


@pytest.mark.parametrize("of", ["settle", "retain"])
def test_a_handler_records_while_its_thread_is_in_the_stores(made, interrupted, of):
    recorder, answers = made(), []
    recorder.record_metric("loss", 1.0)
    asked = recorder.retain if of == "retain" else lambda: counted(recorder, "loss")

    interrupted(asked, lambda: answers.append(recorder.record_metric("loss", 2.0)), of)

    assert answers[0]["status"] == "success"
    until(lambda: counted(recorder, "loss") == 2, "what the handler recorded")


def test_what_a_handler_closes_in_the_middle_of_the_stores_is_closed_after(made, interrupted):
    recorder = made()
    recorder.record_metric("loss", 1.0)

    interrupted(lambda: recorder.get_metrics(["loss"]), recorder.close, "settle")

    assert counted(made(), "loss") == 1


def test_who_holds_the_locks_that_others_need_waits_for_a_while_only(made, monkeypatch):
    monkeypatch.setattr("heliograph.recorder.wiring.committing.NESTED_S", 0.05)
    recorder = made()
    inside = recorder.storage._committer.at_work
    with inside.enter(), recorder.storage._stores._writing:
        answer, flushed = recorder.record_metric("loss", 1.0), recorder.flush()

    assert (answer["status"], flushed["status"]) == ("success", "error")
    until(lambda: counted(recorder, "loss") == 1, "what was recorded meanwhile")


def test_what_the_thread_that_commits_records_itself_is_kept(made, monkeypatch):
    recorder, answers, really = made(), [], stores.FolderStores.write

    def write(self, *args):
        # As a finaliser that the collector runs there.
        if not answers:
            answers.append(None)
            answers.append(recorder.record_metric("loss", 2.0))
        really(self, *args)

    monkeypatch.setattr(stores.FolderStores, "write", write)
    recorder.record_metric("loss", 1.0)

    assert answers[1]["status"] == "success"
    until(lambda: counted(recorder, "loss") == 2, "what the thread recorded")


def test_a_handler_within_a_handler_closes_no_stores_that_are_in_use(
    made, interrupted, monkeypatch
):
    recorder, in_use, really = made(), [], stores.FolderStores.close
    recorder.record_metric("loss", 1.0)

    def close(self):
        in_use.append(recorder.storage._at_work.mine)
        really(self)

    monkeypatch.setattr(stores.FolderStores, "close", close)
    # One that asks is interrupted by one that closes.
    interrupted(
        lambda: recorder.get_metrics(["loss"]),
        lambda: recorder.storage._inside(recorder.close),
        "settle",
    )

    assert in_use == [False]


@pytest.mark.parametrize("of", ["tend", "write"])
def test_what_a_finaliser_closes_in_a_thread_of_ours_is_closed_after(made, monkeypatch, of):
    recorder, closed, really = made(), threading.Event(), getattr(stores.FolderStores, of)

    def at_work(self, *args, **named):
        if threading.current_thread() is not threading.main_thread() and not closed.is_set():
            recorder.close()
            closed.set()
        return really(self, *args, **named)

    monkeypatch.setattr(stores.FolderStores, of, at_work)
    recorder.record_metric("loss", 1.0)
    recorder.storage._upkeep.wake()
    assert closed.wait(20)
    until(lambda: not closing(), "the end of what closes")

    assert counted(made(), "loss") == 1


def closing():
    return [one for one in threading.enumerate() if one.name == "recorder-close"]


@pytest.mark.parametrize("nested", ["record", "flush"])
def test_a_finaliser_waits_for_no_turn_that_its_own_thread_has(idle, monkeypatch, nested):
    """Run by the collector between the turn and the work, where no thread is at work yet."""
    monkeypatch.setattr("heliograph.recorder.wiring.committing.NESTED_S", 0.05)
    committer, answers = idle.storage._committer, []
    really = committer._attempt

    def attempt(points, records, rows=None):
        if not answers and threading.current_thread() is thread:
            answers.append(None)
            work = idle.flush if nested == "flush" else lambda: idle.record_metric("loss", 2.0)
            answers.append(work()["status"])
        return really(points, records, rows)

    monkeypatch.setattr(committer, "_attempt", attempt)
    thread = threading.Thread(target=lambda: idle.record_metric("loss", 1.0), daemon=True)
    thread.start()
    thread.join(20)

    assert not thread.is_alive()
    assert answers[1:] == ["error" if nested == "flush" else "success"]
    count = 1 if nested == "flush" else 2
    until(lambda: counted(idle, "loss") == count, "what was recorded")
