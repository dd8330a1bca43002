"""What new episodes say, as they came: many of them packed together, for they are much alike.

    documents, raws, enriched = laid_out(tx, alerts, document)     what rows have of them
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
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import cramjam
from msgspec import msgpack
from sqlalchemy import Column, Connection, Table
from sqlalchemy import text as sql

from heliograph.alert.model import Alert
from heliograph.kernels import alert_rows
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
# So what rows have is of this kind.
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
Columns = tuple[list[bytearray], list[bytearray], list[bytearray]]


def laid_out(
    tx: Connection, alerts: Sequence[Alert], document: Callable[[Alert], bytes]
) -> Columns:
    """What rows have of the *document*, `raw` and `enriched` of *alerts*. Where there are enough that
    say all three, and not too much, those go on sheets."""
    count = len(alerts)
    if count >= SHEET_MIN:
        sheets = alert_rows.sheets(alerts, document, _pack, SHEET, SIZE_BYTES_MAX)
        if sheets is not None:
            nothing = [_NOTHING] * count
            return nothing, nothing, [one for sheet in sheets for one in _put(tx, *sheet)]
    left = (
        [*map(bytearray, alert_rows.documents(alerts, document))],
        [bytearray(alert.raw) for alert in alerts],
        [bytearray(alert.enriched) for alert in alerts],
    )
    places = [
        n
        for n, (text, raw, more) in enumerate(zip(*left, strict=True))
        if raw and more and len(text) + len(raw) + len(more) <= SIZE_BYTES_MAX
    ]
    if SHEET_MIN <= len(places) < count:
        for columns, some in zip(
            left, laid_out(tx, [alerts[n] for n in places], document), strict=True
        ):
            for n, one in zip(places, some, strict=True):
                columns[n] = one
    return left


def _put(tx: Connection, count: int, documents: bytes, raws: bytes) -> list[bytearray]:
    """Keep a sheet of *count*; references to it."""
    values = (count, _packed(documents), _packed(raws))
    number = upsert.insert_one(tx, SHEETS, ("episodes", "documents", "raws"), values)
    head = _MARK + number.to_bytes(8)
    return [bytearray(head + place) for place in _PLACES[:count]]


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


def _packed(pieces: bytes) -> bytearray:
    return bytearray(cramjam.snappy.compress_raw(pieces))


def _unpacked(stored: bytes) -> list[bytes]:
    return _list.decode(bytes(cramjam.snappy.decompress_raw(stored)))
