"""What the shipper counts of itself, and shows among what it ships.

Plain integers, each written by one thread at a time; whoever reads them sees some recent state.
"""

from heliograph.ship import frame as framing
from heliograph.ship.family import Family, Point


class Counts:
    """Since the shipper began; samples unless a name says else."""

    def __init__(self) -> None:
        self.collections = 0
        self.collect_errors = 0
        self.collect_s = 0.0
        self.collected = 0
        self.delivered = 0
        self.refused = 0
        self.dropped = 0
        self.duplicates = 0
        self.unreadable = 0
        self.damaged_frames = 0
        self.adopted_frames = 0
        self.spool_errors = 0
        self.attempts = {"sent": 0, "later": 0, "refused": 0}
        self.records = {"collected": 0, "delivered": 0, "dropped": 0, "refused": 0}

    def drop(self, kind: int, items: int) -> None:
        """*items* of a frame of *kind* are given up for want of room."""
        if kind == framing.RECORDS:
            self.records["dropped"] += items
        else:
            self.dropped += items

    def settle(self, kind: int, items: int, *, delivered: bool) -> None:
        """*items* of a frame of *kind* need no further attempt."""
        if kind == framing.RECORDS:
            self.records["delivered" if delivered else "refused"] += items
        elif delivered:
            self.delivered += items
        else:
            self.refused += items

    def families(self, *, bytes_waiting: int, frames: int, bytes_max: int) -> list[Family]:
        """As metrics, with the state of the spool beside them."""
        attempts = [
            Point("", (("outcome", outcome),), count)
            for outcome, count in self.attempts.items()
        ]
        samples = [
            Point("", (("outcome", outcome),), count)
            for outcome, count in (
                ("collected", self.collected),
                ("delivered", self.delivered),
                ("dropped", self.dropped),
                ("duplicate", self.duplicates),
                ("refused", self.refused),
                ("unreadable", self.unreadable),
            )
        ]
        records = [Point("", (("outcome", one),), n) for one, n in self.records.items()]
        # Whoever ships none is not shown any.
        some = any(self.records.values())
        return [
            _family("samples_total", "counter", "Samples, by what became of them", samples),
            *(
                [
                    _family(
                        "records_total", "counter", "Records, by what became of them", records
                    )
                ]
                if some
                else []
            ),
            _family(
                "attempts_total", "counter", "Requests, by how they were answered", attempts
            ),
            _counter("collections", "Times that the metrics were read", self.collections),
            _counter("collect_errors", "Times that reading them raised", self.collect_errors),
            _counter("spool_errors", "Frames the disk did not take", self.spool_errors),
            _counter("damaged_frames", "Frames that could not be read", self.damaged_frames),
            _counter("adopted_frames", "Frames of processes that died", self.adopted_frames),
            _gauge("collect_seconds", "Seconds that the last reading took", self.collect_s),
            _gauge("spool_bytes", "Bytes that wait", bytes_waiting),
            _gauge("spool_bytes_max", "Bytes that may wait", bytes_max),
            _gauge("spool_frames", "Requests that wait", frames),
        ]


def _family(name: str, kind: str, text: str, points: list[Point]) -> Family:
    return Family(f"heliograph_ship_{name}", kind, text, "", points)


def _counter(name: str, text: str, value: float) -> Family:
    return _family(f"{name}_total", "counter", text, [Point("", (), value)])


def _gauge(name: str, text: str, value: float) -> Family:
    return _family(name, "gauge", text, [Point("", (), value)])
