"""The statistics of alerts, as what to add to hourly rows.

An episode counts in the hour in which it starts: once when it fires, once more, with how long it
took, when it is over. When something of that changes later, it is taken out and put in again.
"""

from collections.abc import Sequence
from typing import TypeAlias

from heliograph.alert.changes import StatDelta
from heliograph.alert.model import Alert
from heliograph.core.duration import DAY_NS, HOUR_NS
from heliograph.kernels import alert_columns

# What starts before counts in this hour: of all eras of 64 days the first whose begin has 64 bits.
EARLIEST_NS = -106_688 * DAY_NS
# A turn counts no longer duration than this: so much has 64 bits.
DURATION_MAX_NS = 2**63 - 1

# Hour, alert name, source, severity, workload id, cluster name.
_Row: TypeAlias = tuple[int, str, str, str, str, str]


class Tally:
    """What to add since the last commit."""

    def __init__(self) -> None:
        self._sums: dict[_Row, list[int]] = {}

    def add(self, alert: Alert, *, fired: bool, over: bool, sign: int = 1) -> None:
        """Count *alert*, or take it out again with a *sign* of -1. *fired*: it was seen to fire."""
        row = (
            max(EARLIEST_NS, alert.starts_ns - alert.starts_ns % HOUR_NS),
            alert.name,
            alert.source,
            alert.severity,
            alert.context.workload_id,
            alert.context.cluster_name,
        )
        sums = self._sums.get(row)
        if sums is None:
            sums = self._sums[row] = [0, 0, 0]
        if fired:
            sums[0] += sign
        if over:
            assert alert.ends_ns is not None
            sums[1] += sign
            sums[2] += sign * max(0, alert.ends_ns - alert.starts_ns)

    def begun(self, alerts: Sequence[Alert]) -> None:
        """Count *alerts*, which were seen to fire and are not over."""
        alert_columns.count(alerts, self._sums, HOUR_NS, EARLIEST_NS)

    def deltas(self) -> list[StatDelta]:
        """What to add, rows that come to nothing left out."""
        return [
            StatDelta(
                *row, firing, resolved, max(-DURATION_MAX_NS, min(took_ns, DURATION_MAX_NS))
            )
            for row, (firing, resolved, took_ns) in self._sums.items()
            if firing or resolved or took_ns
        ]

    def clear(self) -> None:
        """It is added, or never was."""
        self._sums.clear()
