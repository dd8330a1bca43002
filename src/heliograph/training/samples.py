"""Training rows → samples, so that charts and rules over series see what jobs print.

    TrainingRow("p-1", "log", "7", at_ns, 126, None, "primus", {"lm_loss": 2.5, "tflops": 567.6})
        training_lm_loss{pod_uid="p-1", rank="7", source="log"}   2.5      at at_ns
        training_tflops {pod_uid="p-1", rank="7", source="log"}   567.6    at at_ns

`rank` is there where the line names who speaks; a wandb row has its run as `run_id` instead. Whose
the pod is (workload, names) is no label: it is added under the same name when a series is read.

What a line holds under `extra` gives no samples: its names are whatever somebody printed, so that
the series would have no bound. Those that a site names itself, in `logs.fields` or as a group of a
pattern, do. The rank is a label already. Of two values of one series and instant the one later in
the log stays.
"""

import contextlib
import re
import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.core import labels as label
from heliograph.core.instant import AT_NS_MAX, AT_NS_MIN
from heliograph.core.labels import Labels
from heliograph.core.training import TrainingRow

PREFIX = "training_"
LOG = "log"
SOURCES = frozenset({LOG, "wandb"})
SPEAKERS = frozenset({"rank", "run_id"})
# Where the name's text begins in packed labels: after `__name__` and both lengths.
_TRAINING, _TEXT_AT = PREFIX.encode(), 10
# Fields that give no samples.
_NOT_SAMPLED = frozenset({"rank", "extra"})
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
# A pod, rank or run with a longer name gives no samples: it would be the name of every series.
NAME_CHARS_MAX = 512
# Kinds of rows (pod, source, rank, fields) that are remembered, about 2 kB each; when there are
# more, all are forgotten.
KINDS_MAX = 20_000

Pick = Callable[[Mapping[str, Any]], Sequence[Any]]


class Columns(NamedTuple):
    """*n* samples in the order of their rows.

    series   (n,) places in *packed*
    at_ns    (n,) UTC nanoseconds
    value    (n,) float64
    packed   the packed labels of every series so far; a list that only grows, and is another one
             when all was forgotten
    """

    series: NDArray[np.intp]
    at_ns: NDArray[np.int64]
    value: NDArray[np.float64]
    packed: Sequence[bytes]


class _Kind(NamedTuple):
    """Rows of one stream with the same fields: *fields* of them have the series at *places*.

    *pack* makes float64 bytes of what *pick* takes of a row's fields.
    """

    fields: tuple[str, ...]
    pick: Pick
    pack: Callable[..., bytes]
    places: NDArray[np.intp]


_NONE = _Kind((), tuple, struct.Struct("").pack, np.empty(0, np.intp))


class Sampler:
    """Makes samples of rows; remembers the series of each kind of row. For one thread.

    skipped   rows whose names are too long, or whose time is outside 64 bits
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, ...], _Kind] = {}
        self._places: dict[bytes, int] = {}
        self._packed: list[bytes] = []
        self.skipped = 0

    def columns(
        self, rows: Iterable[TrainingRow], named: Collection[str] = frozenset()
    ) -> Columns:
        """The samples of *rows*, and of what their `extra` has by the names *named*; marks of a run's
        edge have none."""
        if len(self._kinds) >= KINDS_MAX:
            self._kinds, self._places, self._packed = {}, {}, []
        kinds = self._kinds
        places: list[NDArray[np.intp]] = []
        times: list[int] = []
        values: list[bytes] = []
        for row in rows:
            fields = row.fields
            if named and "extra" in fields:
                fields = _with_named(fields, named)
            key = (row.pod_uid, row.source, row.rank_group, *fields)
            kind = kinds.get(key)
            if kind is None:
                kind = kinds[key] = self._kind(row, fields)
            if row.marker is not None or not len(kind.places):
                continue
            if not AT_NS_MIN < row.at_ns < AT_NS_MAX:
                self.skipped += 1
                continue
            try:
                values.append(kind.pack(*kind.pick(fields)))
                places.append(kind.places)
            except (struct.error, OverflowError):
                there, numbers = _numbers(kind, fields)
                values.append(numbers)
                places.append(there)
            times.append(row.at_ns)
        return Columns(
            np.concatenate(places) if places else np.empty(0, np.intp),
            np.repeat(np.array(times, np.int64), np.array([len(p) for p in places], np.intp)),
            np.frombuffer(b"".join(values), np.float64),
            self._packed,
        )

    def _kind(self, row: TrainingRow, fields: Mapping[str, Any]) -> _Kind:
        if max(len(row.pod_uid), len(row.rank_group)) > NAME_CHARS_MAX:
            self.skipped += 1
            return _NONE
        names = tuple(name for name in fields if is_sampled(name))
        places = [self._place(labels_of(row, name)) for name in names]
        pack = struct.Struct(f"={len(names)}d").pack
        return _Kind(names, _picking(names), pack, np.array(places, np.intp))

    def _place(self, labels: Labels) -> int:
        packed = label.pack(labels)
        place = self._places.setdefault(packed, len(self._packed))
        if place == len(self._packed):
            self._packed.append(packed)
        return place


def is_sampled(field: str) -> bool:
    """Whether the training field *field* has samples."""
    return field not in _NOT_SAMPLED and _FIELD.match(field) is not None


def labels_of(row: TrainingRow, field: str) -> Labels:
    """The labels of the series that *field* of *row* belongs to."""
    speaker = "rank" if row.source == LOG else "run_id"
    return label.of(
        {
            label.NAME: PREFIX + field,
            "pod_uid": row.pod_uid,
            "source": row.source,
            speaker: row.rank_group,
        }
    )


def may_be_training(packed: bytes) -> bool:
    """Whether series of these packed labels are worth asking `is_training`: cheap, for many."""
    return packed.startswith(_TRAINING, _TEXT_AT)


def is_training(labels: Labels) -> bool:
    """Whether *labels*, as they are stored, are of a series that rows give: name and labels alike,
    so that what an exporter calls `training_…` is not taken for one."""
    if not 3 <= len(labels) <= 4 or labels[0][0] != label.NAME:
        return False
    (_, name), (pod, _), *speaker, (source, told) = labels
    return (
        name.startswith(PREFIX)
        and pod == "pod_uid"
        and source == "source"
        and told in SOURCES
        and all(key in SPEAKERS for key, _ in speaker)
    )


def _with_named(fields: Mapping[str, Any], named: Collection[str]) -> Mapping[str, Any]:
    """*fields* with those of their `extra` that are *named*; a field's own value stays."""
    extra = fields["extra"]
    if not isinstance(extra, Mapping) or extra.keys().isdisjoint(named):
        return fields
    return {**{name: value for name, value in extra.items() if name in named}, **fields}


def _picking(names: tuple[str, ...]) -> Pick:
    """What gives the values of *names* of a row's fields, in that order."""
    if len(names) == 1:
        (only,) = names
        return lambda fields: (fields[only],)
    picked: Pick = itemgetter(*names) if names else tuple
    return picked


def _numbers(kind: _Kind, fields: Mapping[str, Any]) -> tuple[NDArray[np.intp], bytes]:
    """The series of those of *fields* that are numbers, and their values as bytes."""
    there: list[int] = []
    numbers: list[float] = []
    for place, name in zip(kind.places.tolist(), kind.fields, strict=True):
        value = fields[name]
        if isinstance(value, int | float):
            with contextlib.suppress(OverflowError):
                numbers.append(float(value))
                there.append(place)
    return np.array(there, np.intp), np.array(numbers, np.float64).tobytes()
