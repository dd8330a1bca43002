# cython: language_level=3, binding=False, boundscheck=False, wraparound=False
# cython: embedsignature=False, auto_pickle=False, nonecheck=False, initializedcheck=False
"""Alerts that only a storm has to do with, compiled: `alert_ties.py` has what it means."""

from cpython cimport array
from cpython.dict cimport PyDict_GetItem
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject, PyObject_Hash
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

include "fields.pxi"

cdef extern from "Python.h":
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    uint32_t PyUnicode_READ_CHAR(object text, Py_ssize_t at)

COMPILED = True

cdef enum:
    # An alert of more ties is none of these.
    KEYS_MAX = 8
    DEVICES_MAX = 2
    # What a tie is by, the strongest first; `alert.correlation.correlate` has the same order.
    WORKLOAD = 0
    POD = 1
    POD_NAME = 2
    DEVICE = 3
    NODE = 4
    OTHER = 5
    # Fields of alerts, and of their contexts.
    ID = 0
    SOURCE = 1
    LABELS = 2
    STARTS = 3
    CREATED = 4
    CONTEXT = 5
    ENTITIES = 6
    WORKLOAD_UID = 0
    WORKLOAD_ID = 1
    POD_ID = 2
    POD_NAMED = 3
    NODE_NAME = 4
    CLUSTER_NAME = 5

_ALERT = ("id", "source", "labels", "starts_ns", "created_ns", "context", "entities")
_REF = ("id", "source", "pod_id", "starts_ns", "owned", "namespace", "cluster")
_CONTEXT = ("workload_uid", "workload_id", "pod_id", "pod_name", "node_name", "cluster_name")
cdef str _nothing = ""
cdef Fields _alert = None
cdef Fields _context = None


cdef class _Keys:
    """The hashes of the ties of an alert, the strongest first."""

    cdef int64_t[KEYS_MAX] hashes
    cdef int[KEYS_MAX] strengths
    cdef int count, devices
    # What the labels of an alert say of its pod's.
    cdef PyObject *namespace

    cdef int add(self, str name, int strength) except -1:
        """0: that is one too many."""
        cdef int at, n
        cdef int64_t hash = PyObject_Hash(name)
        for n in range(self.count):
            if self.hashes[n] == hash:
                return 1
        if self.count == KEYS_MAX:
            return 0
        self.devices += strength == DEVICE
        at = self.count
        while at > 0 and self.strengths[at - 1] > strength:
            self.hashes[at], self.strengths[at] = self.hashes[at - 1], self.strengths[at - 1]
            at -= 1
        self.hashes[at], self.strengths[at] = hash, strength
        self.count += 1
        return 1

    cdef int put(self, str kind, PyObject *what, int strength) except -1:
        """The same of what a context says, where it does."""
        if PyUnicode_GET_LENGTH(<object> what) == 0:
            return 1
        return self.add(kind + <str> <object> what, strength)

    cdef bint read(self, PyObject *context, tuple entities) except -1:
        """False where an alert of these has too many ties."""
        cdef Py_ssize_t n
        cdef str name
        self.count = self.devices = 0
        for n in range(PyTuple_GET_SIZE(entities)):
            name = <object> PyTuple_GET_ITEM(entities, n)
            if not self.add(name, strength_of(name)):
                return False
        return (
            self.devices <= DEVICES_MAX
            and self.put("workload:", _context.read(context, WORKLOAD_UID), WORKLOAD)
            and self.put("workload:", _context.read(context, WORKLOAD_ID), WORKLOAD)
            and self.put("pod:", _context.read(context, POD_ID), POD)
            and self.put("podname:", _context.read(context, POD_NAMED), POD_NAME)
            and self.put("node:", _context.read(context, NODE_NAME), NODE)
        )


    cdef str name_of(self, tuple labels):
        """The label `alertname`, or ""; None where a label may say more of what the alert is."""
        cdef str name, found = ""
        cdef PyObject *pair
        cdef Py_ssize_t n, length
        cdef uint32_t begin
        self.namespace = <PyObject *> _nothing
        for n in range(PyTuple_GET_SIZE(labels)):
            pair = PyTuple_GET_ITEM(labels, n)
            name = <str> <object> PyTuple_GET_ITEM(<object> pair, 0)
            length = PyUnicode_GET_LENGTH(name)
            begin = PyUnicode_READ_CHAR(name, 0) if length else 0
            # In order: after `p` comes nothing that is looked for.
            if begin > 112:
                break
            if length == 9:
                if begin == 97 and name == "alertname":
                    found = <str> <object> PyTuple_GET_ITEM(<object> pair, 1)
                elif begin == 110 and name == "namespace":
                    self.namespace = PyTuple_GET_ITEM(<object> pair, 1)
                    if PyUnicode_GET_LENGTH(<object> self.namespace):
                        break
            elif length == 4:
                if name == "kind":
                    return None
            elif length == 10 and (name == "event_type" or name == "error_type"):
                return None
            elif begin == 101 and length == 18 and name == "exported_namespace":
                return None
            elif begin == 112 and length == 13 and name == "pod_namespace":
                self.namespace = PyTuple_GET_ITEM(<object> pair, 1)
        return found


