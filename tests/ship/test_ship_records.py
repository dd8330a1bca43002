"""Records beside samples: cut into requests, spooled, posted to where records go, counted apart."""

import json
import zlib

import pytest

from heliograph.core.clock import ManualClock
from heliograph.ship import frame as framing
from heliograph.ship.counts import Counts
from heliograph.ship.frame import Frame
from heliograph.ship.post import Outcome, Poster, target
from heliograph.ship.record_requests import RECORDS_BYTES_MAX, RECORDS_MAX, cut
from heliograph.ship.sender import Sender
from heliograph.ship.shipper import Shipper
from heliograph.ship.spool import Spool


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://h:8989", "/v1/records"),
        ("http://h:8989/", "/v1/records"),
        ("http://h/v1/prometheus", "/v1/records"),
        ("https://h/below/v1/prometheus?tenant=a", "/below/v1/records?tenant=a"),
        ("http://vm:8428/api/v1/write", ""),
    ],
)
def test_where_records_go(url, path):
    assert target(url).records_path == path


def test_documents_are_cut_intocut():
    small = [b"%d" % n for n in range(2 * RECORDS_MAX + 1)]
    large = [b"x" * (RECORDS_BYTES_MAX // 2)] * 3 + [b"y" * (2 * RECORDS_BYTES_MAX)]

    assert [len(one) for one in cut(small)] == [RECORDS_MAX, RECORDS_MAX, 1]
    assert [document for one in cut(small) for document in one] == small
    assert [len(one) for one in cut(large)] == [1, 1, 1, 1]
    assert cut([]) == []


class Recorded(Poster):
    """Keeps what would be posted; answers *outcomes*, then `sent`."""

    def __init__(self, *outcomes):
        super().__init__(target("http://h"), ManualClock())
        self.posted = []
        self.outcomes = list(outcomes)

    def _attempt(self, path, body, headers):
        self.posted.append((path, headers["Content-Encoding"], body))
        return self.outcomes.pop(0) if self.outcomes else Outcome("sent")


def delivered(poster, *frames):
    counts, told = Counts(), []
    spool = Spool(counts, bytes_max=1 << 20)
    for frame in frames:
        spool.append(frame)
    sender = Sender(
        spool, poster, counts, clock=ManualClock(), compress=lambda raw: raw, warn=told.append
    )
    sender.wake()
    sender.finish(10.0)
    sender.run()
    return counts, told


def test_frames_go_where_they_belong_in_order():
    poster = Recorded()
    counts, _ = delivered(
        poster,
        Frame(framing.RECORDS, 2, b'{"a":1}\n{"a":2}'),
        Frame(framing.SAMPLES, 7, b"samples"),
    )

    (path, encoding, body), samples = poster.posted
    assert (path, encoding) == ("/v1/records", "gzip")
    assert zlib.decompress(body, 31) == b'{"a":1}\n{"a":2}'
    assert samples == ("/v1/prometheus", "snappy", b"samples")
    assert (counts.records["delivered"], counts.delivered) == (2, 7)


def test_refused_records_are_counted_as_records():
    counts, told = delivered(
        Recorded(Outcome("refused", "400")), Frame(framing.RECORDS, 3, b"{}")
    )

    assert (counts.records["refused"], counts.refused) == (3, 0)
    assert told == ["records are refused and dropped: 400"]


def test_a_spool_that_overflows_counts_records_apart():
    counts = Counts()
    spool = Spool(counts, bytes_max=2 * 4096)
    for kind, items in (
        (framing.RECORDS, 5),
        (framing.SAMPLES, 3),
        (framing.SAMPLES, 1),
        (framing.SAMPLES, 1),
    ):
        spool.append(Frame(kind, items, b"x"))

    assert (counts.records["dropped"], counts.dropped) == (5, 3)


def test_counts_of_records_are_shown_once_there_are_some():
    counts = Counts()

    def names():
        return [one.name for one in counts.families(bytes_waiting=0, frames=0, bytes_max=1)]

    assert "heliograph_ship_records_total" not in names()
    counts.records["collected"] = 1
    assert "heliograph_ship_records_total" in names()


def test_records_after_the_end_are_not_taken(tmp_path):
    shipper = Shipper(
        "http://127.0.0.1:1",
        list,
        spool_dir=tmp_path,
        every_s=60,
        exit_s=0.05,
        own_metrics=False,
    )
    shipper.records([json.dumps({"n": 1}).encode()])
    shipper.close()
    shipper.records([b"{}"])

    assert shipper.takes_records
    assert shipper.counts.records["collected"] == 1
    (kept,) = tmp_path.rglob("*.frame")
    assert framing.decode(kept.read_bytes()) == Frame(framing.RECORDS, 1, b'{"n": 1}')
