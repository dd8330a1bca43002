"""Lines of known shape, read by plan: the plain twin of `log_shapes.pyx`.

A line's *mask* is its text with every ASCII digit as `0`. Lines of one mask differ in digits alone, so
that each number stands at the same place in all of them, and a plan is a list of places:

    iteration 12/ 20 | lm loss: 2.25 |         mask of this and of `iteration 13/ 20 | lm loss: 2.19 |`
    iteration 00/ 00 | lm loss: 0.00 |

    memo.put(mask, literals, text, Plan(template, …))   of lines with *text*'s digits at *literals*
    memo.read(blob, ends, skipped)  →  Readings         by plan, else by *unknown*

What a line says is made when it is asked for: which plan reads it tells already of what kind it is.

Who makes plans, and how it is known that they are right, is `training.lessons`.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

COMPILED = False
# Longer lines are not remembered.
TEXT_BYTES_MAX = 4096
# Masks remembered; one more forgets them all.
MASKS_MAX = 4096
# Digits that tell one plan of a mask from another: so many plans, then the mask has none.
PLANS_MAX = 32
# One of so many lines read by plan is read the long way too.
CHECKED_EVERY = 4096

INT, FLOAT, TIMES, ROUNDED, WHOLE, SLICE = range(6)
_ZEROS = bytes(48 if 48 <= code <= 57 else code for code in range(256))
# What a number may turn out to be, which the line it was learned from was not: 1e999 is no count.
UNREADABLE = (ValueError, OverflowError)
_numbers = count(1)


class Slot(NamedTuple):
    """A value of a line: the bytes [start, stop) of it, as *op* reads them.

    INT      int(text)            FLOAT   float(text)            SLICE   the text itself
    WHOLE    int(float(text))     TIMES   float(text) * factor
    ROUNDED  round(float(text) * factor, places)
    Commas in numbers are left out.
    """

    start: int
    stop: int
    op: int
    factor: float = 1.0
    places: int = 0


def value(text: bytes, slot: Slot) -> Any:
    """What *slot* reads in *text*."""
    part = text[slot.start : slot.stop]
    if slot.op == SLICE:
        return part.decode()
    part = part.replace(b",", b"")
    if slot.op == INT:
        return int(part)
    number = float(part)
    if slot.op == FLOAT:
        return number
    if slot.op == TIMES:
        return number * slot.factor
    if slot.op == ROUNDED:
        return round(number * slot.factor, slot.places)
    return int(number)


class Plan:
    """How lines of a mask are read. Any thread may read by it.

    template   what such a line says, a named tuple: *fields* (a dict, perhaps with a dict `extra`),
               *events* (named tuples with a dict *attributes*) and *label* at the places named
    fields     (name, slot) of what is written over `template.fields`; *extra* of its `extra`
    events     (number of the event, name, slot) of what is written over its attributes
    label      slot of the label, None where it is the template's

    number     ≥ 1, of no other plan of this process, also after it is forgotten
    shared     whether all its lines say the template itself
    mask       of its lines, once it is put; *spans* its literals, *literal* the digits there
    """

    def __init__(
        self,
        template: Any,
        fields: Sequence[tuple[str, Slot]],
        extra: Sequence[tuple[str, Slot]],
        events: Sequence[tuple[int, str, Slot]],
        label: Slot | None,
    ) -> None:
        self.template = template
        self.fields, self.extra, self.events, self.label = fields, extra, events, label
        self.shared = not (template.fields or template.events or label)
        self.number = next(_numbers)
        self.mask = self.literal = b""
        self.spans: Sequence[tuple[int, int]] = ()

    def read(self, text: bytes) -> Any:
        """What *text* says, whose mask and literals are the plan's. Raises UNREADABLE where a number
        is not what it was in the line that was learned from."""
        template = self.template
        if self.shared:
            return template
        fields = dict(template.fields)
        for name, slot in self.fields:
            fields[name] = value(text, slot)
        if "extra" in fields:
            extra = fields["extra"] = dict(fields["extra"])
            for name, slot in self.extra:
                extra[name] = value(text, slot)
        attributes = [dict(event.attributes) for event in template.events]
        for number, name, slot in self.events:
            attributes[number][name] = value(text, slot)
        events = tuple(
            event._replace(attributes=told)
            for event, told in zip(template.events, attributes, strict=True)
        )
        label = template.label if self.label is None else value(text, self.label)
        return template._replace(fields=fields, events=events, label=label)


class Readings(Sequence[Any]):
    """What each line of a block says: made when it is asked for, each time anew.

    plans     that read lines of the block, in the order of their first
    plan_of   for each line 0, or 1 + the place of its plan in *plans* (uint32)
    counts    lines of each of *plans*
    said      what the other lines say, by place; those not in it say nothing
    telling   places of the lines that are not skipped and do not say nothing (uint32)
    """

    def __init__(
        self,
        blob: bytes,
        ends: Sequence[int],
        skipped: bytes,
        quiet: Any,
        plain: Callable[[bytes], Any],
    ) -> None:
        self._blob, self._ends, self._skipped = blob, ends, skipped
        self._quiet, self._plain = quiet, plain
        self.plans: list[Plan] = []
        self.counts: list[int] = []
        self.said: dict[int, Any] = {}
        self.plan_of = self.telling = memoryview(b"").cast("I")

    def __len__(self) -> int:
        return len(self._skipped)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[n] for n in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        number = self.plan_of[place]
        if not number:
            return None if self._skipped[place] else self.said.get(place, self._quiet)
        text = self._blob[self._ends[place - 1] if place else 0 : self._ends[place]]
        try:
            return self.plans[number - 1].read(text)
        except UNREADABLE:
            return self._plain(text)

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(len(self)))

    def of(self, places: Sequence[int]) -> list[Any]:
        """What the lines at *places* say, in that order; at once, which costs less."""
        return [self[place] for place in places]


class _Family:
    """The plans of one mask, by the digits at *spans*; None where lines of it have no plan."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self.spans = spans
        self.plans: dict[bytes, Plan] | None = {}

    def key(self, text: bytes) -> bytes:
        return b"".join([text[start:stop] for start, stop in self.spans])


