"""The file format: every bit comes back, and damage costs no more than what it hit."""

import random

import numpy as np
import pytest

from heliograph.core import labels as label
from heliograph.store.segments import file as segment_file
from heliograph.store.segments.file import Damaged, SegmentWriter, read_index, read_rows
from heliograph.store.segments.name import SegmentName, parse, parse_mark

NAME = SegmentName("raw", 0, 0, 7200 * 10**9, 1, 2, 3)


def packed(*names):
    return [label.pack(label.of({"__name__": name})) for name in names]


def written(folder, at_ns, value, counts):
    series = packed(*(f"m{n:04}" for n in range(len(counts))))
    with SegmentWriter(folder, NAME) as writer:
        writer.add(series, np.array(counts, np.int64), (at_ns, value))
        size = writer.finish()
    path = folder / NAME.text
    assert path.stat().st_size == size
    return path


def read(path, picked, *, start_ns=-(2**63), end_ns=2**63, lost=None):
    rows = read_rows(
        path,
        read_index(path),
        np.array(picked, np.int64),
        start_ns=start_ns,
        end_ns=end_ns,
        lost=lost or (lambda *_: pytest.fail("damaged")),
    )
    if rows is None:
        return []
    at_ns, value = rows.columns
    return list(
        zip(rows.which.tolist(), at_ns.tolist(), value.view(np.uint64).tolist(), strict=True)
    )


def bit_patterns(rng, n):
    """Values of every kind that a codec for floats might be tempted to tidy."""
    kinds = [
        rng.integers(0, 2**64, n, dtype=np.uint64),
        np.full(n, 0x7FF0000000000002, np.uint64),
        rng.integers(0x7FF0000000000001, 0x7FFFFFFFFFFFFFFF, n, dtype=np.uint64),
        rng.integers(0xFFF0000000000001, 0xFFFFFFFFFFFFFFFF, n, dtype=np.uint64),
        rng.choice(np.array([0, 1 << 63, 0x7FF << 52, 0xFFF << 52, 1], np.uint64), n),
        np.round(rng.normal(0, 100, n), 2).view(np.uint64),
        np.arange(n).astype(np.float64).view(np.uint64),
    ]
    return np.stack(kinds)[rng.integers(0, len(kinds), n), np.arange(n)]


@pytest.mark.parametrize("seed", range(4))
def test_every_bit_of_every_value_comes_back(seed, tmp_path):
    rng = np.random.default_rng(seed)
    n = 3 * segment_file.BLOCK_ROWS + 17
    bits = bit_patterns(rng, n)
    if seed == 1:
        bits[rng.random(n) < 0.9] = 0x4059000000000000
    at_ns = np.sort(rng.integers(-(2**63), 2**63 - 1, n, dtype=np.int64))
    path = written(tmp_path, at_ns, bits.view(np.float64), [n])

    assert read(path, [0]) == list(zip([0] * n, at_ns.tolist(), bits.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_any_series_and_range_read_as_a_list_would(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(segment_file, "BLOCK_ROWS", 16)
    rng = random.Random(seed)
    counts = [rng.choice([1, 3, 16, 50]) for _ in range(40)]
    rows = [(s, t * 10, s * 1000 + t) for s, count in enumerate(counts) for t in range(count)]
    at_ns = np.array([at for _, at, _ in rows], np.int64)
    value = np.array([v for _, _, v in rows], np.uint64).view(np.float64)
    path = written(tmp_path, at_ns, value, counts)
    for _ in range(20):
        picked = sorted(rng.sample(range(40), rng.randrange(0, 12)))
        start, end = sorted((rng.randrange(-5, 520), rng.randrange(-5, 520)))
        place = {series: which for which, series in enumerate(picked)}
        expected = [(place[s], at, v) for s, at, v in rows if s in place and start <= at < end]

        assert read(path, picked, start_ns=start, end_ns=end) == expected


@pytest.mark.parametrize("seed", range(60))
def test_a_flipped_byte_costs_its_block_or_is_told_at_once(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(segment_file, "BLOCK_ROWS", 16)
    rng = random.Random(seed)
    n = 400
    at_ns = np.arange(n, dtype=np.int64)
    value = np.random.default_rng(seed).normal(0, 1, n)
    path = written(tmp_path, at_ns, value, [n])
    data = bytearray(path.read_bytes())
    place = rng.randrange(8, len(data)) if seed else 0
    data[place] ^= rng.randrange(1, 256)
    path.write_bytes(data)
    whole = set(zip([0] * n, at_ns.tolist(), value.view(np.uint64).tolist(), strict=True))
    lost = []
    try:
        got = set(read(path, [0], lost=lambda name, block, rows: lost.append(rows)))
    except Damaged:
        return
    assert got <= whole
    assert len(got) == n - sum(lost)
    assert lost in ([], [16])
    assert bool(lost) == (place >= 8)


@pytest.mark.parametrize("size", [0, 1, 8, 40, 100])
def test_a_file_cut_short_is_damaged(size, tmp_path):
    path = written(tmp_path, np.arange(100), np.zeros(100), [100])
    path.write_bytes(path.read_bytes()[:size])

    with pytest.raises(Damaged):
        read_index(path)


def test_names_say_all_and_nothing_else_is_a_name():
    name = SegmentName("1m", 2, -7200, 7200, 0, 9, 12)

    assert parse(name.text) == name
    assert parse_mark("sealed.97") == ("sealed", 97)
    for text in ("raw-0.0.1.2.1.3.seg", "raw-0.5.1.1.1.1.seg", "x", f"{name.text}.tmp", "raw"):
        assert parse(text) is None
        assert parse_mark(text) is None
