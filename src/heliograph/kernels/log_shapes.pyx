# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
# cython: embedsignature=False, auto_pickle=False, nonecheck=False, initializedcheck=False
"""Lines of known shape, read by plan, compiled: `log_shapes.py` has what it means."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Copy, PyDict_GetItemWithError, PyDict_SetItem
from cpython.list cimport PyList_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

COMPILED = True
TEXT_BYTES_MAX = 4096
MASKS_MAX = 4096
PLANS_MAX = 32
CHECKED_EVERY = 4096

INT, FLOAT, TIMES, ROUNDED, WHOLE, SLICE = range(6)
_ZEROS = bytes(48 if 48 <= code <= 57 else code for code in range(256))
UNREADABLE = (ValueError, OverflowError)
cdef object _numbers = count(1)
# Of which call of `Memo.read` the place of a plan is.
cdef uint64_t _reads = 0

cdef extern from "Python.h":
    object PyType_GenericAlloc(object, Py_ssize_t)

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #endif
    /* Writes [text, text + size) with its digits as '0', and zeros up to eight bytes; its hash. */
    static inline uint64_t hl_mask(const uint8_t *text, size_t size, uint8_t *out) {
        size_t at = 0;
        uint64_t hash = size * 0x9E3779B97F4A7C15ull, word;
    #if defined(__SSE2__)
        const __m128i zero = _mm_set1_epi8('0'), nine = _mm_set1_epi8(9);
        for (; at + 16 <= size; at += 16) {
            __m128i some = _mm_loadu_si128((const __m128i *)(text + at));
            __m128i less = _mm_sub_epi8(some, zero);
            __m128i digit = _mm_cmpeq_epi8(_mm_min_epu8(less, nine), less);
            some = _mm_or_si128(_mm_and_si128(digit, zero), _mm_andnot_si128(digit, some));
            _mm_storeu_si128((__m128i *)(out + at), some);
        }
    #endif
        for (; at < size; at++)
            out[at] = (uint8_t)(text[at] - '0') <= 9 ? '0' : text[at];
        memset(out + size, 0, 8);
        for (at = 0; at < size; at += 8) {
            memcpy(&word, out + at, 8);
            hash = (hash ^ word) * 0xD6E8FEB86659FD93ull;
            hash ^= hash >> 32;
        }
        return hash;
    }
    """
    uint64_t hl_mask(const uint8_t *text, size_t size, uint8_t *out) nogil


class Slot(NamedTuple):
    """See the twin."""

    start: int
    stop: int
    op: int
    factor: float = 1.0
    places: int = 0


cdef double[23] POWERS
cdef int _power
POWERS[0] = 1.0
for _power in range(1, 23):
    POWERS[_power] = POWERS[_power - 1] * 10.0

# Greater integers may not be doubles.
cdef uint64_t WHOLE_MAX = 1 << 53


cdef struct Place:
    Py_ssize_t start, stop
    int op, places, target
    Py_ssize_t number
    double factor
    PyObject *name


cdef object long_int(const uint8_t *at, const uint8_t *end):
    return int(PyBytes_FromStringAndSize(<char *>at, end - at).replace(b",", b""))


cdef object int_of(const uint8_t *at, const uint8_t *end):
    """`int` of what stands there, its commas left out."""
    cdef const uint8_t *start = at
    cdef long long whole = 0
    cdef bint minus = False
    if end - at > 18:
        return long_int(start, end)
    if at < end and (at[0] == 45 or at[0] == 43):
        minus = at[0] == 45
        at += 1
    if at >= end:
        return long_int(start, end)
    while at < end:
        if 48 <= at[0] <= 57:
            whole = whole * 10 + at[0] - 48
        elif at[0] != 44:
            return long_int(start, end)
        at += 1
    return -whole if minus else whole


cdef double long_float(const uint8_t *at, const uint8_t *end) except? -1.0:
    return float(PyBytes_FromStringAndSize(<char *>at, end - at).replace(b",", b""))


