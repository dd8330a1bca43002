"""Sums of the statistics as columns of numbers, and as the bytes that a chunk of them is kept in.

    sums = of([(480_000, "w-1", 2931, 1, 0, 0), …])     hour, workload, kind; firing, resolved, ns
    keys, numbers = packed(sums)                        bytes: who only counts groups reads the keys
    counted(unpacked(keys), numbers, None)              the same
    merged(joined([sums, more]))                        a row for each (hour, workload, kind)

A row names its workload and its kind by their places in two lists, so that a million rows are
counted by arithmetic with arrays, in milliseconds, where SQL takes half a second. A column is kept
in the narrowest type that holds it, and as one number where all are equal: durations of whole
milliseconds are ten bytes a row, of which the keys are four.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Numbers: TypeAlias = npt.NDArray[np.int64]
# Places of rows, in order; None: all.
Rows: TypeAlias = Numbers | None
# 292 years: 100,000 alerts fire so long in a day. More stays as much: an error would hold up the rest.
DURATION_MAX_NS = 2**63 - 1
# Above this a sum of floats may stand for one that has no 64 bits.
_NEAR_MAX = float(DURATION_MAX_NS - (1 << 20))
_ZEROS = np.zeros(1 << 16, dtype=np.int64)
_ZEROS.flags.writeable = False
_TYPES = ("<i1", "<i2", "<i4", "<i8")


class Sums(NamedTuple):
    """*n* rows; every column has the shape `(n,)` and some integer type.

    hour              since the epoch
    workload, kind    places in *workloads* (texts as stored) and *kinds* (numbers, see `alert_kinds`)
    counted           False: only the keys were read, and the other three are zeros
    """

    hour: Numbers
    workload: Numbers
    kind: Numbers
    firing: Numbers
    resolved: Numbers
    duration_ns: Numbers
    workloads: list[str]
    kinds: Numbers
    counted: bool = True

    @property
    def columns(self) -> tuple[Numbers, ...]:
        """The six, in order."""
        keys = (self.hour, self.workload, self.kind)
        return (*keys, self.firing, self.resolved, self.duration_ns)

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.hour)


# What every number of a column is above, what the rest is a multiple of, the place in `_TYPES` of
# what that is kept in, and that of each number; none where all are equal.
_Column: TypeAlias = tuple[int, int, int, bytes]


class _Keys(msgspec.Struct, array_like=True):
    """*columns*: hour, workload, kind. New fields go to the end, with a default."""

    rows: int
    workloads: list[str]
    kinds: bytes
    columns: list[_Column]


_encode = msgspec.msgpack.Encoder().encode
_keys = msgspec.msgpack.Decoder(_Keys).decode
_numbers = msgspec.msgpack.Decoder(list[_Column]).decode


def of(rows: Iterable[tuple[int, str, int, int, int, int]]) -> Sums:
    """The sums of *rows*: hour, workload, kind, firing, resolved, nanoseconds."""
    workloads: dict[str, int] = {}
    kinds: dict[int, int] = {}
    table = [
        (
            *(hour, workloads.setdefault(workload, len(workloads))),
            *(kinds.setdefault(kind, len(kinds)), firing, resolved, duration_ns),
        )
        for hour, workload, kind, firing, resolved, duration_ns in rows
    ]
    columns = np.array(table, dtype=np.int64).reshape(-1, 6).T
    return _made(columns, list(workloads), np.array(list(kinds), dtype=np.int64))


def zeros(count: int) -> Numbers:
    """A column of zeros, which nobody may change."""
    return _ZEROS[:count] if count <= len(_ZEROS) else np.zeros(count, dtype=np.int64)


def packed(sums: Sums) -> tuple[bytes, bytes]:
    """*sums*, at least one row, for `unpacked` and `counted`: its keys, and the numbers beside them."""
    columns = [_narrow(column) for column in sums.columns]
    kinds = sums.kinds.astype("<i8").tobytes()
    keys = _Keys(sums.rows, sums.workloads, kinds, columns[:3])
    return _encode(keys), _encode(columns[3:])


def unpacked(keys: bytes) -> Sums:
    """The keys of what `packed` was given, which are not `counted`; columns as narrow as they were
    kept."""
    read = _keys(keys)
    none = zeros(read.rows)
    columns = [_wide(read.rows, None, *column) for column in read.columns]
    kinds = np.frombuffer(read.kinds, "<i8")
    return _made((*columns, none, none, none), read.workloads, kinds, counted=False)


def taken(keys: Sums, rows: Rows) -> Sums:
    """Those *rows* of *keys*, which are not counted."""
    if rows is None:
        return keys
    some = [column[rows] for column in keys.columns[:3]]
    none = zeros(len(rows))
    return _made((*some, none, none, none), keys.workloads, keys.kinds, counted=False)


def counted(keys: Sums, numbers: bytes, rows: Rows) -> Sums:
    """*keys*, with those *rows* of the *numbers* that were packed with them: `taken` rows."""
    columns = [_wide(keys.rows, rows, *column) for column in _numbers(numbers)]
    return _made((*keys.columns[:3], *columns), keys.workloads, keys.kinds)


def without_hours(sums: Sums) -> Sums:
    """*sums* as if all were of one hour, merged."""
    return merged(sums._replace(hour=zeros(sums.rows)))


def without_workloads(sums: Sums) -> Sums:
    """*sums* as if all were of one workload, merged."""
    one = zeros(sums.rows)
    return merged(sums._replace(workload=one, workloads=[""]))


def joined(parts: Sequence[Sums]) -> Sums:
    """All rows of *parts* (at least one), with one list of workloads and one of kinds."""
    if len(parts) == 1:
        return parts[0]
    workloads: dict[str, int] = {}
    place = workloads.setdefault
    of_workloads = [
        np.array([place(each, len(workloads)) for each in part.workloads], dtype=np.int64)
        for part in parts
    ]
    kinds, places = np.unique(
        np.concatenate([part.kinds for part in parts]), return_inverse=True
    )
    ends = list(accumulate(len(part.kinds) for part in parts))
    of_kinds = [places[begin:end] for begin, end in pairwise([0, *ends])]
    columns = [
        np.concatenate(column) for column in zip(*(part.columns for part in parts), strict=True)
    ]
    columns[1] = np.concatenate(
        [new[part.workload] for new, part in zip(of_workloads, parts, strict=True)]
    )
    columns[2] = np.concatenate(
        [new[part.kind] for new, part in zip(of_kinds, parts, strict=True)]
    )
    return _made(columns, list(workloads), kinds, counted=parts[0].counted)


def merged(sums: Sums) -> Sums:
    """*sums* with one row for each (hour, workload, kind), in this order; none that is nothing."""
    if not sums.rows:
        return sums
    first = int(sums.hour.min())
    key = sums.hour.astype(np.int64) - first
    key = (key * len(sums.workloads) + sums.workload) * len(sums.kinds) + sums.kind
    order = np.argsort(key, kind="stable")
    key = key[order]
    begins = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    firing = np.add.reduceat(sums.firing[order], begins, dtype=np.int64)
    resolved = np.add.reduceat(sums.resolved[order], begins, dtype=np.int64)
    took_ns = sums.duration_ns[order]
    exact = np.add.reduceat(took_ns, begins, dtype=np.int64)
    about = np.add.reduceat(took_ns, begins, dtype=np.float64)
    exact = np.where(about >= _NEAR_MAX, DURATION_MAX_NS, exact)
    exact = np.where(about <= -_NEAR_MAX, -DURATION_MAX_NS, exact)
    of_row = order[begins]
    keys = (sums.hour[of_row], sums.workload[of_row], sums.kind[of_row])
    some = firing.astype(np.bool_) | resolved.astype(np.bool_) | exact.astype(np.bool_)
    columns = [column[some] for column in (*keys, firing, resolved, exact)]
    return _made(columns, sums.workloads, sums.kinds)


def _made(
    columns: Iterable[Numbers], workloads: list[str], kinds: Numbers, *, counted: bool = True
) -> Sums:
    hour, workload, kind, firing, resolved, took_ns = columns
    return Sums(hour, workload, kind, firing, resolved, took_ns, workloads, kinds, counted)


def _narrow(column: Numbers) -> _Column:
    """*column* as the numbers that it is made of: `above + factor * each`."""
    least, most = int(column.min()), int(column.max())
    if least == most:
        return least, 1, 0, b""
    # What spans more than 63 bits stays as it is.
    above = least if most - least <= DURATION_MAX_NS else 0
    rest = column.astype(np.int64) - above
    factor = int(np.gcd.reduce(rest))
    ends = ((least - above) // factor, (most - above) // factor)
    # A type of n bits holds -2^(n-1) too, which is of no use here.
    bits = 1 + max(abs(end).bit_length() for end in ends)
    type_ = next((n for n, width in enumerate((8, 16, 32)) if bits <= width), 3)
    return above, factor, type_, (rest // factor).astype(_TYPES[type_]).tobytes()


def _wide(
    count: int, rows: Rows, above: int, factor: int, type_: int, stored: bytes
) -> Numbers:
    """Those *rows*, *count* of them, of what `_narrow` was given."""
    if not stored:
        return np.full(count, above) if above else zeros(count)
    column = np.frombuffer(stored, _TYPES[type_])
    if rows is not None:
        column = column[rows]
    if factor != 1:
        column = column * np.int64(factor)
    return column + np.int64(above) if above else column
