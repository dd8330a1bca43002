"""Lines of known shape, read by plan: the plain twin of `log_shapes.pyx`.

A line's *mask* is its text with every ASCII digit as `0`. Lines of one mask differ in digits alone, so
that each number stands at the same place in all of them, and a plan is a list of places:

    iteration 12/ 20 | lm loss: 2.25 |         mask of this and of `iteration 13/ 20 | lm loss: 2.19 |`
    iteration 00/ 00 | lm loss: 0.00 |

    memo.put(mask, literals, Plan(template, …))     lines of *mask* whose digits at *literals* are these
    memo.read(texts, ends)  →  [what each says]     by plan, else by *unknown*

Who makes plans, and how it is known that they are right, is `training.shapes`.
"""

from collections.abc import Callable, Sequence
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
    """How lines of a mask are read.

    template   what such a line says, a named tuple: *fields* (a dict, perhaps with a dict `extra`),
               *events* (named tuples with a dict *attributes*) and *label* at the places named
    fields     (name, slot) of what is written over `template.fields`; *extra* of its `extra`
    events     (number of the event, name, slot) of what is written over its attributes
    label      slot of the label, None where it is the template's
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

    def read(self, text: bytes) -> Any:
        """What *text* says, whose mask and literals are the plan's."""
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


class _Family:
    """The plans of one mask, by the digits at *spans*; None where lines of it have no plan."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self.spans = spans
        self.plans: dict[bytes, Plan] | None = {}

    def key(self, text: bytes) -> bytes:
        return b"".join([text[start:stop] for start, stop in self.spans])


class Memo:
    """Plans by mask; of one thread. *unknown* is asked for a line without a plan: (text, mask); *plain*
    where the mask has none, or the line none at all; *check* is told text and what the plan read, now
    and then, and answers what is right.

    hits, disagreed   lines read by plan; those of which `check` said that they were read wrong
    """

    def __init__(
        self,
        unknown: Callable[[bytes, bytes], Any],
        plain: Callable[[bytes], Any],
        check: Callable[[bytes, Any], Any],
    ) -> None:
        self._unknown, self._plain, self._check = unknown, plain, check
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
            family.plans[family.key(text)] = plan
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

    def read(self, blob: bytes, ends: Sequence[int], skipped: bytes) -> list[Any]:
        """What each line of *blob* says, that ends at *ends*; None where *skipped* is not 0."""
        found: list[Any] = []
        start = 0
        for end, skip in zip(ends, skipped, strict=True):
            found.append(None if skip else self.one(blob[start:end]))
            start = end
        return found

    def one(self, text: bytes) -> Any:
        """What *text* says."""
        if len(text) > TEXT_BYTES_MAX:
            return self._plain(text)
        mask = text.translate(_ZEROS)
        family = self._families.get(mask)
        if family is None:
            return self._unknown(text, mask)
        if family.plans is None:
            return self._plain(text)
        plan = family.plans.get(family.key(text))
        if plan is None:
            return self._unknown(text, mask)
        said = plan.read(text)
        self.hits += 1
        if self.hits % CHECKED_EVERY == 0:
            right = self._check(text, said)
            if right is not said:
                self.disagreed += 1
                self.refuse(mask)
                return right
        return said
