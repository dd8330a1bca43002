"""What one step of the engine changed, and what a store keeps of it to start it again."""

from msgspec import Struct, field

from heliograph.alert.model import (
    Alert,
    Correlation,
    Entry,
    Group,
    Outgoing,
    Silence,
    Told,
)


class StatDelta(Struct, frozen=True):
    """What to add to one hourly row of the statistics (the day is the sum of its hours)."""

    hour_ns: int
    alert_name: str
    source: str
    severity: str
    workload_id: str
    cluster_name: str
    firing: int = 0
    resolved: int = 0
    duration_ns: int = 0


class Changes(Struct):
    """What one step of the engine changed, to be written in one transaction. Lists may be empty.

    Every row replaces the one of its key: an alert's is its id, a group's its key, that of `Told`
    and `Outgoing` is (group_key, integration). What is gone is deleted before anything is written.

    alerts         new or changed episodes, whole; `raw` or `enriched` of b"" leave the stored ones
    moved          (alert id, ends_ns, updated_ns, count): repeats that move nothing else;
                   written by checkpoints, not before the answer
    alive_ns       0, or the instant up to which the store is whole once this is written (a
                   checkpoint); kept in one row, the greatest wins
    """

    alerts: list[Alert] = field(default_factory=list)
    moved: list[tuple[str, int | None, int, int]] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    groups_gone: list[str] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    told_gone: list[tuple[str, str]] = field(default_factory=list)
    outbox: list[Outgoing] = field(default_factory=list)
    outbox_gone: list[tuple[str, str]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    correlations: list[Correlation] = field(default_factory=list)
    statistics: list[StatDelta] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    alive_ns: int = 0

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__struct_fields__ if name != "alive_ns")


class Kept(Struct, frozen=True):
    """What a store knows of the engine, to start it again.

    alerts     every episode with `ends_ns` None or later than `alive_ns`; every one whose id is in
               *told* (firing, maybe) or *outbox*; and those that ended, or were made, within an
               hour before `alive_ns`. `raw` and `enriched` may be b"". In any order
    silences   all that have not been forgotten, expired ones included
    alive_ns   the greatest `Changes.alive_ns` that was written: when the store was last whole
    """

    alerts: list[Alert] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    outbox: list[Outgoing] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    alive_ns: int = 0
