"""What new episodes say, as they came: many of them packed together, for they are much alike.

    documents, raws, enriched = laid_out(tx, documents, raws, enriched)     what rows have of them
    read(tx, enriched)[enriched[0]].raw

An episode's row has a reference in place of its `enriched`, and nothing as `document` and `raw`: 140
bytes an episode where the three take 1100, and two thirds of what a transaction of them costs. A
later document is written to the row itself, beside the reference. A sheet goes with the last row
that came with it.

    reference   0xC1, which no JSON begins with; number of the sheet, 8 bytes; place in it, 1 byte
    documents   snappy of the MessagePack list of every document
    raws        the same of raw and enriched, in turns
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import cramjam
from msgspec import msgpack
from sqlalchemy import Column, Connection, Table
from sqlalchemy import text as sql

from heliograph.store.state import batches, upsert
from heliograph.store.state.columns import Bytes, Int64, metadata, serial

# Episodes of a sheet: more pack little better, and to read one takes longer (50: 20 µs). And so
# few are kept in their rows.
SHEET = 50
SHEET_MIN = 8
# What says more is kept in its row.
SIZE_BYTES_MAX = 8192
# Sheets that one statement may name.
SHEETS_MAX = 100
_MARK = b"\xc1"
_PLACES = [bytes((place,)) for place in range(SHEET)]
# Of bytes, unlike these, `sqlite3` asks each time whether somebody adapts them: a third of an insert.
_NOTHING = bytearray()

SHEETS = Table(
    "alert_sheets",
    metadata,
    serial("n"),
    Column("episodes", Int64, nullable=False),
    Column("documents", Bytes, nullable=False),
    Column("raws", Bytes, nullable=False),
)


class Said(NamedTuple):
    """What one episode says: `document` of its row, `raw` and `enriched` as in `alert.model`."""

    document: bytes
    raw: bytes
    enriched: bytes


_pack = msgpack.Encoder().encode
_list = msgpack.Decoder(list[bytes])


# What rows have: every document, raw, enriched.
_Texts = Sequence[bytes | bytearray]
Columns = tuple[_Texts, _Texts, _Texts]


def laid_out(
    tx: Connection, documents: list[bytes], raws: list[bytes], enriched: list[bytes]
) -> Columns:
    """What rows have of what so many episodes say. Where there are enough that say all three, and
    not too much, those go on sheets."""
    places = [
        n
        for n, (document, raw, more) in enumerate(zip(documents, raws, enriched, strict=True))
        if raw and more and len(document) + len(raw) + len(more) <= SIZE_BYTES_MAX
    ]
    if len(places) < SHEET_MIN:
        return documents, raws, enriched
    left: list[list[bytes | bytearray]] = [[*documents], [*raws], [*enriched]]
    for some in batches.cut(places, SHEET):
        head = _put(
            tx,
            [documents[n] for n in some],
            [text for n in some for text in (raws[n], enriched[n])],
        )
        for n, place in zip(some, _PLACES, strict=False):
            left[0][n] = left[1][n] = _NOTHING
            left[2][n] = bytearray(head + place)
    return left[0], left[1], left[2]


def _put(tx: Connection, documents: list[bytes], raws: list[bytes]) -> bytes:
    """Keep a sheet; what references to it begin with."""
    values = (len(documents), _packed(documents), _packed(raws))
    number = upsert.insert_one(tx, SHEETS, ("episodes", "documents", "raws"), values)
    return _MARK + number.to_bytes(8)


def is_reference(enriched: bytes) -> bool:
    """Whether what a row has as `enriched` is a reference."""
    return enriched[:1] == _MARK


def read(
    tx: Connection, references: Iterable[bytes], *, whole: bool = True
) -> dict[bytes, Said]:
    """What is kept under *references*; not *whole*: `raw` and `enriched` are b"". Unknown ones are
    left out."""
    wanted: dict[int, list[bytes]] = {}
    for reference in references:
        wanted.setdefault(_number(reference), []).append(reference)
    found: dict[bytes, Said] = {}
    more = ", raws" if whole else ""
    for some in batches.cut(sorted(wanted), SHEETS_MAX):
        # Numbers of our own.
        text = f"SELECT n, documents{more} FROM alert_sheets WHERE n IN ({_named(some)})"  # noqa: S608
        for n, documents, *rest in tx.exec_driver_sql(text):
            texts = _unpacked(documents)
            raws = _unpacked(rest[0]) if rest else [b""] * (2 * len(texts))
            for reference in wanted[n]:
                place = reference[9]
                found[reference] = Said(texts[place], raws[2 * place], raws[2 * place + 1])
    return found


def let_go(tx: Connection, references: Collection[bytes]) -> None:
    """The rows with *references* are deleted: sheets of which no row is left go too."""
    gone = Counter(map(_number, references))
    if gone:
        tx.execute(
            sql("UPDATE alert_sheets SET episodes = episodes - :count WHERE n = :n"),
            [{"count": count, "n": n} for n, count in sorted(gone.items())],
        )
    for some in batches.cut(sorted(gone), SHEETS_MAX):
        tx.execute(
            sql(f"DELETE FROM alert_sheets WHERE n IN ({_named(some)}) AND episodes <= 0")  # noqa: S608
        )


def _number(reference: bytes) -> int:
    return int.from_bytes(reference[1:9])


def _named(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _packed(pieces: list[bytes]) -> bytes:
    return bytes(cramjam.snappy.compress_raw(_pack(pieces)))


def _unpacked(stored: bytes) -> list[bytes]:
    return _list.decode(bytes(cramjam.snappy.decompress_raw(stored)))