cdef double float_of(const uint8_t *at, const uint8_t *end) except? -1.0:
    """`float` of what stands there, its commas left out: digits that a double holds, by a power of ten
    that it holds, are rounded once, as they must be; others go to Python's own."""
    cdef const uint8_t *start = at
    cdef uint64_t digits = 0
    cdef int count = 0, power = 0, exponent = 0
    cdef bint minus = False, point = False, negative = False
    cdef double value
    if at < end and (at[0] == 45 or at[0] == 43):
        minus = at[0] == 45
        at += 1
    while at < end:
        if 48 <= at[0] <= 57:
            digits = digits * 10 + at[0] - 48
            count += 1
            power -= point
        elif at[0] == 46 and not point:
            point = True
        elif at[0] != 44:
            break
        at += 1
    if count == 0 or count > 18:
        return long_float(start, end)
    if at < end:
        if at[0] != 101 and at[0] != 69:
            return long_float(start, end)
        at += 1
        if at < end and (at[0] == 45 or at[0] == 43):
            negative = at[0] == 45
            at += 1
        if at >= end or end - at > 4:
            return long_float(start, end)
        while at < end:
            if not 48 <= at[0] <= 57:
                return long_float(start, end)
            exponent = exponent * 10 + at[0] - 48
            at += 1
        power += -exponent if negative else exponent
    if digits > WHOLE_MAX or not -22 <= power <= 22:
        return long_float(start, end)
    value = <double>digits
    value = value / POWERS[-power] if power < 0 else value * POWERS[power]
    return -value if minus else value


cdef object value_of(const uint8_t *text, Place *place):
    cdef const uint8_t *at = text + place.start
    cdef const uint8_t *end = text + place.stop
    if place.op == 1:
        return float_of(at, end)
    if place.op == 0:
        return int_of(at, end)
    if place.op == 5:
        return PyUnicode_DecodeUTF8(<char *>at, end - at, NULL)
    if place.op == 2:
        return float_of(at, end) * place.factor
    if place.op == 3:
        return round(<object>(float_of(at, end) * place.factor), place.places)
    return int(<object>float_of(at, end))


cdef int set_place(Place *place, object slot) except -1:
    place.start, place.stop, place.op = slot.start, slot.stop, slot.op
    place.factor, place.places = slot.factor, slot.places
    place.name = NULL
    place.target = 0
    place.number = 0
    return 0


def value(bytes text, slot):
    """See the twin."""
    cdef Place place
    set_place(&place, slot)
    if not 0 <= place.start <= place.stop <= PyBytes_GET_SIZE(text):
        raise ValueError("outside of the text")
    return value_of(<const uint8_t *>PyBytes_AS_STRING(text), &place)


