"""Which of our metrics a forked relative means: metrics and collectors by number.

A number is given when a metric or a collector is made, so forked processes have the same one for
what they inherit. What a relative makes afterwards has a number we do not know: a metric is found by
its collector and name then, and made where there is none.
"""

from _weakref import ref
from functools import partial
from itertools import count

from heliograph.instruments import descriptions
from heliograph.instruments.slots import Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NUMBERS_OF_A_PROCESS = 1 << 32

# What this process has, by number.
metrics: "dict[int, ref[Any]]" = {}
scopes: "dict[int, ref[Any]]" = {}
# (number of the collector, name) of metrics that only relatives have registered.
adopted: set[tuple[int, str]] = set()
# The last of them gives the numbers.
_numbers = [count(1)]


def number_from(process: int) -> None:
    """Give numbers from now on that no other process gives; *process* is one of its own."""
    low = next(_numbers[-1]) % _NUMBERS_OF_A_PROCESS
    _numbers[:] = [count(process * _NUMBERS_OF_A_PROCESS + low)]


def enroll(cell: "Any") -> None:
    """Give the new metric *cell* its number."""
    number = next(_numbers[-1])
    cell.spec.number = number
    metrics[number] = ref(cell.labels, partial(_forget, metrics, number))


def join(collector: "Any") -> None:
    """Let metrics that a forked child registers on *collector* appear on ours too."""
    number = next(_numbers[-1])
    collector.shared_number = number
    scopes[number] = ref(collector, partial(_forget, scopes, number))


def _forget(known: "dict[int, ref[Any]]", number: int, _: object) -> None:
    # What it needs is given: at the end of the process the names of this module are gone.
    known.pop(number, None)


def claim(metric: "Any") -> bool:
    """Whether *metric* is one that only relatives had registered; from now on it is ours too."""
    key = (getattr(getattr(metric, "spec", None), "scope", -1), metric.name)
    known = key in adopted
    adopted.discard(key)
    return known


def found(record: "tuple[Any, ...]", slot: Slot) -> "Any":
    """Our cell for what *record* describes, made where there is none; None if it is unknown."""
    if record[0] == 1:
        return _metric(record[1], record[3], slot)
    _, number, _, names, key = record
    labels = _labels(number)
    if labels is None:
        return None
    values = (key,) if len(names) == 1 else key
    return labels(**dict(zip(names, values, strict=True)))


def _labels(number: int) -> "Any":
    held = metrics.get(number)
    return held() if held is not None else None


def _metric(number: int, described: "tuple[Any, ...]", slot: Slot) -> "Any":
    """The metric *number* of a relative: ours of that name, or a new one of our collector."""
    labels = _labels(number)
    if labels is not None:
        return labels.unlabelled()
    held = scopes.get(described[1])
    collector = held() if held is not None else None
    if collector is None:
        return None
    kind, _, name = described[:3]
    metric = collector.get_metric(name)
    if metric is None:
        metric = collector.register(descriptions.remake(described))
        adopted.add((described[1], name))
    if type(metric).__name__ != kind:
        return None
    metrics[number] = ref(metric.labels)
    slot.numbers.append(number)
    return metric


def disown() -> None:
    """Forget the metrics of relatives: a worker registers its own, as those before it did."""
    for scope, name in adopted:
        collector = (scopes.get(scope) or (lambda: None))()
        metric = collector.unregister(name) if collector is not None else None
        if metric is not None:
            # It may live on for a while: whoever means it now means the worker's own.
            metrics.pop(metric.spec.number, None)
    adopted.clear()
