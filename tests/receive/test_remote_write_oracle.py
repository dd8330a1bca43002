"""Any message at all, beside protobuf's own decoder; any bytes at all; both kernels, warm and cold."""

from unittest import mock

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.core import labels as label
from heliograph.core.errors import Refused
from heliograph.core.samples import STALE_BITS
from heliograph.core.series import SeriesTable
from heliograph.kernels import remote_write as kernel
from heliograph.receive import remote_write
from tests.protobuf import BYTES, DOUBLE, INT64, ONE, REPEATED, message_class, varint
from tests.twins import plain

MS_MAX = 9_223_372_036_854

# Texts are bytes here, for what is not UTF-8 is ours to reject, series by series; and what we count
# without opening is bytes too.
SCHEMA = {
    "Label": [("name", 1, ONE, BYTES), ("value", 2, ONE, BYTES)],
    "Sample": [("value", 1, ONE, DOUBLE), ("timestamp", 2, ONE, INT64)],
    "TimeSeries": [
        ("labels", 1, REPEATED, ".Label"),
        ("samples", 2, REPEATED, ".Sample"),
        ("exemplars", 3, REPEATED, BYTES),
        ("histograms", 4, REPEATED, BYTES),
    ],
    "WriteRequest": [
        ("timeseries", 1, REPEATED, ".TimeSeries"),
        ("metadata", 3, REPEATED, BYTES),
    ],
}


WriteRequest = message_class(SCHEMA, "WriteRequest")


KERNELS = {"python": plain("remote_write")} | ({"compiled": kernel} if kernel.COMPILED else {})


@st.composite
def delimited(draw, number, content):
    """A length-delimited field; now and then with a tag or length longer than need be."""
    longer = draw(st.sampled_from([0] * 9 + [1]))
    body = draw(content) if isinstance(content, st.SearchStrategy) else content
    return varint(number << 3 | 2, longer=longer) + varint(len(body), longer=longer) + body


numbers = st.integers(5, 40) | st.sampled_from([2**29 - 1, 1000])
unknown = (
    st.builds(lambda n, v: varint(n << 3) + varint(v), numbers, st.integers(0, 2**64 - 1))
    | st.builds(lambda n, v: varint(n << 3 | 1) + v, numbers, st.binary(min_size=8, max_size=8))
    | st.builds(lambda n, v: varint(n << 3 | 5) + v, numbers, st.binary(min_size=4, max_size=4))
    | st.integers(5, 40).flatmap(lambda n: delimited(n, st.binary(max_size=5)))
)


def joined(*fields, most=6):
    """Any of *fields*, in any order and number, unknown ones among them."""
    usual = st.lists(st.one_of(*fields), max_size=most)
    strange = st.lists(st.one_of(*fields, unknown), max_size=most)
    return (usual | usual | strange).map(b"".join)


texts = st.sampled_from([b"__name__", b"job", b"up", b"", b"\xc3\xbc", b"\xff"]) | st.binary(
    max_size=4
)
bits = st.sampled_from([STALE_BITS, 0, 1 << 63, 0x7FF << 52]) | st.integers(0, 2**64 - 1)
times = st.sampled_from(
    [
        0,
        -1,
        MS_MAX,
        MS_MAX + 1,
        -MS_MAX,
        -MS_MAX - 1,
        2**63 - 1,
        -(2**63),
        2**35 - 1,
        2**35,
        2**42,
    ]
) | st.integers(2**40, 2**41)

value = bits.map(lambda b: b"\x09" + b.to_bytes(8, "little"))
time = st.builds(
    lambda t, more: b"\x10" + varint(t, longer=more),
    times,
    st.sampled_from([0, 0, 0, 1]).map(int),
).filter(lambda raw: len(raw) <= 11)
usual_sample = st.builds(lambda v, t: v + t, value, time) | time
samples = delimited(2, usual_sample | usual_sample | joined(value, time, most=3))
usual_label = st.builds(lambda n, v: n + v, delimited(1, texts), delimited(2, texts))
labels = delimited(1, usual_label | joined(delimited(1, texts), delimited(2, texts), most=3))
named = st.just(b"\x0a\x0e\x0a\x08__name__\x12\x02up")
counted = delimited(3, st.binary(max_size=3)) | delimited(4, st.binary(max_size=3))
usual_series = st.builds(
    lambda n, ls, s: n + b"".join(ls) + s, named, st.lists(labels, max_size=2), samples
)
series = delimited(
    1,
    usual_series
    | joined(named, labels, samples, samples)
    | joined(named, labels, samples, counted),
)
# A few series again and again: what is known already is what this is about.
requests = st.lists(series, min_size=1, max_size=4).flatmap(
    lambda some: joined(
        *(st.just(s) for s in some), series, delimited(3, st.binary(max_size=3)), most=8
    )
)


def canonical(pairs):
    """The labels of a message's *pairs* by the rules in words, or None."""
    present = [(name, text) for name, text in pairs if text]
    try:
        found = label.of((name.decode(), text.decode()) for name, text in present)
    except (UnicodeDecodeError, ValueError):
        return None
    return found if label.get(found, "__name__") else None