cdef class Plan:
    """See the twin."""

    cdef readonly object template, number
    cdef readonly bint shared
    cdef readonly object fields, extra, events, label
    cdef public object mask, spans, literal
    # Of the block at hand: its number in it, and its lines.
    cdef uint64_t read_in
    cdef uint32_t place
    cdef Py_ssize_t lines
    cdef tuple items, event_items
    cdef list names, attributes, event_places
    cdef dict held, held_extra
    cdef tuple held_events
    cdef Place *places
    cdef Place of_label
    cdef Py_ssize_t count, reach
    cdef Py_ssize_t at_fields, at_events, at_label
    cdef bint labelled

    def __dealloc__(self):
        PyMem_Free(self.places)

    def __init__(self, template, fields, extra, events, label):
        cdef Py_ssize_t n = 0
        self.template = template
        self.fields, self.extra, self.events, self.label = fields, extra, events, label
        self.items = tuple(template)
        self.held = template.fields
        self.held_extra = self.held.get("extra")
        self.held_events = template.events
        self.event_items = tuple([tuple(event) for event in template.events])
        self.event_places = [event._fields.index("attributes") for event in template.events]
        self.attributes = [event.attributes for event in template.events]
        self.at_fields = template._fields.index("fields")
        self.at_events = template._fields.index("events")
        self.at_label = template._fields.index("label")
        self.shared = not (template.fields or template.events or label)
        self.number = next(_numbers)
        self.mask = self.literal = b""
        self.spans = ()
        self.count = len(fields) + len(extra) + len(events)
        self.places = <Place *>PyMem_Malloc((self.count + 1) * sizeof(Place))
        if not self.places:
            raise MemoryError
        # The names that places point at live as long as the plan.
        self.names = []
        for target, group in enumerate((fields, extra, events)):
            for *number, name, slot in group:
                set_place(&self.places[n], slot)
                self.places[n].target = target
                self.places[n].number = number[0] if number else 0
                self.names.append(name)
                self.places[n].name = <PyObject *>name
                self.reach = max(self.reach, self.places[n].stop)
                n += 1
        self.labelled = label is not None
        if self.labelled:
            set_place(&self.of_label, label)
            self.reach = max(self.reach, self.of_label.stop)

    def read(self, bytes text):
        """See the twin."""
        if PyBytes_GET_SIZE(text) < self.reach:
            raise ValueError("not of the plan's mask")
        return self.said(<const uint8_t *>PyBytes_AS_STRING(text))

    cdef object said(self, const uint8_t *text):
        cdef dict fields
        cdef dict extra = None
        cdef list told = None
        cdef Py_ssize_t n, size
        cdef Place *place
        cdef object found, item
        if self.shared:
            return self.template
        fields = PyDict_Copy(self.held)
        if self.held_extra is not None:
            extra = PyDict_Copy(self.held_extra)
            PyDict_SetItem(fields, "extra", extra)
        if self.attributes:
            told = [PyDict_Copy(one) for one in self.attributes]
        for n in range(self.count):
            place = &self.places[n]
            found = value_of(text, place)
            if place.target == 0:
                PyDict_SetItem(fields, <object>place.name, found)
            elif place.target == 1:
                PyDict_SetItem(extra, <object>place.name, found)
            else:
                PyDict_SetItem(<dict>told[place.number], <object>place.name, found)
        size = PyTuple_GET_SIZE(self.items)
        said = PyType_GenericAlloc(type(self.template), size)
        for n in range(size):
            item = <object>PyTuple_GET_ITEM(self.items, n)
            # As `_replace`, without its dict of names.
            if n == self.at_fields:
                item = fields
            elif n == self.at_events and told is not None:
                item = self.told(told)
            elif n == self.at_label and self.labelled:
                item = value_of(text, &self.of_label)
            Py_INCREF(item)
            PyTuple_SET_ITEM(said, n, item)
        return said


    cdef tuple told(self, list attributes):
        """The events, with *attributes*."""
        cdef Py_ssize_t k, n, size
        cdef list events = []
        cdef tuple items
        cdef object event, item
        for k in range(len(attributes)):
            items = <tuple>PyTuple_GET_ITEM(self.event_items, k)
            size = PyTuple_GET_SIZE(items)
            event = PyType_GenericAlloc(type(self.held_events[k]), size)
            for n in range(size):
                item = <object>PyTuple_GET_ITEM(items, n)
                if n == <Py_ssize_t>self.event_places[k]:
                    item = attributes[k]
                Py_INCREF(item)
                PyTuple_SET_ITEM(event, n, item)
            events.append(event)
        return tuple(events)


cdef class Readings:
    """See the twin."""

    cdef bytes blob, skipped, numbers
    cdef const uint32_t[::1] ends
    cdef object quiet, plain
    cdef readonly list plans
    cdef readonly dict said
    cdef readonly object counts, plan_of, telling

    def __init__(self, bytes blob, ends, bytes skipped, quiet, plain):
        self.blob, self.ends, self.skipped = blob, ends, skipped
        self.quiet, self.plain = quiet, plain
        self.plans, self.counts, self.said = [], [], {}
        self.numbers = b""
        self.plan_of = self.telling = memoryview(b"").cast("I")

    def __len__(self):
        return PyBytes_GET_SIZE(self.skipped)

    def __getitem__(self, place):
        if isinstance(place, slice):
            return self.of(range(*place.indices(PyBytes_GET_SIZE(self.skipped))))
        return self.at(place)

    def of(self, places):
        """See the twin."""
        return [self.at(place) for place in places]

    cdef object at(self, object place):
        cdef Py_ssize_t n = place, start, stop
        cdef uint32_t number
        cdef Plan plan
        if n < 0:
            n += PyBytes_GET_SIZE(self.skipped)
        if not 0 <= n < PyBytes_GET_SIZE(self.skipped):
            raise IndexError(place)
        number = (<uint32_t *>PyBytes_AS_STRING(self.numbers))[n] if self.numbers else 0
        if not number:
            return None if PyBytes_AS_STRING(self.skipped)[n] else self.said.get(n, self.quiet)
        plan = self.plans[number - 1]
        if plan.shared:
            return plan.template
        start = self.ends[n - 1] if n > 0 else 0
        stop = self.ends[n]
        try:
            return plan.said(<const uint8_t *>PyBytes_AS_STRING(self.blob) + start)
        except UNREADABLE:
            return self.plain(PyBytes_AS_STRING(self.blob)[start:stop])

    def __iter__(self):
        cdef Py_ssize_t n
        for n in range(PyBytes_GET_SIZE(self.skipped)):
            yield self.at(n)


