# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
# cython: embedsignature=False, auto_pickle=False, nonecheck=False, initializedcheck=False
"""Cells, compiled: `cells.py` has what they mean, and is what runs where there is no compiler.

Every method runs from its first read to its last write without letting go of the interpreter's
lock or running code of others, so it is exact under threads, signal handlers, finalizers and fork.
Whatever is not the usual case goes to `kernels.careful`, as it does in the twin.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_CheckExact
from libc.string cimport memcpy, memset

from heliograph.kernels import careful

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL
    Py_ssize_t PyVectorcall_NARGS(size_t)
    PyObject *PyVectorcall_Call(PyObject *, PyObject *, PyObject *)
    object PyObject_Call(object, object, object)
    ctypedef struct PyTypeObject:
        Py_ssize_t tp_vectorcall_offset
        unsigned long tp_flags
        PyObject *tp_dict
        void *tp_call
        void *tp_free
        void *tp_traverse
        void *tp_clear
    unsigned long HAVE_GC "Py_TPFLAGS_HAVE_GC"
    void PyObject_Free(void *)

COMPILED = True
WRITTEN, WHOLE, POLICY, STAMP = 2, 1, 4, 16
LATEST, SUM, MAX, MIN = range(4)
POLICIES = ("latest", "sum", "max", "min")
INF = float("inf")

cdef double _INF = INF
cdef double _NAN = float("nan")
cdef enum:
    WRITTEN_ = 2
    WHOLE_ = 1
    POLICY_ = 4
    STAMP_ = 16
    LATEST_ = 0
    SUM_ = 1
    MAX_ = 2
    SINK_ = -2

cdef double *_sums = NULL
cdef double *_gauges = NULL
cdef long long *_stamps = NULL
cdef object _stamps_held = None


cdef class Bank:
    """A row of doubles that grows until it is shared. `free` has the gaps by width."""

    def __cinit__(self):
        self.used = self.shared_from = self.room = 0
        self.limit = None
        self.free = {}
        self.links = {}
        self.peers = []
        self.held = NULL
        self.elsewhere = NULL

    def watch(self, peers):
        """Make the writable `d` buffers *peers* those that are added; None where there is a gap."""
        cdef double[::1] view
        cdef list kept = list(peers)
        cdef double **before
        cdef double **held = <double **> PyMem_Malloc((len(kept) + 1) * sizeof(double *))
        if held == NULL:
            raise MemoryError
        for i in range(len(kept)):
            held[i] = NULL
            if kept[i] is not None:
                view = kept[i]
                held[i] = &view[0]
        # From here on nothing is made, so nobody can come between the two.
        before = self.elsewhere
        self.elsewhere = held
        self.peers = kept
        PyMem_Free(before)


sums = Bank()
gauges = Bank()
cdef Bank _sums_bank = sums
cdef Bank _gauges_bank = gauges


cdef int _grow(Bank bank, Py_ssize_t room) except -1:
    cdef double *held = <double *> PyMem_Realloc(bank.held, room * sizeof(double))
    if held == NULL:
        raise MemoryError
    memset(held + bank.room, 0, (room - bank.room) * sizeof(double))
    bank.held = held
    bank.room = room
    _point()
    return 0


cdef void _point() noexcept:
    global _sums, _gauges
    _sums = _sums_bank.held
    _gauges = _gauges_bank.held


def share(sums_at, gauges_at, stamp_at, *, bint keep):
    """Move both banks into the writable `d` buffers; *stamp_at* (`q`) counts writes of gauges."""
    global _stamps, _stamps_held
    cdef long long[::1] stamps = stamp_at
    _move(_sums_bank, sums_at, keep)
    _move(_gauges_bank, gauges_at, keep)
    _stamps = &stamps[0]
    _stamps_held = stamp_at
    _point()


cdef int _move(Bank bank, buffer, bint keep) except -1:
    cdef double[::1] view = buffer
    cdef double *old = bank.held
    if keep and bank.used:
        memcpy(&view[0], old, bank.used * sizeof(double))
    if bank.buffer is None:
        PyMem_Free(old)
    bank.held = &view[0]
    bank.room = view.shape[0]
    bank.buffer = buffer
    bank.limit = bank.room
    return 0


def allocate(Bank bank, Py_ssize_t width):
    """A place for *width* doubles, all zero; -2 where a shared bank has no room left."""
    cdef list gaps = bank.free.get(width)
    if gaps and bank.buffer is None:
        return gaps.pop()
    at = bank.used
    if at + width > bank.room:
        if bank.buffer is not None or at + width > 0x7FFFFFFF:
            return SINK_
        _grow(bank, max(64, 2 * bank.room, at + width))
    bank.used = at + width
    return at


cdef int _release(Bank bank, Py_ssize_t at, Py_ssize_t width) except -1:
    """Take back what `allocate` gave. What is shared is not used again."""
    if bank.buffer is None:
        memset(bank.held + at, 0, width * sizeof(double))
        bank.free.setdefault(width, []).append(at)
    return 0


def own(Bank bank):
    """A copy of the doubles of this process."""
    return [bank.held[i] for i in range(bank.used)]


def total(Py_ssize_t at):
    """What all processes have added at *at* of the sums."""
    return _total(at)


cdef double _total(Py_ssize_t at) except? -1.0:
    cdef double result = _sums[at]
    cdef Py_ssize_t i, count = len(_sums_bank.peers)
    cdef double *there
    if count:
        if at < _sums_bank.shared_from:
            for i in range(count):
                if _sums_bank.elsewhere[i] != NULL:
                    result += _sums_bank.elsewhere[i][at]
        else:
            for number, place in _elsewhere(_sums_bank, at):
                there = _there(_sums_bank, number, place)
                if there != NULL:
                    result += there[0]
    return result


cdef list _elsewhere(Bank bank, Py_ssize_t at):
    """(peer, place there) of what is at *at* here."""
    if at < bank.shared_from:
        return [(i, at) for i, peer in enumerate(bank.peers) if peer is not None]
    return bank.links.get(at) or []


cdef inline double *_there(Bank bank, Py_ssize_t number, Py_ssize_t place) noexcept:
    """*place* of the peer *number*, NULL where that is watched no more, or not yet."""
    if number >= len(bank.peers) or bank.elsewhere[number] == NULL:
        return NULL
    return bank.elsewhere[number] + place


def combined(Py_ssize_t at, int policy):
    """(value, tag) at *at* of the gauges over all processes, by *policy*."""
    cdef double value = _gauges[at], tag = _gauges[at + 1], other, other_tag
    cdef double *peer
    if not _gauges_bank.peers:
        return value, tag
    for number, place in _elsewhere(_gauges_bank, at):
        peer = _there(_gauges_bank, number, place)
        if peer == NULL:
            continue
        other, other_tag = peer[0], peer[1]
        if other_tag < WRITTEN_:
            continue
        if tag < WRITTEN_:
            value, tag = other, other_tag
        elif policy == SUM_:
            whole = <long long> tag & <long long> other_tag & WHOLE_
            value += other
            tag = tag - (<long long> tag & WHOLE_) + whole
        elif policy == LATEST_:
            if <long long> other_tag // STAMP_ > <long long> tag // STAMP_:
                value, tag = other, other_tag
        elif (other > value) == (policy == MAX_) and other != value:
            value, tag = other, other_tag
    return value, tag


def add_pair(Py_ssize_t at, double value):
    """Add *value* at *at* of the sums, and 1 behind it."""
    _sums[at] += value
    _sums[at + 1] += 1.0


def clear(Py_ssize_t at, Py_ssize_t width):
    """Make *width* sums from *at* on zero, in all processes."""
    _clear(_sums_bank, at, width)


cdef int _clear(Bank bank, Py_ssize_t at, Py_ssize_t width) except -1:
    cdef double *peer
    if at < 0:
        return 0
    for i in range(at, at + width):
        bank.held[i] = 0.0
        for number, place in _elsewhere(bank, i):
            peer = _there(bank, number, place)
            if peer != NULL:
                peer[0] = 0.0
    return 0


def absorb(Bank bank, double[::1] peer, Py_ssize_t place, Py_ssize_t at):
    """Move what a dead process left at *place* of *peer* to our *at*; one step for our threads."""
    cdef double value = peer[place], tag
    if bank is _sums_bank:
        peer[place] = 0.0
        _sums[at] += value
        return
    tag = peer[place + 1]
    peer[place] = peer[place + 1] = 0.0
    if (
        <long long> tag // POLICY_ % 4 == LATEST_
        and <long long> tag // STAMP_ > <long long> _gauges[at + 1] // STAMP_
    ):
        _gauges[at] = value
        _gauges[at + 1] = tag


cdef class Spec:
    """What the cells of one metric share."""

    def __init__(
        self, str name, str kind, tuple constant=(), declared=None, bounds=(), bint strict=True,
        on_error=None, int policy=LATEST_, Py_ssize_t series_max=careful.SERIES_MAX,
    ):
        self.name = name
        self.kind = kind
        self.constant = constant
        self.declared = declared
        self.bounds = [float(bound) for bound in bounds]
        self.strict = strict
        self.on_error = on_error
        self.policy = policy
        self.series_max = series_max
        self.count = len(self.bounds)
        self.width = self.count + 2 if kind == "histogram" else 1
        self.shapes = []
        self.exemplars = {}
        self.number = self.scope = -1
        self.description = self.unit = ""
        self.buckets = bounds
        self.tags[0] = WRITTEN_ + POLICY_ * policy
        self.tags[1] = self.tags[0] + WHOLE_
        PyMem_Free(self.ends)
        self.ends = <double *> PyMem_Malloc((self.count + 1) * sizeof(double))
        if self.ends == NULL:
            raise MemoryError
        for i in range(self.count):
            self.ends[i] = self.bounds[i]

    def __dealloc__(self):
        PyMem_Free(self.ends)


cdef class LabelsOf(dict):
    """The constant labels of a metric, and when called the way to its children."""

    def __cinit__(self, *_):
        self.call = <vectorcallfunc> _labelled
        self.owner = NULL

    def unlabelled(self):
        """The metric itself."""
        if self.owner == NULL:
            raise ReferenceError("the metric of these labels is gone")
        return <object> self.owner

    def __reduce__(self):
        return dict, (dict(self),)


cdef LabelsOf _new_labels(Cell owner, pairs):
    cdef LabelsOf made = LabelsOf(pairs)
    made.owner = <PyObject *> owner
    made.spec = owner.spec
    made.kind = type(owner)
    made.orders = {}
    made.shared = {}
    made.tables = {} if owner.shape < 0 else None
    return made


cdef object _labelled(LabelsOf of, PyObject *const *args, size_t flags, PyObject *names):
    cdef Py_ssize_t count = PyVectorcall_NARGS(flags)
    cdef Py_ssize_t given = 0, i
    cdef tuple places, key
    cdef dict table
    cdef PyObject *found = NULL
    cdef object value
    if names != NULL and count == 0:
        given = PyTuple_GET_SIZE(<object> names)
        if names == <PyObject *> of.last_names:
            places, table = of.last_places, of.last_table
        else:
            found = PyDict_GetItemWithError(of.orders, <object> names)
            if found == NULL:
                return careful.child(of, _named(args, <tuple> names))
            places, table = <tuple> found
            of.last_names, of.last_places, of.last_table = <tuple> names, places, table
            found = NULL
        if given == 1:
            value = <object> args[0]
            if PyUnicode_CheckExact(value):
                found = PyDict_GetItemWithError(table, value)
        else:
            key = PyTuple_New(given)
            for i in range(given):
                value = <object> args[i if places is None else <Py_ssize_t> places[i]]
                if not PyUnicode_CheckExact(value):
                    return careful.child(of, _named(args, <tuple> names))
                Py_INCREF(value)
                PyTuple_SET_ITEM(key, i, value)
            found = PyDict_GetItemWithError(table, key)
        if found != NULL:
            return <object> found
    if count:
        raise TypeError("labels are given by name")
    return careful.child(of, _named(args, <tuple> names) if names != NULL else {})


cdef dict _named(PyObject *const *args, tuple names):
    return {names[i]: <object> args[i] for i in range(len(names))}


@cython.no_gc
cdef class Cell:
    """A place in a bank, and whose it is."""

    def bind(self, Spec spec, int shape, key, int at):
        """Make it a cell of *spec*. An *at* of 0 asks for a place; it is kept when negative."""
        self.spec = spec
        self.shape = shape
        self.key = key
        if at < 0:
            self.at = at
        elif spec.kind == "gauge":
            self.at = allocate(_gauges_bank, 2)
        else:
            self.at = allocate(_sums_bank, spec.width)
        if shape < 0 and at != SINK_:
            self._labels = _new_labels(self, spec.constant)

    @property
    def labels(self):
        """The constant labels, and of a child its own too; call it for a child."""
        if self._labels is not None:
            return self._labels
        return _new_labels(self, self.spec.constant + careful.pairs_of(self))

    def __dealloc__(self):
        if self._labels is not None:
            self._labels.owner = NULL
        if self.spec is not None and self.at >= 0:
            # Nothing is looked up by name: at the end of the process the names are gone.
            if self.spec.kind == "gauge":
                _release(_gauges_bank, self.at, 2)
            else:
                _release(_sums_bank, self.at, self.spec.width)


@cython.no_gc
cdef class CounterCell(Cell):
    """A sum that only grows."""

    def increment(self, amount=1.0, labels=None, exemplar=None):
        """Add *amount*, not negative, here or to the child of *labels*."""
        careful.increment(self, amount, labels, exemplar)

    def add(self, double amount):
        """Add *amount*, unchecked."""
        if self.at >= 0:
            _sums[self.at] += amount

    def value(self):
        """The sum over all processes."""
        return _total(self.at) if self.at >= 0 else 0.0

    def clear(self):
        """Set it to 0.0, in all processes."""
        _clear(_sums_bank, self.at, 1)


@cython.no_gc
cdef class GaugeCell(Cell):
    """A value that goes anywhere."""

    def set(self, value, labels=None):
        """Make it *value*, any number, here or in the child of *labels*."""
        careful.set_gauge(self, value, labels)

    def increment(self, amount=1.0, labels=None):
        """Add *amount*, here or in the child of *labels*."""
        careful.add_gauge(self, amount, labels, 1.0)

    def decrement(self, amount=1.0, labels=None):
        """Take *amount* off, here or in the child of *labels*."""
        careful.add_gauge(self, amount, labels, -1.0)

    def put(self, double value, bint whole):
        """Make it *value*, shown without a point if *whole*."""
        if self.at >= 0:
            _put(self, value, whole)

    def add(self, double amount, bint whole):
        """Add *amount*; what was whole stays so if *whole*."""
        if self.at >= 0:
            _add(self, amount, whole)

    def value(self):
        """The value over all processes; an int where it is shown without a point."""
        if self.at < 0:
            return 0.0
        value, tag = combined(self.at, self.spec.policy)
        # Ints may add up to infinity, which is none.
        return int(value) if <long long> tag & WHOLE_ and value - value == 0.0 else value

    @property
    def written(self):
        """Whether it was ever set or changed, by any process."""
        return self.at >= 0 and combined(self.at, self.spec.policy)[1] >= WRITTEN_

    def clear(self):
        """Make it 0.0 and unwritten, in all processes."""
        _clear(_gauges_bank, self.at, 2)


cdef inline void _put(GaugeCell cell, double value, bint whole) noexcept:
    cdef double tag = cell.spec.tags[whole]
    if _stamps != NULL:
        _stamps[0] += 1
        tag += <double> STAMP_ * _stamps[0]
    _gauges[cell.at] = value
    _gauges[cell.at + 1] = tag


cdef inline int _add(GaugeCell cell, double amount, bint whole) except -1:
    cdef double stamp = 0.0
    cdef double *held = _gauges + cell.at
    if _stamps != NULL:
        if cell.spec.policy == LATEST_ and _gauges_bank.peers:
            value, tag = combined(cell.at, LATEST_)
            if <double> tag != held[1]:
                held[0], held[1] = value, tag
        _stamps[0] += 1
        stamp = <double> STAMP_ * _stamps[0]
    whole = whole and <long long> held[1] & WHOLE_ != 0
    held[0] += amount
    held[1] = stamp + cell.spec.tags[whole]
    return 0


@cython.no_gc
cdef class HistogramCell(Cell):
    """A sum, and counts by bucket."""

    def observe(self, value, labels=None, exemplar=None):
        """Count *value*, here or in the child of *labels*."""
        careful.observe(self, value, labels, exemplar)

    def add(self, double value):
        """Count *value*; the index of its bucket. NaN is above every bound."""
        if self.at < 0:
            return _bucket(self.spec, value)
        return _observe(self, value)

    def values(self):
        """The sum, then the count of each bucket alone, then of what is above them all."""
        if self.at < 0:
            return [0.0] * self.spec.width
        return [_total(at) for at in range(self.at, self.at + self.spec.width)]

    def clear(self):
        """Set it to nothing, in all processes."""
        _clear(_sums_bank, self.at, self.spec.width)


cdef inline Py_ssize_t _bucket(Spec spec, double value) noexcept:
    cdef Py_ssize_t low = 0, high = spec.count, middle
    cdef const double *ends = spec.ends
    if high <= 32:
        # Without branches: how many bounds are below it, and all of them for NaN.
        for middle in range(high):
            low += not value <= ends[middle]
        return low
    while low < high:
        middle = (low + high) >> 1
        if value <= ends[middle]:
            high = middle
        else:
            low = middle + 1
    return low


cdef inline Py_ssize_t _observe(HistogramCell cell, double value) noexcept:
    cdef Py_ssize_t bucket = _bucket(cell.spec, value)
    cdef double *held = _sums + cell.at
    held[0] += value
    held[1 + bucket] += 1.0
    return bucket


include "text.pxi"


# The usual calls, without the parsing of arguments: that alone would take half of their time. They
# stand before the methods above, which they call for everything else.

cdef inline int _number(PyObject *given, double *value) noexcept:
    """Whether *given* is a float (1) or an int that is small enough (2), as *value*; else 0."""
    cdef int beyond = 0
    if PyFloat_CheckExact(<object> given):
        value[0] = PyFloat_AS_DOUBLE(<object> given)
        return 1
    if PyLong_CheckExact(<object> given):
        value[0] = <double> PyLong_AsLongLongAndOverflow(given, &beyond)
        return 0 if beyond else 2
    return 0


cdef object _increment(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names):
    cdef double add = 1.0
    if names == NULL and (<CounterCell> self).at >= 0:
        if count == 0 or (count == 1 and _number(args[0], &add) and 0.0 <= add < _INF):
            _sums[(<CounterCell> self).at] += add
            return None
    return _rare(_increment_rare, self, args, count, names)


cdef object _set(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names):
    cdef double value = 0.0
    cdef int kind
    if names == NULL and count == 1 and (<GaugeCell> self).at >= 0:
        kind = _number(args[0], &value)
        if kind:
            _put(<GaugeCell> self, value, kind == 2)
            return None
    return _rare(_set_rare, self, args, count, names)


cdef object _gain(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names):
    cdef double add = 1.0
    cdef int kind = 1
    if names == NULL and count <= 1 and (<GaugeCell> self).at >= 0:
        if count == 1:
            kind = _number(args[0], &add)
        if kind:
            _add(<GaugeCell> self, add, kind == 2)
            return None
    return _rare(_gain_rare, self, args, count, names)


cdef object _lose(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names):
    cdef double add = 1.0
    cdef int kind = 1
    if names == NULL and count <= 1 and (<GaugeCell> self).at >= 0:
        if count == 1:
            kind = _number(args[0], &add)
        if kind:
            _add(<GaugeCell> self, -add, kind == 2)
            return None
    return _rare(_lose_rare, self, args, count, names)


cdef object _see(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names):
    cdef double value = 0.0
    if names == NULL and count == 1 and (<HistogramCell> self).at >= 0:
        if _number(args[0], &value):
            _observe(<HistogramCell> self, value)
            return None
    return _rare(_see_rare, self, args, count, names)


cdef object _rare(object method, PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names):
    cdef Py_ssize_t i
    given = [<object> self]
    for i in range(count):
        given.append(<object> args[i])
    named = {}
    if names != NULL:
        for i in range(PyTuple_GET_SIZE(<object> names)):
            named[(<tuple> names)[i]] = <object> args[count + i]
    return method(*given, **named)


cdef extern from "Python.h":
    unsigned long Py_TPFLAGS_HAVE_VECTORCALL
    void PyType_Modified(PyTypeObject *)
    long long PyLong_AsLongLongAndOverflow(PyObject *, int *)
    ctypedef struct PyMethodDef:
        const char *ml_name
        void *ml_meth
        int ml_flags
        const char *ml_doc
    int METH_FASTCALL, METH_KEYWORDS
    object PyDescr_NewMethod(PyTypeObject *, PyMethodDef *)

cdef PyMethodDef[5] _methods


cdef object _stand_before(int number, kind, const char *name, void *method, const char *doc):
    """Make *method* the method *name* of *kind*; what was."""
    cdef PyTypeObject *of = <PyTypeObject *> kind
    cdef PyMethodDef *made = &_methods[number]
    made.ml_name, made.ml_meth, made.ml_doc = name, method, doc
    made.ml_flags = METH_FASTCALL | METH_KEYWORDS
    before = (<dict> of.tp_dict)[name.decode()]
    (<dict> of.tp_dict)[name.decode()] = PyDescr_NewMethod(of, made)
    PyType_Modified(of)
    return before


_increment_rare = _stand_before(
    0, CounterCell, b"increment", <void *> _increment,
    b"increment($self, /, amount=1.0, labels=None, exemplar=None)\n--\n\n"
    b"Add *amount*, not negative, here or to the child of *labels*.",
)
_set_rare = _stand_before(
    1, GaugeCell, b"set", <void *> _set,
    b"set($self, /, value, labels=None)\n--\n\n"
    b"Make it *value*, any number, here or in the child of *labels*.",
)
_gain_rare = _stand_before(
    2, GaugeCell, b"increment", <void *> _gain,
    b"increment($self, /, amount=1.0, labels=None)\n--\n\n"
    b"Add *amount*, here or in the child of *labels*.",
)
_lose_rare = _stand_before(
    3, GaugeCell, b"decrement", <void *> _lose,
    b"decrement($self, /, amount=1.0, labels=None)\n--\n\n"
    b"Take *amount* off, here or in the child of *labels*.",
)
_see_rare = _stand_before(
    4, HistogramCell, b"observe", <void *> _see,
    b"observe($self, /, value, labels=None, exemplar=None)\n--\n\n"
    b"Count *value*, here or in the child of *labels*.",
)


cdef int _make_callable() except -1:
    """Let `LabelsOf` be called without a dict of the names being made."""
    cdef LabelsOf one = LabelsOf()
    cdef PyTypeObject *kind = <PyTypeObject *> LabelsOf
    kind.tp_vectorcall_offset = <char *> &one.call - <char *> <PyObject *> one
    kind.tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL
    kind.tp_call = <void *> PyVectorcall_Call
    PyType_Modified(kind)
    return 0


_make_callable()


def settle(kind):
    """Give *kind*, a subclass of a cell, methods of its own: the interpreter is quick only with those."""
    cdef int number
    for number, cell in enumerate((CounterCell, GaugeCell, GaugeCell, GaugeCell, HistogramCell)):
        if issubclass(kind, cell):
            name = _methods[number].ml_name.decode()
            setattr(kind, name, PyDescr_NewMethod(<PyTypeObject *> kind, &_methods[number]))
    base = kind.__base__
    if kind.__basicsize__ == base.__basicsize__ and not (<PyTypeObject *> base).tp_flags & HAVE_GC:
        _without_gc(<PyTypeObject *> kind)
    return kind


cdef void _without_gc(PyTypeObject *kind) noexcept:
    """Take instances of *kind* out of the collector's sight, as those of its base are.

    A class statement always asks for the collector; but a cell holds its spec and strings, nothing
    that leads back to it. A hundred thousand of them would be looked at in every full collection,
    and each would be 16 bytes larger.
    """
    kind.tp_flags &= ~HAVE_GC
    kind.tp_free = <void *> PyObject_Free
    kind.tp_traverse = NULL
    kind.tp_clear = NULL
    PyType_Modified(kind)
