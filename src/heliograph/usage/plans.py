"""The plans of the jobs seen last: most jobs have the attributes of an earlier one.

    plans.of(payload) -> Planned | None      None: to be worked out without one

Keyed by the payload's values and their types, as 1 and True are equal and read differently. Once
there are PLANS_MAX, a plan is kept from its second job on, in place of the oldest: many jobs have no
second. All is forgotten when the registry has changed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from heliograph.usage import devices, layout
from heliograph.usage.builders.base import PlannedBuilder
from heliograph.usage.types import TelemetryData
from heliograph.usage.utils import extract_telemetry_data

# 2,000 networks in two variants each.
PLANS_MAX = 4096
PLAN_CHARS_MAX = 16_384
# Hashes of jobs that were seen once.
ONCE_MAX = 4 * PLANS_MAX

_SIMPLE = frozenset({str, bool, int, type(None)})


class Planned(NamedTuple):
    """What all jobs of the same attributes add.

    data      the normalised payload; its `time_lapsed` is that of the first such job
    time_key  raw key of `time_lapsed`, and its default
    ones      flat keys that become one more; apart, as most do, where the plan is kept
    several   (flat key, how many)
    seconds   (flat key, how many times the seconds), where these are more than 0
    """

    data: TelemetryData
    time_key: tuple[str, Any]
    ones: tuple[str, ...]
    several: Sequence[tuple[str, int]]
    seconds: Sequence[tuple[str, int]]


class Plans:
    """The plans of *builders* together, remembered."""

    def __init__(self, builders: Sequence[PlannedBuilder]) -> None:
        self._builders = builders
        self._layout: layout.Layout | None = None
        self._plans: dict[tuple[Any, ...], Planned] = {}
        self._once: set[int] = set()

    def of(self, raw_data: Mapping[str, Any]) -> Planned | None:
        """What a job like *raw_data* adds; None where that is not for a plan to say."""
        now = layout.current()
        if now is not self._layout:
            # Another one: a thread that is at work with the old layout must not add to the new.
            self._plans = {}
            self._layout = now
        plans = self._plans
        if now.aggregated or now.gpu_key is None or now.time_key is None:
            return None
        get = raw_data.get
        values = tuple([get(key, default) for key, default in now.planned])
        kinds = tuple(map(type, values))
        key = (values, kinds, tuple(map(str, get(*now.gpu_key))))
        try:
            found = plans.get(key)
        except TypeError:  # a value that cannot be hashed
            return None
        if found is None and _SIMPLE.issuperset(kinds):
            found = self._made(raw_data, now.time_key)
            if len(plans) < PLANS_MAX or self._comes_again(hash(key)):
                found = _kept(found)
                if sum(map(len, found.ones)) <= PLAN_CHARS_MAX:
                    if len(plans) >= PLANS_MAX:
                        del plans[next(iter(plans))]
                    plans[key] = found
        return found

    def _comes_again(self, job: int) -> bool:
        once = self._once
        if job in once:
            return True
        if len(once) >= ONCE_MAX:
            once.clear()
        once.add(job)
        return False

    def _made(self, raw_data: Mapping[str, Any], time_key: tuple[str, Any]) -> Planned:
        data = extract_telemetry_data(raw_data)
        gpus = devices.of(data["gpus"])
        ones: list[tuple[str, int]] = []
        seconds: list[tuple[str, int]] = []
        for builder in self._builders:
            plan = builder.plan(data, gpus)
            ones += plan.ones
            seconds += plan.seconds
        return Planned(data, time_key, (), ones, seconds)


def _kept(found: Planned) -> Planned:
    """*found* in the form that is quick to use."""
    ones = tuple([key for key, count in found.several if count == 1])
    several = tuple([one for one in found.several if one[1] != 1])
    return found._replace(ones=ones, several=several, seconds=tuple(found.seconds))
