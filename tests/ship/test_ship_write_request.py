"""Requests, read back by protobuf: labels, values bit by bit, ends of series, sizes."""

import math
import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.series import SeriesTable
from heliograph.instruments.family import Exemplar
from heliograph.instruments.family import Point as Shown
from heliograph.receive import remote_write
from heliograph.ship import write_request
from heliograph.ship.family import Family, Point
from heliograph.ship.write_request import Encoder
from tests.ship.receiver import WriteRequest, is_stale, series_of

NOW_MS = 1_795_311_305_000


def gauge(name, *points):
    return Family(name, "gauge", "", "", [Point("", labels, value) for labels, value in points])


def read(requests):
    return series_of(WriteRequest.FromString(request.raw) for request in requests)


def bits(value):
    return struct.pack("<d", value)


def test_a_point_is_a_series_of_one_sample():
    encoder = Encoder({"job": "llm", "rank": "3"})
    counter = Family("steps", "counter", "", "", [Point("_total", (("a", "b"),), 7)])
    found = read(encoder.encode([counter, gauge("loss", ((), 0.25))], NOW_MS))

    assert found == [
        ("steps_total", {"a": "b", "job": "llm", "rank": "3"}, NOW_MS, 7.0, []),
        ("loss", {"job": "llm", "rank": "3"}, NOW_MS, 0.25, []),
    ]


def test_labels_of_a_point_win_and_empty_ones_are_none():
    encoder = Encoder({"rank": "3", "empty": ""})
    found = read(encoder.encode([gauge("up", ((("no", ""), ("rank", "4")), 1))], NOW_MS))

    assert found == [("up", {"rank": "4"}, NOW_MS, 1.0, [])]


@given(st.lists(st.floats(), max_size=20))
def test_values_are_copied_bit_by_bit(values):
    points = [(((("n", str(n))),), value) for n, value in enumerate(values)]
    found = read(Encoder({}).encode([gauge("x", *points)], NOW_MS))

    assert [bits(one[3]) for one in found] == [bits(value) for value in values]


def test_ints_beyond_a_double_are_infinite():
    big = [((), 10**400), ((("sign", "minus"),), -(10**400))]
    found = read(Encoder({}).encode([gauge("big", *big)], NOW_MS))

    assert [one[3] for one in found] == [math.inf, -math.inf]


def test_what_is_no_number_is_left_out_and_counted():
    encoder = Encoder({})
    points = [((("n", str(n)),), value) for n, value in enumerate((None, "1", 2.0, b"3", True))]
    found = read(encoder.encode([gauge("x", *points)], NOW_MS))

    assert [one[3] for one in found] == [2.0, 1.0]
    assert encoder.unreadable == 3


def test_a_series_that_is_gone_gets_one_stale_marker():
    encoder = Encoder({})
    both = [gauge("up", ((("n", "1"),), 1), ((("n", "2"),), 1))]
    one = [gauge("up", ((("n", "1"),), 2))]
    list(encoder.encode(both, NOW_MS))

    second = read(encoder.encode(one, NOW_MS + 1))
    third = read(encoder.encode(one, NOW_MS + 2))

    assert [(labels["n"], is_stale(value)) for _, labels, _, value, _ in second] == [
        ("1", False),
        ("2", True),
    ]
    assert [labels["n"] for _, labels, *_ in third] == ["1"]


def test_of_equal_series_the_first_is_sent_and_the_other_counted():
    encoder = Encoder({})
    found = read(encoder.encode([gauge("up", ((), 1)), gauge("up", ((), 2))], NOW_MS))

    assert [one[3] for one in found] == [1.0]
    assert encoder.duplicates == 1


def test_an_exemplar_travels_once():
    encoder = Encoder({})
    long = Exemplar((("trace_id", "t" * 200),), 0.5, NOW_MS / 1000 - 1)
    family = Family("wait", "histogram", "", "", [Shown("_bucket", (("le", "1"),), 3, long)])
    first = read(encoder.encode([family], NOW_MS))
    again = read(encoder.encode([family], NOW_MS + 1))

    [(name, labels, ms, value, [exemplar])] = first
    assert (name, labels, ms, value) == ("wait_bucket", {"le": "1"}, NOW_MS, 3.0)
    assert [(one.name, one.value) for one in exemplar.labels] == [("trace_id", "t" * 200)]
    assert (exemplar.value, exemplar.timestamp) == (0.5, NOW_MS - 1000)
    assert again == [("wait_bucket", {"le": "1"}, NOW_MS + 1, 3.0, [])]


def test_an_exemplar_without_a_time_has_that_of_the_reading():
    shown = Shown("_total", (), 3, Exemplar((), -0.0))
    [(*_, [exemplar])] = read(
        Encoder({}).encode([Family("a", "counter", "", "", [shown])], NOW_MS)
    )

    assert (exemplar.timestamp, bits(exemplar.value)) == (NOW_MS, bits(-0.0))


def test_a_lone_surrogate_costs_a_character():
    [(_, labels, *_)] = read(Encoder({}).encode([gauge("a", ((("b", "\ud800c"),), 1))], NOW_MS))

    assert labels == {"b": "?c"}


def test_many_series_are_many_requests():
    points = [((("n", str(n)), ("pad", "x" * 200)), n) for n in range(10_000)]
    requests = list(Encoder({}).encode([gauge("x", *points)], NOW_MS))

    assert len(requests) == 3
    assert all(len(one.raw) < write_request.REQUEST_BYTES_MAX + 1000 for one in requests)
    assert sum(one.samples for one in requests) == len(points)
    assert [one[3] for one in read(requests)] == list(range(10_000))


def test_the_service_reads_the_same():
    encoder = Encoder({"job": "llm"})
    points = [((("n", str(n)),), n / 7) for n in range(50)]
    [request] = encoder.encode([gauge("x", *points)], NOW_MS)
    table = SeriesTable(1000)
    received = remote_write.Decoder(table, remote_write.Limits()).decode(
        request.raw, arrival_ns=NOW_MS * 10**6
    )

    assert np.array_equal(received.batch.value, [n / 7 for n in range(50)])
    assert set(received.batch.at_ns.tolist()) == {NOW_MS * 10**6}
