"""What readings of a device's memory are worth saying: nearly full, a jump, in pieces, a leak.

    watch = Watch(Thresholds())
    watch.look(reading, at_s=12.5)  →  [Notice("critical", "device_memory", "memory 97% full: …", {…})]

Pure: readings and instants in, notices out. A condition is told when it begins to hold and not again
while it holds; it is over a little below the threshold, so that a value that swings around it is
told once. A leak is a guess: what is held at the least of each stretch of time only ever grows.
"""

from collections import deque
from typing import Any, NamedTuple

from heliograph.core.errors import ConfigError
from heliograph.projection.memory_devices import Reading

MIB = 1 << 20


class Thresholds(NamedTuple):
    """Where notices begin; a ratio is of 1.

    warning_ratio, critical_ratio   used of total of the device
    jump_bytes                      growth of what is allocated between two readings
    fragmentation_ratio             reserved but not allocated, of reserved …
    fragmentation_bytes             … and at least this much of it
    leak_span_s                     how long the least held of each of LEAK_STEPS stretches must grow …
    leak_ratio, leak_bytes          … and by how much over all of them, both
    easing_ratio                    how far below its threshold a ratio must fall to be over
    """

    warning_ratio: float = 0.80
    critical_ratio: float = 0.95
    jump_bytes: int = 100 * MIB
    fragmentation_ratio: float = 0.30
    fragmentation_bytes: int = 256 * MIB
    leak_span_s: float = 600.0
    leak_ratio: float = 0.05
    leak_bytes: int = 64 * MIB
    easing_ratio: float = 0.05

    def checked(self) -> "Thresholds":
        """Itself. Raises ConfigError where a number cannot be meant."""
        ratios = {
            name: getattr(self, name)
            for name in ("warning_ratio", "critical_ratio", "fragmentation_ratio")
        }
        for name, value in ratios.items():
            if not 0 < value <= 1:
                raise ConfigError(f"{name} {value!r}: above 0 and at most 1")
        if self.warning_ratio > self.critical_ratio:
            raise ConfigError("warning_ratio is above critical_ratio")
        if not self.leak_span_s > 0:
            raise ConfigError(f"leak_span_s {self.leak_span_s!r}: above 0")
        return self


class Notice(NamedTuple):
    """Something to say.

    event_type   `warning` or `critical`
    alert        fixed word: `device_memory`, `allocation_jump`, `fragmentation`, `leak`
    text         the same for people
    values       what it was judged by
    """

    event_type: str
    alert: str
    text: str
    values: dict[str, Any]


# Stretches that `leak_span_s` is cut into; each keeps the least that was held.
LEAK_STEPS = 6


class Watch:
    """The watch over one device; readings come in the order of time."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._at = thresholds.checked()
        self._level = 0
        self._fragmented = False
        self._allocated: int | None = None
        self._leak = _Leak(thresholds)

    def look(self, reading: Reading, at_s: float) -> list[Notice]:
        """What is to be said of *reading*, at the monotonic instant *at_s*."""
        found = [self._full(reading), self._jump(reading), self._pieces(reading)]
        if reading.allocated_bytes is not None:
            found.append(self._leak.look(reading.allocated_bytes, at_s))
        return [notice for notice in found if notice is not None]

    def _full(self, reading: Reading) -> Notice | None:
        if reading.used_bytes is None or not reading.total_bytes:
            return None
        at, before = self._at, self._level
        ratio = reading.used_bytes / reading.total_bytes
        reached = 2 if ratio >= at.critical_ratio else 1 if ratio >= at.warning_ratio else 0
        limits = (0.0, at.warning_ratio, at.critical_ratio)
        while before > reached and ratio < limits[before] - at.easing_ratio:
            before -= 1
        self._level = max(before, reached)
        if reached <= before:
            return None
        event_type = "critical" if reached == 2 else "warning"
        return Notice(
            event_type,
            "device_memory",
            f"memory {ratio:.0%} full: {_amount(reading.used_bytes)} of {_amount(reading.total_bytes)}",
            {"ratio": round(ratio, 4), "threshold": limits[reached]},
        )

    def _jump(self, reading: Reading) -> Notice | None:
        before, self._allocated = self._allocated, reading.allocated_bytes
        if before is None or reading.allocated_bytes is None:
            return None
        grown = reading.allocated_bytes - before
        # The first of a program's life are its model and its batch: growth from nothing is no jump.
        if grown <= self._at.jump_bytes or before < self._at.jump_bytes:
            return None
        return Notice(
            "warning",
            "allocation_jump",
            f"allocated memory grew by {_amount(grown)} between two readings",
            {"change_bytes": grown, "threshold": self._at.jump_bytes},
        )

    def _pieces(self, reading: Reading) -> Notice | None:
        allocated, reserved = reading.allocated_bytes, reading.reserved_bytes
        if allocated is None or not reserved:
            return None
        idle = max(reserved - allocated, 0)
        ratio, at = idle / reserved, self._at
        if self._fragmented:
            self._fragmented = ratio >= at.fragmentation_ratio - at.easing_ratio
            return None
        if ratio <= at.fragmentation_ratio or idle < at.fragmentation_bytes:
            return None
        self._fragmented = True
        return Notice(
            "warning",
            "fragmentation",
            f"{ratio:.0%} of the reserved memory is not allocated: {_amount(idle)}",
            {"ratio": round(ratio, 4), "threshold": at.fragmentation_ratio, "idle_bytes": idle},
        )


class _Leak:
    """The least held of each of the last stretches of time."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._at = thresholds
        self._step_s = thresholds.leak_span_s / LEAK_STEPS
        self._least: deque[int] = deque(maxlen=LEAK_STEPS)
        self._until_s: float | None = None
        self._now = 0

    def look(self, allocated: int, at_s: float) -> Notice | None:
        if self._until_s is None:
            self._until_s, self._now = at_s + self._step_s, allocated
            return None
        if at_s < self._until_s:
            self._now = min(self._now, allocated)
            return None
        if at_s >= self._until_s + self._step_s:
            # Nobody looked for a whole stretch: what is known does not follow on.
            self._least.clear()
        self._least.append(self._now)
        self._until_s, self._now = at_s + self._step_s, allocated
        return self._told()

    def _told(self) -> Notice | None:
        least = list(self._least)
        grown = least[-1] - least[0]
        if len(least) < LEAK_STEPS or any(b <= a for a, b in zip(least, least[1:])):  # noqa: B905,RUF007
            return None
        if grown < self._at.leak_bytes or grown < self._at.leak_ratio * max(least[0], 1):
            return None
        self._least.clear()
        rate = grown / (self._step_s * (LEAK_STEPS - 1))
        return Notice(
            "warning",
            "leak",
            f"what is held grew in each of {LEAK_STEPS} stretches, by {_amount(grown)} in all: a leak?",
            {
                "change_bytes": grown,
                "bytes_per_s": round(rate, 1),
                "span_s": self._at.leak_span_s,
            },
        )


def _amount(size: int) -> str:
    """`1.5 GiB`."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.4g} {unit}"
        amount /= 1024
    return f"{amount:.4g} GiB"
