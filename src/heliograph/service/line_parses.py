"""What the lines of a block say, read by the site's patterns of the moment; for one thread.

    parses = LineParses(patterns, meters)
    read = parses.read(block)            read.parsed[n] says what block[n] does, QUIET mostly

Lines are read by plan (`training.shapes`) as soon as their shape is known; other patterns in force
begin from nothing. Which plan reads a line is enough for an answer; what the line says is made when
somebody asks for it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from heliograph.kernels.log_shapes import Readings
from heliograph.receive.lines import PARTIAL, LineBlock
from heliograph.service.log_patterns import InForce, PatternBook
from heliograph.service.meters import Meters
from heliograph.training.shapes import Shapes

# Every flag but PARTIAL as 0: what `Shapes.read` is to leave out.
_PARTIALS = bytes(code & PARTIAL for code in range(256))


class Read(NamedTuple):
    """A block, and what its lines say under the patterns of *version*.

    parsed    one a line, made anew each time that it is asked for; None where a line goes on in
              another, and QUIET where it says nothing
    telling   the places of those that are neither
    """

    block: LineBlock
    parsed: Readings
    telling: Sequence[int]
    version: int


class Told(NamedTuple):
    """How many lines tell of performance, and how many events there are in all lines."""

    performance: int
    events: int


def told(read: Readings) -> Told:
    """The counts of *read*: what reads a line by plan tells both without a look at it."""
    templates = [plan.template for plan in read.plans]
    parsed = [
        *zip(templates, read.counts, strict=True),
        *((one, 1) for one in read.said.values()),
    ]
    return Told(
        sum(count for one, count in parsed if one.kind == "performance"),
        sum(count * len(one.events) for one, count in parsed),
    )


class LineParses:
    """Reads blocks of lines."""

    def __init__(self, patterns: PatternBook, meters: Meters) -> None:
        self._patterns = patterns
        self._meters = meters
        self._in_force = patterns.in_force()
        self._shapes = Shapes(self._in_force.parse)

    def read(self, block: LineBlock, in_force: InForce | None = None) -> Read:
        """What the lines of *block* say under *in_force*, the patterns of the moment where that is
        not given."""
        wanted = self._patterns.in_force() if in_force is None else in_force
        if wanted.version != self._in_force.version:
            self._in_force, self._shapes = wanted, Shapes(wanted.parse)
        planned, wrong = self._shapes.planned, self._shapes.disagreed
        parsed = self._shapes.read(block.blob, block.ends, block.flags.translate(_PARTIALS))
        self._meters.log_plans.add(self._shapes.planned - planned, "right")
        if self._shapes.disagreed > wrong:
            self._meters.log_plans.add(self._shapes.disagreed - wrong, "wrong")
        return Read(block, parsed, parsed.telling, wanted.version)
