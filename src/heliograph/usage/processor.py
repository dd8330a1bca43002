"""From a raw payload to counted metrics: extract, run the builders in order, all or nothing.

    processor = MetricProcessor()
    metrics = processor.process({}, {"network": "ResNet-50", "action": "train", "success": True})
    await processor.process_async(metrics, payload)       # where a builder is `async def build`

Source: spec 000, "Processor".
"""

import inspect
import os
import threading
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from heliograph.core.errors import Refused
from heliograph.usage import devices, differences, validation
from heliograph.usage.builders.base import (
    CountingBuilder,
    MetricBuilder,
    is_planned,
    join,
    joined,
    says_what_it_adds,
)
from heliograph.usage.builders.comprehensive import ComprehensiveMetricsBuilder
from heliograph.usage.builders.labeled import LabeledMetricsBuilder
from heliograph.usage.builders.legacy import LegacyMetricsBuilder
from heliograph.usage.builders.time import TimeMetricsBuilder
from heliograph.usage.differences import Difference
from heliograph.usage.moment import LAST_UPDATED, last_updated, now_local
from heliograph.usage.order import ordered
from heliograph.usage.plans import Planned, Plans
from heliograph.usage.types import Change, Metrics, TelemetryData
from heliograph.usage.utils import extract_telemetry_data, is_registry_replaced

# 2,000 networks make some 10,000 keys. What would make more than this is counted, not kept.
KEYS_MAX = 100_000

Step = CountingBuilder | list[Difference]

# One for all processors, as several may add to one mapping; held while a payload is put in, and
# over a fork, so that no child inherits it from a thread that it does not have.
_COMMIT = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_COMMIT.acquire,
        after_in_parent=_COMMIT.release,
        after_in_child=_COMMIT.release,
    )

_PLANNED = (LegacyMetricsBuilder(), ComprehensiveMetricsBuilder(), LabeledMetricsBuilder())
# One memory for all processors of the usual builders: some make a processor for each payload.
_SHARED = Plans(_PLANNED)
_SHARED_KINDS = [type(one) for one in _PLANNED]
_EXTRACT = extract_telemetry_data


def default_builders() -> list[MetricBuilder]:
    """The builders of a processor that is given none, in their order."""
    return [
        LegacyMetricsBuilder(),
        ComprehensiveMetricsBuilder(),
        TimeMetricsBuilder(),
        LabeledMetricsBuilder(),
    ]


