# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
# cython: embedsignature=False, auto_pickle=False, nonecheck=False, initializedcheck=False
"""The last values of one thing and the robust score of the next, compiled: `past.py` has what it means.

Values are kept twice, as they came (a ring) and in order. A few that came last wait to be put in
order: so few move no order statistic further than to its neighbours, which is enough to see that most
scores are within a limit, without a look at all values (`surely_within`).
"""

from cpython.dict cimport PyDict_GetItemWithError
from cpython.list cimport PyList_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_GetSlice
from libc.math cimport fabs, isfinite
from libc.string cimport memmove

COMPILED = True
SCALE = 0.6745
FLOOR = 0.01
PAST_MAX = 1000
cdef Py_ssize_t PARTS = 8

cdef double OF_NORMAL = 0.6745
cdef double LEAST_OF_MEDIAN = 0.01
# A little more than it takes, for what is rounded on the way.
cdef double ROUNDED = 1 + 1e-9
# Values that wait at most to be put in order; of pasts of fewer than four times as many none does.
cdef enum:
    WAITING = 16
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


cdef struct Ranks:
    # Between these two lies the median, and between the others half of all values but a few.
    double middle_low, middle_high, low, high


cdef void rank(Ranks *ranks, const double *ordered, Py_ssize_t many) noexcept nogil:
    """Set *ranks* so that they hold while as many as WAITING of the *many* values are others."""
    cdef Py_ssize_t half = (many + 1) // 2 - WAITING, first = (many - half) // 2
    ranks.middle_low = ordered[(many - 1) // 2 - WAITING]
    ranks.middle_high = ordered[many // 2 + WAITING]
    ranks.low, ranks.high = ordered[first], ordered[first + half]


cdef bint surely_within(double value, const Ranks *ranks, double limit) noexcept nogil:
    """Whether the score of *value* is certain to be within *limit*."""
    cdef double low = fabs(value - ranks.middle_low), high = fabs(value - ranks.middle_high)
    cdef double farthest = low if low > high else high, near
    low, high = fabs(ranks.middle_low), fabs(ranks.middle_high)
    if (ranks.middle_low > 0.0) == (ranks.middle_high > 0.0):
        # The spread is at least a part of the median.
        if farthest * ROUNDED <= limit * ((low if low < high else high) * LEAST_OF_MEDIAN):
            return True
    near = OF_NORMAL * farthest / limit * ROUNDED
    # Less than half of the values are as near to the median as that: the spread is more.
    return ranks.low < ranks.middle_low - near and ranks.middle_high + near < ranks.high


# Without a branch in the loop: which way it goes cannot be foreseen.
cdef Py_ssize_t left_of(const double *ordered, Py_ssize_t many, double value) noexcept nogil:
    cdef Py_ssize_t low = 0, half
    while many > 1:
        half = many >> 1
        low += half * (ordered[low + half - 1] < value)
        many -= half
    return low + (many == 1 and ordered[low] < value)


cdef Py_ssize_t right_of(const double *ordered, Py_ssize_t many, double value) noexcept nogil:
    cdef Py_ssize_t low = 0, half
    while many > 1:
        half = many >> 1
        low += half * (not value < ordered[low + half - 1])
        many -= half
    return low + (many == 1 and not value < ordered[low])


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
    # The oldest of *many* values is at *first* of the ring; *room* is what that has room for.
    cdef Py_ssize_t size, least, many, first, room
    cdef bint change
    cdef object last_ns, before
    cdef double *ring
    # All values but those that wait, and in their stead those which left since; and of these the ranks.
    cdef double *ordered
    cdef Py_ssize_t waiting
    cdef Ranks ranks

    def __init__(self, Py_ssize_t size, Py_ssize_t least, bint change=False):
        assert 1 <= least <= size <= PAST_MAX
        self.size, self.least, self.change = size, least, change
        self.many = self.first = self.late = self.taken = self.due = self.waiting = 0
        self.gone = False
        self.last_ns = self.before = None

    def __dealloc__(self):
        PyMem_Free(self.ring)
        PyMem_Free(self.ordered)

    cdef int more(self) except -1:
        """Room for one more value, where there may be, and for those that left."""
        cdef Py_ssize_t room = min(self.size, max(ROOM, 2 * self.room)) + WAITING
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

    cdef Py_ssize_t at(self, Py_ssize_t back) noexcept nogil:
        """Where in the ring the value is that came *back* before the next."""
        cdef Py_ssize_t place = self.first + self.many - back
        if place < 0:
            return place + self.room
        return place - self.room if place >= self.room else place

    cdef int take(self, double value) except -1:
        if self.many < self.size:
            if self.many == self.room:
                self.more()
            self.ring[self.many] = value
            self.insert(value)
            self.many += 1
            if self.many == self.size >= 4 * WAITING:
                rank(&self.ranks, self.ordered, self.size)
            return 0
        if self.room < self.size + WAITING:
            self.more()
        self.ring[self.at(0)] = value
        self.first = self.first + 1 if self.first + 1 < self.room else 0
        self.waiting += 1
        if self.waiting == WAITING or self.size < 4 * WAITING:
            self.settle()
        return 0

    cdef void insert(self, double value) noexcept nogil:
        cdef Py_ssize_t to = right_of(self.ordered, self.many, value)
        memmove(self.ordered + to + 1, self.ordered + to, (self.many - to) * sizeof(double))
        self.ordered[to] = value

    cdef void settle(self) noexcept nogil:
        """Put those in order that wait, in place of those that left."""
        cdef Py_ssize_t n, there, to
        cdef double value
        for n in range(self.waiting, 0, -1):
            value = self.ring[self.at(n)]
            there = left_of(self.ordered, self.many, self.ring[self.at(self.size + n)])
            if there == self.many:
                # A state that was damaged may hold what is no number, which is right of everything.
                there -= 1
            to = right_of(self.ordered, self.many, value)
            if to > there:
                to -= 1
                memmove(
                    self.ordered + there, self.ordered + there + 1, (to - there) * sizeof(double)
                )
            else:
                memmove(self.ordered + to + 1, self.ordered + to, (there - to) * sizeof(double))
            self.ordered[to] = value
        self.waiting = 0
        if self.size >= 4 * WAITING:
            rank(&self.ranks, self.ordered, self.size)

    cdef double scored(self, double value, double limit) noexcept nogil:
        """The score of *value*, or 0 for one that is certain to be within *limit*."""
        if self.many == self.size >= 4 * WAITING and limit > 0.0:
            if surely_within(value, &self.ranks, limit):
                return 0.0
        if self.waiting:
            self.settle()
        return z_of(value, self.ordered, self.many, LEAST_OF_MEDIAN)

    cdef bint next(self, object at_ns, double value, double limit, double *z) except -1:
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
        z[0] = self.scored(value, limit)
        self.take(value)
        return True

    def score(self, at_ns, double value, double limit=0.0):
        """See the twin."""
        cdef double z = 0.0
        return z if self.next(at_ns, value, limit, &z) else None

    def held(self):
        """See the twin."""
        cdef Py_ssize_t n
        return self.last_ns, [self.ring[self.at(n)] for n in range(self.many, 0, -1)], self.before

    def begin(self, last_ns, values, before):
        """See the twin."""
        self.last_ns, self.before = last_ns, before
        self.many = self.first = self.waiting = 0
        for value in values:
            self.take(value)


cdef class Scores:
    """See the twin."""

    cdef readonly object owner
    cdef list looks, names, held, tested
    cdef double *limits

    def __init__(self, looks, tested=(), owner=None):
        self.owner, self.tested, self.looks = owner, list(tested), list(looks)
        self.names = [tuple(look.fields) for look in self.looks]
        self.held = [look.held for look in self.looks]
        PyMem_Free(self.limits)
        self.limits = copied([look.limit for look in self.looks])

    def __dealloc__(self):
        PyMem_Free(self.limits)

    def take(self, fields, at_ns):
        """See the twin."""
        return self.taken(fields if type(fields) is dict else dict(fields), at_ns)

    cdef list taken(self, dict row, object at_ns):
        cdef Py_ssize_t n
        cdef double value, limit
        cdef double z = 0.0
        cdef Past past = None
        cdef list found = None
        cdef PyObject *given
        cdef PyObject *known
        for n in range(PyList_GET_SIZE(self.looks)):
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
            told = past.next(at_ns, value, limit, &z)
            if past.taken >= past.due:
                self.looks[n].write(past)
            if told and (z > limit or z < -limit):
                if found is None:
                    found = []
                found.append((n, name, value, z))
        return found


def look_through(dict tracks, rows, Py_ssize_t at, came):
    """See the twin."""
    cdef list some = rows if type(rows) is list else list(rows)
    cdef Py_ssize_t n, many = PyList_GET_SIZE(some)
    cdef Scores scores
    cdef PyObject *found
    cdef object row, fields
    cdef list beyond
    for n in range(at, many):
        row = some[n]
        if not isinstance(row, tuple) or PyTuple_GET_SIZE(row) != PARTS:
            raise TypeError("not a training row")
        found = PyDict_GetItemWithError(tracks, PyTuple_GetSlice(row, 0, 3))
        if found == NULL:
            return n, None, None
        scores = <object>found
        fields = <object>PyTuple_GET_ITEM(row, 7)
        beyond = scores.taken(
            fields if type(fields) is dict else dict(fields), <object>PyTuple_GET_ITEM(row, 3)
        )
        if beyond is not None:
            return n, scores.owner, beyond
        for one in scores.tested:
            if one.heard_in is not came:
                return n, scores.owner, None
    return many, None, None
