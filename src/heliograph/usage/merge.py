"""Two flat mappings as one: counts add up, so that nothing imported overwrites what was counted.

    merged({"total_action_train_pass": 5}, {"total_action_train_pass": 2, "last_updated": "…"})
    == {"total_action_train_pass": 7, "last_updated": "…"}

`…_max{…}` keeps the greater, `…_last{…}` that of the later mapping; `time_lapsed_today` adds up only
where both are of one date, else the later date's stands. Adding the same mapping twice counts it
twice: whoever imports sees to it that each file is imported once.
"""

from collections.abc import Mapping
from typing import Any

from heliograph.core.errors import Refused
from heliograph.usage import keys
from heliograph.usage.builders.time import KEY as TODAY
from heliograph.usage.moment import LAST_UPDATED, last_updated, naive
from heliograph.usage.types import LAST, MAX

# What a document of spec 000's store has besides metrics; ours, where we have it, stays.
_NAMES = frozenset({"_id", "name"})


def merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """A new mapping of both. Raises Refused for a value of theirs that is no number, by its key,
    and for a `last_updated` that is no instant; neither mapping is changed.
    """
    our_at, their_at = _updated(ours), _updated(theirs)
    is_later = their_at is not None and (our_at is None or their_at >= our_at)
    is_other_day = (
        our_at is not None and their_at is not None and our_at.date() != their_at.date()
    )
    made = dict(ours)
    for key, value in theirs.items():
        if key == LAST_UPDATED or key in _NAMES:
            continue
        if not keys.is_number(value):
            raise Refused(f"{key}: not a number but {type(value).__name__}", field=key)
        mine = made.get(key)
        if mine is None:
            made[key] = value
        elif not keys.is_number(mine):
            raise Refused(f"{key}: ours is no number", field=key)
        elif (key == TODAY and is_other_day) or strategy_of(key) == LAST:
            made[key] = value if is_later else mine
        else:
            made[key] = max(mine, value) if strategy_of(key) == MAX else mine + value
    if is_later:
        made[LAST_UPDATED] = theirs[LAST_UPDATED]
    return made


def strategy_of(key: str) -> str:
    """`max`, `last` or `sum`: how two values of *key* become one."""
    name, brace, _ = key.partition("{")
    if brace and name.startswith("tao_job_"):
        for strategy in (MAX, LAST):
            if name.endswith(f"_{strategy}"):
                return strategy
    return "sum"


def _updated(metrics: Mapping[str, Any]) -> Any:
    try:
        found = last_updated(metrics, None)
    except (TypeError, ValueError) as error:
        raise Refused(f"{LAST_UPDATED}: {error}", field=LAST_UPDATED) from error
    return None if found is None else naive(found)
