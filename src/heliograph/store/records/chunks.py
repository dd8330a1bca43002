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
from heliograph.store.records import row
from heliograph.store.state import document

RECORDS_MAX = 64
# What a chunk covers at most: who looks for an instant knows how far ahead its chunk can end.
SPAN_NS_MAX = 300 * 10**9
# Records whose chunk would be larger before it is compressed are kept alone.
BYTES_MAX = 256 * 1024

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


# Time, place among all that are written together, and the record.
_Placed = tuple[int, int, Record]


def piece(records: Mapping[bytes, Record], *, together: bool = True) -> Piece:
    """*records* by their ids, in the order they came; each alone unless they may be *together*.

    Refused where one cannot be stored.
    """
    groups: dict[row.Names, list[_Placed]] = {}
    for place, each in enumerate(records.values()):
        names = row.names_of(each)
        placed = each.timestamp_ns, place, each
        there = groups.get(names)
        if there is None:
            groups[names] = [placed]
        else:
            there.append(placed)
    made: list[Chunk] = []
    for names, alike in groups.items():
        keys = row.stored(names)
        for some in _cut(sorted(alike)) if together else ([one] for one in alike):
            made += _chunks(keys, some)
    return Piece(list(records), made)


def _cut(alike: Sequence[_Placed]) -> Iterator[Sequence[_Placed]]:
    """*alike*, in order of time, in pieces that a chunk may take."""
    first = 0
    while first < len(alike):
        past = min(first + RECORDS_MAX, len(alike))
        horizon_ns = alike[first][0] + SPAN_NS_MAX
        while alike[past - 1][0] > horizon_ns:
            past -= 1
        yield alike[first:past]
        first = past


def _chunks(names: row.Names, some: Sequence[_Placed]) -> list[Chunk]:
    """*some* as one chunk, or each alone where they are large, or MessagePack cannot carry one: what
    is lost or refused in its other form is that one's alone."""
    if len(some) > 1:
        ats, places, records = zip(*some, strict=True)
        docs = document.packed(records)
        if docs is not None and len(docs) <= BYTES_MAX:
            last = max(places)
            heads = document.encode((ats, [last - place for place in places]))
            small = bytes(cramjam.lz4.compress_block(docs))
            return [Chunk(last, *names, ats[0], ats[-1], len(some), heads, small)]
    return [_alone(names, one) for one in some]


def _alone(names: row.Names, one: _Placed) -> Chunk:
    _, place, record = one
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
