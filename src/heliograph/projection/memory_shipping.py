"""Shipping the tracker's events to a service, by `heliograph.ship`.

lane_of("http://heliograph:8989", counts, who)   a shipper of the tracker's own, with its counts
lane_of(shipper, counts, who)                    one that ships other things too, and is not closed
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from heliograph.core.errors import ConfigError
from heliograph.projection.memory_events import Identity
from heliograph.ship.family import Family, Point
from heliograph.ship.shipper import Shipper

_GAUGES = ("sample_seconds",)


class Lane:
    """A shipper, and whether it is ours to close."""

    def __init__(self, shipper: Shipper, *, owned: bool) -> None:
        self.shipper = shipper
        self._owned = owned

    def records(self, documents: Sequence[bytes], /) -> None:
        """Have *documents* delivered."""
        self.shipper.records(documents)

    def counts(self) -> dict[str, float]:
        """What became of records; `ship_later`: requests of the shipper that a receiver did not answer,
        or not now, and that are made again."""
        told = self.shipper.counts
        records = {name: told.records[name] for name in ("delivered", "dropped", "refused")}
        counts = {**records, "later": told.attempts["later"]}
        return {f"ship_{name}": float(count) for name, count in counts.items()}

    def close(self) -> None:
        """Deliver what is there, within the shipper's bounds; end it where it is ours."""
        if self._owned:
            self.shipper.close()


def lane_of(ship: Any, counts: Callable[[], Mapping[str, float]], who: Identity) -> Lane | None:
    """The lane of *ship*: a URL, a shipper, or None; the *counts* of a shipper of ours are of *who*.

    Raises ConfigError where it takes no records.
    """
    if ship is None:
        return None
    if isinstance(ship, str):
        labels = {"instance": who.host, "rank": str(who.rank), "job_id": who.job_id or ""}
        shipper = Shipper(ship, lambda: families(counts()), labels=labels)
        lane = Lane(shipper, owned=True)
    elif isinstance(ship, Shipper):
        shipper, lane = ship, Lane(ship, owned=False)
    else:
        raise ConfigError(f"ship: a URL or a Shipper, not {type(ship).__name__}")
    if not shipper.takes_records:
        lane.close()
        raise ConfigError("ship: that receiver takes samples alone; give the URL of a service")
    return lane


def families(counts: Mapping[str, float]) -> list[Family]:
    """What the tracker counts of itself, as metrics."""
    return [
        Family(
            f"heliograph_memory_{name}" + ("" if name in _GAUGES else "_total"),
            "gauge" if name in _GAUGES else "counter",
            "Of the memory tracker itself",
            "",
            [Point("", (), value)],
        )
        for name, value in counts.items()
    ]
