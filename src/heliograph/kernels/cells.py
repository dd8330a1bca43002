"""Cells: the numbers behind counters, gauges and histograms, and the label sets that lead to them.

    spec = Spec("steps_total", "counter")
    cell = CounterCell.__new__(CounterCell); cell.bind(spec, -1, None, 0)
    cell.increment(2.0)

The numbers of all cells lie in two banks of doubles, and a cell knows its place. One bank is of
sums, to which processes only add: a counter has one, a histogram its sum and a count a bucket. The
other is of gauges, two doubles each: the value, and a tag: 2 = written, + 1 = shown without a
point, + 4 times how forked processes are combined, + 16 times a stamp that orders the writes of
several processes. A bank is private memory until `share` moves it into memory that forked children
see; `peers` are then the banks of the others, added when a number is read.

This is the plain twin of `cells.pyx`, with the same results. It takes no lock: `bank[i] += x` is
exact because CPython, where it has a GIL, switches threads, runs signal handlers and frees cycles
at calls and backward jumps only, and there is none between the read and the write. A test holds it
to that.
"""

from array import array
from bisect import bisect_left

from heliograph.kernels import careful, specs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TypeVar

    Kind = TypeVar("Kind", bound="Cell")

COMPILED = False
Spec = specs.Spec
LabelsOf = specs.LabelsOf
# The compiled twin has its own; the plain one is that of `kernels.exposition`.
Writer: "Any" = None
WRITTEN, WHOLE, POLICY, STAMP = 2, 1, 4, 16
LATEST, SUM, MAX, MIN = range(4)
POLICIES = ("latest", "sum", "max", "min")
INF = float("inf")


class Bank:
    """A row of doubles that grows until it is shared. `free` has the gaps by width."""

    __slots__ = ("free", "limit", "links", "peers", "room", "shared_from", "used")

    def __init__(self) -> None:
        # How far it is given away; how far of that there are doubles, which comes a moment later.
        self.used = self.room = 0
        # None until the bank is shared; then how far it goes.
        self.limit: int | None = None
        self.free: dict[int, list[int]] = {}
        # The banks of other processes, None where there is a gap. Up to `shared_from` a place means
        # the same in all; `links` has where the rest is: place here → (peer, place there).
        self.peers: list[Any] = []
        self.shared_from = 0
        self.links: dict[int, list[tuple[int, int]]] = {}

    def watch(self, peers: "Sequence[Any]") -> None:
        """Make the writable `d` buffers *peers* those that are added."""
        self.peers = list(peers)


_sums: "Any" = array("d")
_gauges: "Any" = array("d")
_stamps: "Any" = None
sums = Bank()
gauges = Bank()


def share(sums_at: "Any", gauges_at: "Any", stamp_at: "Any", *, keep: bool) -> None:
    """Move both banks into the writable `d` buffers; *stamp_at* (`q`) counts writes of gauges.

    The numbers so far come along with *keep*; else, as in a new child, they begin at zero.
    """
    global _sums, _gauges, _stamps
    # No call comes between the copies and the change: nobody can add to the old ones meanwhile.
    if keep:
        # Beyond their room is what a thread has been given this moment, and added nothing to.
        sums_at[: sums.room] = _sums[: sums.room]
        gauges_at[: gauges.room] = _gauges[: gauges.room]
    _sums, _gauges, _stamps = sums_at, gauges_at, stamp_at
    sums.limit, gauges.limit = len(sums_at), len(gauges_at)


def allocate(bank: Bank, width: int) -> int:
    """A place for *width* doubles, all zero; -2 where a shared bank has no room left."""
    held = own(bank)
    gaps = bank.free.get(width)
    if gaps and bank.limit is None:
        try:
            return gaps.pop()
        except IndexError:  # A signal handler took it.
            pass
    if bank.limit is not None and bank.used + width > bank.limit:
        return careful.SINK
    # It is ours before there is room for it: whoever comes between makes more room, never less.
    at = bank.used
    bank.used = at + width
    if bank.limit is None and len(held) < at + width:
        held.extend(array("d", bytes(8 * (at + width - len(held)))))
    bank.room = max(bank.room, at + width)
    return at


def release(bank: Bank, at: int, width: int) -> None:
    """Take back what `allocate` gave. What is shared is not used again: others may still read it."""
    if at >= 0 and bank.limit is None:
        held = _sums if bank is sums else _gauges
        for i in range(at, at + width):
            held[i] = 0.0
        bank.free.setdefault(width, []).append(at)


def own(bank: Bank) -> "Any":
    """The doubles of this process; valid until the bank grows."""
    return _sums if bank is sums else _gauges


