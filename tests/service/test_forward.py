"""A forward against a receiver that does everything a receiver may do to it."""

import email.utils
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import pytest

from heliograph.core.clock import SystemClock
from heliograph.core.errors import Unavailable
from heliograph.core.matcher import parse
from heliograph.core.samples import STALE_BITS, SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.enrich.attribute import Span
from heliograph.service import forward
from heliograph.service.forward import Forward, Sources, Target, names_of
from heliograph.service.forward_requests import Requests, Selection
from heliograph.service.meters import Meters
from heliograph.service.supervisor import Supervisor
from heliograph.store.log.log import Log, LogLimits
from heliograph.store.log.reader import Reader
from heliograph.store.prometheus import sender as sending
from heliograph.store.prometheus.sender import Sender
from heliograph.store.state.state import State
from heliograph.workloads.directory import Owner
from tests.service.live import until
from tests.service.sink import RESET, Sink, packed, samples_of

FILE_BYTES_MAX = 4096
MS_NS = 1_000_000
BEGIN_MS = 1_795_311_305_000
AFTER, BEFORE = 2**63 - 1, -(2**63)


@pytest.fixture
def sink():
    opened = Sink()
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    monkeypatch.setattr(forward, "BACKOFF_S_MIN", 0.02)
    monkeypatch.setattr(forward, "BACKOFF_S_MAX", 0.05)
    # As in life, what is sent together is less than a file.
    monkeypatch.setattr(forward, "READ_BYTES_MAX", FILE_BYTES_MAX // 4)


class Bench:
    """A log that is written by hand, and forwards on it."""

    def __init__(self, folder):
        self.clock = SystemClock()
        self.folder = folder
        self.table = SeriesTable(100_000)
        self.state = State.open(None, folder, self.clock)
        self.log = Log(
            folder / "log", self.table, self.clock, LogLimits(file_bytes_max=FILE_BYTES_MAX)
        )
        self.log.open()
        self.meters = Meters()
        self.supervisor = Supervisor(self.meters.registry)
        self.owned = {}
        self.forwards = []

    def spans(self, labels):
        return self.owned.get(dict(labels).get("gpu"), ())

    def forward(
        self, url, *match, keep_original=True, hold_ns=0, queue_bytes=1 << 30, name=None
    ):
        """A started forward to *url*."""
        selection = Selection([parse(one) for one in match], keep_original, "workload_")
        made = Forward(
            Target(name or names_of([(url, match)])[0], selection, hold_ns, queue_bytes),
            Sender(url, self.clock),
            Sources(self.log, self.state, self.table, self.spans),
            self.supervisor,
            self.meters,
            self.clock,
        )
        made.start()
        self.forwards.append(made)
        return made

    def write(self, *samples, labels=None):
        """One frame: (name, ms from the beginning, value) each."""
        ids = [self.table.intern(packed(name=name, **(labels or {}))) for name, _, _ in samples]
        self.log.append_samples(
            SampleBatch(
                np.array(ids, np.uint32),
                np.array([(BEGIN_MS + ms) * MS_NS for _, ms, _ in samples], np.int64),
                np.array([value for _, _, value in samples], np.float64),
            )
        )
        self.log.commit()

    def dropped(self, reason):
        return self.meters.dropped.value("samples", reason)

    def close(self):
        for one in self.forwards:
            one.close()
        self.log.close()
        self.state.close()
        assert not self.supervisor.failed.is_set()


@contextmanager
def bench_on(folder):
    opened = Bench(folder)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def bench(tmp_path):
    with bench_on(tmp_path) as opened:
        yield opened


def sent(sink, name="up"):
    """(ms from the beginning, value) of *name*, as the sink took them."""
    return [(ms - BEGIN_MS, value) for ms, value in sink.points().get(name, [])]


def caught_up(one, bench):
    return lambda: one.position >= bench.log.end


RETRIED = [
    ("unavailable", [503, 503]),
    ("unavailable for a second", [(503, {"Retry-After": "0"})]),
    ("too many", [429]),
    ("a bug of theirs", [500, 502]),
    ("a time-out of theirs", [408]),
    ("a connection that breaks", [RESET, RESET]),
]


@pytest.mark.parametrize("script", [pytest.param(s, id=name) for name, s in RETRIED])
def test_what_may_pass_later_is_sent_again_in_order(bench, sink, script):
    sink.script += script
    one = bench.forward(sink.url)
    for n in range(3):
        bench.write(("up", n, float(n)))
    until(caught_up(one, bench), "everything sent")

    assert sent(sink) == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert bench.dropped("forward_refused") == bench.dropped("forward_queue") == 0
    assert one.last_error == ""


@pytest.mark.parametrize("status", [400, 401, 404, 413, 301])
def test_what_is_refused_for_good_is_sent_once_counted_and_passed(bench, sink, status):
    sink.script += [status]
    one = bench.forward(sink.url)
    bench.write(("up", 0, 1.0), ("up", 1, 1.0))
    until(caught_up(one, bench), "the refusal")
    assert one.last_error == f"{status} words of the sink"
    bench.write(("up", 2, 2.0))
    until(caught_up(one, bench), "the rest")

    assert [taken.status for taken in sink.taken] == [status, 204]
    assert sent(sink) == [(2, 2.0)]
    assert bench.dropped("forward_refused") == 2
    assert one.last_error == ""


def test_retry_after_is_waited_for_in_seconds_and_as_a_date(bench, sink):
    sink.script += [(503, {"Retry-After": "1"})]
    one = bench.forward(sink.url)
    bench.write(("up", 0, 1.0))
    until(caught_up(one, bench), "the second attempt")
    assert sink.taken[1].at_s - sink.taken[0].at_s >= 1.0

    at = datetime.fromtimestamp(bench.clock.now_ns() / 1e9 + 2, UTC)
    sink.script += [(429, {"Retry-After": email.utils.format_datetime(at, usegmt=True)})]
    bench.write(("up", 1, 1.0))
    until(caught_up(one, bench), "the second attempt")
    # A date has no fraction of a second.
    assert 0.9 <= sink.taken[3].at_s - sink.taken[2].at_s <= 3.0


@pytest.mark.parametrize("header", ["", "soon", "-1", "1e3", "Mon, 99 Nov 2026", "٣"])
def test_a_retry_after_that_says_nothing_is_no_wait(sink, header):
    asked = Sender(sink.url, SystemClock())
    assert asked._retry_after_s(header) == 0.0
    assert asked._retry_after_s("9" * 4000) == sending.RETRY_AFTER_S_MAX
    asked.close()


def test_a_receiver_that_hangs_is_given_up_and_tried_again(bench, sink, monkeypatch):
    monkeypatch.setattr(sending, "TIMEOUT_S", 0.2)
    sink.hold.clear()
    one = bench.forward(sink.url)
    bench.write(("up", 0, 1.0))
    until(lambda: len(sink.taken) > 1, "a second attempt")
    assert one.last_error == "no answer: ReadTimeout"
    sink.hold.set()
    until(caught_up(one, bench), "everything sent")

    assert set(sent(sink)) == {(0, 1.0)}


def test_a_request_says_what_it_is(bench, sink):
    one = bench.forward(sink.url)
    bench.write(("up", 0, 1.0))
    until(caught_up(one, bench), "everything sent")

    headers = {name.lower(): value for name, value in sink.taken[0].headers.items()}
    assert headers["user-agent"].startswith("heliograph")
    assert headers["x-prometheus-remote-write-version"] == "0.1.0"
    assert (headers["content-encoding"], headers["content-type"]) == (
        "snappy",
        "application/x-protobuf",
    )


def test_the_oldest_goes_first_and_every_lost_sample_is_counted(bench, sink):
    sink.default = 503
    one = bench.forward(sink.url, queue_bytes=3 * FILE_BYTES_MAX)
    frames = 400
    for n in range(frames):
        bench.write(("up", 2 * n, 1.0), ("up", 2 * n + 1, 1.0))
    kept_bytes = 4 * FILE_BYTES_MAX
    until(lambda: bench.dropped("forward_queue") > 0, "a full queue")

    def trimmed():
        bench.log.trim(one.position)
        return bench.log.disk_bytes < kept_bytes

    until(trimmed, "a log within its bound")
    sink.default = 204
    until(caught_up(one, bench), "the rest sent")

    came = [ms for ms, _ in sent(sink)]
    assert came == list(range(came[0], 2 * frames))
    assert bench.dropped("forward_queue") == came[0]
    assert bench.meters.forwarded.value(one.target.name, "given_up") == came[0]


def test_what_was_sent_of_given_up_frames_is_not_counted_as_lost(bench, sink, monkeypatch):
    monkeypatch.setattr("heliograph.service.forward_requests.SAMPLES_PER_REQUEST", 10)
    sink.script += [204]
    sink.default = 503
    one = bench.forward(sink.url, queue_bytes=2 * FILE_BYTES_MAX)
    bench.write(*((f"m{n:02}", 0, 1.0) for n in range(30)))
    until(lambda: len(sink.taken) > 2, "a request sent and a request refused")
    for n in range(1, 300):
        bench.write(("late", n, 1.0))
    until(lambda: bench.dropped("forward_queue") > 0, "a full queue")
    sink.default = 204
    until(caught_up(one, bench), "the rest sent")

    arrived = sum(len(points) for points in sink.points().values())
    assert arrived + bench.dropped("forward_queue") == 30 + 299
    assert len([name for name in sink.points() if name != "late"]) == 10


def test_two_forwards_do_not_disturb_each_other(bench, sink):
    dead = bench.forward("http://127.0.0.1:9/write", queue_bytes=2 * FILE_BYTES_MAX)
    alive = bench.forward(sink.url, 'kind="kept"')
    for n in range(200):
        bench.write(("up", n, 1.0), labels={"kind": "kept"})
        bench.write(("down", n, 1.0))
    until(caught_up(alive, bench), "everything sent to the one alive")

    assert sent(sink) == [(n, 1.0) for n in range(200)]
    assert "down" not in sink.points()
    assert alive.last_error == ""
    assert dead.last_error == "no answer: ConnectError"
    until(lambda: bench.dropped("forward_queue") > 0, "the dead one's queue to overflow")
    assert sent(sink) == [(n, 1.0) for n in range(200)]


def test_a_new_life_goes_on_at_the_cursor_with_nothing_lost(tmp_path, sink):
    with bench_on(tmp_path) as first:
        one = first.forward(sink.url)
        first.write(("up", 0, 0.0))
        until(caught_up(one, first), "the first")
        sink.default = 503
        first.write(("up", 1, 1.0))
        until(lambda: sink.taken[-1].status == 503, "a receiver that is down")
    sink.default = 204
    with bench_on(tmp_path) as second:
        one = second.forward(sink.url)
        second.write(("up", 2, 2.0))
        until(caught_up(one, second), "the rest")
    assert sent(sink) == [(0, 0.0), (1, 1.0), (2, 2.0)]


@pytest.mark.parametrize("where", ["read", "save"])
def test_a_store_that_does_not_answer_for_a_moment_is_waited_for(
    bench, sink, monkeypatch, where
):
    refusals = iter([Unavailable("no descriptor left")] * 3)

    def failing(work):
        def tried(*args, **kwargs):
            for error in refusals:
                raise error
            return work(*args, **kwargs)

        return tried

    if where == "read":
        monkeypatch.setattr(Reader, "read", failing(Reader.read))
    else:
        monkeypatch.setattr(bench.state, "write", failing(bench.state.write))
    one = bench.forward(sink.url)
    bench.write(("up", 0, 0.0), ("up", 1, 1.0))
    until(caught_up(one, bench), "everything sent")
    until(lambda: next(refusals, None) is None, "all refusals")
    bench.write(("up", 2, 2.0))
    until(caught_up(one, bench), "the rest")

    assert list(dict.fromkeys(sent(sink))) == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert not bench.supervisor.failed.is_set()


def test_samples_are_held_for_metadata_that_comes_later(bench, sink):
    one = bench.forward(sink.url, hold_ns=300 * MS_NS)
    written_s = bench.clock.monotonic_s()
    bench.write(("up", 0, 1.0), labels={"gpu": "0"})
    bench.owned["0"] = (Span(BEFORE, AFTER, owner("a"), "device", None),)
    until(caught_up(one, bench), "everything sent")

    assert sink.taken[0].at_s - written_s >= 0.29
    assert set(sink.points()) == {"up", "workload_up"}


def owner(who):
    return Owner(f"pod-{who}", f"p-{who}", "train", "w", "w-1", "Job", "w-1")


def spans_of_two(swap_ms):
    """Pod a until *swap_ms*, pod b from there."""
    swap_ns = (BEGIN_MS + swap_ms) * MS_NS
    return (
        Span(BEFORE, swap_ns, owner("a"), "device", None),
        Span(swap_ns, AFTER, owner("b"), "device", None),
    )


def body_of(batch, table, spans, *, keep_original=True):
    made = Requests(Selection((), keep_original, "workload_"), table, lambda _: spans)
    return [(request, samples_of(request.body)) for request in made.of(batch)]


def batch_of(table, *samples):
    series = table.intern(packed(name="m", gpu="0"))
    return SampleBatch(
        np.full(len(samples), series, np.uint32),
        np.array([(BEGIN_MS + ms) * MS_NS for ms, _ in samples], np.int64),
        np.array([value for _, value in samples], np.float64),
    )


@pytest.mark.parametrize("keep_original", [True, False])
def test_copies_are_cut_where_the_owner_changes(keep_original):
    table = SeriesTable(10)
    batch = batch_of(table, (0, 0.0), (10, 1.0), (20, 2.0))
    [(request, samples)] = body_of(batch, table, spans_of_two(10), keep_original=keep_original)

    seen = [(one["__name__"], one.get("pod_name"), ms - BEGIN_MS) for one, ms, _ in samples]
    original = [("m", None, 0), ("m", None, 10), ("m", None, 20)]
    copies = [
        ("workload_m", "pod-a", 0),
        ("workload_m", "pod-b", 10),
        ("workload_m", "pod-b", 20),
    ]
    assert seen == (original if keep_original else []) + copies
    assert (request.samples, request.taken) == (len(seen), 3)


def test_times_ascend_and_the_later_of_two_wins():
    table = SeriesTable(10)
    batch = batch_of(table, (20, 2.0), (10, 1.0), (20, 3.0), (10, 1.5))
    [(request, samples)] = body_of(batch, table, ())

    assert [(ms - BEGIN_MS, value) for _, ms, value in samples] == [(10, 1.5), (20, 3.0)]
    assert (request.samples, request.taken) == (2, 4)


def test_values_keep_their_bits():
    table = SeriesTable(10)
    bits = np.array([STALE_BITS, 0x7FF8000000000001, 0xFFF0000000000000, 1 << 63], np.uint64)
    batch = batch_of(table, *enumerate(bits.view(np.float64)))
    [(_, samples)] = body_of(batch, table, spans_of_two(0))

    got = np.array([value for _, _, value in samples]).view(np.uint64)
    assert got.tolist() == [*bits.tolist()] * 2


def test_a_batch_becomes_requests_of_bounded_size(monkeypatch):
    monkeypatch.setattr("heliograph.service.forward_requests.SAMPLES_PER_REQUEST", 4)
    table = SeriesTable(100)
    ids = [table.intern(packed(name=f"m{n}")) for n in range(10)]
    batch = SampleBatch(
        np.array(ids, np.uint32), np.full(10, BEGIN_MS * MS_NS, np.int64), np.arange(10.0)
    )
    requests = [request for request, _ in body_of(batch, table, ())]
    assert [(request.samples, request.taken) for request in requests] == [
        (4, 4),
        (4, 4),
        (2, 2),
    ]


def test_names_hold_no_secret_and_are_told_apart():
    urls = [
        ("http://user:secret@vm:8428/api/v1/write?token=secret@x", ()),
        ("http://b:1/w", ("a=1",)),
        ("http://b:1/w", ("a=2",)),
    ]
    first, second, third = names_of(urls)

    assert first == "vm:8428/api/v1/write"
    assert second != third
    assert {second[:7], third[:7]} == {"b:1/w#" + second[6], "b:1/w#" + third[6]}
    assert names_of(urls[::-1]) == [third, second, first]
