"""Bodies that are no WriteRequest: each is refused whole, for its reason, by both kernels."""

from unittest import mock

import pytest

from heliograph.core.errors import Refused
from heliograph.core.series import SeriesTable
from heliograph.kernels import remote_write as kernel
from heliograph.receive import remote_write
from tests.twins import plain

KERNELS = {"python": plain("remote_write")} | ({"compiled": kernel} if kernel.COMPILED else {})

LABEL = b"\x0a\x0e\x0a\x08__name__\x12\x02up"
SAMPLE = b"\x12\x10\x09" + bytes(8) + b"\x10" + b"\xed\xaa\xd4\x85\xa0\x34"


def one(number, content):
    assert len(content) < 0x80
    return bytes([number << 3 | 2, len(content)]) + content


def in_series(content):
    return one(1, LABEL + content)


GOOD = in_series(SAMPLE)

MALFORMED = [
    # of the request
    ("a tag cut short", b"\x8a", "truncated"),
    ("a tag without content", b"\x0a", "truncated"),
    ("text", b"hello world", "group"),
    ("a length cut short", b"\x0a\x80", "truncated"),
    ("a length beyond the end", b"\x0a\x05abcd", "length_beyond_end"),
    ("a length of 2 GiB", b"\x0a\xff\xff\xff\xff\x07", "length_beyond_end"),
    ("a length of 34 GiB", b"\x0a\xff\xff\xff\xff\x7f", "length_beyond_end"),
    ("a length of six bytes", b"\x0a\x80\x80\x80\x80\x80\x00", "varint_overlong"),
    ("a tag of six bytes", b"\x8a\x80\x80\x80\x80\x00\x00", "varint_overlong"),
    ("a tag over 32 bits", b"\xfa\xff\xff\xff\x7f\x00", "field_number"),
    ("field number 0", b"\x02\x00", "field_number"),
    ("field number 0, a varint", b"\x00\x00", "field_number"),
    ("a zero byte", b"\x00", "field_number"),
    ("a series as varint", b"\x08\x01", "wire_type_mismatch"),
    ("a series as fixed64", b"\x09" + bytes(8), "wire_type_mismatch"),
    ("metadata as varint", b"\x18\x01", "wire_type_mismatch"),
    ("metadata beyond the end", b"\x1a\x01", "length_beyond_end"),
    ("a group", b"\x4b\x4c", "group"),
    ("the end of a group", b"\x4c", "group"),
    ("wire type 6", b"\x4e\x00", "wire_type"),
    ("wire type 7", b"\x4f\x00", "wire_type"),
    ("an unknown varint of 11 bytes", b"\x48" + b"\x80" * 10 + b"\x00", "varint_overlong"),
    ("an unknown varint cut short", b"\x48\x80", "truncated"),
    ("an unknown fixed64 cut short", b"\x49" + bytes(7), "truncated"),
    ("an unknown fixed32 cut short", b"\x4d" + bytes(3), "truncated"),
    ("an unknown text beyond the end", b"\x4a\x01", "length_beyond_end"),
    ("good, then one byte", GOOD + b"\x0a", "truncated"),
    ("good, then a zero", GOOD + b"\x00", "field_number"),
    ("good, but its last byte", GOOD[:-1], "length_beyond_end"),
    # of a series
    ("a label as varint", one(1, b"\x08\x01"), "wire_type_mismatch"),
    ("a sample as varint", in_series(b"\x10\x01"), "wire_type_mismatch"),
    ("a sample as fixed64", in_series(b"\x11" + bytes(8)), "wire_type_mismatch"),
    ("an exemplar as varint", in_series(b"\x18\x01"), "wire_type_mismatch"),
    ("a histogram as fixed32", in_series(b"\x25" + bytes(4)), "wire_type_mismatch"),
    ("a label beyond its series", one(1, b"\x0a\x05\x0a\x01a"), "length_beyond_end"),
    ("a sample beyond its series", one(1, LABEL + SAMPLE[:-1]) + b"\x34", "length_beyond_end"),
    ("an exemplar beyond its series", in_series(b"\x1a\x01") + GOOD, "length_beyond_end"),
    ("field number 0 in a series", in_series(b"\x02\x00"), "field_number"),
    ("a group in a series", in_series(b"\x4b\x4c"), "group"),
    ("wire type 7 in a series", in_series(b"\x4f"), "wire_type"),
    ("a series that ends in a tag", in_series(b"\x12"), "truncated"),
    # of a label
    ("a label's name as varint", one(1, one(1, b"\x08\x01")), "wire_type_mismatch"),
    ("a label's value as fixed64", one(1, one(1, b"\x11" + bytes(8))), "wire_type_mismatch"),
    ("a name beyond its label", one(1, one(1, b"\x0a\x02a") + b"aa"), "length_beyond_end"),
    ("a value beyond its label", one(1, one(1, b"\x12\x7f") + LABEL), "length_beyond_end"),
    ("field number 0 in a label", one(1, one(1, b"\x00\x00")), "field_number"),
    ("a group in a label", one(1, one(1, b"\x4b\x4c")), "group"),
    ("a bad label after a sample", in_series(SAMPLE + one(1, b"\x08\x01")), "wire_type_mismatch"),
    # of a sample
    ("a value as varint", in_series(one(2, b"\x08\x01")), "wire_type_mismatch"),
    ("a value as fixed32", in_series(one(2, b"\x0d" + bytes(4))), "wire_type_mismatch"),
    ("a value cut short", in_series(one(2, b"\x09" + bytes(7))), "truncated"),
    ("a time as fixed64", in_series(one(2, b"\x11" + bytes(8))), "wire_type_mismatch"),
    ("a time as text", in_series(one(2, b"\x12\x00")), "wire_type_mismatch"),
    ("a time cut short", in_series(one(2, b"\x10\xed\xaa")), "truncated"),
    ("a time of 11 bytes", in_series(one(2, b"\x10" + b"\x80" * 10 + b"\x00")), "varint_overlong"),
    ("field number 0 in a sample", in_series(one(2, b"\x00\x00")), "field_number"),
    ("a group in a sample", in_series(one(2, b"\x4b\x4c")), "group"),
    ("wire type 6 in a sample", in_series(one(2, b"\x4e")), "wire_type"),
    # of a sample of the usual 18 bytes, behind labels that are known
    ("a usual time that goes on", in_series(SAMPLE[:-1] + b"\xb4"), "truncated"),
    ("a usual sample, another tag", in_series(SAMPLE[:2] + b"\x0b" + SAMPLE[3:]), "wire_type_mismatch"),
    ("a usual zero that goes on", in_series(b"\x12\x07\x10" + b"\xed" * 6), "truncated"),
]  # fmt: skip


@pytest.mark.parametrize("module", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize(
    ("body", "reason"), [pytest.param(*row, id=case) for case, *row in MALFORMED]
)
def test_malformed(module, body, reason):
    with mock.patch.object(remote_write, "kernel", module):
        table = SeriesTable(10)
        decoder = remote_write.Decoder(table, remote_write.Limits())
        with pytest.raises(Refused) as fresh:
            decoder.decode(body, arrival_ns=0)
        assert len(table) == 0

        # Again behind a good series, with its labels known: the quick path is no laxer.
        decoder.decode(GOOD, arrival_ns=0)
        with pytest.raises(Refused) as known:
            decoder.decode(GOOD + body, arrival_ns=0)

    for caught in (fresh, known):
        assert (caught.value.status, caught.value.code) == (400, "malformed_protobuf")
        assert caught.value.detail.startswith(f"not a WriteRequest: {reason} at byte ")


def test_the_place_of_the_fault_is_told():
    decoder = remote_write.Decoder(SeriesTable(10), remote_write.Limits())
    with pytest.raises(Refused) as caught:
        decoder.decode(GOOD + b"\x4b", arrival_ns=0)

    assert caught.value.detail == f"not a WriteRequest: group at byte {len(GOOD) + 1}"