Sequence.register(Readings)


cdef class Family:
    """See the twin's `_Family`; *mask* too."""

    cdef readonly bytes mask
    cdef readonly tuple spans
    cdef public dict plans
    cdef Plan only
    cdef uint64_t hash

    def __init__(self, mask, spans, hash):
        self.mask, self.spans, self.plans, self.hash = mask, spans, {}, hash

    cdef bytes key(self, const uint8_t *text):
        cdef Py_ssize_t start, stop
        cdef list parts = []
        if PyTuple_GET_SIZE(self.spans) == 1:
            start, stop = self.spans[0]
            return PyBytes_FromStringAndSize(<char *>text + start, stop - start)
        for start, stop in self.spans:
            parts.append(PyBytes_FromStringAndSize(<char *>text + start, stop - start))
        return b"".join(parts)


cdef struct Known:
    uint64_t hash
    PyObject *family


cdef class Memo:
    """See the twin."""

    cdef object unknown, plain, check, quiet
    cdef object other
    cdef dict families
    cdef Known *table
    cdef uint64_t room
    cdef uint8_t *scratch
    cdef public Py_ssize_t hits, disagreed

    def __cinit__(self, *_):
        self.room = 4 * MASKS_MAX
        self.table = <Known *>PyMem_Calloc(self.room, sizeof(Known))
        self.scratch = <uint8_t *>PyMem_Malloc(TEXT_BYTES_MAX + 64)
        if not self.table or not self.scratch:
            raise MemoryError

    def __init__(self, unknown, plain, check, quiet=None):
        self.unknown, self.plain, self.check, self.quiet = unknown, plain, check, quiet
        self.families = {}

    def __dealloc__(self):
        PyMem_Free(self.table)
        PyMem_Free(self.scratch)

    cdef Family family(self, bytes mask, spans):
        """The family of *mask*, new where its spans are others."""
        cdef Family found = self.families.get(mask)
        cdef uint64_t at
        if found is not None and found.spans == tuple(spans):
            return found
        if found is None and len(self.families) >= MASKS_MAX:
            self.families.clear()
            memset(self.table, 0, self.room * sizeof(Known))
        old = found
        found = Family(mask, tuple(spans), self.hashed(mask))
        at = found.hash & (self.room - 1)
        while self.table[at].family != NULL and self.table[at].family != <PyObject *>old:
            at = (at + 1) & (self.room - 1)
        self.table[at].hash = found.hash
        self.table[at].family = <PyObject *>found
        self.families[mask] = found
        return found

    cdef uint64_t hashed(self, bytes mask):
        # Into a buffer of its own: the line at hand is in the other.
        cdef uint8_t *out = <uint8_t *>PyMem_Malloc(PyBytes_GET_SIZE(mask) + 64)
        cdef uint64_t hash
        if not out:
            raise MemoryError
        hash = hl_mask(<const uint8_t *>PyBytes_AS_STRING(mask), PyBytes_GET_SIZE(mask), out)
        PyMem_Free(out)
        return hash

    def put(self, bytes mask, spans, bytes text, Plan plan):
        """See the twin."""
        cdef Family family = self.family(mask, spans)
        if family.plans is None:
            return
        plan.mask, plan.spans = mask, family.spans
        plan.literal = family.key(<const uint8_t *>PyBytes_AS_STRING(text))
        family.plans[plan.literal] = plan
        family.only = None if family.spans else plan
        if len(family.plans) > PLANS_MAX:
            family.plans = None

    def refuse(self, bytes mask):
        """See the twin."""
        cdef Family family = self.family(mask, ())
        family.plans = None
        family.only = None

    def spans(self, bytes mask):
        """See the twin."""
        family = self.families.get(mask)
        return () if family is None else (<Family>family).spans

    def read(self, bytes blob, ends, bytes skipped):
        """See the twin."""
        global _reads
        cdef const uint8_t *text = <const uint8_t *>PyBytes_AS_STRING(blob)
        cdef const uint32_t[::1] stops
        cdef const char *skip = PyBytes_AS_STRING(skipped)
        cdef Py_ssize_t n, many = PyBytes_GET_SIZE(skipped), telling = 0
        cdef Py_ssize_t start = 0, stop, size = PyBytes_GET_SIZE(blob)
        cdef bytes plan_of = PyBytes_FromStringAndSize(NULL, 4 * many)
        cdef bytes places = PyBytes_FromStringAndSize(NULL, 4 * many)
        cdef uint32_t *number = <uint32_t *>PyBytes_AS_STRING(plan_of)
        cdef uint32_t *tells = <uint32_t *>PyBytes_AS_STRING(places)
        cdef Readings made = Readings(blob, ends, skipped, self.quiet, self.plain)
        cdef Plan plan
        cdef uint64_t this_read
        stops = made.ends
        if stops.shape[0] != many:
            raise ValueError("as many ends as lines")
        _reads += 1
        this_read = _reads
        memset(number, 0, 4 * many)
        for n in range(many):
            stop = stops[n]
            if not start <= stop <= size:
                raise ValueError("ends go up, and not beyond the blob")
            if not skip[n]:
                plan = self.found(text + start, stop - start)
                if plan is None:
                    if self.other is not self.quiet:
                        made.said[n] = self.other
                        tells[telling] = n
                        telling += 1
                else:
                    if plan.read_in != this_read:
                        plan.read_in = this_read
                        plan.lines = 0
                        made.plans.append(plan)
                        plan.place = <uint32_t>PyList_GET_SIZE(made.plans)
                    plan.lines += 1
                    number[n] = plan.place
                    if plan.template is not self.quiet:
                        tells[telling] = n
                        telling += 1
            start = stop
        self.other = None
        made.counts = [(<Plan>one).lines for one in made.plans]
        made.numbers = plan_of
        made.plan_of = memoryview(plan_of).cast("I")
        made.telling = memoryview(places[:4 * telling]).cast("I")
        return made

    def one(self, bytes text):
        """See the twin."""
        cdef Plan plan = self.found(<const uint8_t *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        if plan is None:
            return self.other
        try:
            return plan.said(<const uint8_t *>PyBytes_AS_STRING(text))
        except UNREADABLE:
            return self.plain(text)

    cdef Plan found(self, const uint8_t *text, Py_ssize_t size):
        """The plan that reads *text*; where there is none, *other* is what it says."""
        cdef uint64_t hash, at
        cdef Family family = None
        cdef Plan plan = None
        cdef PyObject *found
        if size > TEXT_BYTES_MAX:
            self.other = self.plain(PyBytes_FromStringAndSize(<char *>text, size))
            return None
        hash = hl_mask(text, size, self.scratch)
        at = hash & (self.room - 1)
        while self.table[at].family != NULL:
            if self.table[at].hash == hash:
                family = <Family><object>self.table[at].family
                if (
                    PyBytes_GET_SIZE(family.mask) == size
                    and memcmp(PyBytes_AS_STRING(family.mask), self.scratch, size) == 0
                ):
                    break
                family = None
            at = (at + 1) & (self.room - 1)
        if family is None:
            self.other = self.unknown(
                PyBytes_FromStringAndSize(<char *>text, size),
                PyBytes_FromStringAndSize(<char *>self.scratch, size),
            )
            return None
        plan = family.only
        if plan is None:
            if family.plans is None:
                self.other = self.plain(PyBytes_FromStringAndSize(<char *>text, size))
                return None
            key = family.key(text)
            found = PyDict_GetItemWithError(family.plans, key)
            if found == NULL:
                self.other = self.unknown(
                    PyBytes_FromStringAndSize(<char *>text, size), family.mask
                )
                return None
            plan = <Plan><object>found
        self.hits += 1
        if self.hits % CHECKED_EVERY == 0:
            return self.checked(plan, PyBytes_FromStringAndSize(<char *>text, size))
        return plan

    cdef Plan checked(self, Plan plan, bytes text):
        """*plan* where it reads *text* as it should; else what that says is *other*."""
        try:
            said = plan.said(<const uint8_t *>PyBytes_AS_STRING(text))
        except UNREADABLE:
            self.other = self.plain(text)
            return None
        right = self.check(text, said)
        if right is said:
            return plan
        self.disagreed += 1
        self.refuse(plan.mask)
        self.other = right
        return None
