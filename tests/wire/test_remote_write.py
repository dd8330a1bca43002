"""What we send, read back by protobuf's own decoder."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from heliograph.core import labels as label
from heliograph.core.samples import STALE_BITS
from heliograph.wire import remote_write
from tests.protobuf import DOUBLE, INT64, ONE, REPEATED, STRING, message_class

SCHEMA = {
    "Label": [("name", 1, ONE, STRING), ("value", 2, ONE, STRING)],
    "Sample": [("value", 1, ONE, DOUBLE), ("timestamp", 2, ONE, INT64)],
    "TimeSeries": [("labels", 1, REPEATED, ".Label"), ("samples", 2, REPEATED, ".Sample")],
    "WriteRequest": [("timeseries", 1, REPEATED, ".TimeSeries")],
}


WriteRequest = message_class(SCHEMA, "WriteRequest")

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
times = st.integers(-(2**63), 2**63 - 1) | st.integers(2**35 - 2, 2**42 + 2)
bits = st.integers(0, 2**64 - 1) | st.sampled_from([STALE_BITS, 1 << 63, 0])
samples = st.lists(st.tuples(times, bits), max_size=30) | st.lists(
    st.tuples(st.integers(2**40, 2**41), bits), min_size=12, max_size=20
)
series = st.lists(st.tuples(st.dictionaries(texts, texts, max_size=5), samples), max_size=5)


def columns(rows):
    at_ms = np.array([at for at, _ in rows], np.int64)
    return at_ms, np.array([value for _, value in rows], np.uint64).view(np.float64)


@given(series)
@example([({"__name__": "up"}, [(0, STALE_BITS)] * 12)])
@example([({"__name__": "up"}, [(2**42, 7)] + [(2**42 - 1, 7)] * 12)])
def test_what_is_sent_is_read_by_others_bit_by_bit(sent):
    raw = remote_write.encode(
        (label.of(labels), *columns(samples_of)) for labels, samples_of in sent
    )
    read = WriteRequest.FromString(raw)

    assert [
        (
            [(pair.name, pair.value) for pair in one.labels],
            [(s.timestamp, np.float64(s.value).view(np.uint64).item()) for s in one.samples],
        )
        for one in read.timeseries
    ] == [(sorted(labels.items()), samples_of) for labels, samples_of in sent]


def test_a_sample_is_18_bytes_of_the_documented_form():
    raw = remote_write.encode(
        [((("__name__", "up"),), np.array([1_795_308_197_229]), np.array([1.0]))]
    )

    assert raw.hex(" ") == (
        "0a 22 0a 0e 0a 08 5f 5f 6e 61 6d 65 5f 5f 12 02 75 70 "
        "12 10 09 00 00 00 00 00 00 f0 3f 10 ed aa d4 85 a0 34"
    )


def test_every_second_sample_of_an_array_is_not_its_neighbour():
    at_ms, value = np.arange(0, 40) + (1 << 40), np.arange(40.0)
    whole = remote_write.encode([((), at_ms[::2].copy(), value[::2].copy())])

    assert remote_write.encode([((), at_ms[::2], value[::2])]) == whole


def test_a_lone_surrogate_does_not_stop_a_forward():
    assert remote_write.label_fields((("a", "\ud800"),)) == b"\x0a\x06\x0a\x01a\x12\x01?"


def test_headers_are_those_of_the_specification():
    assert dict(remote_write.HEADERS) == {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
