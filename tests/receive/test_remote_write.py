"""What a WriteRequest becomes: the rules one by one, real senders' bodies, probes of real servers."""

import json

import numpy as np
import pytest

from heliograph.core import labels as label
from heliograph.core.errors import Refused
from heliograph.core.samples import STALE_BITS
from heliograph.core.series import SeriesTable
from heliograph.receive.remote_write import (
    AHEAD_NS,
    BEHIND_NS,
    TOUCH_EVERY_NS,
    Decoder,
    Limits,
    require_content,
)
from heliograph.wire import snappy
from tests.protobuf import field, varint

NOW_MS = 1_795_308_197_229
NOW_NS = NOW_MS * 10**6
LIMITS = Limits(parts_max=1000)
UP = {"__name__": "up"}


def pair(name, value):
    name, value = (t.encode() if isinstance(t, str) else t for t in (name, value))
    return field(1, field(1, name) + field(2, value))


def sample(ms=NOW_MS, bits=0x3FF0000000000000):
    return field(2, b"\x09" + bits.to_bytes(8, "little") + b"\x10" + varint(ms))


def series(labels, *rest):
    pairs = labels.items() if isinstance(labels, dict) else labels
    return field(1, b"".join(pair(*p) for p in pairs) + b"".join(rest or [sample()]))


def decoder(table=None, limits=LIMITS, **more):
    return Decoder(SeriesTable(1000) if table is None else table, limits, **more)


