"""`.wandb` files: whole, torn, damaged, and no such files."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import Refused
from heliograph.receive.wandb_file import BLOCK_BYTES, WandbFile
from heliograph.receive.wandb_records import (
    Alerted,
    Console,
    Environment,
    Exit,
    History,
    Preempting,
    Run,
    System,
    Values,
)
from tests.receive import wandb_written as w

AT_NS = 1_795_343_846_386_161_000


def read(raw):
    """(items, damaged blocks, whether the end is missing)."""
    reader = WandbFile(io.BytesIO(raw))
    return list(reader.items()), reader.damaged, reader.torn


def records_of(raw):
    return list(WandbFile(io.BytesIO(raw)).records())


def test_every_kind_of_record():
    raw = w.written(
        [
            w.message(1, 1) + w.message(21, w.message(1, "0.31.0")),
            w.run("r1", started_ns=AT_NS, config=[("lr", "0.1"), (("a", "b"), "2")]),
            w.message(26, w.message(1, "Linux"), w.message(3, w.instant(AT_NS)), w.message(16, 2)),
            w.history(7, 1.5, [("loss", "NaN"), (("n", "a"), "1"), (("h", "_type"), '"image"'),
                               (("h", "width"), "9")]),
            w.system(AT_NS, [("gpu.0.temp", "61")]),
            w.console(AT_NS, "10%\r", stderr=True),
            w.message(3, w.item("loss", "2"), w.message(2, w.message(1, "gone"))),
            w.message(10, w.message(1, "low"), w.message(2, "12 %"), w.message(3, "WARN")),
            w.message(23, b""),
            w.ended(-1),
            w.message(99, "of a later version"),
        ]
    )  # fmt: skip
    assert read(raw) == (
        [
            Run(
                "r1",
                "",
                "p",
                "",
                "",
                "nice",
                "",
                "vm",
                ("a",),
                {("lr",): "0.1", ("a", "b"): "2"},
                AT_NS,
            ),
            Environment({"os": "Linux", "started_ns": AT_NS, "cpu_count": 2}),
            History('{"loss":NaN,"n.a":1,"_timestamp":1.5,"_step":7}'),
            System(f'{{"_timestamp":{AT_NS / 1e9!r},"system.gpu.0.temp":61}}'),
            Console(AT_NS, "stderr", "10%\r"),
            Values("summary", {("loss",): "2"}, (("gone",),)),
            Alerted("low", "12 %", "WARN"),
            Preempting(),
            Exit(-1),
        ],
        0,
        False,
    )


def test_a_step_that_is_only_a_number_beside_its_values():
    record = w.message(2, w.item("a", "1"), w.message(2, w.message(1, 5)))
    assert read(w.written([record]))[0] == [History('{"a":1,"_step":5}')]


@given(st.lists(st.integers(0, 3 * BLOCK_BYTES), max_size=6))
def test_records_of_any_size_come_back(sizes):
    records = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    assert records_of(w.written(records)) == records


def test_a_file_that_ends_anywhere_is_read_up_to_there():
    records = [b"a" * 40, b"b" * 40_000, b"c" * 30]
    raw = w.written(records)
    for end in [*range(7, 120), *range(40_000, len(raw), 7)]:
        reader = WandbFile(io.BytesIO(raw[:end]))
        found = list(reader.records())
        assert found == records[: len(found)]
        assert reader.damaged == 0
    whole = WandbFile(io.BytesIO(raw))
    assert (list(whole.records()), whole.torn, whole.read_bytes) == (records, False, len(raw))


@pytest.mark.parametrize("at", [7, 11, 12, 13, 20, 40_000])
def test_damage_costs_its_block_and_no_more(at):
    records = [b"a" * 40, b"b" * 40_000, b"c" * 40_000, b"d" * 30]
    raw = bytearray(w.written(records))
    raw[at] ^= 0x40
    reader = WandbFile(io.BytesIO(bytes(raw)))
    found = list(reader.records())
    assert reader.damaged
    assert b"d" * 30 in found
    assert set(found) < set(records)


def test_room_that_was_never_written_is_no_damage():
    raw = w.written([b"a" * 40]) + bytes(100)
    reader = WandbFile(io.BytesIO(raw))
    assert (list(reader.records()), reader.damaged, reader.torn) == ([b"a" * 40], 0, False)


@pytest.mark.parametrize("raw", [b"", b":W&B", b"PK\x03\x04 and so on", b":W&B\xe1\xbe\x01"])
def test_what_is_no_such_file_is_refused(raw):
    with pytest.raises(Refused, match=r"no \.wandb file"):
        read(raw)


@given(st.binary(max_size=300))
def test_any_record_is_read_or_counted(record):
    reader = WandbFile(io.BytesIO(w.written([record, w.ended(0)])))
    assert Exit(0) in list(reader.items())


@given(st.binary(max_size=2000))
def test_any_bytes_come_to_an_end(raw):
    read(w.HEADER + raw)


def test_names_are_json(tmp_path):
    (found,), _, _ = read(w.written([w.history(0, 1.0, [('a"\\b', "1")])]))
    assert json.loads(found.line) == {'a"\\b': 1, "_timestamp": 1.0, "_step": 0}
