"""The order in which builders run: as given, moved only where one declares what must come before.

[Ratios(requires=("legacy",)), LegacyMetricsBuilder()]  ->  legacy, then Ratios
"""

from collections.abc import Sequence

from heliograph.core.errors import ConfigError
from heliograph.usage.builders.base import MetricBuilder, name_of

BUILDERS_MAX = 100


def ordered(builders: Sequence[MetricBuilder]) -> list[MetricBuilder]:
    """*builders* in a stable order that keeps `requires` and `after`.

    Raises ConfigError that names what is missing, or who waits for whom in a circle.
    """
    if len(builders) > BUILDERS_MAX:
        raise ConfigError(f"{len(builders)} builders, limit {BUILDERS_MAX}")
    names = {name_of(builder) for builder in builders}
    for builder in builders:
        if missing := [name for name in _declared(builder, "requires") if name not in names]:
            raise ConfigError(f"builder {name_of(builder)} requires {missing[0]}: not there")
    waiting = list(builders)
    done: list[MetricBuilder] = []
    while waiting:
        ready = next((one for one in waiting if not _awaited(one, waiting)), None)
        if ready is None:
            circle = ", ".join(name_of(one) for one in waiting)
            raise ConfigError(f"builders wait for each other: {circle}")
        # By identity: a builder may be there twice.
        waiting = [one for one in waiting if one is not ready] + [
            one for one in waiting if one is ready
        ][1:]
        done.append(ready)
    return done


def _awaited(builder: MetricBuilder, waiting: Sequence[MetricBuilder]) -> bool:
    before = {*_declared(builder, "requires"), *_declared(builder, "after")}
    before.discard(name_of(builder))
    return bool(before) and any(name_of(one) in before for one in waiting)


def _declared(builder: object, what: str) -> tuple[str, ...]:
    """Of what only looks like a builder, nothing is declared."""
    names = getattr(builder, what, ())
    return tuple(names) if isinstance(names, tuple | list | set | frozenset) else ()
