"""Records that came together and are alike, as one row of a day file.

    stream, session, type, severity, source   what all records of the chunk have, as `row` says
    start_ns, end_ns, many                    times of the first and the last, and how many they are
    n                                         number of arrival of the one that came last
    heads                                     [[at_ns, …], [numbers of arrival before n, …]]
    docs                                      LZ4 of [record, …], MessagePack

Both are in the order of time and arrival, and are `document` bytes. A record alone has no heads, and
its docs are its own document as it is. Two dozen records that lines of one form gave take some 100
bytes each, and cost one row of each index.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import cramjam
import msgspec

from heliograph.core.record import Record
from heliograph.kernels import record_groups
from heliograph.kernels.record_groups import Names
from heliograph.store.records import row
from heliograph.store.state import document

RECORDS_MAX = 64
# What a chunk covers at most: who looks for an instant knows how far ahead its chunk can end.
SPAN_NS_MAX = 300 * 10**9
# Records whose chunk would be larger before it is compressed are kept alone.
BYTES_MAX = 256 * 1024

# How a list of so many begins.
_OPENS = [
    msgspec.msgpack.encode([None] * many)[: -many or None] for many in range(RECORDS_MAX + 1)
]
_RAWS = msgspec.msgpack.Decoder(list[msgspec.Raw])


class Chunk(NamedTuple):
    """A row but for its number: *last* is the place of the one that came last, among all that are
    written together."""

    last: int
    stream: str
    session: str
    type: str
    severity: str
    source: str
    start_ns: int
    end_ns: int
    many: int
    heads: bytes | None
    docs: bytes


class Piece(NamedTuple):
    """What is written together: the ids of some records, and the records in chunks."""

    ids: list[bytes]
    chunks: list[Chunk]


def piece(
    records: Mapping[bytes, Record],
    docs: Sequence[bytes | None] = (),
    *,
    together: bool = True,
) -> Piece:
    """*records* by their ids, in the order they came; each alone unless they may be *together*. *docs*
    are what `document.packed` made of each, or nothing.

    Refused where one cannot be stored.
    """
    made: list[Chunk] = []
    for names, *placed in record_groups.alike(records.values()):
        keys = row.stored(names)
        ats, places, alike = placed
        first = 0
        while first < len(ats):
            past = _past(ats, first) if together else first + 1
            some = alike[first:past]
            whole = _whole(some, [docs[place] for place in places[first:past]] if docs else [])
            made += _chunks(keys, ats[first:past], places[first:past], some, whole)
            first = past
    return Piece(list(records), made)


def _past(ats: Sequence[int], first: int) -> int:
    """Where a chunk must end whose records, in order of time, begin at *first*."""
    past = min(first + RECORDS_MAX, len(ats))
    while ats[past - 1] > ats[first] + SPAN_NS_MAX:
        past -= 1
    return past


def _whole(records: Sequence[Record], docs: Sequence[bytes | None]) -> bytes | None:
    """*records* as `document.packed` has them, of *docs* where there are any."""
    if not docs:
        return document.packed(records)
    there = [doc for doc in docs if doc is not None]
    return b"".join([_OPENS[len(docs)], *there]) if len(there) == len(docs) else None


def _chunks(
    names: Names,
    ats: Sequence[int],
    places: Sequence[int],
    records: Sequence[Record],
    docs: bytes | None,
) -> list[Chunk]:
    """*records*, all of which are *docs*, as one chunk, or each alone where they are large, or
    MessagePack cannot carry one: what is lost or refused in its other form is that one's alone."""
    if len(records) > 1 and docs is not None and len(docs) <= BYTES_MAX:
        last = max(places)
        heads = document.encode((ats, [last - place for place in places]))
        small = bytes(cramjam.lz4.compress_block(docs))
        return [Chunk(last, *names, ats[0], ats[-1], len(records), heads, small)]
    return [_alone(names, *one) for one in zip(places, records, strict=True)]


def _alone(names: Names, place: int, record: Record) -> Chunk:
    at_ns = row.at_ns_of(record)
    return Chunk(place, *names, at_ns, at_ns, 1, None, row.document_of(record))


def heads_of(stored: bytes) -> Iterator[tuple[int, int]]:
    """(time, by how much its number is below the chunk's) of each record of a chunk, in order."""
    ats, before = document.decode(stored)
    return zip(ats, before, strict=True)


def records_of(many: int, docs: bytes, places: Iterable[int]) -> dict[int, Record]:
    """Those of a chunk's *many* records that stand at *places*."""
    if many == 1:
        return dict.fromkeys(places, row.record(docs))
    whole = bytes(cramjam.lz4.decompress_block(docs))
    raws = _RAWS.decode(whole)
    return {place: row.record(bytes(raws[place])) for place in places}
