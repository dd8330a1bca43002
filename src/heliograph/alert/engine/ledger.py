"""The ledger: of every alert and channel what was told, or which stage held it and because of what.

A line is written when something is attempted, and when what holds an alert back changes; that the
same silence still holds it an hour later, or that a receiver refuses it in the same words, is no news.
"""

import re
from collections.abc import Iterable

from heliograph.alert.engine.flush import Hold
from heliograph.alert.engine.rows import Rows
from heliograph.alert.model import Delivery, Entry, Group, Integration, Outgoing, Status

# What an alert is held by, of each integration.
_Marks = tuple[tuple[str, Hold], ...]

# Words of an answer that may be others each time: a time, the number of the request.
_NUMBERED = re.compile(r"\S*\d\S*")
# The kind of a line of what was given up.
DEAD = "dead"
# Of whoever has no channel.
NO_CHANNEL = Integration(id="", receiver="", kind="", settings={})


class Ledger:
    """Lines to be written, and what was last written of whom."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._marks: Rows[str, _Marks] = Rows()

    def held(
        self,
        alert_id: str,
        group: Group,
        integration: Integration,
        hold: Hold,
        status: Status,
        now_ns: int,
    ) -> None:
        """Note that *hold* keeps an alert from *integration*, if that is new."""
        if (integration.id, hold) in (self._marks.get(alert_id) or ()):
            return
        self._mark(alert_id, integration.id, hold)
        self.entries.append(held_line(alert_id, group, integration, hold, status, now_ns))

    def stage(self, alert_id: str, integration_id: str) -> str:
        """Where the last line of an alert and an integration says that it is held; "" where it says
        something else."""
        for name, hold in self._marks.get(alert_id) or ():
            if name == integration_id:
                return hold.stage
        return ""

    def assume(self, alert_id: str, integration_id: str, hold: Hold) -> None:
        """Take it for noted, in a line that is not known any more, that *hold* keeps an alert from
        an integration that nothing is known to hold it from."""
        marks = self._marks.get(alert_id) or ()
        self._marks.put(alert_id, (*marks, (integration_id, hold)))

    def attempted(
        self,
        row: Outgoing,
        kind: str,
        group: Group,
        integration: Integration,
        delivery: Delivery,
        now_ns: int,
        cause: str = "",
        entries_max: int | None = None,
    ) -> int:
        """Note what came of an attempt (*kind*: sent, failed, dead) for every alert in it, at most
        *entries_max*; how many were left out. What is dead as it was before is no news."""
        alerts = _alerts(row)
        for alert_id, status in alerts[:entries_max]:
            if kind == DEAD:
                # No stage: it is not held, and is tried again.
                words = _NUMBERED.sub("", delivery.answer)
                dead = Hold("", f"{status} {cause} {words}")
                if (row.integration, dead) in (self._marks.get(alert_id) or ()):
                    continue
                self._mark(alert_id, row.integration, dead)
            else:
                self._unmark(alert_id, row.integration)
            self.entries.append(
                Entry(
                    alert_id,
                    row.group_key,
                    group.receiver,
                    row.integration,
                    integration.kind,
                    now_ns,
                    kind,
                    status,
                    attempt=row.attempts,
                    cause=cause or row.reason.value,
                    answer=delivery.answer,
                    key=row.key,
                )
            )
        return max(0, len(alerts) - entries_max) if entries_max is not None else 0

    def release(self, alert_id: str, integration_id: str) -> None:
        """Nothing holds an alert from an integration now; what next does is news."""
        if self.stage(alert_id, integration_id):
            self._unmark(alert_id, integration_id)

    def forget(self, alert_ids: Iterable[str]) -> None:
        """These alerts are no more."""
        for alert_id in alert_ids:
            self._marks.drop(alert_id)

    def commit(self) -> None:
        """What was noted is stored."""
        self.entries = []
        self._marks.commit()

    def abort(self) -> None:
        """Nothing was noted since the last commit."""
        self.entries = []
        self._marks.abort()

    def _mark(self, alert_id: str, integration_id: str, hold: Hold) -> None:
        marks = self._marks.get(alert_id) or ()
        rest = tuple(mark for mark in marks if mark[0] != integration_id)
        self._marks.put(alert_id, (*rest, (integration_id, hold)))

    def _unmark(self, alert_id: str, integration_id: str) -> None:
        marks = self._marks.get(alert_id)
        if marks is None:
            return
        rest = tuple(mark for mark in marks if mark[0] != integration_id)
        if not rest:
            self._marks.drop(alert_id)
        elif len(rest) < len(marks):
            self._marks.put(alert_id, rest)


def held_line(
    alert_id: str,
    group: Group,
    integration: Integration,
    hold: Hold,
    status: Status,
    now_ns: int,
) -> Entry:
    """The line that says that *hold* keeps an alert from *integration*."""
    return Entry(
        alert_id,
        group.key,
        group.receiver,
        integration.id,
        integration.kind,
        now_ns,
        "held",
        status,
        stage=hold.stage,
        cause=hold.cause,
    )


def _alerts(row: Outgoing) -> list[tuple[str, Status]]:
    firing = [(one, Status.FIRING) for one in sorted(row.firing)]
    return firing + [(one, Status.RESOLVED) for one in sorted(row.resolved)]