cdef inline bint begins(str name, uint32_t a, uint32_t b, uint32_t c, uint32_t d) noexcept:
    return (
        PyUnicode_READ_CHAR(name, 0) == a
        and PyUnicode_READ_CHAR(name, 1) == b
        and PyUnicode_READ_CHAR(name, 2) == c
        and PyUnicode_READ_CHAR(name, 3) == d
    )


cdef int strength_of(str name) noexcept:
    """By its first four letters."""
    if PyUnicode_GET_LENGTH(name) < 4:
        return OTHER
    if begins(name, 112, 111, 100, 58):
        return POD
    if begins(name, 110, 111, 100, 101):
        return NODE
    if begins(name, 100, 101, 118, 105):
        return DEVICE
    if begins(name, 119, 111, 114, 107):
        return WORKLOAD
    return POD_NAME if begins(name, 112, 111, 100, 110) else OTHER


cdef struct Row:
    # What waits at *uses* ties; a free one has the number of the next in *starts_ns*.
    PyObject *id
    PyObject *source
    PyObject *pod_id
    PyObject *namespace
    PyObject *cluster
    int64_t starts_ns
    uint32_t uses
    # Not `bint`, which is four bytes.
    uint8_t owned


cdef class Held:
    """See the twin. The table has the number of a row, from 1, for each tie of one alert; what is no
    such is in a dict."""

    cdef dict others
    cdef object ref_of
    cdef Fields fields
    cdef Row *rows
    cdef int64_t *keys
    cdef uint32_t *numbers
    cdef Py_ssize_t rows_room, rows_used, count
    cdef int64_t free
    cdef uint64_t size

    def __cinit__(self, ref_of):
        self.others = {}
        self.ref_of = ref_of
        self.fields = Fields(ref_of, _REF)
        self.free = -1

    def __dealloc__(self):
        cdef Py_ssize_t n
        for n in range(self.rows_used):
            if self.rows[n].uses:
                self.drop(&self.rows[n])
        PyMem_Free(self.rows)
        PyMem_Free(self.keys)
        PyMem_Free(self.numbers)

    cdef void drop(self, Row *row) noexcept:
        Py_DECREF(<object> row.id)
        Py_DECREF(<object> row.source)
        Py_DECREF(<object> row.pod_id)
        Py_DECREF(<object> row.namespace)
        Py_DECREF(<object> row.cluster)

    cdef inline uint64_t place(self, int64_t key) noexcept:
        """Where *key* is, or would be."""
        cdef uint64_t at = self.home(key)
        while self.numbers[at] and self.keys[at] != key:
            at = self.after(at)
        return at

    cdef inline uint64_t home(self, int64_t key) noexcept:
        """Where *key* belongs. Of any size, not a power of two: a table that grows by a half of a
        half has little room that nobody needs."""
        return (spread(key) * self.size) >> 32

    cdef inline uint64_t after(self, uint64_t at) noexcept:
        return at + 1 if at + 1 < self.size else 0

    cdef inline uint64_t apart(self, uint64_t later, uint64_t at) noexcept:
        """How many places *later* comes after *at*."""
        return later - at if later >= at else later + self.size - at

    cdef inline uint32_t find(self, int64_t key) noexcept:
        """The number of the row of *key*, or 0."""
        return self.numbers[self.place(key)] if self.count else 0

    cdef bint has(self, int64_t key) except -1:
        if self.find(key):
            return True
        return len(self.others) > 0 and key in self.others

    cdef int64_t new_row(
        self, ref_id, source, pod_id, namespace, cluster, int64_t starts_ns
    ) except -1:
        """The index of a row that no tie uses yet."""
        cdef int64_t index = self.free
        cdef Py_ssize_t room
        cdef void *made
        cdef Row *row
        if index >= 0:
            self.free = self.rows[index].starts_ns
        else:
            if self.rows_used >= self.rows_room:
                room = max(64, self.rows_room + self.rows_room // 4)
                made = PyMem_Realloc(self.rows, room * sizeof(Row))
                if not made:
                    raise MemoryError
                self.rows, self.rows_room = <Row *> made, room
            index = self.rows_used
            self.rows_used += 1
        row = &self.rows[index]
        Py_INCREF(ref_id)
        Py_INCREF(source)
        Py_INCREF(pod_id)
        Py_INCREF(namespace)
        Py_INCREF(cluster)
        row.id, row.source, row.pod_id = (
            <PyObject *> ref_id, <PyObject *> source, <PyObject *> pod_id
        )
        row.namespace, row.cluster = <PyObject *> namespace, <PyObject *> cluster
        row.starts_ns, row.uses = starts_ns, 0
        row.owned = False
        return index

    cdef int make_room(self) except -1:
        """For one key more, a third of the table being free."""
        cdef int64_t *keys = self.keys
        cdef uint32_t *numbers = self.numbers
        cdef uint64_t size = self.size, at
        cdef Py_ssize_t n
        if 3 * (<uint64_t> self.count + 1) <= 2 * size:
            return 0
        cdef uint64_t room = max(<uint64_t> 64, size + size // 4)
        self.keys = <int64_t *> PyMem_Malloc(room * sizeof(int64_t))
        self.numbers = <uint32_t *> PyMem_Calloc(room, sizeof(uint32_t))
        if not self.keys or not self.numbers:
            PyMem_Free(self.keys)
            PyMem_Free(self.numbers)
            self.keys, self.numbers = keys, numbers
            raise MemoryError
        self.size = room
        for n in range(<Py_ssize_t> size):
            if numbers[n]:
                at = self.place(keys[n])
                self.keys[at], self.numbers[at] = keys[n], numbers[n]
        PyMem_Free(keys)
        PyMem_Free(numbers)
        return 0

    cdef int put(self, int64_t key, int64_t index) except -1:
        """Have the row *index* at *key*, if nothing is there."""
        self.make_room()
        cdef uint64_t at = self.place(key)
        if self.numbers[at]:
            return 0
        self.keys[at], self.numbers[at] = key, index + 1
        self.rows[index].uses += 1
        self.count += 1
        return 0

    cdef bint remove(self, int64_t key) noexcept:
        """Whether there was a row at *key*; there is none any more."""
        cdef uint64_t at, following, home
        cdef uint32_t number
        if self.count == 0:
            return False
        at = self.place(key)
        number = self.numbers[at]
        if number == 0:
            return False
        self.count -= 1
        # What follows moves up, unless that is before where it belongs.
        following = at
        while True:
            self.numbers[at] = 0
            while True:
                following = self.after(following)
                if self.numbers[following] == 0:
                    break
                home = self.home(self.keys[following])
                if self.apart(following, home) >= self.apart(following, at):
                    break
            if self.numbers[following] == 0:
                break
            self.keys[at], self.numbers[at] = self.keys[following], self.numbers[following]
            at = following
        cdef Row *row = &self.rows[number - 1]
        row.uses -= 1
        if row.uses == 0:
            self.drop(row)
            row.starts_ns = self.free
            self.free = number - 1
        return True

    cdef object made(self, uint32_t number):
        cdef Row *row = &self.rows[number - 1]
        return self.ref_of(
            <object> row.id, row.starts_ns, <object> row.source, <object> row.pod_id,
            <object> row.namespace, <object> row.cluster, bool(row.owned),
        )

    def __len__(self):
        return self.count + len(self.others)

    def __contains__(self, key):
        return self.has(key)

    def get(self, key):
        """What waits at *key*, or None."""
        cdef uint32_t number = self.find(key)
        return self.made(number) if number else self.others.get(key)

    def __setitem__(self, key, value):
        cdef PyObject *ref
        cdef int64_t index, at = key
        self.remove(at)
        if type(value) is not self.ref_of:
            self.others[key] = value
            return
        self.others.pop(key, None)
        ref = <PyObject *> value
        index = self.new_row(
            <object> self.fields.read(ref, 0),
            <object> self.fields.read(ref, 1),
            <object> self.fields.read(ref, 2),
            <object> self.fields.read(ref, 5),
            <object> self.fields.read(ref, 6),
            <object> self.fields.read(ref, 3),
        )
        self.rows[index].owned = <object> self.fields.read(ref, 4)
        self.put(at, index)

    def __delitem__(self, key):
        if not self.remove(key):
            del self.others[key]

    def pop(self, key, default=None):
        """What waited at *key*; it does no more."""
        found = self.get(key)
        if found is None:
            return default
        del self[key]
        return found

    def shed(self, array.array keys not None, Py_ssize_t most):
        """See the twin."""
        cdef Py_ssize_t gone = 0, left = len(keys)
        cdef int64_t *some = <int64_t *> keys.data.as_longlongs
        if keys.ob_descr.typecode != c"q":
            raise ValueError("no keys")
        while left and len(self) > most:
            if self.remove(some[left - 1]):
                gone += 1
            elif some[left - 1] in self.others:
                break
            left -= 1
        array.resize(keys, left)
        return gone

    def items(self):
        """What waits at each key."""
        cdef Py_ssize_t n
        cdef list found = list(self.others.items())
        if self.count:
            for n in range(<Py_ssize_t> self.size):
                if self.numbers[n]:
                    found.append((self.keys[n], self.made(self.numbers[n])))
        return found


cdef inline uint64_t spread(int64_t key) noexcept nogil:
    """32 bits. Hashes of short texts are near each other in no bits that count here; so that none
    are."""
    return (<uint64_t> key * <uint64_t> 0x9E3779B97F4A7C15) >> 32


def begin(
    alerts,
    Py_ssize_t at,
    Held ties not None,
    array.array came not None,
    dict is_quiet not None,
    int64_t begin_ns,
    int64_t end_ns,
):
    """See the twin."""
    global _alert, _context
    cdef list given = alerts if isinstance(alerts, list) else list(alerts)
    cdef Py_ssize_t count = len(given), n
    cdef _Keys keys = _Keys()
    cdef int64_t starts_ns, created_ns, latest_ns = 0, index
    cdef PyObject *alert
    cdef PyObject *context
    cdef PyObject *quiet
    cdef str name
    if _alert is None and at < count:
        _alert = Fields(type(given[at]), _ALERT)
        _context = Fields(type(given[at].context), _CONTEXT)
    while at < count:
        _alert.check(given[at])
        alert = <PyObject *> given[at]
        starts_ns = <object> _alert.read(alert, STARTS)
        if not begin_ns <= starts_ns <= end_ns:
            break
        name = keys.name_of(<tuple> <object> _alert.read(alert, LABELS))
        if name is None:
            break
        quiet = PyDict_GetItem(is_quiet, name)
        if quiet == NULL or <object> quiet is not True:
            break
        context = _alert.read(alert, CONTEXT)
        _context.check(<object> context)
        if not keys.read(context, <tuple> <object> _alert.read(alert, ENTITIES)):
            break
        for n in range(keys.count):
            if ties.has(keys.hashes[n]):
                return at, latest_ns
        if keys.count:
            index = ties.new_row(
                <object> _alert.read(alert, ID),
                <object> _alert.read(alert, SOURCE),
                <object> _context.read(context, POD_ID),
                <object> keys.namespace,
                <object> _context.read(context, CLUSTER_NAME),
                starts_ns,
            )
            ties.rows[index].owned = keys.count > 1 or keys.strengths[0] != POD_NAME
            for n in range(keys.count):
                ties.put(keys.hashes[n], index)
            array.extend_buffer(came, <char *> keys.hashes, keys.count)
            created_ns = <object> _alert.read(alert, CREATED)
            latest_ns = max(latest_ns, created_ns)
        at += 1
    return at, latest_ns
