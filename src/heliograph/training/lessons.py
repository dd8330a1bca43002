"""What a line says, as places of the line: learned by asking the parser what digits do.

    learn(b"iteration 12/ 20 | lm loss: 2.25 |", parse)  →  Lesson(plan, literal=[])

Each number of the line is replaced by others (random, all 0, all 9, …), alone and together, and what
the parser then says must be explained, value for value, by a place in the line and a way to read it. A
number whose change does anything else (the code of an Xid) is no value but part of the shape. What is
not explained so has no plan. The parser must be a function of the line alone.
"""

import math
import random
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple

from heliograph.kernels import log_shapes as kernel
from heliograph.kernels.log_shapes import Plan, Slot
from heliograph.training.parse import Parsed

# Longer lines, and those of more numbers, would take too long to learn.
LESSON_BYTES_MAX = 2048
RUNS_MAX = 80
# Numbers that may be part of a shape (colours are), and their digits together.
LITERALS_MAX = 24
LITERAL_DIGITS_MAX = 48
_ALONE, _TOGETHER, _TRIES = 3, 24, 2000
# Of a line of MANY numbers each is tried less often: all of it is read again each time.
_TRIES_TOGETHER = 2000
_MANY = 40
_EQUAL_MAX = 24
# Numbers that might mean something to somebody, and of many lengths.
_NOTED = (0, 1, 2, 9, 15, 31, 79, 137, 139, 143, 255, 999, 1024, 65535, 10**6, 10**9, 10**12)
_DIGITS_MAX = 12
_FACTORS = (1e3, 1e-3, 6e4, 100.0, 1024.0, 1 / 1024, 1 / 1024**2, 1 / 1024**3, 1e-6, 3.6e6)
_PLACES = (9, 6, 4, 3, 2, 1)
_ROUNDED_MAX = 0.05
_RUN = re.compile(rb"[0-9]+")
_PARTS = tuple(
    re.compile(part)
    for part in (
        rb"[0-9]+",
        rb"[0-9][0-9,]*",
        rb"[0-9][0-9,]*\.[0-9]*",
        rb"[0-9][0-9,]*(?:\.[0-9]*)?[eE][-+]?[0-9]+",
    )
)

Span = tuple[int, int]
Where = tuple[str | int, ...]


def form_of(text: bytes) -> bytes:
    """*text* with each number as one `0`."""
    return _RUN.sub(b"0", text)


class Lesson(NamedTuple):
    """A plan for lines of a mask with the digits, at *literal*, of the line it was learned from."""

    plan: Plan
    literal: Sequence[Span]


def learn(
    text: bytes, parse: Callable[[bytes], Parsed], *, literal: Iterable[Span] = ()
) -> Lesson | None:
    """How lines of *text*'s mask are read; None where no plan explains what *parse* says of them."""
    runs = [match.span() for match in _RUN.finditer(text)]
    base = parse(text)
    held = leaves(base)
    if held is None or len(runs) > RUNS_MAX or len(text) > LESSON_BYTES_MAX:
        return None
    rng = random.Random(zlib.crc32(text))  # noqa: S311 - not a secret, and the same each time
    explained = {where: _ways(text, leaf) for where, leaf in held.items()}
    fixed = set(literal)
    for run in runs:
        if run in fixed:
            continue
        told = [(one, parse(one)) for one in _alone(text, run, rng, many=len(runs) > _MANY)]
        left = _narrowed_at(run, base, held, explained, told)
        if left is None:
            fixed.add(run)
        else:
            explained = left
    if len(fixed) > LITERALS_MAX or sum(b - a for a, b in fixed) > LITERAL_DIGITS_MAX:
        return None
    free = [run for run in runs if run not in fixed]
    together = [(one, parse(one)) for one in _together(text, free, rng)]
    left = _narrowed(base, explained, together)
    for apart in _telling_apart(text, free, left or {}, rng):
        left = None if left is None else _narrowed(base, left, [(apart, parse(apart))])
    if left is None:
        return None
    plan = _plan(base, {where: ways[0] for where, ways in left.items()})
    return None if plan is None else Lesson(plan, sorted(fixed))


def _narrowed(
    base: Parsed,
    explained: dict[Where, list[Any]],
    told: Sequence[tuple[bytes, Parsed]],
) -> dict[Where, list[Any]] | None:
    """Of the ways to read each leaf those that hold in all of *told*; None where a leaf has none."""
    left = dict(explained)
    for text, said in told:
        found = leaves(said)
        if found is None or list(found) != list(left) or not _alike(base, said):
            return None
        for where, leaf in found.items():
            ways = [way for way in left[where] if _reads(text, way, leaf)]
            if not ways:
                return None
            left[where] = ways
    return left


