# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=False
"""`alert_columns.py` for machines with a compiler: what is given and answered is told there."""

cimport cython
from cpython cimport array
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject, PyObject_Hash
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from typing import NamedTuple

cdef extern from "Python.h":
    bint PyUnicode_CheckExact(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    int PyUnicode_KIND(object text)
    void* PyUnicode_DATA(object text)
    bint PyUnicode_IS_ASCII(object text)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    object PyUnicode_DecodeASCII(const char* text, Py_ssize_t size, const char* errors)

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define HL_PREFETCH(at) __builtin_prefetch(at)
    #else
    #define HL_PREFETCH(at) ((void)(at))
    #endif
    """
    void prefetch "HL_PREFETCH"(const void *at) noexcept

COMPILED = True

FOREVER_NS = 2**63 - 1
OVER, GUESS, FIRED = 1, 2, 4
CONTEXT_NAMES = (
    "workload_id", "workload_name", "workload_uid", "pod_name", "node_name", "cluster_name"
)
cdef long long _FOREVER_NS = FOREVER_NS
cdef tuple _CONTEXT_NAMES = CONTEXT_NAMES
cdef str _SOURCE = "source"
cdef str _SEVERITY = "severity"
cdef str _ALERTNAME = "alertname"


cdef struct Led:
    # Half of the hash of a name, and its slot, from 1; 0: none.
    uint32_t hash
    uint32_t number


cdef class Slots:
    """See the twin. A table of slots by the hashes of their names, a third of which at least is free;
    the names themselves are looked at where hashes are alike, and not when it grows."""

    cdef list names
    cdef Led *table
    cdef uint64_t size
    cdef Py_ssize_t count

    def __cinit__(self, list names not None):
        self.names = names

    def __dealloc__(self):
        PyMem_Free(self.table)

    def __len__(self):
        return self.count

    cdef inline uint64_t home(self, uint32_t hash) noexcept:
        """Where *hash* belongs."""
        return (hash * self.size) >> 32

    cdef inline uint64_t after(self, uint64_t at) noexcept:
        return at + 1 if at + 1 < self.size else 0

    cdef inline uint64_t apart(self, uint64_t later, uint64_t at) noexcept:
        """How many places *later* comes after *at*."""
        return later - at if later >= at else later + self.size - at

    cdef bint leads(self, uint64_t at, str name) except -1:
        """Whether what is at *at* is the slot of *name*, whose hash it has."""
        cdef Py_ssize_t slot = <Py_ssize_t> self.table[at].number - 1
        if slot >= PyList_GET_SIZE(self.names):
            raise IndexError("names became fewer")
        cdef str there = <str?> <object> PyList_GET_ITEM(self.names, slot)
        return _same(<PyObject*> there, <PyObject*> name)

    cdef Py_ssize_t place(self, str name, uint32_t hash) except -1:
        """Where *name* is, or would be; there is a table."""
        cdef uint64_t at = self.home(hash)
        while self.table[at].number:
            if self.table[at].hash == hash and self.leads(at, name):
                break
            at = self.after(at)
        return <Py_ssize_t> at

    cdef Py_ssize_t find(self, str name) except -2:
        """The slot of *name*, or -1."""
        if self.count == 0:
            return -1
        return <Py_ssize_t> self.table[self.place(name, <uint32_t> PyObject_Hash(name))].number - 1

    cdef int make_room(self) except -1:
        """For one more."""
        if 3 * (<uint64_t> self.count + 1) > 2 * self.size:
            self.resize(max(<uint64_t> 64, self.size + self.size // 2))
        return 0

    cdef int resize(self, uint64_t room) except -1:
        """Have a table of *room* places."""
        cdef Led *before = self.table
        cdef uint64_t size = self.size, n, at
        cdef Led *table = <Led *> PyMem_Calloc(room, sizeof(Led))
        if not table:
            raise MemoryError
        self.table, self.size = table, room
        for n in range(size):
            if before[n].number:
                at = self.home(before[n].hash)
                while table[at].number:
                    at = self.after(at)
                table[at] = before[n]
        PyMem_Free(before)
        return 0

    cdef Py_ssize_t lead(self, str name, Py_ssize_t slot) except -2:
        """Have *name*, which is that of *slot*, lead there; the slot where it led, or -1."""
        cdef uint32_t hash = <uint32_t> PyObject_Hash(name)
        if slot >= 0xFFFFFFFF:
            raise IndexError("no such slot")
        self.make_room()
        cdef Py_ssize_t at = self.place(name, hash)
        cdef Py_ssize_t before = <Py_ssize_t> self.table[at].number - 1
        self.count += before < 0
        self.table[at].hash, self.table[at].number = hash, slot + 1
        return before

    def get(self, str name not None):
        """See the twin."""
        cdef Py_ssize_t slot = self.find(name)
        return None if slot < 0 else slot

    def put(self, str name not None, Py_ssize_t slot):
        """See the twin."""
        if not 0 <= slot < PyList_GET_SIZE(self.names):
            raise IndexError("no such slot")
        if not self.names[slot] == name:
            raise ValueError("the slot has another name")
        self.lead(name, slot)

    def remove(self, str name not None):
        """See the twin."""
        cdef uint64_t at, following
        if self.find(name) < 0:
            raise KeyError(name)
        at = following = <uint64_t> self.place(name, <uint32_t> PyObject_Hash(name))
        self.count -= 1
        # What follows moves up, unless that is before where it belongs.
        while True:
            self.table[at].number = 0
            while True:
                following = self.after(following)
                if self.table[following].number == 0:
                    return
                if self.apart(following, self.home(self.table[following].hash)) >= self.apart(
                    following, at
                ):
                    break
            self.table[at] = self.table[following]
            at = following

    def reserve(self, Py_ssize_t count):
        """See the twin."""
        if not 0 <= count <= 0xFFFFFFFF:
            raise ValueError("no such count")
        cdef uint64_t room = count + count // 2 + 2
        if room > self.size:
            self.resize(room)

    def lacks(self, names):
        """See the twin."""
        # All of them first: each look alone waits for the memory.
        if self.count:
            for name in names:
                prefetch(&self.table[self.home(<uint32_t> PyObject_Hash(name))])
        for name in names:
            if self.find(<str?> name) >= 0:
                return False
        return True


class Columns(NamedTuple):
    starts: object
    ends: object
    count: object
    seq: object
    updated: object
    created: object
    wake: object
    said: object
    episode: object
    flags: object
    ids: object
    fingerprints: object
    by_id: object
    latest: object


include "fields.pxi"

cdef tuple _POST = (
    "status", "starts_ns", "ends_ns", "resolve_after_ns", "fingerprint", "source", "labels",
    "annotations", "generator_url", "severity", "seq", "raw",
)
cdef tuple _KNOWN = ("context", "entities", "document")
cdef tuple _NUMBERS = (
    "id", "fingerprint", "starts_ns", "ends_ns", "count", "seq", "updated_ns", "created_ns",
    "episode", "timed_out",
)
cdef tuple _SAYS = (
    "source", "labels", "annotations", "severity", "generator_url", "context", "entities",
    "starts_ns",
)
# The first six are `CONTEXT_NAMES`.
cdef tuple _CONTEXT = (*CONTEXT_NAMES, "pod_id")
cdef dict _fields = {}


cdef Fields _fields_of(list some, tuple names):
    """The fields *names* of what *some* are."""
    kind = type(some[0])
    found = _fields.get((kind, names))
    if found is None:
        if len(_fields) >= 64:
            _fields.clear()
        found = _fields[kind, names] = Fields(kind, names)
    return found


cdef inline bint _same(PyObject* one, PyObject* other) noexcept:
    """Whether two texts are one."""
    cdef Py_ssize_t length = PyUnicode_GET_LENGTH(<object> one)
    cdef int kind = PyUnicode_KIND(<object> one)
    if one == other:
        return True
    if length != PyUnicode_GET_LENGTH(<object> other) or kind != PyUnicode_KIND(<object> other):
        return False
    return memcmp(PyUnicode_DATA(<object> one), PyUnicode_DATA(<object> other), length * kind) == 0


cdef PyObject* _value(PyObject* labels, str name) except? NULL:
    """The value of the label *name*, or NULL."""
    cdef Py_ssize_t n
    cdef PyObject* pair
    cdef PyObject* label
    if not PyTuple_CheckExact(<object> labels):
        raise TypeError("no labels")
    for n in range(PyTuple_GET_SIZE(<object> labels)):
        pair = PyTuple_GET_ITEM(<object> labels, n)
        if not PyTuple_CheckExact(<object> pair) or PyTuple_GET_SIZE(<object> pair) != 2:
            raise TypeError("no label")
        label = PyTuple_GET_ITEM(<object> pair, 0)
        if not PyUnicode_CheckExact(<object> label):
            raise TypeError("no name")
        if _same(label, <PyObject*> name):
            return PyTuple_GET_ITEM(<object> pair, 1)
    return NULL


def begun(posts, enriched, long long now_ns, make):
    cdef list given = list(posts), knowns = list(enriched), found = []
    cdef Py_ssize_t n, many = len(given)
    cdef str fingerprint
    cdef bint guess
    cdef object ends, starts, now = now_ns
    cdef bytes head = f"{now:016x}".encode()
    cdef char identity[64]
    cdef Py_ssize_t size = PyBytes_GET_SIZE(head)
    cdef Fields of, about
    cdef PyObject* post
    cdef PyObject* known
    if len(knowns) != many:
        raise ValueError("so many posts, and not so much about them")
    if size > 32:
        raise ValueError("the time is no time")
    if not many:
        return found
    of, about = _fields_of(given, _POST), _fields_of(knowns, _KNOWN)
    memcpy(identity, PyBytes_AS_STRING(head), size)
    for n in range(many):
        of.check(given[n])
        about.check(knowns[n])
        post, known = <PyObject*> given[n], <PyObject*> knowns[n]
        status = <str?> <object> of.read(post, 0)
        starts, ends = <object> of.read(post, 1), <object> of.read(post, 2)
        if ends is not None and <long long> ends <= now_ns:
            if status != "firing":
                return None
            ends = None
        elif PyUnicode_GET_LENGTH(status) and status != "firing":
            return None
        guess = ends is None
        if guess and <object> of.read(post, 3) > 0:
            ends = now + <object> of.read(post, 3)
        if starts is None:
            starts = now
        elif ends is not None and starts > ends:
            starts = ends
        fingerprint = <str?> <object> of.read(post, 4)
        if PyUnicode_IS_ASCII(fingerprint) and PyUnicode_GET_LENGTH(fingerprint) >= 12:
            memcpy(identity + size, PyUnicode_DATA(fingerprint), 12)
            id_ = PyUnicode_DecodeASCII(identity, size + 12, NULL)
        else:
            id_ = f"{now:016x}{fingerprint[:12]}"
        found.append(
            make(
                id_, fingerprint, <object> of.read(post, 5), <object> of.read(post, 6),
                <object> of.read(post, 7), starts, ends, guess, now, now,
                <object> of.read(post, 8), <object> of.read(post, 9),
                <object> about.read(known, 0), 1, 1, <object> of.read(post, 10),
                <object> about.read(known, 1), <object> of.read(post, 11),
                <object> about.read(known, 2),
            )
        )
    return found


cdef inline long long* _numbers(array.array column, Py_ssize_t slots) except? NULL:
    if column.ob_descr.typecode != c"q" or len(column) < slots:
        raise ValueError("a column is too short")
    return column.data.as_longlongs


def keep(alerts, saids, over, long long ended_ns, list slots, into, dict before):
    cdef list given = list(alerts)
    cdef Py_ssize_t n, slot, many = len(given), room = len(into.ids)
    cdef long long ends_ns, wake_ns, first_ns = _FOREVER_NS
    cdef bint is_over, fired
    cdef long long* starts = _numbers(into.starts, room)
    cdef long long* ends = _numbers(into.ends, room)
    cdef long long* count = _numbers(into.count, room)
    cdef long long* seq = _numbers(into.seq, room)
    cdef long long* updated = _numbers(into.updated, room)
    cdef long long* created = _numbers(into.created, room)
    cdef long long* wake = _numbers(into.wake, room)
    cdef long long* said = _numbers(into.said, room)
    cdef long long* episode = _numbers(into.episode, room)
    cdef unsigned char[::1] flags = into.flags
    cdef list ids = into.ids, fingerprints = into.fingerprints
    cdef Slots by_id = into.by_id, latest = into.latest
    cdef Py_ssize_t old
    cdef Fields of
    cdef PyObject* alert
    if len(slots) != many or len(saids) != many or len(flags) < room or len(fingerprints) < room:
        raise ValueError("columns of different lengths")
    if not many:
        return first_ns
    of = _fields_of(given, _NUMBERS)
    for n in range(many):
        of.check(given[n])
        alert, slot = <PyObject*> given[n], slots[n]
        if slot < 0 or slot >= room:
            raise IndexError("no such slot")
        end = <object> of.read(alert, 3)
        ends_ns = _FOREVER_NS if end is None else end
        is_over = over is not None and over[n]
        wake_ns = ends_ns + ended_ns if is_over else ends_ns
        starts[slot] = <object> of.read(alert, 2)
        ends[slot] = ends_ns
        count[slot] = <object> of.read(alert, 4)
        seq[slot] = <object> of.read(alert, 5)
        updated[slot] = <object> of.read(alert, 6)
        created[slot] = <object> of.read(alert, 7)
        wake[slot] = wake_ns
        said[slot] = saids[n]
        episode[slot] = <object> of.read(alert, 8)
        fired = not is_over or ends_ns > created[slot] or count[slot] > 1
        flags[slot] = is_over | (2 if <object> of.read(alert, 9) else 0) | (4 if fired else 0)
        identity, fingerprint, place = <object> of.read(alert, 0), <object> of.read(alert, 1), slots[n]
        ids[slot], fingerprints[slot] = identity, fingerprint
        by_id.lead(<str?> identity, slot)
        old = latest.lead(<str?> fingerprint, slot)
        before[place] = None if old < 0 else old
        if wake_ns < first_ns:
            first_ns = wake_ns
    return first_ns


include "packing.pxi"


def packed(alerts, pack):
    cdef _Out out = _Out()
    cdef list given = list(alerts), found = []
    cdef Fields of, about = None
    cdef PyObject* alert
    cdef PyObject* context
    cdef Py_ssize_t n
    cdef bint anybody
    if not given:
        return found
    of = _fields_of(given, _SAYS)
    for each in given:
        of.check(each)
        alert = <PyObject*> each
        out.size = 0
        out.many(7)
        out.text(of.read(alert, 0))
        out.pairs(of.read(alert, 1))
        out.pairs(of.read(alert, 2))
        out.text(of.read(alert, 3))
        out.text(of.read(alert, 4))
        context = of.read(alert, 5)
        if about is None:
            about = _fields_of([<object> context], _CONTEXT)
        about.check(<object> context)
        anybody = False
        for n in range(7):
            if PyUnicode_GET_LENGTH(<str?> <object> about.read(context, n)):
                anybody = True
        if anybody:
            out.many(7)
            for n in range(3):
                out.text(about.read(context, n))
            # As a context has them: the id of the pod after its name.
            out.text(about.read(context, 3))
            out.text(about.read(context, 6))
            out.text(about.read(context, 4))
            out.text(about.read(context, 5))
        else:
            out.many(0)
        out.texts(of.read(alert, 6))
        found.append(PyBytes_FromStringAndSize(out.data, out.size))
    return found


cdef inline unsigned short _hash(PyObject* name, PyObject* value) except? 0:
    cdef unsigned short found = <unsigned short> (
        3 * <uint64_t> PyObject_Hash(<object> name) + <uint64_t> PyObject_Hash(<object> value)
    )
    return found if found else 1


def hash_of(pair):
    name, value = pair
    return _hash(<PyObject*> name, <PyObject*> value)


def put_hashes(alerts, list slots, array.array table, Py_ssize_t width, nobody):
    cdef list given = list(alerts), left = []
    cdef Py_ssize_t n, k, at, size, slot, many = len(given)
    cdef Py_ssize_t rows = len(table) // width
    cdef unsigned short* out
    cdef tuple labels, pair
    cdef str name
    cdef Fields of, about = None
    cdef PyObject* alert
    cdef PyObject* context
    cdef PyObject* text
    cdef bint is_owned, fits
    if len(slots) != many or table.ob_descr.typecode != c"H":
        raise ValueError("columns of different lengths")
    if not many:
        return left
    of = _fields_of(given, _SAYS)
    for n in range(many):
        of.check(given[n])
        alert, slot = <PyObject*> given[n], slots[n]
        if slot < 0 or slot >= rows:
            raise IndexError("the row is outside the table")
        out = table.data.as_ushorts + slot * width
        labels = <tuple?> <object> of.read(alert, 1)
        size = PyTuple_GET_SIZE(labels)
        if size > width:
            left.append(n)
            continue
        for at in range(size):
            pair = <tuple?> <object> PyTuple_GET_ITEM(labels, at)
            if PyTuple_GET_SIZE(pair) != 2:
                raise ValueError("no pair")
            out[at] = _hash(PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1))
        at = size
        fits = True
        context = of.read(alert, 5)
        is_owned = <object> context is not nobody
        if is_owned:
            if about is None:
                about = _fields_of([<object> context], _CONTEXT)
            about.check(<object> context)
        # The source, the six of the context, and the severity.
        for k in range(8):
            if k == 0:
                name, text = _SOURCE, of.read(alert, 0)
            elif k == 7:
                name, text = _SEVERITY, of.read(alert, 3)
            elif is_owned:
                name = <str> <object> PyTuple_GET_ITEM(_CONTEXT_NAMES, k - 1)
                text = about.read(context, k - 1)
            else:
                continue
            if PyUnicode_GET_LENGTH(<str?> <object> text) and not _value(<PyObject*> labels, name):
                if at == width:
                    fits = False
                    break
                out[at] = _hash(<PyObject*> name, text)
                at += 1
        if not fits:
            left.append(n)
            continue
        for k in range(at, width):
            out[k] = 0
    return left


def gathered(places, list slots, list groups):
    cdef dict found = {}
    cdef list given = list(places), members
    cdef Py_ssize_t n, k, slot, many = len(given), room = len(groups)
    cdef tuple some, keys
    if len(slots) != many:
        raise ValueError("columns of different lengths")
    for n in range(many):
        some, keys = given[n]
        slot = slots[n]
        if slot < 0 or slot >= room:
            raise IndexError("no such slot")
        groups[slot] = keys
        for k in range(len(keys)):
            key = keys[k]
            there = found.get(key)
            if there is None:
                found[key] = (some[k], [slots[n]])
            else:
                _, members = there
                members.append(slots[n])
    return found


def placed(alerts, tuple names, dict known, place):
    cdef list given = list(alerts), found = []
    cdef Py_ssize_t n, k, many = len(given), width = PyTuple_GET_SIZE(names)
    cdef tuple values
    cdef object value
    cdef str name
    cdef Fields of
    cdef PyObject* labels
    cdef PyObject* text
    # Where else the value of each name may be.
    cdef tuple beside = tuple([
        name if name in (_SOURCE, _SEVERITY) or name in _CONTEXT_NAMES else None for name in names
    ])
    if not many:
        return found
    of = _fields_of(given, _SAYS)
    for n in range(many):
        of.check(given[n])
        labels = of.read(<PyObject*> given[n], 1)
        values = PyTuple_New(width)
        for k in range(width):
            text = _value(labels, <str?> names[k])
            value = <object> text if text else None
            if value is None and beside[k] is not None:
                name = beside[k]
                alert = given[n]
                value = getattr(alert.context if name in _CONTEXT_NAMES else alert, name) or None
            Py_INCREF(value)
            PyTuple_SET_ITEM(values, k, value)
        some = known.get(values)
        found.append(place(given[n], values) if some is None else some)
    return found


def count(alerts, dict sums, long long hour_ns, earliest):
    cdef list given = list(alerts), known
    cdef long long starts_ns, hour, last_hour = 0, earliest_ns = earliest
    cdef object shown = None
    cdef Fields of, about = None
    cdef PyObject* alert
    cdef PyObject* text
    cdef PyObject* context
    if hour_ns <= 0:
        raise ValueError("an hour has a length")
    if not given:
        return
    of = _fields_of(given, _SAYS)
    for each in given:
        of.check(each)
        alert = <PyObject*> each
        starts_ns = <object> of.read(alert, 7)
        hour = starts_ns - starts_ns % hour_ns
        if hour < earliest_ns or hour > starts_ns:
            hour = earliest_ns
        if shown is None or hour != last_hour:
            shown, last_hour = hour, hour
        text = _value(of.read(alert, 1), _ALERTNAME)
        context = of.read(alert, 5)
        if about is None:
            about = _fields_of([<object> context], _CONTEXT)
        about.check(<object> context)
        row = (
            shown, <object> text if text else "", <object> of.read(alert, 0),
            <object> of.read(alert, 3), <object> about.read(context, 0),
            <object> about.read(context, 5),
        )
        known = sums.get(row)
        if known is None:
            sums[row] = [1, 0, 0]
        else:
            known[0] += 1