def total(at: int) -> float:
    """What all processes have added at *at* of the sums."""
    result: float = _sums[at]
    if sums.peers:
        for peer, place in _elsewhere(sums, at):
            result += peer[place]
    return result


def combined(at: int, policy: int) -> tuple[float, float]:
    """(value, tag) at *at* of the gauges over all processes, by *policy*."""
    value, tag = _gauges[at], _gauges[at + 1]
    if not gauges.peers:
        return value, tag
    for peer, place in _elsewhere(gauges, at):
        other, other_tag = peer[place], peer[place + 1]
        if other_tag < WRITTEN:
            continue
        if tag < WRITTEN:
            value, tag = other, other_tag
        elif policy == SUM:
            whole = int(tag) & int(other_tag) & WHOLE
            value, tag = value + other, tag - (int(tag) & WHOLE) + whole
        elif policy == LATEST:
            if other_tag // STAMP > tag // STAMP:
                value, tag = other, other_tag
        elif (other > value) == (policy == MAX) and other != value:
            value, tag = other, other_tag
    return value, tag


def add_pair(at: int, value: float) -> None:
    """Add *value* at *at* of the sums, and 1 behind it."""
    _sums[at] += value
    _sums[at + 1] += 1.0


def clear(at: int, width: int) -> None:
    """Make *width* sums from *at* on zero, in all processes."""
    _clear(sums, at, width)


def absorb(bank: Bank, peer: "Any", place: int, at: int) -> None:
    """Move what a dead process left at *place* of *peer* to our *at*; one step for our threads."""
    if bank is sums:
        value = peer[place]
        peer[place] = 0.0
        _sums[at] += value
        return
    value, tag = peer[place], peer[place + 1]
    peer[place] = peer[place + 1] = 0.0
    # Of the other policies only living processes count.
    if int(tag) // POLICY % 4 == LATEST and tag // STAMP > _gauges[at + 1] // STAMP:
        _gauges[at], _gauges[at + 1] = value, tag


class Cell:
    """A place in a bank, and whose it is.

    at     the place; `careful.WANTS_LABELS` or `careful.SINK` where there is none
    shape  index into `Spec.shapes` of a child's label names, -1 of the metric itself
    key    a child's label values, the value alone where it is one
    """

    __slots__ = ("_labels", "at", "key", "prefix", "shape", "spec")

    def bind(self, spec: Spec, shape: int, key: "Any", at: int) -> None:
        """Make it a cell of *spec*. An *at* of 0 asks for a place; it is kept when negative."""
        self.spec = spec
        self.shape = shape
        self.key = key
        self.prefix: Any = None
        gauge = spec.kind == "gauge"
        width = 2 if gauge else spec.width
        self.at = at if at < 0 else allocate(gauges if gauge else sums, width)
        self._labels: Any = (
            LabelsOf(self, spec.constant) if shape < 0 and at != careful.SINK else None
        )

    @property
    def labels(self) -> LabelsOf:
        """The constant labels, and of a child its own too; call it for a child."""
        if self._labels is not None:
            return self._labels  # type: ignore[no-any-return]
        return LabelsOf(self, self.spec.constant + careful.pairs_of(self))

    def __del__(self) -> None:
        spec = getattr(self, "spec", None)
        # At the end of the process the names of this module are gone, those with `_` first.
        if spec is not None and self.at >= 0 and _sums is not None:
            gauge = spec.kind == "gauge"
            release(gauges if gauge else sums, self.at, 2 if gauge else spec.width)


class CounterCell(Cell):
    """A sum that only grows."""

    __slots__ = ()

    def increment(
        self,
        amount: float = 1.0,
        labels: "Mapping[str, object] | None" = None,
        exemplar: "Mapping[str, object] | None" = None,
    ) -> None:
        """Add *amount*, not negative, here or to the child of *labels*.

        *exemplar* are labels that lead to the cause, a trace id mostly.
        """
        at = self.at
        if (
            labels is None
            and exemplar is None
            and amount.__class__ is float
            and 0.0 <= amount < INF
            and at >= 0
        ):
            _sums[at] += amount
        else:
            careful.increment(self, amount, labels, exemplar)

    def add(self, amount: float) -> None:
        """Add *amount*, unchecked."""
        if self.at >= 0:
            _sums[self.at] += amount

    def value(self) -> float:
        """The sum over all processes."""
        return total(self.at) if self.at >= 0 else 0.0

    def clear(self) -> None:
        """Set it to 0.0, in all processes."""
        _clear(sums, self.at, 1)


