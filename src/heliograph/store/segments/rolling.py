"""Roll-ups as files: made anew while raw is there, folded into once it has gone, merged by day."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from heliograph.core import labels as label
from heliograph.core.columns import SummaryColumns
from heliograph.core.labels import Labels
from heliograph.store.segments import rollup
from heliograph.store.segments.catalogue import Catalogue
from heliograph.store.segments.file import SegmentWriter
from heliograph.store.segments.floors import lacking
from heliograph.store.segments.name import RAW, ROW_NS, WINDOW_NS, SegmentName
from heliograph.store.segments.view import View
from heliograph.store.segments.write import Chunk, add_rows, chunks, day_of, joined_raw

Ints = NDArray[np.int64]
CutsOf: TypeAlias = Callable[[Labels, int, int], Sequence[int]]


class Written(NamedTuple):
    """What one step of maintenance wrote."""

    files: int = 0
    rows: int = 0
    size_bytes: int = 0

    def plus(self, other: "Written") -> "Written":
        """Both together."""
        return Written(*(a + b for a, b in zip(self, other, strict=True)))


def made_anew(catalogue: Catalogue, window_ns: int, cuts_of: CutsOf) -> Written:
    """Write the roll-ups of one window out of all its raw files. Raises OSError."""
    view = catalogue.view
    span = (window_ns, window_ns + WINDOW_NS)
    sources = [name for name in view.raw() if name.overlaps(*span)]
    kinds = ["1h"] if span[1] <= view.minute_floor_ns else ["1m", "1h"]
    replaced = [n for n in view.files if n.kind in kinds and n.within(*span)]

    def rows_of(chunk: Chunk) -> dict[str, tuple[Ints, SummaryColumns]]:
        cuts = _cuts(chunk.packed, cuts_of, span)
        minutes = rollup.minute_rows(*_raw_of(chunk), cuts)
        return {"1m": minutes, "1h": rollup.hour_rows(*minutes, cuts)}

    return _rewritten(catalogue, kinds, 1, span, (sources, replaced), rows_of)


def folded(catalogue: Catalogue, kind: str, cuts_of: CutsOf) -> Written:
    """Fold late samples into the roll-ups of *kind* where raw has gone. Raises OSError.

    A roll-up's name says the last frame that it counts, so none is ever folded in twice.
    """
    done = Written()
    view = catalogue.view
    start_ns = view.minute_floor_ns if kind == "1m" else view.hour_floor_ns
    until_ns = start_ns
    for window_ns in lacking(view, start_ns, view.gone_ns, kind):
        # A roll-up of a day takes the late samples of all its windows at once.
        if window_ns >= until_ns or window_ns < start_ns:
            span = _unit(view, kind, window_ns)
            done = done.plus(_folded_unit(catalogue, kind, span, cuts_of))
            until_ns = span[1]
    return done


def _unit(view: View, kind: str, window_ns: int) -> tuple[int, int]:
    """The span of the roll-up that counts the window, which is the window's own if there is none."""
    for name in view.of_kind(kind):
        if name.overlaps(window_ns, window_ns + 1):
            return name.start_ns, name.end_ns
    return window_ns, window_ns + WINDOW_NS


def _folded_unit(
    catalogue: Catalogue, kind: str, span: tuple[int, int], cuts_of: CutsOf
) -> Written:
    view = catalogue.view
    old = [n for n in view.of_kind(kind) if n.overlaps(*span)]
    assert len(old) <= 1
    counted = old[0].last_seq if old else -1
    late = [n for n in view.raw() if n.overlaps(*span) and n.last_seq > counted]

    def rows_of(chunk: Chunk) -> dict[str, tuple[Ints, SummaryColumns]]:
        sid, rows = _stored_rows(chunk)
        cuts = rollup.joined_cuts(
            _cuts(chunk.packed, cuts_of, span),
            rollup.cuts_of_rows(sid, rows.start_ns, ROW_NS[kind]),
        )
        more = rollup.minute_rows(*_raw_of(chunk), cuts)
        if kind == "1h":
            more = rollup.hour_rows(*more, cuts)
        return {kind: rollup.fold(sid, rows, *more)}

    level = old[0].level if old else 1
    return _rewritten(catalogue, [kind], level, span, ([*old, *late], old), rows_of)


def merged_days(catalogue: Catalogue, kind: str) -> Written:
    """Merge the roll-ups of each whole day whose raw files have all gone. Raises OSError."""
    done = Written()
    view = catalogue.view
    days: dict[tuple[int, int], list[SegmentName]] = {}
    for name in view.of_kind(kind):
        days.setdefault(day_of(name.start_ns), []).append(name)
    for span, names in sorted(days.items()):
        ready = len(names) > 1 and span[1] <= view.gone_ns
        if ready and not any(name.overlaps(*span) for name in view.raw()):
            done = done.plus(
                _rewritten(
                    catalogue,
                    [kind],
                    2,
                    span,
                    (names, names),
                    lambda c: {kind: _stored_rows(c)},
                )
            )
    return done


def _rewritten(
    catalogue: Catalogue,
    kinds: Sequence[str],
    level: int,
    span: tuple[int, int],
    files: tuple[Sequence[SegmentName], Sequence[SegmentName]],
    rows_of: Callable[[Chunk], dict[str, tuple[Ints, SummaryColumns]]],
) -> Written:
    """Write one roll-up of each of *kinds* over *span*; *files* are (read, replaced)."""
    sources, replaced = files
    seqs = min(n.first_seq for n in sources), max(n.last_seq for n in sources)
    names = [catalogue.new_name(kind, level, span, seqs) for kind in kinds]
    rows = 0
    with catalogue.adding(replaced) as added, ExitStack() as stack:
        writers = [stack.enter_context(SegmentWriter(catalogue.folder, n)) for n in names]
        for chunk in chunks(catalogue, sources, *span):
            made = rows_of(chunk)
            for writer in writers:
                sid, columns = made[writer.name.kind]
                add_rows(writer, chunk.packed, sid, rollup.to_columns(columns))
                rows += len(sid)
        for writer in writers:
            added.append((writer.name, writer.finish()))
    return Written(len(added), rows, sum(size for _, size in added))


def _cuts(
    packed: Sequence[bytes], cuts_of: CutsOf, span: tuple[int, int]
) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for sid, one in enumerate(packed):
        instants = cuts_of(label.unpack(one), *span)
        if instants:
            found[sid] = sorted({at_ns for at_ns in instants if span[0] < at_ns < span[1]})
    return found


def _stored_rows(chunk: Chunk) -> tuple[Ints, SummaryColumns]:
    """(sid, rows) of the roll-up pieces of *chunk*, whose spans do not overlap; sorted."""
    pieces = [piece for _, piece in chunk.pieces if piece.kind != RAW]
    if not pieces:
        return np.empty(0, np.int64), rollup.NO_ROWS
    sid = np.concatenate([piece.sid for piece in pieces])
    columns = tuple(map(np.concatenate, zip(*(p.columns for p in pieces), strict=True)))
    rows = rollup.of_columns(columns)
    order = np.lexsort((rows.start_ns, sid))
    return sid[order], rows.take(order)


def _raw_of(chunk: Chunk) -> tuple[Ints, Ints, NDArray[np.float64]]:
    sid, (at_ns, value) = joined_raw(chunk)
    return sid, at_ns, value
