"""What a builder is: something that adds metrics of one payload to a mapping.

    class Failures(MetricBuilder):
        def build(self, metrics, telemetry_data, context):
            if not telemetry_data["success"]:
                key = f"failure_{telemetry_data['action']}"
                metrics[key] = metrics.get(key, 0) + 1

`build` may be `async def`; such a builder runs under `MetricProcessor.process_async`. A builder
that raises costs the payload, and leaves the metrics as they were.
Source: spec 000, "Base Class".
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeGuard

from heliograph.usage.devices import Devices
from heliograph.usage.types import (
    LAST,
    MAX,
    SUM,
    Change,
    Count,
    Metrics,
    Number,
    TelemetryData,
)


class MetricBuilder(ABC):
    """A builder, with what must run before it.

    name       by which others speak of it; the class's name where it has none
    requires   names that must be there, and run before; a missing one is a ConfigError
    after      names that run before it where they are there
    """

    name: ClassVar[str] = ""
    requires: ClassVar[tuple[str, ...]] = ()
    after: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def build(
        self,
        metrics: dict[str, Any],
        telemetry_data: TelemetryData,
        context: dict[str, Any],
    ) -> Awaitable[None] | None:
        """Add to *metrics*. *context* has at least `now` and `old_now` (local, naive)."""


class Plan(NamedTuple):
    """What jobs with the same attributes add, however long they took.

    ones      (flat key, how many)
    seconds   (flat key, how many times the seconds); only where these are more than 0
    """

    ones: list[tuple[str, int]]
    seconds: list[tuple[str, int]]


class CountingBuilder(MetricBuilder):
    """A builder that says what it adds before it is added, flat and structured alike."""

    @abstractmethod
    def changes(
        self,
        data: Mapping[str, Any],
        context: Mapping[str, Any],
        gpus: Devices | None = None,
    ) -> list[Change]:
        """(flat key, strategy, value) of each metric, in order; a key may come twice.

        *gpus* are those of *data*, where the caller knows them already.
        """

    @abstractmethod
    def counts(self, data: Mapping[str, Any], context: Mapping[str, Any]) -> list[Count]:
        """The same in the structured form. The keys and values of both agree."""

    def build(
        self, metrics: Metrics, telemetry_data: Mapping[str, Any], context: dict[str, Any]
    ) -> None:
        """Add all of it or, where something of it cannot be added, nothing."""
        metrics.update(joined(metrics, self.changes(telemetry_data, context)))


class PlannedBuilder(CountingBuilder):
    """One whose changes follow from a plan: a processor remembers the plans of the last jobs.

    A subclass that has `changes` of its own is asked for these each time.
    """

    @abstractmethod
    def plan(self, data: Mapping[str, Any], gpus: Devices | None = None) -> Plan:
        """What a job of these attributes adds; nothing of it depends on `time_lapsed`."""

    def changes(
        self,
        data: Mapping[str, Any],
        context: Mapping[str, Any],  # noqa: ARG002 - the contract's
        gpus: Devices | None = None,
    ) -> list[Change]:
        ones, seconds = self.plan(data, gpus)
        made: list[Change] = [(key, SUM, count) for key, count in ones]
        if seconds and (spent := data.get("time_lapsed", 0)) is not None and spent > 0:
            made += [(key, SUM, count * spent) for key, count in seconds]
        return made + self.more(data, gpus)

    def more(
        self,
        data: Mapping[str, Any],  # noqa: ARG002 - the contract's
        gpus: Devices | None = None,  # noqa: ARG002
    ) -> list[Change]:
        """What depends on other values of the job than its plan does."""
        return []


def name_of(builder: object) -> str:
    """The name by which other builders speak of *builder*."""
    name = getattr(builder, "name", "")
    return name if name and isinstance(name, str) else type(builder).__name__


def says_what_it_adds(builder: object) -> TypeGuard[CountingBuilder]:
    """Whether *builder* is one whose changes may be taken instead of running its `build`."""
    build = getattr(getattr(builder, "build", None), "__func__", None)
    return isinstance(builder, CountingBuilder) and build is CountingBuilder.build


def is_planned(builder: object) -> TypeGuard[PlannedBuilder]:
    """Whether plans of *builder* may be remembered and reused."""
    return isinstance(builder, PlannedBuilder) and (
        type(builder).changes is PlannedBuilder.changes
    )


def joined(metrics: Metrics, changes: list[Change]) -> dict[str, Any]:
    """The new values of the keys that *changes* touch; *metrics* stays as it is.

    Raises TypeError where a value that is there is no number.
    """
    get = metrics.get
    new = {key: get(key, 0) + value for key, strategy, value in changes if strategy is SUM}
    if len(new) == len(changes):
        return new
    # A key came twice, or something is not just added; both are rare.
    new = {}
    for key, strategy, value in changes:
        if strategy is SUM:
            new[key] = (new[key] if key in new else get(key, 0)) + value
        else:
            new[key] = join(strategy, new.get(key, get(key)), value)
    return new


def join(strategy: str, stored: Any, value: Number) -> Any:
    """What becomes of *stored* (None where there is nothing) with *value*."""
    if stored is None or strategy == LAST:
        return value
    return max(stored, value) if strategy == MAX else stored + value