class GaugeCell(Cell):
    """A value that goes anywhere."""

    __slots__ = ()

    def set(self, value: float, labels: "Mapping[str, object] | None" = None) -> None:
        """Make it *value*, any number, here or in the child of *labels*."""
        if labels is None and value.__class__ is float and self.at >= 0:
            self.put(value, False)
        else:
            careful.set_gauge(self, value, labels)

    def increment(
        self, amount: float = 1.0, labels: "Mapping[str, object] | None" = None
    ) -> None:
        """Add *amount*, here or in the child of *labels*."""
        if labels is None and amount.__class__ is float and self.at >= 0:
            self.add(amount, False)
        else:
            careful.add_gauge(self, amount, labels, 1.0)

    def decrement(
        self, amount: float = 1.0, labels: "Mapping[str, object] | None" = None
    ) -> None:
        """Take *amount* off, here or in the child of *labels*."""
        if labels is None and amount.__class__ is float and self.at >= 0:
            self.add(-amount, False)
        else:
            careful.add_gauge(self, amount, labels, -1.0)

    def put(self, value: float, whole: bool) -> None:
        """Make it *value*, shown without a point if *whole*."""
        at = self.at
        if at >= 0:
            tag = WRITTEN + POLICY * self.spec.policy + whole
            if _stamps is not None:
                _stamps[0] += 1
                tag += STAMP * _stamps[0]
            _gauges[at], _gauges[at + 1] = value, tag

    def add(self, amount: float, whole: bool) -> None:
        """Add *amount*; what was whole stays so if *whole*."""
        at = self.at
        if at < 0:
            return
        stamp = 0
        if _stamps is not None:
            if self.spec.policy == LATEST and gauges.peers:
                latest = combined(at, LATEST)
                if latest[1] != _gauges[at + 1]:
                    _gauges[at], _gauges[at + 1] = latest
            _stamps[0] += 1
            stamp = STAMP * _stamps[0]
        whole = whole and int(_gauges[at + 1]) & WHOLE == WHOLE
        _gauges[at] += amount
        _gauges[at + 1] = stamp + WRITTEN + POLICY * self.spec.policy + whole

    def value(self) -> float:
        """The value over all processes; an int where it is shown without a point."""
        if self.at < 0:
            return 0.0
        value, tag = combined(self.at, self.spec.policy)
        # Ints may add up to infinity, which is none.
        return int(value) if int(tag) & WHOLE and value - value == 0.0 else value

    @property
    def written(self) -> bool:
        """Whether it was ever set or changed, by any process."""
        return self.at >= 0 and combined(self.at, self.spec.policy)[1] >= WRITTEN

    def clear(self) -> None:
        """Make it 0.0 and unwritten, in all processes."""
        _clear(gauges, self.at, 2)


class HistogramCell(Cell):
    """A sum, and counts by bucket."""

    __slots__ = ()

    def observe(
        self,
        value: float,
        labels: "Mapping[str, object] | None" = None,
        exemplar: "Mapping[str, object] | None" = None,
    ) -> None:
        """Count *value*, here or in the child of *labels*; *exemplar* as in a counter."""
        if labels is None and exemplar is None and value.__class__ is float and self.at >= 0:
            self.add(value)
        else:
            careful.observe(self, value, labels, exemplar)

    def add(self, value: float) -> int:
        """Count *value*; the index of its bucket. NaN is above every bound."""
        bounds = self.spec.bounds
        bucket = bisect_left(bounds, value) if value == value else len(bounds)  # noqa: PLR0124
        at = self.at
        if at >= 0:
            _sums[at] += value
            _sums[at + 1 + bucket] += 1.0
        return bucket

    def values(self) -> list[float]:
        """The sum, then the count of each bucket alone, then of what is above them all."""
        if self.at < 0:
            return [0.0] * self.spec.width
        return [total(at) for at in range(self.at, self.at + self.spec.width)]

    def clear(self) -> None:
        """Set it to nothing, in all processes."""
        _clear(sums, self.at, self.spec.width)


def _clear(bank: Bank, at: int, width: int) -> None:
    if at < 0:
        return
    held = _sums if bank is sums else _gauges
    for i in range(at, at + width):
        held[i] = 0.0
        for peer, place in _elsewhere(bank, i):
            peer[place] = 0.0


def _elsewhere(bank: Bank, at: int) -> "list[tuple[Any, int]]":
    """(peer, place there) of what is at *at* here."""
    # Others may be watched from one line to the next; these are those of now.
    peers = bank.peers
    if at < bank.shared_from:
        return [(peer, at) for peer in peers if peer is not None]
    return [
        (peers[i], place)
        for i, place in bank.links.get(at, ())
        if i < len(peers) and peers[i] is not None
    ]


def settle(kind: "type[Kind]") -> "type[Kind]":
    """*kind*, a subclass of a cell; where it is compiled the interpreter's short cut is its own."""
    return kind
