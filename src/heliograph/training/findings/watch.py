"""Loss scales over the rows of a stream: one that has nowhere left to go is a collapse.

    65536 65536 … 32768 16384 … 2 1                    loss_scale_collapse {loss_scale: 1, from: 65536}
    4294967296 2147483648 … 65536 65536 …              none: how a loss scale finds its place at first
    1 1 1 1                                            none: bf16 has no loss scale

A level counts once it held for HELD_ITERATIONS_MIN iterations. A collapse is a fall from such a
level by FALL_MIN, or to SCALE_MIN; it is told once, until the scale is a level again.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from heliograph.training.findings.event import CRITICAL, ROOT, Event
from heliograph.training.findings.remembered import Remembered, Subject

STREAMS_MAX = 20_000
HELD_ITERATIONS_MIN = 10
FALL_MIN = 1024.0
SCALE_MIN = 1.0

# Pod and rank group.
Stream = Subject


class Scale(msgspec.Struct, frozen=True, array_like=True):
    """A stream's loss scale: as it is, since which iteration, the last level, and whether its
    collapse was told."""

    pod_uid: str
    rank_group: str
    scale: float
    since: int
    level: float = 0.0
    told: bool = False


class Watch(Remembered[Scale]):
    """The loss scales of streams; of a stream that is not known, that its scale never was but
    SCALE_MIN."""

    def __init__(self, held: Iterable[Scale] = ()) -> None:
        super().__init__({(one.pod_uid, one.rank_group): one for one in held}, STREAMS_MAX)

    def row(self, stream: Stream, fields: Mapping[str, Any]) -> Event | None:
        """The collapse that a row tells, which must come in order; None mostly."""
        scale, iteration = fields.get("loss_scale"), fields.get("current_iteration")
        if not isinstance(scale, int | float) or not isinstance(iteration, int):
            return None
        was = self.get(stream)
        if was is None:
            if scale > SCALE_MIN:
                self.set(stream, Scale(*stream, float(scale), iteration))
            return None
        if scale == was.scale or iteration < was.since:
            return None
        return self._changed(stream, was, float(scale), iteration)

    def _changed(
        self, stream: Stream, was: Scale, scale: float, iteration: int
    ) -> Event | None:
        held = iteration - was.since >= HELD_ITERATIONS_MIN
        level, told = was.level, was.told
        if held and (not told or was.scale > SCALE_MIN):
            level, told = was.scale, False
        event = None
        if not told and scale < level and (scale <= SCALE_MIN or scale * FALL_MIN <= level):
            said = {"loss_scale": scale, "from": level, "iteration": iteration, "role": ROOT}
            event, told = Event("loss_scale_collapse", CRITICAL, said), True
        self.set(stream, Scale(*stream, scale, iteration, level, told))
        return event
