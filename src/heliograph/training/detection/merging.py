"""What several sources said of one workload → one answer, with how sure it is and who disagrees.

    log primus 0.70, component primus 0.80, wandb primus 0.75     primus 0.954762, verified
    log megatron 0.9, component deepspeed 0.7                     deepspeed 0.5, conflict

Agreeing: the mean of their confidences, weighted by priority, and MORE for every source after the
first, at most 1. Disagreeing: the first one's confidence less PENALTY, at least FLOOR. A wrapper
and a base agree; only two names of one layer are a conflict, which the higher priority wins, then
the higher confidence, then the newer word. A pure function of the sources, in whatever order.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from heliograph.training.detection.layers import BASE, WRAPPER, Stack

PRIORITY = {
    "user": 100,
    "component": 80,
    "wandb": 70,
    "log": 60,
    "reuse": 50,
    "image": 40,
    "default": 20,
}
MORE = 0.1
PENALTY, FLOOR = 0.2, 0.3
SUSPECTED, CONFIRMED, VERIFIED = 0.3, 0.6, 0.85
# Rounded so that the sum of a mean does not depend on the order of its terms.
DECIMALS = 6


class Source(NamedTuple):
    """What *source* (a key of PRIORITY; others count as 0) said, and when."""

    source: str
    stack: Stack
    confidence: float
    method: str
    at_ns: int

    @property
    def priority(self) -> int:
        """Whose word counts more."""
        return PRIORITY.get(self.source, 0)


class Conflict(NamedTuple):
    """Two sources that name two frameworks of one *layer*; *reason* is why *winner* is believed."""

    layer: str
    winner: Source
    loser: Source
    reason: str


class Merged(NamedTuple):
    """The answer; *sources* in the order in which they are believed."""

    stack: Stack
    confidence: float
    status: str
    sources: tuple[Source, ...]
    conflicts: tuple[Conflict, ...]


def merged(sources: Iterable[Source]) -> Merged:
    """The one answer of *sources*; `unknown` without any."""
    said = tuple(sorted((one for one in sources if one.stack.framework), key=_believed))
    found = conflicts(said)
    confidence = _confidence(said, disagreeing=bool(found))
    stack = Stack(*(next((name for name in names if name), "") for names in _layers(said)))
    return Merged(stack, confidence, _status(said, confidence, found), said, found)


def conflicts(sources: Sequence[Source]) -> tuple[Conflict, ...]:
    """The conflicts of *sources*: for each layer, the most believed against every other name."""
    found = []
    said = sorted(sources, key=_believed)
    for place, layer in enumerate((WRAPPER, BASE)):
        naming = [one for one in said if one.stack[place]]
        beaten: set[str] = set()
        for one in naming:
            name = one.stack[place]
            if name != naming[0].stack[place] and name not in beaten:
                beaten.add(name)
                found.append(Conflict(layer, naming[0], one, _reason(naming[0], one)))
    return tuple(found)


def _believed(one: Source) -> tuple[object, ...]:
    return -one.priority, -one.confidence, -one.at_ns, one.source, one.stack, one.method


def _layers(said: Sequence[Source]) -> tuple[list[str], list[str]]:
    return [one.stack.wrapper for one in said], [one.stack.base for one in said]


def _confidence(said: Sequence[Source], *, disagreeing: bool) -> float:
    if not said:
        return 0.0
    if disagreeing:
        return round(max(FLOOR, said[0].confidence - PENALTY), DECIMALS)
    weight = sum(one.priority for one in said)
    if not weight:
        return round(said[0].confidence, DECIMALS)
    mean = sum(one.confidence * one.priority for one in said) / weight
    return round(min(1.0, mean + MORE * (len(said) - 1)), DECIMALS)


def _reason(winner: Source, loser: Source) -> str:
    if winner.priority != loser.priority:
        return (
            f"higher_priority_{winner.source}({winner.priority})"
            f"_vs_{loser.source}({loser.priority})"
        )
    if winner.confidence != loser.confidence:
        return f"higher_confidence_{winner.confidence:.2f}_vs_{loser.confidence:.2f}"
    return "newer"


def _status(said: Sequence[Source], confidence: float, found: Sequence[Conflict]) -> str:
    if found:
        return "conflict"
    if said and all(one.source == "reuse" for one in said):
        return "reused"
    if confidence >= VERIFIED and len(said) > 1:
        return "verified"
    if confidence >= CONFIRMED:
        return "confirmed"
    return "suspected" if confidence >= SUSPECTED else "unknown"