def _narrowed_at(
    run: Span,
    base: Parsed,
    held: dict[Where, Any],
    explained: dict[Where, list[Any]],
    told: Sequence[tuple[bytes, Parsed]],
) -> dict[Where, list[Any]] | None:
    """The same of texts that differ at *run* alone from that of *base*, whose leaves are *held*. What
    is read elsewhere is what it was: of many equal numbers, of which each may be each, that is most."""
    there = {
        where: [way for way in ways if _looks_at(run, way)] for where, ways in explained.items()
    }
    moved: set[Where] = set()
    for text, said in told:
        found = leaves(said)
        if found is None or list(found) != list(held) or not _alike(base, said):
            return None
        for where, leaf in found.items():
            if not same(leaf, held[where]):
                moved.add(where)
            if there[where]:
                there[where] = [way for way in there[where] if _reads(text, way, leaf)]
    left = {
        where: there[where]
        if where in moved
        else [way for way in ways if not _looks_at(run, way) or way in there[where]]
        for where, ways in explained.items()
    }
    return left if all(left.values()) else None


def _looks_at(run: Span, way: Any) -> bool:
    return isinstance(way, Slot) and way.start < run[1] and run[0] < way.stop


def _outcome(text: bytes, way: Any) -> Any:
    """What is read, None for what cannot be."""
    try:
        return _read(text, way)
    except kernel.UNREADABLE:
        return None


def _read(text: bytes, way: Any) -> Any:
    return kernel.value(text, way) if isinstance(way, Slot) else way[0]


def _alike(one: Parsed, other: Parsed) -> bool:
    """Whether they are the same but for their leaves."""
    return (
        *(one.kind, one.framework, one.rule, one.gap),
        *(event._replace(attributes={}) for event in one.events),
    ) == (
        *(other.kind, other.framework, other.rule, other.gap),
        *(event._replace(attributes={}) for event in other.events),
    )


def leaves(parsed: Parsed) -> dict[Where, Any] | None:
    """The values of *parsed*, by where they stand; None when there is one where no plan can write."""
    found: dict[Where, Any] = {("label",): parsed.label}
    for name, field in parsed.fields.items():
        if name == "extra" and isinstance(field, dict):
            found.update({("extra", key): leaf for key, leaf in field.items()})
        else:
            found["fields", name] = field
    for number, event in enumerate(parsed.events):
        found.update({("events", number, key): leaf for key, leaf in event.attributes.items()})
    plain = (str, int, float, type(None))
    return found if all(isinstance(leaf, plain) for leaf in found.values()) else None


def _ways(text: bytes, leaf: Any) -> list[Any]:
    """All that *leaf* may be: itself, as a list of one, or a slot that reads it in *text*."""
    ways: list[Any] = [[leaf]]
    if isinstance(leaf, str):
        ways += _slices(text, leaf)
    elif isinstance(leaf, int | float) and not isinstance(leaf, bool):
        spans = list(_numbers(text))
        whole = isinstance(leaf, int)
        plain = [Slot(*span, kernel.INT if whole else kernel.FLOAT) for span in spans]
        if whole:
            # As `int` reads digits alone; `1024.0` is a count too.
            printed = [span for span in spans if not text[slice(*span)].lstrip(b"-+").isdigit()]
            plain += [Slot(*span, kernel.WHOLE) for span in printed]
        ways += [slot for slot in plain if _reads(text, slot, leaf)]
        if len(ways) == 1 and isinstance(leaf, float):
            # Most numbers are kept as they are printed: what else they may be is much to look at.
            ways += [slot for slot in _scaled(text, spans, leaf) if _reads(text, slot, leaf)]
    return ways


def _slices(text: bytes, leaf: str) -> Iterator[Slot]:
    try:
        part = leaf.encode()
    except UnicodeEncodeError:
        return
    if not _RUN.search(part):
        return
    at = text.find(part)
    while at >= 0:
        yield Slot(at, at + len(part), kernel.SLICE)
        at = text.find(part, at + 1)


def _scaled(text: bytes, spans: Iterable[Span], leaf: float) -> Iterator[Slot]:
    for span in spans:
        printed = _outcome(text, Slot(*span, kernel.FLOAT))
        for factor in _FACTORS:
            # What is further away is no rounding; it is most.
            if (
                printed is None
                or abs(printed * factor - leaf) > _ROUNDED_MAX + abs(leaf) * 1e-6
            ):
                continue
            for places in _PLACES:
                yield Slot(*span, kernel.ROUNDED, factor, places)
            yield Slot(*span, kernel.TIMES, factor)


def _reads(text: bytes, way: Any, leaf: Any) -> bool:
    try:
        return same(_read(text, way), leaf)
    except kernel.UNREADABLE:
        return False


