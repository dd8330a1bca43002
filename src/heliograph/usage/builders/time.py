"""Seconds that jobs of today took: `time_lapsed_today 3600`.

It begins anew when the date of `now` differs from that of `old_now`. (The system of spec 000 looks
at the number of the day alone, and so goes on counting from 15 January to 15 February.)
In the structured form each day is a metric of its own, which is never reset.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from heliograph.usage.builders.base import CountingBuilder
from heliograph.usage.devices import Devices
from heliograph.usage.moment import now_local
from heliograph.usage.types import LAST, SUM, Change, Count

KEY = "time_lapsed_today"
DAY = "day"


class TimeMetricsBuilder(CountingBuilder):
    """Without `time_lapsed`, or with None, nothing is added; without `now`, it is the machine's."""

    name = "time"

    def changes(
        self,
        data: Mapping[str, Any],
        context: Mapping[str, Any],
        gpus: Devices | None = None,  # noqa: ARG002 - the contract's
    ) -> list[Change]:
        now = context.get("now")
        if now is None:
            now = now_local(datetime)
        old_now = context.get("old_now", now)
        is_same_day = old_now is now or old_now.date() == now.date()
        spent = data.get("time_lapsed", 0)
        return [(KEY, SUM if is_same_day else LAST, 0 if spent is None else 0 + spent)]

    def counts(self, data: Mapping[str, Any], context: Mapping[str, Any]) -> list[Count]:
        day = (context.get("now") or now_local(datetime)).date().isoformat()
        ((_, _, spent),) = self.changes(data, context)
        return [Count(self.name, KEY, ((DAY, day),), KEY, SUM, spent)]
