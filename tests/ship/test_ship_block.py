"""Literal snappy: what cramjam and the service read, whatever the length."""

import sys

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.ship import block
from heliograph.wire import snappy

LENGTHS = (0, 1, 59, 60, 61, 255, 256, 257, 65535, 65536, 65537, 65596, 131072, 1_000_003)


@pytest.mark.parametrize("length", LENGTHS)
def test_every_length_decodes(length):
    raw = bytes(n % 251 for n in range(length))
    body = block.literally(raw)

    assert bytes(cramjam.snappy.decompress_raw(body)) == raw
    assert snappy.decompress(body, decoded_bytes_max=2_000_000) == raw
    assert len(body) <= length + 5 + 3 * (length // 65536 + 1)


@given(st.binary(max_size=500))
def test_any_bytes_decode(raw):
    assert bytes(cramjam.snappy.decompress_raw(block.literally(raw))) == raw


def test_cramjam_is_used_where_it_is(monkeypatch):
    raw = b"abc" * 1000
    packed = block.compressor()(raw)

    assert len(packed) < 200
    assert bytes(cramjam.snappy.decompress_raw(packed)) == raw
    monkeypatch.setitem(sys.modules, "cramjam", None)
    assert block.compressor() is block.literally
