"""Frames: whole or known to be damaged."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.ship import frame
from heliograph.ship.frame import Frame


@given(st.integers(0, 2**32 - 1), st.binary())
def test_a_file_is_its_frame(items, raw):
    file = frame.encode(Frame(frame.SAMPLES, items, raw))

    assert frame.decode(file) == Frame(frame.SAMPLES, items, raw)
    assert frame.head(file[: frame.HEAD_BYTES]) == (frame.SAMPLES, items)


def test_a_frame_of_another_kind_is_not_ours():
    with pytest.raises(frame.Damaged, match="kind 3"):
        frame.decode(frame.encode(Frame(3, 1, b"")))


@pytest.mark.parametrize("at", range(60))
def test_a_changed_or_shortened_file_is_damaged(at):
    file = frame.encode(Frame(frame.SAMPLES, 7, bytes(range(60))))
    changed = bytearray(file)
    changed[at] ^= 0x40

    for wrong in (bytes(changed), file[:at], file + b"\0"):
        with pytest.raises(frame.Damaged):
            frame.decode(wrong)


def test_a_sound_frame_of_too_much_is_damaged(monkeypatch):
    file = frame.encode(Frame(frame.SAMPLES, 7, bytes(1000)))
    monkeypatch.setattr(frame, "RAW_BYTES_MAX", 999)

    with pytest.raises(frame.Damaged, match="over 999"):
        frame.decode(file)


def test_a_sound_checksum_over_no_zlib_is_damaged():
    checked = struct.pack("<BII", 1, 7, 3)
    crc = zlib.crc32(b"abc", zlib.crc32(checked))

    with pytest.raises(frame.Damaged):
        frame.decode(b"HSF1" + checked + struct.pack("<I", crc) + b"abc")
