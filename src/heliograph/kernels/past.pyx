# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
# cython: embedsignature=False, auto_pickle=False, nonecheck=False, initializedcheck=False
"""The last values of one thing and the robust score of the next, compiled: `past.py` has what it means.

Values are kept twice, as they came (a ring) and in order; one that comes moves what lies between
its place and that of the one which leaves, and nothing else.
"""

from cpython.dict cimport PyDict_GetItemWithError
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from libc.math cimport fabs, isfinite
from libc.string cimport memmove

COMPILED = True
SCALE = 0.6745
FLOOR = 0.01
PAST_MAX = 1000

cdef double OF_NORMAL = 0.6745
cdef double LEAST_OF_MEDIAN = 0.01
# Values that there is room for at first: most pasts of a short job are short.
cdef Py_ssize_t ROOM = 16


cdef double middle_of(const double *ordered, Py_ssize_t many) noexcept nogil:
    if many % 2:
        return ordered[many // 2]
    return (ordered[many // 2 - 1] + ordered[many // 2]) / 2


cdef double kth_distance(const double *ordered, Py_ssize_t many, double middle, Py_ssize_t k) noexcept nogil:
    cdef Py_ssize_t low = 0, high = many - k, at
    cdef double below, above
    while low < high:
        at = (low + high) // 2
        if middle - ordered[at] > ordered[at + k] - middle:
            low = at + 1
        else:
            high = at
    below, above = middle - ordered[low], ordered[low + k - 1] - middle
    return above if above > below else below


cdef double z_of(double value, const double *ordered, Py_ssize_t many, double floor) noexcept nogil:
    cdef double middle = middle_of(ordered, many)
    cdef double least = fabs(middle) * floor * OF_NORMAL
    cdef Py_ssize_t half = (many + 1) // 2
    cdef double spread = kth_distance(ordered, many, middle, half)
    if many % 2 == 0:
        spread = (spread + kth_distance(ordered, many, middle, half + 1)) / 2
    # As `max` has it where one of the two is no number.
    if 1e-12 > least:
        least = 1e-12
    if least > spread:
        spread = least
    return OF_NORMAL * (value - middle) / spread


cdef Py_ssize_t left_of(const double *ordered, Py_ssize_t many, double value) noexcept nogil:
    cdef Py_ssize_t low = 0, high = many, at
    while low < high:
        at = (low + high) // 2
        if ordered[at] < value:
            low = at + 1
        else:
            high = at
    return low


cdef Py_ssize_t right_of(const double *ordered, Py_ssize_t many, double value) noexcept nogil:
    cdef Py_ssize_t low = 0, high = many, at
    while low < high:
        at = (low + high) // 2
        if value < ordered[at]:
            high = at
        else:
            low = at + 1
    return low


cdef double *copied(values) except NULL:
    cdef Py_ssize_t n
    cdef double *found = <double *>PyMem_Malloc(max(len(values), 1) * sizeof(double))
    if not found:
        raise MemoryError
    for n, value in enumerate(values):
        found[n] = value
    return found


def double(value):
    """See the twin."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else -float("inf")


def median(ordered):
    """See the twin."""
    cdef double *values = copied(ordered)
    try:
        return middle_of(values, len(ordered))
    finally:
        PyMem_Free(values)


def robust_z(double value, past, double floor=FLOOR):
    """See the twin."""
    cdef double *values = copied(sorted(past))
    try:
        return z_of(value, values, len(past), floor)
    finally:
        PyMem_Free(values)


cdef class Past:
    """See the twin."""

    cdef public Py_ssize_t late, taken, due
    cdef public bint gone
    cdef Py_ssize_t size, least, many, first, room
    cdef bint change
    cdef object last_ns, before
    # *room* values as they came, then as many in order.
    cdef double *ring
    cdef double *ordered

    def __init__(self, Py_ssize_t size, Py_ssize_t least, bint change=False):
        assert 1 <= least <= size <= PAST_MAX
        self.size, self.least, self.change = size, least, change
        self.many = self.first = self.late = self.taken = self.due = 0
        self.gone = False
        self.last_ns = self.before = None

    def __dealloc__(self):
        PyMem_Free(self.ring)
        PyMem_Free(self.ordered)

    cdef int more(self) except -1:
        """Room for one more value, where there may be."""
        cdef Py_ssize_t room = min(self.size, max(ROOM, 2 * self.room))
        cdef double *ring
        cdef double *ordered
        ring = <double *>PyMem_Realloc(self.ring, room * sizeof(double))
        if not ring:
            raise MemoryError
        self.ring = ring
        ordered = <double *>PyMem_Realloc(self.ordered, room * sizeof(double))
        if not ordered:
            raise MemoryError
        self.ordered, self.room = ordered, room
        return 0

    cdef int take(self, double value) except -1:
        cdef Py_ssize_t there, to
        if self.many < self.size:
            if self.many == self.room:
                self.more()
            to = right_of(self.ordered, self.many, value)
            memmove(self.ordered + to + 1, self.ordered + to, (self.many - to) * sizeof(double))
            self.ordered[to] = value
            self.ring[self.many] = value
            self.many += 1
            return 0
        there = left_of(self.ordered, self.many, self.ring[self.first])
        if there == self.many:
            # A state that was damaged may hold what is no number, which is right of everything.
            there -= 1
        to = right_of(self.ordered, self.many, value)
        if to > there:
            to -= 1
            memmove(self.ordered + there, self.ordered + there + 1, (to - there) * sizeof(double))
        else:
            memmove(self.ordered + to + 1, self.ordered + to, (there - to) * sizeof(double))
        self.ordered[to] = value
        self.ring[self.first] = value
        self.first = self.first + 1 if self.first + 1 < self.size else 0
        return 0

    cdef bint next(self, object at_ns, double value, double *z) except -1:
        """Take *value*; whether there is a score."""
        self.taken += 1
        if self.last_ns is not None and at_ns <= self.last_ns:
            self.late += 1
            return False
        self.last_ns = at_ns
        if not isfinite(value):
            return False
        if self.change:
            before, self.before = self.before, (at_ns, value)
            if before is None:
                return False
            value = (value - <double>before[1]) / <double>((at_ns - before[0]) / 1e9)
        if self.many < self.least:
            self.take(value)
            return False
        z[0] = z_of(value, self.ordered, self.many, LEAST_OF_MEDIAN)
        self.take(value)
        return True

    def score(self, at_ns, double value, double limit=0.0):
        """See the twin."""
        cdef double z = 0.0
        return z if self.next(at_ns, value, &z) else None

    def held(self):
        """See the twin."""
        cdef Py_ssize_t n
        cdef list values = []
        for n in range(self.first, self.many):
            values.append(self.ring[n])
        for n in range(self.first):
            values.append(self.ring[n])
        return self.last_ns, values, self.before

    def begin(self, last_ns, values, before):
        """See the twin."""
        self.last_ns, self.before = last_ns, before
        self.many = self.first = 0
        for value in values:
            self.take(value)


cdef class Scores:
    """See the twin."""

    cdef list looks, names, held
    cdef double *limits

    def __init__(self, looks):
        cdef Py_ssize_t n
        self.looks = list(looks)
        self.names = [tuple(look.fields) for look in self.looks]
        self.held = [look.held for look in self.looks]
        PyMem_Free(self.limits)
        self.limits = copied([look.limit for look in self.looks])

    def __dealloc__(self):
        PyMem_Free(self.limits)

    def take(self, fields, at_ns):
        """See the twin."""
        cdef dict row = fields if type(fields) is dict else dict(fields)
        cdef Py_ssize_t n
        cdef double value, limit
        cdef double z = 0.0
        cdef Past past = None
        cdef list found = None
        cdef PyObject *given
        cdef PyObject *known
        for n in range(len(self.looks)):
            given = NULL
            for name in <tuple>self.names[n]:
                given = PyDict_GetItemWithError(row, name)
                if given != NULL:
                    break
            if given == NULL:
                continue
            if type(<object>given) is float:
                value = <double><object>given
            elif type(<object>given) is int:
                value = double(<object>given)
            else:
                continue
            known = PyDict_GetItemWithError(<dict>self.held[n], name)
            if known != NULL:
                past = <object>known
            if known == NULL or past.gone:
                past = self.looks[n].past(name)
            limit = self.limits[n]
            told = past.next(at_ns, value, &z)
            if past.taken >= past.due:
                self.looks[n].write(past)
            if told and (z > limit or z < -limit):
                if found is None:
                    found = []
                found.append((n, name, value, z))
        return found