class MetricProcessor:
    """Runs builders over payloads. Threads may share it, and the metrics it adds to.

    builders       as given; may be changed at any time
    keys_max       keys of one mapping; new ones beyond it are left out
    keys_dropped   how many were, so far; each time anew
    validate       whether values that are no finite numbers are refused, with the key named
    """

    def __init__(
        self,
        builders: Iterable[MetricBuilder] | None = None,
        *,
        keys_max: int = KEYS_MAX,
        validate: bool = False,
    ) -> None:
        self.builders = default_builders() if builders is None else list(builders)
        self.keys_max = keys_max
        self.keys_dropped = 0
        self.validate = validate
        self._seen: list[MetricBuilder] = []
        self._order: list[MetricBuilder] = []
        # None where one of them is a custom one.
        self._counting: list[CountingBuilder] | None = []
        self._plans = Plans([])
        self._unplanned: list[CountingBuilder] = []
        self._is_planned = True

    def add_builder(self, builder: MetricBuilder) -> None:
        """Run *builder* too, after those that are there unless it says otherwise.

        Raises ConfigError where what it requires is missing.
        """
        ordered([*self.builders, builder])
        self.builders.append(builder)

    def process(
        self,
        metrics: Metrics,
        raw_data: Mapping[str, Any],
        context: dict[str, Any] | None = None,
    ) -> Metrics:
        """Add a payload to *metrics*, which is returned; all of it or, where anything raises, nothing.

        *context* is filled with `now` and `old_now` where it lacks them. What builders raise
        passes through: KeyError, TypeError; with `validate`, Refused.
        """
        context = {} if context is None else context
        was_given = "old_now" in context
        with _COMMIT:
            self._set_times(metrics, context)
            order = self._in_order()
            if self._counting is not None:
                self._commit(metrics, self._counted(metrics, raw_data, context), (), context)
                return metrics
            work = dict(metrics)
        # Others' code runs outside of the lock; what it did is added to what is there by then.
        data = extract_telemetry_data(raw_data)
        steps = _run(order, work, data, context)
        self._add(metrics, steps, data, context, work, is_old_now_given=was_given)
        return metrics

    async def process_async(
        self,
        metrics: Metrics,
        raw_data: Mapping[str, Any],
        context: dict[str, Any] | None = None,
    ) -> Metrics:
        """`process` that awaits builders whose `build` is awaitable.

        Builders see a copy, and what they added is added to *metrics* at the end, at once: calls
        that overlap lose nothing, and one that is cancelled adds nothing.
        """
        context = {} if context is None else context
        was_given = "old_now" in context
        with _COMMIT:
            self._set_times(metrics, context)
            work = dict(metrics)
            order = self._in_order()
        data = extract_telemetry_data(raw_data)
        steps: list[Step] = []
        for _, outcome in _awaitables(order, work, data, context, steps):
            await outcome
        self._add(metrics, steps, data, context, work, is_old_now_given=was_given)
        return metrics

    def _add(
        self,
        metrics: Metrics,
        steps: Sequence[Step],
        data: TelemetryData,
        context: dict[str, Any],
        seen: dict[str, Any],
        *,
        is_old_now_given: bool,
    ) -> None:
        with _COMMIT:
            if not is_old_now_given:
                # Others may have counted meanwhile, and a new day may have begun for them.
                context["old_now"] = last_updated(metrics, context["now"])
            self._commit(metrics, *_replayed(metrics, steps, data, context), context)
            # The copy that builders were given; one that held on to it finds what came of it.
            seen.clear()
            seen.update(metrics)

    def _set_times(self, metrics: Metrics, context: dict[str, Any]) -> None:
        now = context.get("now")
        if now is None:
            now = context["now"] = now_local(datetime)
        if "old_now" not in context:
            context["old_now"] = last_updated(metrics, now)

    def _in_order(self) -> list[MetricBuilder]:
        if self.builders != self._seen:
            self._order = ordered(self.builders)
            counting = [one for one in self._order if says_what_it_adds(one)]
            self._counting = counting if len(counting) == len(self._order) else None
            planned = [one for one in counting if is_planned(one)]
            kinds = [type(one) for one in planned]
            self._plans = _SHARED if kinds == _SHARED_KINDS else Plans(planned)
            self._unplanned = [one for one in counting if not is_planned(one)]
            # A plan's data are shared by all such jobs: others' code does not get to see them.
            self._is_planned = all(type(one) is TimeMetricsBuilder for one in self._unplanned)
            self._seen = list(self.builders)
        return self._order

    def _counted(
        self, metrics: Metrics, raw_data: Mapping[str, Any], context: dict[str, Any]
    ) -> dict[str, Any]:
        """The new values of the keys that this payload touches, where all builders can say so."""
        # Tests of users put their own in the place of what a plan would spare.
        is_own = extract_telemetry_data is _EXTRACT and not is_registry_replaced()
        planned = self._plans.of(raw_data) if self._is_planned and is_own else None
        if planned is not None:
            new = self._by_plan(metrics, planned, raw_data, context)
            if new is not None:
                return new
        data = extract_telemetry_data(raw_data)
        gpus = devices.of(data["gpus"]) if "gpus" in data else None
        changes: list[Change] = []
        for builder in self._counting or ():
            changes += builder.changes(data, context, gpus)
        return joined(metrics, changes)

    def _by_plan(
        self,
        metrics: Metrics,
        planned: Planned,
        raw_data: Mapping[str, Any],
        context: dict[str, Any],
    ) -> dict[str, Any] | None:
        """The same by a plan; None where keys coincide: each must see what the other added."""
        get = metrics.get
        data, time_key, ones, several, seconds = planned
        new = {key: get(key, 0) + 1 for key in ones}
        for key, count in several:
            new[key] = get(key, 0) + count
        keys = len(ones) + len(several)
        spent = raw_data.get(*time_key)
        if seconds and spent is not None and spent > 0:
            keys += len(seconds)
            for key, count in seconds:
                new[key] = get(key, 0) + count * spent
        if len(new) < keys:
            return None
        if not self._unplanned:
            return new
        # The plan's own, and under the lock: no copy for each job.
        data["time_lapsed"] = spent
        for builder in self._unplanned:
            for key, strategy, value in builder.changes(data, context):
                if key in new:
                    return None
                new[key] = join(strategy, get(key), value)
        return new

    def _commit(
        self,
        metrics: Metrics,
        new: dict[str, Any],
        gone: Sequence[str],
        context: dict[str, Any],
    ) -> None:
        """Put *new* values in; nothing before here has touched *metrics*."""
        new[LAST_UPDATED] = context["now"].isoformat()
        if self.validate:
            _refuse_invalid(new)
        if len(metrics) + len(new) > self.keys_max:
            new = self._within_limit(metrics, new)
        metrics.update(new)
        for key in gone:
            metrics.pop(key, None)

    def _within_limit(self, metrics: Metrics, new: dict[str, Any]) -> dict[str, Any]:
        room = self.keys_max - len(metrics)
        kept: dict[str, Any] = {}
        for key, value in new.items():
            if key in metrics or key == LAST_UPDATED:
                kept[key] = value
            elif room > 0:
                kept[key] = value
                room -= 1
            else:
                self.keys_dropped += 1
        return kept


def _run(
    order: Sequence[MetricBuilder],
    work: dict[str, Any],
    data: TelemetryData,
    context: dict[str, Any],
) -> list[Step]:
    """Run builders that await nothing over the copy *work*; what each came to."""
    steps: list[Step] = []
    for builder, outcome in _awaitables(order, work, data, context, steps):
        if inspect.iscoroutine(outcome):
            outcome.close()
        raise TypeError(f"{type(builder).__name__}.build is awaitable: use process_async")
    return steps


def _awaitables(
    order: Sequence[MetricBuilder],
    work: dict[str, Any],
    data: TelemetryData,
    context: dict[str, Any],
    steps: list[Step],
) -> Iterator[tuple[MetricBuilder, Awaitable[Any]]]:
    """Run builders over the copy *work*, with a pause for each that is to be awaited; what each of the
    custom ones did is a difference, into *steps*."""
    for builder in order:
        if says_what_it_adds(builder):
            work.update(joined(work, builder.changes(data, context)))
            steps.append(builder)
            continue
        before = dict(work)
        outcome = builder.build(work, data, context)
        if outcome is not None and inspect.isawaitable(outcome):
            yield builder, outcome
        steps.append(differences.between(before, work))


def _replayed(
    metrics: Metrics, steps: Sequence[Step], data: TelemetryData, context: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """(new values, keys that go) of what builders did, against *metrics* as they are now."""
    work: dict[str, Any] = {}
    over = differences.Over(work, metrics)
    for step in steps:
        if isinstance(step, CountingBuilder):
            work.update(joined(over, step.changes(data, context)))
        else:
            differences.apply(over, step)
    return work, [key for key in over.gone if key not in work]


def _refuse_invalid(new: Mapping[str, Any]) -> None:
    for fault in validation.faults(new):
        raise Refused(f"{fault.key}: {fault.reason}", field=fault.key)