def _numbers(text: bytes) -> Iterator[Span]:
    """Every part of *text* that begins as a number and may be one."""
    for run in _RUN.finditer(text):
        start = run.start()
        stops = {
            match.end() for part in _PARTS if (match := part.match(text, start)) is not None
        }
        for stop in sorted(stops):
            yield start, stop
            if start and text[start - 1] in b"-+":
                yield start - 1, stop


def _alone(text: bytes, run: Span, rng: random.Random, *, many: bool) -> Iterator[bytes]:
    start, stop = run
    size = stop - start
    others = [_random(size, rng) for _ in range(1 if many else _ALONE)]
    others += [b"0" * size, b"9" * size, b"1".rjust(size, b"0")]
    if not many:
        others.append(b"1".ljust(size, b"0"))
    for other in dict.fromkeys(others):
        yield text[:start] + other + text[stop:]


def _together(text: bytes, runs: Sequence[Span], rng: random.Random) -> Iterator[bytes]:
    for number in range(_TOGETHER):
        made = bytearray(text)
        for start, stop in runs:
            made[start:stop] = (
                _random(stop - start, rng)
                if number > 1
                else b"09"[number : number + 1] * (stop - start)
            )
        yield bytes(made)
    # Numbers that are equal: a last step, a rank beyond the ranks there are.
    alike = ((a, b) for a, b in pairwise(runs) if a[1] - a[0] == b[1] - b[0])
    for one, other in islice(alike, _EQUAL_MAX):
        made = bytearray(text)
        made[other[0] : other[1]] = made[one[0] : one[1]]
        yield bytes(made)


def _telling_apart(
    text: bytes, runs: Sequence[Span], ways: dict[Where, list[Any]], rng: random.Random
) -> Iterator[bytes]:
    """Lines that two ways to read one leaf read differently, where any is found: to round or not to
    round is the same for most numbers."""
    pairs = [
        (one, other)
        for some in ways.values()
        for one, other in pairwise(some)
        if isinstance(one, Slot) and isinstance(other, Slot)
    ]
    for one, other in pairs:
        start, stop = min(one.start, other.start), max(one.stop, other.stop)
        # Only the part that the two look at: a line is long.
        part, first, second = text[start:stop], _moved(one, start), _moved(other, start)
        within = [(a - start, b - start) for a, b in runs if start <= a and b <= stop]
        for _ in range(min(_TRIES, _TRIES_TOGETHER // len(pairs))):
            made = bytearray(part)
            for a, b in within:
                made[a:b] = _random(b - a, rng)
            if not _reads(bytes(made), first, _outcome(bytes(made), second)):
                yield text[:start] + bytes(made) + text[stop:]
                break


def _moved(slot: Slot, start: int) -> Slot:
    """*slot* in a text that begins at *start* of its own."""
    return slot._replace(start=slot.start - start, stop=slot.stop - start)


def _random(size: int, rng: random.Random) -> bytes:
    return b"%0*d" % (size, rng.randrange(10**size))


def _plan(base: Parsed, ways: dict[Where, Any]) -> Plan | None:
    fields: list[tuple[str, Slot]] = []
    extra: list[tuple[str, Slot]] = []
    events: list[tuple[int, str, Slot]] = []
    label: Slot | None = None
    for where, way in ways.items():
        if not isinstance(way, Slot):
            continue
        match where:
            case ("label",):
                label = way
            case ("fields", str(name)):
                fields.append((name, way))
            case ("extra", str(name)):
                extra.append((name, way))
            case ("events", int(number), str(name)):
                events.append((number, name, way))
            case _:
                return None
    return Plan(base, fields, extra, events, label)


def same(one: Any, other: Any) -> bool:
    """Whether they are equal, of equal types and in equal order; NaN is NaN, and 0.0 not -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        if one == other:
            return one != 0.0 or math.copysign(1.0, one) == math.copysign(1.0, other)
        return math.isnan(one) and math.isnan(other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def quiet_at_any_length(text: bytes, parse: Callable[[bytes], Parsed]) -> bool:
    """Whether *text* says what it does, which is nothing, with numbers of other lengths too."""
    nothing = parse(text)
    runs = [match.span() for match in _RUN.finditer(text)]
    rng = random.Random(zlib.crc32(text))  # noqa: S311 - not a secret, and the same each time
    alone = (
        text[:start] + b"%d" % number + text[stop:]
        for start, stop in runs
        for number in (*_NOTED, rng.randrange(10 ** rng.randint(1, _DIGITS_MAX)))
    )
    together = (
        _RUN.sub(lambda _: _random(rng.randint(1, _DIGITS_MAX), rng), text)
        for _ in range(_TOGETHER)
    )
    return all(parse(one) is nothing for some in (together, alone) for one in some)