class Memo:
    """Plans by mask; of one thread. *unknown* is asked for a line without a plan: (text, mask); *plain*
    where the mask has none, or the line none at all (by any thread); *check* is told text and what the
    plan read, now and then, and answers what is right. *quiet* is what says nothing.

    hits, disagreed   lines read by plan; those of which `check` said that they were read wrong
    """

    def __init__(
        self,
        unknown: Callable[[bytes, bytes], Any],
        plain: Callable[[bytes], Any],
        check: Callable[[bytes, Any], Any],
        quiet: Any = None,
    ) -> None:
        self._unknown, self._plain, self._check = unknown, plain, check
        self._quiet = quiet
        self._families: dict[bytes, _Family] = {}
        self.hits = self.disagreed = 0

    def put(
        self, mask: bytes, spans: Sequence[tuple[int, int]], text: bytes, plan: Plan
    ) -> None:
        """Lines of *mask* that have *text*'s digits at *spans* are read by *plan*. Other spans than
        before forget the mask's plans."""
        family = self._families.get(mask)
        if family is None or tuple(family.spans) != tuple(spans):
            if len(self._families) >= MASKS_MAX:
                self._families.clear()
            family = self._families[mask] = _Family(tuple(spans))
        if family.plans is not None:
            plan.mask, plan.spans, plan.literal = mask, family.spans, family.key(text)
            family.plans[plan.literal] = plan
            if len(family.plans) > PLANS_MAX:
                family.plans = None

    def refuse(self, mask: bytes) -> None:
        """Lines of *mask* have no plan."""
        if len(self._families) >= MASKS_MAX:
            self._families.clear()
        family = self._families[mask] = _Family(())
        family.plans = None

    def spans(self, mask: bytes) -> Sequence[tuple[int, int]]:
        """Where digits tell one plan of *mask* from another, as far as is known."""
        family = self._families.get(mask)
        return () if family is None else family.spans

    def read(self, blob: bytes, ends: Sequence[int], skipped: bytes) -> Readings:
        """What each line of *blob* says, that ends at *ends*; None where *skipped* is not 0."""
        made = Readings(blob, ends, skipped, self._quiet, self._plain)
        places: dict[int, int] = {}
        plan_of, telling = array("I", bytes(4 * len(skipped))), array("I")
        start = 0
        for place, (end, skip) in enumerate(zip(ends, skipped, strict=True)):
            if not start <= end <= len(blob):
                raise ValueError("ends go up, and not beyond the blob")
            text, start = blob[start:end], end
            if skip:
                continue
            plan, said = self._found(text)
            if plan is None:
                if said is not self._quiet:
                    made.said[place] = said
                    telling.append(place)
                continue
            at = places.setdefault(plan.number, len(places))
            if at == len(made.plans):
                made.plans.append(plan)
                made.counts.append(0)
            made.counts[at] += 1
            plan_of[place] = at + 1
            if plan.template is not self._quiet:
                telling.append(place)
        made.plan_of = memoryview(plan_of.tobytes()).cast("I")
        made.telling = memoryview(telling.tobytes()).cast("I")
        return made

    def one(self, text: bytes) -> Any:
        """What *text* says."""
        plan, said = self._found(text)
        if plan is None:
            return said
        try:
            return plan.read(text)
        except UNREADABLE:
            return self._plain(text)

    def _found(self, text: bytes) -> tuple[Plan | None, Any]:
        """The plan that reads *text*; or what it says, where none does."""
        if len(text) > TEXT_BYTES_MAX:
            return None, self._plain(text)
        mask = text.translate(_ZEROS)
        family = self._families.get(mask)
        if family is None:
            return None, self._unknown(text, mask)
        if family.plans is None:
            return None, self._plain(text)
        plan = family.plans.get(family.key(text))
        if plan is None:
            return None, self._unknown(text, mask)
        self.hits += 1
        if self.hits % CHECKED_EVERY == 0:
            return self._checked(plan, text)
        return plan, None

    def _checked(self, plan: Plan, text: bytes) -> tuple[Plan | None, Any]:
        try:
            said = plan.read(text)
        except UNREADABLE:
            return None, self._plain(text)
        right = self._check(text, said)
        if right is said:
            return plan, None
        self.disagreed += 1
        self.refuse(plan.mask)
        return None, right