def kept(table, received):
    """[(labels, at_ms, bits)] of what was received."""
    batch = received.batch
    assert [c.dtype for c in batch] == [np.uint32, np.int64, np.float64]
    assert not (batch.at_ns % 10**6).any()
    columns = (batch.series, batch.at_ns, batch.value.view(np.uint64))
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [(dict(table.labels(s)), at_ns // 10**6, bits) for s, at_ns, bits in rows]


ONE = 0x3FF0000000000000
MS_MAX = 9_223_372_036_854

# case, body, samples kept as (labels, ms, bits), {reason: how many are not}
RULES = [
    ("a series", series(UP), [(UP, NOW_MS, ONE)], {}),
    ("an empty request", b"", [], {}),
    ("an empty time series", field(1, b""), [], {}),
    ("labels only", field(1, pair("__name__", "up")), [], {}),
    ("bad labels without a sample lose nothing", field(1, pair("a", "b") * 2), [], {}),
    ("a sample without labels", series({}), [], {"no_labels": 1}),
    ("labels that are all empty are none", series({"__name__": ""}), [], {"no_labels": 1}),
    ("no name", series({"job": "a"}, sample(), sample()), [], {"no_name": 2}),
    ("an empty name", series({"__name__": "", "job": "a"}), [], {"no_name": 1}),
    ("an empty label name", series([("__name__", "up"), ("", "x")]), [], {"empty_label_name": 1}),
    (
        "an empty label value is an absent label",
        series({**UP, "job": ""}), [(UP, NOW_MS, ONE)], {},
    ),
    ("an absent label may have no name", series({**UP, "": ""}), [(UP, NOW_MS, ONE)], {}),
    (
        "an absent label is no duplicate",
        series([("__name__", "up"), ("a", ""), ("a", "b")]),
        [({**UP, "a": "b"}, NOW_MS, ONE)], {},
    ),
    (
        "a label twice, with the same value too",
        series([("__name__", "up"), ("a", "b"), ("a", "b")]), [], {"duplicate_label": 1},
    ),
    (
        "a label twice, apart",
        series([("a", "x"), ("__name__", "up"), ("a", "b")]), [], {"duplicate_label": 1},
    ),
    (
        "unsorted labels are sorted",
        series({"job": "a", "__name__": "up", "a": "b"}),
        [({"__name__": "up", "a": "b", "job": "a"}, NOW_MS, ONE)], {},
    ),
    (
        "names with dots, dashes, spaces, in any script",
        series({"__name__": "gpu.температура", "a-b c": "ü"}),
        [({"__name__": "gpu.температура", "a-b c": "ü"}, NOW_MS, ONE)], {},
    ),
    ("a value that is not UTF-8", series({**UP, "a": b"\xff"}), [], {"invalid_utf8": 1}),
    ("a name that is not UTF-8", series({**UP, b"\xc3": "a"}), [], {"invalid_utf8": 1}),
    (
        "a character cut in two by the end of a text",
        series([("__name__", b"up\xc3"), (b"\xbc", "a")]), [], {"invalid_utf8": 1},
    ),
    ("a surrogate is not UTF-8", series({**UP, "a": b"\xed\xa0\x80"}), [], {"invalid_utf8": 1}),
    (
        "the good beside the bad",
        series({"job": "a"}) + series(UP) + series({}),
        [(UP, NOW_MS, ONE)], {"no_name": 1, "no_labels": 1},
    ),
    (
        "two samples of a series, one of them again",
        series(UP, sample(1, 7), sample(2, 8), sample(1, 9)),
        [(UP, 1, 7), (UP, 2, 8), (UP, 1, 9)], {},
    ),
    (
        "a series twice in a request",
        series(UP, sample(1, 7)) + series({**UP, "a": ""}, sample(1, 8)),
        [(UP, 1, 7), (UP, 1, 8)], {},
    ),
    ("samples before labels", field(1, sample() + pair("__name__", "up")), [(UP, NOW_MS, ONE)], {}),
    (
        "labels on both sides of a sample",
        field(1, pair("a", "b") + sample() + pair("__name__", "up")),
        [({**UP, "a": "b"}, NOW_MS, ONE)], {},
    ),
    ("a stale marker", series(UP, sample(1, STALE_BITS)), [(UP, 1, STALE_BITS)], {}),
    ("another NaN", series(UP, sample(1, 0xFFF8DEADBEEF0001)), [(UP, 1, 0xFFF8DEADBEEF0001)], {}),
    ("minus zero", series(UP, sample(1, 1 << 63)), [(UP, 1, 1 << 63)], {}),
    ("minus infinity", series(UP, sample(1, 0xFFF << 52)), [(UP, 1, 0xFFF << 52)], {}),
    ("time 0, written", series(UP, sample(0)), [(UP, 0, ONE)], {}),
    ("an empty sample is 0.0 at 0", series(UP, field(2, b"")), [(UP, 0, 0)], {}),
    ("a value left out is 0.0", series(UP, field(2, b"\x10" + varint(NOW_MS))), [(UP, NOW_MS, 0)], {}),
    ("a time before 1970", series(UP, sample(-1)), [(UP, -1, ONE)], {}),
    ("the last time of nanoseconds", series(UP, sample(MS_MAX)), [(UP, MS_MAX, ONE)], {}),
    ("one later", series(UP, sample(MS_MAX + 1), sample()), [(UP, NOW_MS, ONE)], {"timestamp_range": 1}),
    ("the first time", series(UP, sample(-MS_MAX)), [(UP, -MS_MAX, ONE)], {}),
    ("one earlier", series(UP, sample(-MS_MAX - 1)), [], {"timestamp_range": 1}),
    ("the greatest int64", series(UP, sample(2**63 - 1)), [], {"timestamp_range": 1}),
    ("the least int64", series(UP, sample(-(2**63))), [], {"timestamp_range": 1}),
    (
        "a sample's fields in the other order, the last of each",
        series(UP, field(2, b"\x10\x05\x09" + bytes(8) + b"\x10\x06\x09" + (7).to_bytes(8, "little"))),
        [(UP, 6, 7)], {},
    ),
    (
        "the last name and value of a label",
        field(1, field(1, field(1, b"a") + field(1, b"__name__") + field(2, b"b") + field(2, b"up")) + sample()),
        [(UP, NOW_MS, ONE)], {},
    ),
    (
        "unknown fields everywhere",
        field(9, b"x") + b"\x80\x01\x05" + field(1, field(
            1, b"\x1d\x01\x02\x03\x04" + field(1, b"__name__") + b"\x20\x07" + field(2, b"up")
        ) + field(99, b"?") + field(2, b"\x19" + bytes(8) + b"\x10\x05") + b"\x29" + bytes(8)),
        [(UP, 5, 0)], {},
    ),
    ("tags and lengths longer than need be", b"\x8a\x00\x94\x80\x00" + series(UP, field(2, b"\x10\x05"))[2:], [(UP, 5, 0)], {}),
    ("a histogram is told of", series(UP, field(4, b"whatever")), [], {"histogram": 1}),
    ("a histogram beside samples", series(UP, field(4, b""), sample()), [(UP, NOW_MS, ONE)], {"histogram": 1}),
    ("an exemplar costs nothing", series(UP, field(3, b"whatever")), [], {}),
    ("metadata costs nothing", field(3, b"whatever"), [], {}),
    ("64 labels", series({**UP, **{f"l{i}": "v" for i in range(63)}}), [({**UP, **{f"l{i}": "v" for i in range(63)}}, NOW_MS, ONE)], {}),
    ("65 labels", series({**UP, **{f"l{i}": "v" for i in range(64)}}), [], {"too_many_labels": 1}),
    ("a name of 256 bytes", series({**UP, "ü" * 128: "v"}), [({**UP, "ü" * 128: "v"}, NOW_MS, ONE)], {}),
    ("a name of 257", series({**UP, "n" * 257: "v"}), [], {"label_name_bytes": 1}),
    ("a value of 4096 bytes", series({**UP, "a": "v" * 4096}), [({**UP, "a": "v" * 4096}, NOW_MS, ONE)], {}),
    ("a value of 4097", series({**UP, "a": "v" * 4097}), [], {"label_value_bytes": 1}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "expected", "lost"), [pytest.param(*row, id=case) for case, *row in RULES]
)
def test_rule(body, expected, lost):
    table = SeriesTable(1000)
    ours = decoder(table)
    for _ in range(3):
        received = ours.decode(body, arrival_ns=NOW_NS)

        assert kept(table, received) == expected
        assert received.rejected_by_reason == lost
        assert (received.shortfall == "") == (not lost)
        assert received.samples_rejected == sum(n for r, n in lost.items() if r != "histogram")
    assert len(table) == len({label.pack(label.of(labels)) for labels, *_ in expected})


def test_what_is_lost_is_told_with_its_place():
    body = series(UP) + series({"job": "a"}, sample(), sample()) + series(UP, sample(2**62))
    received = decoder().decode(body, arrival_ns=NOW_NS)

    assert received.series_rejected == 1
    assert [(r.index, r.reason) for r in received.rejected] == [
        (1, "no_name"),
        (2, "timestamp_range"),
    ]
    assert received.shortfall == (
        "3 of 4 samples were not written: 2 no_name, 1 timestamp_range "
        "(timeseries[1]: no __name__ in {job=a}; "
        "timeseries[2]: a time over 9223372036854 ms does not fit nanoseconds)"
    )


def test_the_list_of_what_is_lost_is_bounded_and_the_counts_are_not():
    received = decoder().decode(
        series({}) * 100 + series(UP, sample(2**62)) * 100 + series(UP, field(4, b"")) * 100,
        arrival_ns=NOW_NS,
    )

    assert len(received.rejected) == 16
    assert received.rejected_by_reason == {
        "no_labels": 100,
        "timestamp_range": 100,
        "histogram": 100,
    }


def test_exemplars_metadata_and_histograms_are_counted():
    body = field(3, b"") * 2 + series(UP, field(3, b"e") * 3, field(4, b"h") * 4, sample())
    received = decoder().decode(body, arrival_ns=NOW_NS)

    assert (received.metadata, received.exemplars, received.histograms) == (2, 3, 4)


def test_samples_far_from_their_arrival_are_kept_and_counted():
    ahead, behind = AHEAD_NS // 10**6, BEHIND_NS // 10**6
    times = (NOW_MS + ahead, NOW_MS + ahead + 1, NOW_MS - behind, NOW_MS - behind - 1, NOW_MS)
    received = decoder().decode(series(UP, *(sample(ms) for ms in times)), arrival_ns=NOW_NS)

    assert (received.batch.count, received.ahead, received.behind) == (5, 1, 1)


def test_a_full_table_rejects_new_series_only():
    table = SeriesTable(1)
    ours = decoder(table)
    for _ in range(2):
        received = ours.decode(series(UP) + series({"__name__": "down"}), arrival_ns=0)

        assert kept(table, received) == [(UP, NOW_MS, ONE)]
        assert received.rejected_by_reason == {"series_limit": 1}


def test_a_refused_message_interns_nothing():
    table = SeriesTable(1000)
    with pytest.raises(Refused):
        decoder(table).decode(series(UP) + b"\x0a\xff", arrival_ns=0)

    assert len(table) == 0


@pytest.mark.parametrize(
    "body", [series(UP), field(1, sample() * 2 + pair("__name__", "up")), field(1, b"")]
)
def test_more_parts_than_the_limit_are_413(body):
    ours = decoder(limits=Limits(parts_max=20))
    parts = 10 if body.count(b"\x12\x10\x09") == 2 else 20
    ours.decode(body * parts, arrival_ns=0)
    ours.decode(body * parts, arrival_ns=0)
    with pytest.raises(Refused) as caught:
        ours.decode(body * (parts + 1), arrival_ns=0)

    assert (caught.value.status, caught.value.code) == (413, "too_many_samples")


def test_columns_grow_with_the_message():
    rows = [(UP, ms, ms) for ms in range(900)]
    table = SeriesTable(10)
    body = series(UP, *(sample(ms, bits) for _, ms, bits in rows))

    assert kept(table, decoder(table).decode(body, arrival_ns=0)) == rows


def test_series_met_before_are_hits_in_every_form_of_their_samples():
    ours = decoder()
    forms = [
        sample(),
        field(2, b"\x10" + varint(NOW_MS)),
        sample(5),
        sample() * 2,
        field(2, b""),
    ]
    for form in forms:
        ours.decode(series(UP, form), arrival_ns=0)

    assert (ours.hits, ours.misses, ours.resets) == (4, 1, 0)


def test_the_memory_of_series_is_bounded():
    ours = decoder(known_bytes_max=1000)
    body = b"".join(series({"__name__": f"m{i}"}) for i in range(20))
    for _ in range(3):
        assert ours.decode(body, arrival_ns=0).batch.count == 20

    assert ours.resets > 3
    assert ours._known_bytes <= 1000


def test_a_forgotten_series_gets_a_new_id():
    table = SeriesTable(10)
    ours = decoder(table)
    before = ours.decode(series(UP), arrival_ns=0).batch.series.item()
    assert table.forget(idle_since_ns=1, in_use=frozenset()) == 1

    received = ours.decode(series(UP), arrival_ns=2)

    assert received.batch.series.item() == before + 1
    assert kept(table, received) == [(UP, NOW_MS, ONE)]


class Forgetful(SeriesTable):
    """Forgets all it can in the middle of the next decoding."""

    armed = False

    def touch(self, series, seen_ns):
        if self.armed:
            self.armed = False
            self.forget(idle_since_ns=seen_ns, in_use=frozenset())
        super().touch(series, seen_ns)


def test_a_series_forgotten_while_it_is_decoded_is_interned_again():
    table = Forgetful(10)
    ours = decoder(table)
    ours.decode(series(UP), arrival_ns=0)
    table.armed = True

    received = ours.decode(series(UP), arrival_ns=TOUCH_EVERY_NS)

    assert kept(table, received) == [(UP, NOW_MS, ONE)]


def test_series_are_touched_once_a_minute():
    seen = []

    class Table(SeriesTable):
        def touch(self, series, seen_ns):
            seen.append((series, seen_ns))

    ours = decoder(Table(10))
    two = series(UP) + series({"__name__": "down"})
    for body, at_ns in [
        (two, 5),
        (two, 6),
        (series({"__name__": "new"}) + two, 7),
        (series(UP), 5 + TOUCH_EVERY_NS),
        (two, 6 + TOUCH_EVERY_NS),
        (series(UP), 1),
    ]:
        ours.decode(body, arrival_ns=at_ns)

    assert seen == [
        ([0, 1], 5),
        ([2], 7),
        ([0], 5 + TOUCH_EVERY_NS),
        ([1], 6 + TOUCH_EVERY_NS),
        ([0], 1),
    ]


X_PROTOBUF = "application/x-protobuf"
ACCEPTED = [
    (X_PROTOBUF, "snappy"),
    (None, None),
    ("", ""),
    (None, "snappy"),
    (X_PROTOBUF, None),
    ("Application/X-Protobuf", "Snappy"),
    (f"{X_PROTOBUF};proto=prometheus.WriteRequest", "snappy"),
    (f'{X_PROTOBUF} ; Proto="prometheus.WriteRequest" ; charset=utf-8', " snappy "),
    (f"{X_PROTOBUF};", "snappy"),
]
UNSUPPORTED = [
    ("application/json", "snappy", "content-type"),
    ("image/png", "snappy", "content-type"),
    ("application/x-protobuffer", "snappy", "content-type"),
    (f"{X_PROTOBUF};proto=io.prometheus.write.v2.Request", "snappy", "content-type"),
    (f"{X_PROTOBUF}; PROTO = io.prometheus.write.v2.Request", "snappy", "content-type"),
    (f"{X_PROTOBUF};proto=", "snappy", "content-type"),
    (X_PROTOBUF, "gzip", "content-encoding"),
    (X_PROTOBUF, "zstd", "content-encoding"),
    (X_PROTOBUF, "deflate", "content-encoding"),
    (X_PROTOBUF, "identity", "content-encoding"),
    (X_PROTOBUF, "snappy, gzip", "content-encoding"),
]


@pytest.mark.parametrize(("content_type", "content_encoding"), ACCEPTED)
def test_content_that_is_ours(content_type, content_encoding):
    require_content(content_type, content_encoding)


@pytest.mark.parametrize(("content_type", "content_encoding", "at_fault"), UNSUPPORTED)
def test_other_content_is_415(content_type, content_encoding, at_fault):
    with pytest.raises(Refused) as caught:
        require_content(content_type, content_encoding)

    assert (caught.value.status, caught.value.field) == (415, at_fault)


def answer(ours, headers, body):
    """The status that a caller gives, and what was received."""
    headers = {name.lower(): value for name, value in headers.items()}
    try:
        require_content(headers.get("content-type"), headers.get("content-encoding"))
        raw = snappy.decompress(body, decoded_bytes_max=LIMITS.decoded_bytes_max)
        received = ours.decode(raw, arrival_ns=NOW_NS)
    except Refused as error:
        return error.status, None
    return (400 if received.shortfall else 204), received


def test_bodies_of_real_senders_decode_to_what_they_sent(shared_data):
    folder = shared_data / "recorded" / "remote_write"
    cases = json.loads((folder / "index.json").read_text())["cases"]
    assert len(cases) == 13
    table = SeriesTable(1000)
    ours = decoder(table)
    # Twice: the second time every series is known.
    for case in cases * 2:
        expect = case["expect"]
        status, received = answer(ours, case["headers"], (folder / case["file"]).read_bytes())

        assert status == 204, case["file"]
        assert kept(table, received) == [
            (one["labels"], s["timestamp_ms"], int(s["value_hex_le_double"], 16))
            for one in expect["timeseries"]
            for s in one["samples"]
        ]
        assert received.exemplars == expect["exemplars"]
        assert received.metadata == len(expect["metadata"])
    assert ours.hits > ours.misses > 0


PROBES_400 = {
    "no_metric_name", "no_labels", "empty_metric_name", "duplicate_label_name", "empty_label_name",
    "invalid_utf8_label_value", "mixed_valid_and_nameless", "not_snappy", "empty_body",
    "snappy_ok_bad_proto", "framed_snappy", "snappy_bomb_claimed_4GiB",
}  # fmt: skip
PROBES_415 = {
    "content_encoding_gzip", "content_encoding_zstd", "content_type_json",
    "content_type_v2_proto_with_v1_body",
}  # fmt: skip


def test_probes_of_real_servers_get_our_answer(shared_data):
    folder = shared_data / "rw1_probes"
    cases = json.loads((folder / "index.json").read_text())["cases"]
    assert len(cases) == 42
    table = SeriesTable(1000)
    ours = decoder(table)
    statuses = {}
    # `get_method` is the router's to answer, with 405.
    assert cases.pop()["name"] == "get_method"
    for case in cases:
        body = (folder / case["body_file"]).read_bytes()
        statuses[case["name"]], received = answer(ours, case["headers"], body)
        if case["name"] == "mixed_valid_and_nameless":
            assert (received.batch.count, received.rejected_by_reason) == (1, {"no_name": 1})

    assert statuses == {
        case["name"]: 400
        if case["name"] in PROBES_400
        else 415
        if case["name"] in PROBES_415
        else 204
        for case in cases
    }
