"""Where the values of a step stand in its training row, so that each comes back by the name that the
script gave it.

    {"train/loss": 2.3, "eval/loss": 2.5, "eval_loss": 2.6}
      total_loss 2.3, extra {eval_loss 2.5, eval_loss_2c08373c 2.6}

    {"total_loss": "train/loss", "extra.eval_loss": "eval/loss",
     "extra.eval_loss_2c08373c": "eval_loss"}                      of a run, place → name

What a name means is said in `training.steps`. A place is of one name in all of a run, the first that
had it; another that cleans to the same text stands beside it, with a digest of its own. A field has
its value by whatever name a step says it: where that is not the field's own in this run, the value is
in `extra` once more, as `total_loss_as_2ea71c18`, which says whose it is. A mean loss of the whole
run, which stands beside `train_runtime`, is no loss of a step.
"""

import hashlib
import re
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any, NamedTuple

from heliograph.core.training import TrainingRow
from heliograph.training import steps
from heliograph.training.steps import Meaning

# Names of a row that are not ours, kept under `extra`; more are left out.
EXTRA_MAX = 512
# Sets of names that one step has.
NAME_SETS_CACHED_MAX = 256
EXTRA = "extra"
_IN_EXTRA = f"{EXTRA}."
_DIGEST_CHARS = 8
_KEY_CHARS_MAX = steps.EXTRA_CHARS_MAX - _DIGEST_CHARS - 1
_STANDS_FOR = re.compile(rf"{EXTRA}\.((\w+)_as_[0-9a-f]{{{_DIGEST_CHARS}}})")
# What the HF Trainer says of a run when it is over.
_MEAN, _RUNTIME = "train_loss", "train_runtime"


class Told(NamedTuple):
    """A row, and how many values of the step found no room in it."""

    row: TrainingRow
    left_out: int


class Step(NamedTuple):
    """Which step: of *run*, which is in the pod."""

    pod_uid: str
    run: str
    number: int
    at_ns: int
    framework: str = "unknown"


class _Plan(NamedTuple):
    """Where the values of one set of names go.

    fields    name → which field, no two the same one
    extra     key → name
    left_out  names that have no room
    """

    fields: Mapping[str, Meaning]
    extra: Mapping[str, str]
    left_out: int


class Names:
    """Where the values of one run stand; *name_at* is what is known of it already, place → name, and
    grows. For one thread."""

    def __init__(self, name_at: Mapping[str, str]) -> None:
        self.name_at = dict(name_at)
        self._plans: dict[frozenset[str], _Plan] = {}
        # Key of `extra` → the field that such a value stands for.
        self._stands_for: dict[str, str] = {}
        for place, name in self.name_at.items():
            match = _STANDS_FOR.fullmatch(place)
            if match is not None and match[1] == _standing(match[2], name):
                self._stands_for[match[1]] = match[2]

    def told(self, values: Mapping[str, float], step: Step) -> Told:
        """The row of *step*, which logged *values*, and how many found no room."""
        # A client sends them in any order.
        names = frozenset(values)
        plan = self._plans.get(names)
        if plan is None:
            plan = self._plans[names] = _plan(names, self.name_at)
        return _told(values, plan, step)

    def as_logged(self, row: TrainingRow) -> dict[str, Any]:
        """The values of *row* by the names that the script gave; by ours where nobody knows them."""
        extra = row.fields.get(EXTRA) or {}
        again = {self._stands_for[key] for key in extra.keys() & self._stands_for.keys()}
        if again:
            kept = {name: one for name, one in row.fields.items() if name not in again}
            row = row._replace(fields=kept)
        found: dict[str, Any] = {}
        for field, value in row.fields.items():
            if field == EXTRA:
                found |= {
                    self.name_at.get(_IN_EXTRA + key, key): one for key, one in value.items()
                }
            elif field != "current_iteration":
                name = self.name_at.get(field, field)
                scale = steps.meaning(name).scale
                found[name] = value if scale == 1.0 else value / scale
        return found


def told(values: Mapping[str, float], step: Step) -> Told:
    """The same of a step of which nothing is remembered."""
    return _told(values, _plan_alone(frozenset(values)), step)


def _told(values: Mapping[str, float], plan: _Plan, step: Step) -> Told:
    fields: dict[str, Any] = {"current_iteration": step.number}
    for name, meaning in plan.fields.items():
        fields[meaning.field] = steps.in_unit(values[name], meaning)
    if plan.extra:
        fields[EXTRA] = {key: values[name] for key, name in plan.extra.items()}
    row = TrainingRow(
        step.pod_uid,
        steps.SOURCE,
        step.run,
        step.at_ns,
        step.number,
        None,
        step.framework,
        fields,
    )
    return Told(row, plan.left_out)


@lru_cache(maxsize=NAME_SETS_CACHED_MAX)
def _plan_alone(names: frozenset[str]) -> _Plan:
    return _plan(names, {})


def _plan(names: frozenset[str], name_at: MutableMapping[str, str]) -> _Plan:
    """Where the values of *names*, of one step, go; what is new of that is put into *name_at*."""
    ordered = sorted(names, key=lambda name: (len(name), name))
    by_field: dict[str, list[str]] = {}
    for name in ordered:
        meaning = steps.meaning(name)
        if meaning.known and not _of_run(name, names):
            by_field.setdefault(meaning.field, []).append(name)
    extra: dict[str, str] = {}
    chosen: dict[str, Meaning] = {}
    for field, of_field in by_field.items():
        own = name_at.get(field)
        name = own if own in of_field else of_field[0]
        chosen[name] = steps.meaning(name)
        if name_at.setdefault(field, name) != name:
            standing = _standing(field, name)
            extra[standing] = name_at[_IN_EXTRA + standing] = name
    left_out = 0
    for name in (name for name in ordered if name not in chosen):
        key = _key(name, name_at) if len(extra) < EXTRA_MAX else None
        if key is None:
            left_out += 1
        else:
            extra[key] = name
    return _Plan(chosen, extra, left_out)


def _key(name: str, name_at: MutableMapping[str, str]) -> str | None:
    """The key of *name* in `extra`, from now on its own; None where two digests are the same."""
    plain = steps.extra_key(name)
    for key in (plain, f"{plain[:_KEY_CHARS_MAX]}_{_digest(name)}"):
        if name_at.setdefault(_IN_EXTRA + key, name) == name:
            return key
    return None


def _standing(field: str, name: str) -> str:
    return f"{field}_as_{_digest(name)}"


def _of_run(name: str, said: frozenset[str]) -> bool:
    return name.endswith(_MEAN) and name.removesuffix(_MEAN) + _RUNTIME in said


def _digest(name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return digest[:_DIGEST_CHARS]
