"""The outbox of the HTTP store: who flushes, what is counted, and that its thread goes on."""

import threading

import pytest

from heliograph.core.clock import SystemClock
from heliograph.core.errors import ConfigError, Refused, Unavailable
from heliograph.recorder import BridgeTelemetry, outbox
from heliograph.recorder.outbox import Outbox, SomeRefused
from heliograph.recorder.remote import RemoteStore
from tests.service.live import CLOCK, until


class Sent:
    """A send that keeps *items*; it waits while `open` is not set, and raises *errors* first."""

    def __init__(self, *errors):
        self.items, self.errors, self.calls = [], list(errors), 0
        self.open, self.begun = threading.Event(), threading.Event()
        self.open.set()

    def __call__(self, path, items):
        self.calls += 1
        self.begun.set()
        assert self.open.wait(20)
        if self.errors:
            raise self.errors.pop(0)
        self.items += items


@pytest.fixture
def made():
    opened = []

    def make(send, **more):
        given = {"items_max": 1000, "batch_max": 5, "closing_s": 10, **more}
        opened.append((Outbox(send, **given), send))
        return opened[-1][0]

    yield make
    for one, send in opened:
        send.open.set()
        one.close()


def items(*names):
    return [("/m", name) for name in names]


def test_a_flush_waits_for_what_was_put_before_and_for_no_more(made):
    send = Sent()
    one = made(send)

    def and_one_more(path, given):
        if given == [b"mine"]:
            one.put(items(b"more"))
            send.open.clear()
            send.items += given
        else:
            send(path, given)

    one._send = and_one_more
    one.put(items(b"mine"))
    one.flush()

    assert (send.items, one.usage().percentage) == ([b"mine"], 0.1)
    send.open.set()
    one.flush()
    assert send.items == [b"mine", b"more"]


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (None, {"sent": 5}),
        (SomeRefused("1 of 5", code="x", count=1), {"sent": 4, "refused": 1}),
        (SomeRefused("5 of 5", code="x", count=5), {"refused": 5}),
        (Refused("not yours", status=403), {"refused": 5}),
        (Unavailable("later", retry_after_s=0), {"sent": 5}),
        (ValueError("invalid header"), {"sent": 5}),
        (TypeError("odd"), {"sent": 5}),
        (MemoryError(), {"sent": 5}),
    ],
)
def test_what_a_request_comes_to(made, error, counts):
    send = Sent(*([error] if error else []))
    one = made(send)
    one.put(items(*[b"x"] * 5))
    one.flush()

    assert one.usage().counts == counts
    assert one._thread.is_alive()


def test_what_nobody_expects_is_told_while_it_lasts(made):
    send = Sent(*[ValueError("invalid header")] * 50)
    one = made(send)
    one.put(items(b"x"))
    until(lambda: one.usage().failing, "the failure")

    assert one.usage().failing == "ValueError: invalid header"
    send.errors.clear()
    one.flush()
    assert one.usage().failing == ""


@pytest.mark.parametrize(
    ("errors", "counts"),
    [([], {"sent": 5, "lost": 2}), ([Unavailable("gone")], {"lost": 7})],
)
def test_what_is_on_its_way_at_the_end_is_what_it_comes_to(made, errors, counts):
    send = Sent(*errors)
    send.open.clear()
    one = made(send, closing_s=0.05)
    one.put(items(*[b"x"] * 5))
    assert send.begun.wait(10)
    one.put(items(b"y", b"z"))
    one.close()
    assert one.usage().counts == {"lost": 2}

    send.open.set()
    one._thread.join(10)
    assert one.usage().counts == counts
    with pytest.raises(Unavailable):
        one.flush()


def test_the_end_waits_no_longer_than_it_may(made):
    send = Sent()
    send.open.clear()
    one = made(send, closing_s=1.5)
    one.put(items(b"x"))
    assert send.begun.wait(10)
    began_s = CLOCK.monotonic_s()
    one.close()
    assert CLOCK.monotonic_s() - began_s < 2.8


def test_who_waits_has_what_was_put_off_tried_at_once(made, monkeypatch):
    monkeypatch.setattr(outbox, "RETRY_S", 60.0)
    one = made(Sent(Unavailable("gone", retry_after_s=0)))
    one.put(items(*[b"x"] * 5))
    until(lambda: one.usage().failing, "the failure")
    one.flush()
    assert one.usage().counts == {"sent": 5}