def expected(raw):
    """(samples kept, samples lost, histograms, exemplars, metadata), by protobuf's decoder."""
    message = WriteRequest.FromString(raw)
    kept, lost = [], 0
    for one in message.timeseries:
        found = canonical([(pair.name, pair.value) for pair in one.labels])
        for sample in one.samples:
            if found is None or not -MS_MAX <= sample.timestamp <= MS_MAX:
                lost += 1
                continue
            kept.append(
                (found, sample.timestamp, np.float64(sample.value).view(np.uint64).item())
            )
    return (
        kept,
        lost,
        sum(len(one.histograms) for one in message.timeseries),
        sum(len(one.exemplars) for one in message.timeseries),
        len(message.metadata),
    )


def seen(table, received):
    batch = received.batch
    return (
        [
            (table.labels(series), at_ns // 10**6, value)
            for series, at_ns, value in zip(
                batch.series.tolist(),
                batch.at_ns.tolist(),
                batch.value.view(np.uint64).tolist(),
                strict=True,
            )
        ],
        received.samples_rejected,
        received.histograms,
        received.exemplars,
        received.metadata,
    )


def outcomes(raw, *, before=b""):
    """What each kernel makes of *raw*: cold, again, and once more after *before*."""
    for module in KERNELS.values():
        with mock.patch.object(remote_write, "kernel", module):
            table = SeriesTable(1000)
            decoder = remote_write.Decoder(table, remote_write.Limits())
            for again in range(3):
                if again == 2:
                    decoder.decode(before, arrival_ns=0)
                try:
                    received = decoder.decode(raw, arrival_ns=0)
                except Refused as error:
                    yield error.status, error.detail
                else:
                    assert received.samples_rejected + received.histograms == sum(
                        received.rejected_by_reason.values()
                    )
                    yield seen(table, received)


@settings(max_examples=250)
@given(requests)
def test_a_message_is_read_as_protobuf_reads_it(raw):
    wanted = expected(raw)

    for outcome in outcomes(raw):
        assert outcome == wanted


@settings(max_examples=60)
@given(st.lists(requests, min_size=2, max_size=4))
def test_what_was_received_before_changes_nothing(bodies):
    for module in KERNELS.values():
        with mock.patch.object(remote_write, "kernel", module):
            table = SeriesTable(1000)
            warm = remote_write.Decoder(table, remote_write.Limits(), known_bytes_max=600)
            for raw in bodies:
                assert seen(table, warm.decode(raw, arrival_ns=0)) == expected(raw)


def agree(raw, before=b""):
    """Both kernels, cold and warm, say the same; and what they accept, protobuf accepts likewise."""
    first, *others = outcomes(raw, before=before)
    for outcome in others:
        assert outcome == first
    if first[0] in (400, 413):
        return
    assert first == expected(raw)


@settings(max_examples=300)
@given(requests, st.data())
def test_a_damaged_message_is_refused_or_read_as_protobuf_reads_it(raw, data):
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        if damaged:
            at = data.draw(st.integers(0, len(damaged) - 1))
            kind = data.draw(st.sampled_from(["change", "cut", "drop", "insert"]))
            byte = data.draw(st.integers(0, 255))
            if kind == "change":
                damaged[at] = byte
            elif kind == "cut":
                del damaged[at:]
            elif kind == "drop":
                del damaged[at]
            else:
                damaged.insert(at, byte)

    agree(bytes(damaged), before=raw)


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_read_as_protobuf_reads_them(raw):
    agree(raw)


@settings(max_examples=100)
@given(st.binary(max_size=40))
def test_what_protobuf_refuses_we_refuse(raw):
    try:
        WriteRequest.FromString(raw)
    except DecodeError:
        assert all(outcome[0] == 400 for outcome in outcomes(raw))


@pytest.mark.parametrize("module", KERNELS.values(), ids=KERNELS)
def test_a_series_at_the_bounds_of_the_quick_path(module):
    # Labels so long that the length of the series takes one, two and three bytes; samples of 18
    # and of 9 bytes; as the last of the message, and not.
    for size in (1, 80, 100, 127, 128, 4000, 16_300, 16_350, 16_384, 20_000, 2**21):
        text = b"\x0a\x01a\x12" + varint(size) + b"v" * size
        head = b"\x0a\x0e\x0a\x08__name__\x12\x02up\x0a" + varint(len(text)) + text
        for sample in (
            b"\x12\x10\x09" + b"\x12\x07" * 4 + b"\x10" + varint(2**40),
            b"\x12\x07\x10" + varint(2**40),
            b"\x12\x11\x09" + bytes(8) + b"\x10" + varint(2**42),
        ):
            one = b"\x0a" + varint(len(head + sample)) + head + sample
            with mock.patch.object(remote_write, "kernel", module):
                table = SeriesTable(10)
                limits = remote_write.Limits(label_value_bytes=2**22)
                decoder = remote_write.Decoder(table, limits)
                for _ in range(2):
                    assert seen(table, decoder.decode(one * 3, arrival_ns=0)) == expected(
                        one * 3
                    )
