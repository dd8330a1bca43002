"""Training rows from their end: what a pod said last, and which pods have said anything of late."""

from collections.abc import Iterator

from sqlalchemy import Connection, select

from heliograph.core.training import TrainingRow
from heliograph.store.state import training_chunks
from heliograph.store.state.columns import INT64_MAX, INT64_MIN
from heliograph.store.state.training import TRAINING
from heliograph.store.state.training_chunks import SPAN_NS_MAX

# Chunks that one look back opens, and rows after which it opens no more.
CHUNKS_MAX = 64
ROWS_MAX = 1000
# Ends of chunks that are looked at for who says anything: some seconds of 1,000 pods, or hours of
# a few.
ENDS_MAX = 5000
_C = TRAINING.c


def rows_back(
    tx: Connection, pod_uid: str, *, start_ns: int, end_ns: int
) -> Iterator[TrainingRow]:
    """The rows of *pod_uid* in `[start_ns, end_ns)` that are no markers, nearly the last first, until
    there are some ROWS_MAX; read as they are asked for."""
    wanted = (
        select(_C.source, _C.rank_group, _C.heads, _C.fields)
        .where(
            _C.pod_uid == pod_uid,
            _C.end_ns >= max(start_ns, INT64_MIN),
            _C.end_ns <= min(end_ns + SPAN_NS_MAX, INT64_MAX),
            _C.start_ns < min(end_ns, INT64_MAX),
        )
        .order_by(_C.end_ns.desc(), _C.end_iteration.desc())
        .limit(CHUNKS_MAX)
    )
    seen = 0
    for source, rank_group, heads, fields in tx.execute(wanted):
        held = training_chunks.rows_of(heads, fields)
        for full in reversed(held):
            if full.marker is None and start_ns <= full.at_ns < end_ns:
                yield TrainingRow(pod_uid, source, rank_group, *full)
        seen += len(held)
        if seen >= ROWS_MAX:
            return


def pods_since(tx: Connection, since_ns: int) -> list[str]:
    """Pods with rows at *since_ns* or later, of the newest ENDS_MAX chunks alone."""
    ends = select(_C.pod_uid).where(_C.end_ns >= since_ns).order_by(_C.end_ns.desc())
    return list(dict.fromkeys(tx.execute(ends.limit(ENDS_MAX)).scalars()))