def test_a_wait_that_the_service_asked_for_is_kept(made):
    send = Sent(Unavailable("busy", retry_after_s=60))
    one = made(send, closing_s=0.1)
    one.put(items(b"x"))
    until(lambda: one.usage().failing, "the failure")
    with pytest.raises(Unavailable, match="busy"):
        one.flush()
    assert send.calls == 1


def test_a_flush_that_is_interrupted_hurries_nobody_for_ever(made, monkeypatch):
    one = made(Sent())

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(one._changed, "wait_for", interrupted)
        with pytest.raises(KeyboardInterrupt):
            one.flush()
    assert one._hurried == 0


@pytest.mark.parametrize("where", ["token", "edit_token", "HELIOGRAPH_TOKEN"])
@pytest.mark.parametrize("token", ["hg_secret\n", "hg_secret\r\nX: y", "hg_secret_€"])
def test_a_token_that_no_header_can_have_is_told_at_once(tmp_path, monkeypatch, where, token):
    storage = {"backend": "timeseries_db", "connection_string": "http://127.0.0.1:9"}
    if where.isupper():
        monkeypatch.setenv(where, token)
    else:
        storage[where] = token
    log = {"log_path": str(tmp_path / "log.jsonl"), "enable_console": False}
    with pytest.raises(ConfigError, match="the token has a line end") as told:
        BridgeTelemetry({"logger_config": log, "storage_config": storage})
    assert "secret" not in str(told.value)


def test_what_is_wrong_with_a_request_is_no_answer():
    store = RemoteStore("http://127.0.0.1:9", {}, SystemClock(), "s-1")
    store._exchange._headers["X"] = "a\nb"
    with pytest.raises(Unavailable, match="no answer: ValueError"):
        store._exchange.ask("POST", "/v1/metrics", b"[]")


class Requests(Sent):
    """Keeps each request, and what was asked of it."""

    def __call__(self, path, items):
        super().__call__(path, [(path, item) for item in items])
        self.requests = [*getattr(self, "requests", []), (path, len(items))]


def alternating(count):
    return [(("/m", "/e")[n % 2], b"%d" % n) for n in range(count)]


def test_paths_that_take_turns_are_sent_in_batches_of_each(made):
    send = Requests()
    send.open.clear()
    one = made(send, batch_max=100)
    one.put([("/m", b"first")])
    assert send.begun.wait(20)
    one.put(alternating(100))
    send.open.set()
    one.flush()

    assert send.requests[:1] == [("/m", 1)]
    assert send.requests[1:] in ([("/m", 50), ("/e", 50)], [("/e", 50), ("/m", 50)])
    for path in ("/m", "/e"):
        put = [pair for pair in [("/m", b"first"), *alternating(100)] if pair[0] == path]
        assert [pair for pair in send.items if pair[0] == path] == put


def test_a_flush_of_paths_that_take_turns_waits_for_all_of_them(made):
    send = Requests()
    one = made(send, batch_max=10)
    for _ in range(5):
        one.put(alternating(40))
        one.flush()
        assert one.usage().percentage == 0

    assert len(send.items) == one.counts["sent"] == 200


def test_of_paths_that_take_turns_what_is_left_at_close_is_counted(made):
    send = Requests(*[Unavailable("down", retry_after_s=0)] * 50)
    one = made(send, batch_max=10, closing_s=0.05)
    one.put(alternating(40))
    one.close()

    until(lambda: one.counts["lost"] == 40, "all to be given up")
    assert one.usage().percentage == 0


@pytest.mark.parametrize("before", [0, 3])
def test_a_handler_that_flushes_in_the_middle_of_a_put_loses_nothing(made, before):
    send = Requests()
    one = made(send)
    one.put(alternating(before))
    handled = []

    class Waiting(dict):
        """Where it says what a path has, a signal handler flushes."""

        def setdefault(self, path, default):
            found = super().setdefault(path, default)
            if not handled:
                handled.append(path)
                one.put([("/other", b"handler's")])
                one.flush()
            return found

    one._waiting = Waiting(one._waiting)
    one.put(items(b"mine"))
    one.flush()

    assert len(send.items) == one.counts["sent"] == before + 2
    assert one.usage().percentage == 0
