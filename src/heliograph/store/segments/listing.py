"""Listing: which series and metrics there are, from heads and indexes alone; no sample is read."""

from heliograph.store.segments.catalogue import Catalogue
from heliograph.store.segments.file import Index
from heliograph.store.segments.name import SegmentName
from heliograph.store.segments.pick import Pick
from heliograph.store.segments.view import View


def packed_labels(
    catalogue: Catalogue, pick: Pick, *, start_ns: int, end_ns: int, enough: int
) -> list[bytes]:
    """Packed labels that *pick* means, of files that overlap the range, newest first.

    Stops once it has *enough*; what the file then at hand had more is in the answer too.
    """
    view = catalogue.view
    for head in view.heads:
        pick.in_head(head)
    for name in _seen_files(view, start_ns, end_ns):
        if len(pick.packed) >= enough:
            break
        index = _index_of(catalogue, name)
        if index is not None:
            pick.in_index(index)
    return pick.packed


def metric_names(
    catalogue: Catalogue, pick: Pick, start_ns: int, end_ns: int
) -> tuple[str, ...]:
    """Names that the name matchers of *pick* allow, ascending, of files that overlap the range."""
    view = catalogue.view
    names = {name for head in view.heads for name in list(head.ids)}
    for name in _seen_files(view, start_ns, end_ns):
        index = _index_of(catalogue, name)
        names |= set(index.names) if index is not None else set()
    return tuple(sorted(set(pick.names(names)) - {""}))


def _seen_files(view: View, start_ns: int, end_ns: int) -> list[SegmentName]:
    first_ns = max(start_ns, view.hour_floor_ns)
    found = [name for name in view.files if name.overlaps(first_ns, end_ns)]
    return sorted(found, key=lambda name: name.start_ns, reverse=True)


def _index_of(catalogue: Catalogue, name: SegmentName) -> Index | None:
    try:
        return catalogue.index_of(name)
    except FileNotFoundError:
        # Replaced under us: what it held is in a file of the next view, or has expired.
        return None
