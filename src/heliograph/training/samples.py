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
from collections.abc import Collection, Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.core import labels as label
from heliograph.core.instant import AT_NS_MAX, AT_NS_MIN
from heliograph.core.labels import Labels
from heliograph.core.training import TrainingRow
from heliograph.kernels import row_samples
from heliograph.kernels.row_samples import Kind, Stream

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


def joined(some: Sequence[Columns]) -> Columns:
    """*some* (≥ 1) of one sampler, which was not renewed between them, as one."""
    if len(some) == 1:
        return some[0]
    return Columns(
        np.concatenate([one.series for one in some]),
        np.concatenate([one.at_ns for one in some]),
        np.concatenate([one.value for one in some]),
        some[-1].packed,
    )


class Sampler:
    """Makes samples of rows; remembers the series of each kind of row. For one thread.

    skipped   rows whose names are too long, or whose time is outside 64 bits
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[Stream, tuple[str, ...]], Kind] = {}
        # Of each stream the kind of its latest row.
        self._latest: dict[Stream, Kind] = {}
        self._places: dict[bytes, int] = {}
        self._packed: list[bytes] = []
        self.skipped = 0

    def renew(self) -> None:
        """Forget all that is remembered, where it is too much: between columns that go together."""
        if len(self._kinds) >= KINDS_MAX:
            self._kinds, self._latest, self._places, self._packed = {}, {}, {}, []

    def columns(
        self, rows: Sequence[TrainingRow], named: Collection[str] = frozenset()
    ) -> Columns:
        """The samples of *rows*, and of what their `extra` has by the names *named*; marks of a run's
        edge have none."""
        if named:
            rows = [_with_named(row, named) for row in rows]
        found = row_samples.pack(
            *(rows, self._latest, self._kind_of, _numbers),
            *(AT_NS_MIN, AT_NS_MAX),
        )
        self.skipped += found.skipped
        return Columns(
            np.frombuffer(found.series, np.int64).astype(np.intp, copy=False),
            np.frombuffer(found.at_ns, np.int64),
            np.frombuffer(found.value, np.float64),
            self._packed,
        )

    def _kind_of(self, stream: Stream, names: tuple[str, ...]) -> Kind:
        kind = self._kinds.get((stream, names))
        if kind is None:
            kind = self._kinds[stream, names] = self._kind(stream, names)
        return kind

    def _kind(self, stream: Stream, names: tuple[str, ...]) -> Kind:
        pod_uid, _, rank_group = stream
        if max(len(pod_uid), len(rank_group)) > NAME_CHARS_MAX:
            self.skipped += 1
            return Kind(names, bytes(len(names)), b"")
        taken = bytes(map(is_sampled, names))
        places = [self._place(labels_of(stream, name)) for name in compress(names, taken)]
        return Kind(names, taken, struct.pack(f"={len(places)}q", *places))

    def _place(self, labels: Labels) -> int:
        packed = label.pack(labels)
        place = self._places.setdefault(packed, len(self._packed))
        if place == len(self._packed):
            self._packed.append(packed)
        return place


def is_sampled(field: str) -> bool:
    """Whether the training field *field* has samples."""
    return field not in _NOT_SAMPLED and _FIELD.match(field) is not None


def labels_of(stream: Stream, field: str) -> Labels:
    """The labels of the series that *field* of rows of *stream* belongs to."""
    pod_uid, source, rank_group = stream
    speaker = "rank" if source == LOG else "run_id"
    return label.of(
        {
            label.NAME: PREFIX + field,
            "pod_uid": pod_uid,
            "source": source,
            speaker: rank_group,
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


def _with_named(row: TrainingRow, named: Collection[str]) -> TrainingRow:
    """*row* with those of its `extra` that are *named* as fields; a field's own value stays."""
    extra = row.fields.get("extra")
    if not isinstance(extra, Mapping) or extra.keys().isdisjoint(named):
        return row
    more = {name: value for name, value in extra.items() if name in named}
    return row._replace(fields={**more, **row.fields})


def _numbers(kind: Kind, fields: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Places and values of those of *fields* that are taken and are numbers."""
    there: list[int] = []
    numbers: list[float] = []
    places = struct.unpack(f"={len(kind.places) // 8}q", kind.places)
    for place, name in zip(places, compress(kind.names, kind.taken), strict=True):
        value = fields[name]
        if isinstance(value, int | float):
            with contextlib.suppress(OverflowError):
                numbers.append(float(value))
                there.append(place)
    return struct.pack(f"={len(there)}q", *there), struct.pack(f"={len(numbers)}d", *numbers)
