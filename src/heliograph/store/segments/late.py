"""Late samples at reading: those before the raw floor that no roll-up counts yet.

They wait in the head or in level 0 files for maintenance. A reader must not miss them (what was
acknowledged is readable), nor count twice what a sender repeated. So, as maintenance will do it:
where the window's raw files are all still there, its rows are made anew out of them for the series
concerned; where they have gone, the late samples are folded into the rows.
"""

import numpy as np
from numpy.typing import NDArray

from heliograph.core.columns import SummaryColumns
from heliograph.store.segments import rollup
from heliograph.store.segments.kept import Piece
from heliograph.store.segments.name import ROW_NS, WINDOW_NS, aligned
from heliograph.store.segments.pick import Pick
from heliograph.store.segments.read import Reading, file_pieces, head_pieces
from heliograph.store.segments.rolling import CutsOf
from heliograph.store.segments.view import View

Ints = NDArray[np.int64]


def joined(
    view: View,
    reading: Reading,
    pick: Pick,
    kind: str,
    span: tuple[int, int],
    rolled: tuple[Ints, SummaryColumns],
    cuts_of: CutsOf | None,
) -> tuple[Ints, SummaryColumns]:
    """*rolled* (sid, rows of *kind*, sorted) over *span*, with the late samples in it counted.

    Their rows are cut as maintenance will: where rows were, and where *cuts_of* says.
    """
    width_ns = ROW_NS[kind]
    start_ns, end_ns = span
    # A row belongs to the instant it begins, so samples of the whole buckets decide.
    first_ns = aligned(start_ns, width_ns)
    last_ns = min(-aligned(-end_ns, width_ns), view.raw_floor_ns)
    waiting = _waiting(view, reading, pick, kind, (first_ns, last_ns))
    if not waiting:
        return rolled
    sid, rows = rolled
    whole = [piece.where(piece.columns[0] >= view.gone_ns) for piece in waiting]
    pieces = [piece.where(piece.columns[0] < view.gone_ns) for piece in waiting]
    cuts = rollup.cuts_of_rows(sid, rows.start_ns, width_ns)
    if cuts_of is not None:
        late = {number for piece in waiting for number in np.unique(piece.sid).tolist()}
        owners = {n: cuts_of(reading.unpack(pick.packed[n]), first_ns, last_ns) for n in late}
        cuts = rollup.joined_cuts(cuts, owners)
    if any(len(piece.sid) for piece in whole):
        first_whole_ns = max(first_ns, view.gone_ns)
        touched = _windows_of(whole)
        pieces += [
            piece.where(_isin(piece.sid, piece.columns[0], touched))
            for piece in _all_raw(view, reading, pick, (first_whole_ns, last_ns))
        ]
        again = _isin(sid, rows.start_ns, touched) & (rows.start_ns >= first_whole_ns)
        sid, rows = sid[~again], rows.take(~again)
    more_sid, more = _rows_of(pieces, kind, cuts)
    inside = (more.start_ns >= start_ns) & (more.start_ns < end_ns)
    return rollup.fold(sid, rows, more_sid[inside], more.take(inside))


def _waiting(
    view: View, reading: Reading, pick: Pick, kind: str, span: tuple[int, int]
) -> list[Piece]:
    """Samples of *span* that the roll-ups of *kind* do not count."""
    found: list[Piece] = []
    covered: dict[int, int] | None = None
    for name in view.raw():
        if not name.overlaps(*span):
            continue
        covered = view.coverage(kind) if covered is None else covered
        if all(name.last_seq <= covered.get(window, -1) for window in name.windows_in(*span)):
            continue
        for piece in file_pieces(reading, name, pick, span[0], lambda: span[1]):
            window = piece.columns[0] // WINDOW_NS
            open_windows = [
                w
                for w in np.unique(window).tolist()
                if covered.get(w * WINDOW_NS, -1) < name.last_seq
            ]
            found.append(piece.where(np.isin(window, open_windows)))
    for head in view.heads:
        if head.low_ns is not None and head.low_ns < span[1]:
            found += head_pieces(head, pick, *span)
    return [piece for piece in found if len(piece.sid)]


def _all_raw(view: View, reading: Reading, pick: Pick, span: tuple[int, int]) -> list[Piece]:
    pieces = [
        piece
        for name in view.raw()
        if name.overlaps(*span)
        for piece in file_pieces(reading, name, pick, span[0], lambda: span[1])
    ]
    for head in view.heads:
        pieces += head_pieces(head, pick, *span)
    return pieces


def _windows_of(pieces: list[Piece]) -> set[tuple[int, int]]:
    return {
        pair
        for piece in pieces
        for pair in zip(
            piece.sid.tolist(), (piece.columns[0] // WINDOW_NS).tolist(), strict=True
        )
    }


def _isin(sid: Ints, at_ns: Ints, touched: set[tuple[int, int]]) -> NDArray[np.bool_]:
    pairs = zip(sid.tolist(), (at_ns // WINDOW_NS).tolist(), strict=True)
    return np.fromiter((pair in touched for pair in pairs), np.bool_, len(sid))


def _rows_of(pieces: list[Piece], kind: str, cuts: rollup.Cuts) -> tuple[Ints, SummaryColumns]:
    sid, at_ns, value = rollup.sorted_samples(
        np.concatenate([piece.sid for piece in pieces]),
        np.concatenate([piece.columns[0] for piece in pieces]),
        np.concatenate([piece.columns[1] for piece in pieces]),
    )
    more_sid, more = rollup.minute_rows(sid, at_ns, value, cuts)
    return (more_sid, more) if kind == "1m" else rollup.hour_rows(more_sid, more, cuts)
