"""Training rows of lines that tell nothing but values: the plain twin of `line_rows.pyx`.

    plain, at = PlainRows(places, …), 0
    while (at := plain.take(rows, at, scales)) < len(places):
        …                                   the line at places[at] tells more: it is another's
        at += 1

Rows are appended in the order of the lines. Most lines that say something are such, so that all that
is done for each is done here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

COMPILED = False
PARTS = 8
PERFORMANCE, BAR, STEP, SCALE = "performance", "bar", "current_iteration", "loss_scale"


class PlainRows:
    """Some lines of a block, and what their rows are made of.

    parsed       what each line of the block says, when it is asked for: (kind, framework, fields,
                 events, rule, label, …)
    places       of the lines to be looked at (uint32)
    plan_of      for each line which plan reads it (uint32); *plain* for each plan, by that number, 1
                 where its lines tell values alone
    source_of    for each line who printed it (uint32); *pods* of each of those the uid of the pod, ""
                 for none, None where that depends
    at_ns        the times of the lines (int64)
    row          the type of a row: a named tuple of (pod_uid, source, rank_group, at_ns, iteration,
                 marker, framework, fields); *source* is what its `source` is
    """

    def __init__(
        self,
        parsed: Sequence[Any],
        places: Sequence[int],
        plan_of: Sequence[int],
        plain: bytes,
        source_of: Sequence[int],
        pods: Sequence[str | None],
        at_ns: Sequence[int],
        row: Any,
        source: str,
    ) -> None:
        if not len(plan_of) == len(source_of) == len(at_ns):
            raise ValueError("columns of one length")
        if len(row._fields) != PARTS:
            raise ValueError("a row of eight parts")
        self._parsed, self._places, self._plan_of, self._plain = parsed, places, plan_of, plain
        self._source_of, self._pods, self._at_ns = source_of, pods, at_ns
        self._row, self._source = row, source

    def take(self, rows: list[Any], at: int, scales: Mapping[tuple[str, str], Any]) -> int:
        """Append to *rows* those of the lines from *at* of the places, up to one that tells more; its
        number there. A loss scale that is another than what *scales* has of (pod, label), 1 where
        that is nothing, may tell more.
        """
        for n in range(at, len(self._places)):
            place = self._places[n]
            if not self._plain[self._plan_of[place]]:
                return n
            pod_uid = self._pods[self._source_of[place]]
            if pod_uid is None:
                return n
            if not pod_uid:
                continue
            kind, framework, fields, told, rule, label, *_ = self._parsed[place]
            # A line may be another than those that its plan was learned from.
            if told or kind != PERFORMANCE or rule == BAR:
                return n
            scale = fields.get(SCALE)
            if scale is not None:
                was = scales.get((pod_uid, label))
                if scale != (1.0 if was is None else was.scale):
                    return n
            at_ns, step = self._at_ns[place], fields.get(STEP)
            rows.append(
                self._row(pod_uid, self._source, label, at_ns, step, None, framework, fields)
            )
        return len(self._places)
