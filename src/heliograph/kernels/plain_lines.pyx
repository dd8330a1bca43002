# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
# cython: embedsignature=False, auto_pickle=False, nonecheck=False, initializedcheck=False
"""Rows and records of lines that stand for themselves, compiled: `plain_lines.py` has what it means."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Copy, PyDict_GetItemWithError, PyDict_SetItem
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

import hashlib
from typing import Any, NamedTuple

COMPILED = True
ROW_PARTS, RECORD_PARTS = 8, 13
PERFORMANCE, STEP, SCALE = "performance", "current_iteration", "loss_scale"
# Rules whose lines count within an epoch: which step of the run they are of takes more to tell.
OF_EPOCH = ("bar", "piped_epoch")
RANK, SPEAKER, DEVICE, FRAMEWORK = "rank", "speaker", "device", "framework"
DEVICES = ("pci", "device", "hca", "gpu", "gpu_node")
ANYTHING, A_ROW, RECORDS, SOME_RECORDS = 0, 1, 2, 3

cdef object _performance = PERFORMANCE, _step = STEP, _scale = SCALE
cdef object _rank = RANK, _speaker = SPEAKER, _device = DEVICE, _framework = FRAMEWORK
cdef tuple _devices = DEVICES
cdef tuple _of_epoch = OF_EPOCH
cdef object _sha256 = hashlib.sha256
# Of a record id: its text before the digits, and how many of these there are.
cdef enum:
    NAMED = 10
    DIGITS = 32

cdef extern from "Python.h":
    object PyType_GenericAlloc(PyTypeObject *, Py_ssize_t)
    object PyUnicode_New(Py_ssize_t, Py_UCS4)
    void *PyUnicode_DATA(object)


class Making(NamedTuple):
    """See the twin."""

    row: Any
    source: str
    record: Any
    event: Any
    bodies: bool


cdef inline void put(object row, Py_ssize_t n, object item) noexcept:
    Py_INCREF(item)
    PyTuple_SET_ITEM(row, n, item)


cdef int number_to(char *out, int64_t number) noexcept nogil:
    """Write *number* in decimals; how many characters that were."""
    cdef char[24] digits
    cdef uint64_t left = <uint64_t>number
    cdef int n = 0, at = 0
    if number < 0:
        left = 0 - left
        out[0] = 45
        at = 1
    while True:
        digits[n] = 48 + <char>(left % 10)
        left //= 10
        n += 1
        if not left:
            break
    while n:
        n -= 1
        out[at] = digits[n]
        at += 1
    return at


cdef bytes identity_of(bytes of, int64_t at_ns, const char *text, Py_ssize_t size, bytes event):
    cdef char[24] time
    cdef int time_size = number_to(time, at_ns)
    cdef Py_ssize_t most = PyBytes_GET_SIZE(of) + PyBytes_GET_SIZE(event) + size + 64
    cdef bytes made = PyBytes_FromStringAndSize(NULL, most)
    cdef char *start = PyBytes_AS_STRING(made)
    cdef char *at = start
    memcpy(at, PyBytes_AS_STRING(of), PyBytes_GET_SIZE(of))
    at += PyBytes_GET_SIZE(of)
    at += number_to(at, time_size)
    at[0] = 58
    memcpy(at + 1, time, time_size)
    at += 1 + time_size
    at += number_to(at, size)
    at[0] = 58
    memcpy(at + 1, text, size)
    at += 1 + size
    memcpy(at, PyBytes_AS_STRING(event), PyBytes_GET_SIZE(event))
    at += PyBytes_GET_SIZE(event)
    return made[:at - start]


cdef object id_of(bytes identity):
    cdef bytes digest = _sha256(identity).digest()
    cdef const uint8_t *code = <const uint8_t *>PyBytes_AS_STRING(digest)
    cdef object made = PyUnicode_New(NAMED + DIGITS, 127)
    cdef char *at = <char *>PyUnicode_DATA(made)
    cdef const char *digits = b"0123456789abcdef"
    cdef int n
    memcpy(at, b"telemetry-", NAMED)
    at += NAMED
    for n in range(DIGITS // 2):
        at[2 * n], at[2 * n + 1] = digits[code[n] >> 4], digits[code[n] & 15]
    return made


def record_id(bytes identity, int64_t at_ns, bytes text, bytes event):
    """See the twin."""
    return id_of(
        identity_of(identity, at_ns, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), event)
    )


cpdef dict resource_of(dict resource, attributes, rank, label):
    """See the twin."""
    cdef dict made = PyDict_Copy(resource)
    cdef dict said = attributes if type(attributes) is dict else dict(attributes)
    cdef PyObject *found = PyDict_GetItemWithError(said, _rank)
    if found != NULL:
        rank = <object>found
    if rank is not None and rank != "":
        PyDict_SetItem(made, _rank, rank)
    if label:
        PyDict_SetItem(made, _speaker, label)
    for one in _devices:
        found = PyDict_GetItemWithError(said, one)
        if found != NULL:
            device = str(<object>found)
            if device:
                PyDict_SetItem(made, _device, device)
            break
    return made


cdef class PlainLines:
    """See the twin."""

    cdef object parsed, origin, tells, row, source, record, event, arrival_ns
    cdef list pods, origins, plans
    cdef bytes plain, blob
    cdef bint bodies
    cdef const uint32_t[::1] places, plan_of, source_of, ends
    cdef const int64_t[::1] at_ns

    def __init__(self, parsed, places, bytes plain, block, pods, origin, tells, making,
        arrival_ns,
    ):
        self.parsed, self.places, self.plan_of, self.plain = parsed, places, parsed.plan_of, plain
        self.source_of, self.at_ns = block.source_of, block.at_ns
        self.ends, self.blob = block.ends, block.blob
        self.pods, self.origin, self.arrival_ns = list(pods), origin, arrival_ns
        self.tells = tells
        self.plans = [plan.template[3] for plan in parsed.plans]
        if len(plain) != len(self.plans) + 1 or plain[0] != ANYTHING:
            raise ValueError("what the lines of each plan come to")
        # NotImplemented is what was not asked for yet.
        self.origins = [NotImplemented] * len(self.pods)
        self.row, self.source, self.record, self.event, self.bodies = making
        if not len(parsed.plan_of) == len(block.source_of) == len(block.at_ns) == len(block.ends):
            raise ValueError("columns of one length")
        for made, parts in ((self.row, ROW_PARTS), (self.record, RECORD_PARTS)):
            if not issubclass(made, tuple) or len(made._fields) != parts:
                raise ValueError("a row of eight parts, a record of thirteen")

    def take(self, list rows, list records, Py_ssize_t at, dict scales):
        """See the twin."""
        cdef Py_ssize_t n, place, many = self.places.shape[0]
        cdef char plain
        cdef bint taken
        if at < 0:
            raise IndexError(at)
        for n in range(at, many):
            place = self.places[n]
            if (
                place >= self.plan_of.shape[0]
                or <Py_ssize_t>self.plan_of[place] >= PyBytes_GET_SIZE(self.plain)
                or <Py_ssize_t>self.source_of[place] >= PyList_GET_SIZE(self.pods)
            ):
                raise IndexError(place)
            plain = PyBytes_AS_STRING(self.plain)[self.plan_of[place]]
            if plain == 0:
                return n
            if plain == 1:
                taken = self.row_of(rows, place, scales)
            else:
                taken = self.told(records, place, plain == 3)
            if not taken:
                return n
        return many

    cdef object said(self, Py_ssize_t place):
        said = self.parsed[place]
        if not isinstance(said, tuple) or PyTuple_GET_SIZE(said) < 6:
            raise TypeError("not what a line says")
        return said

    cdef bint row_of(self, list rows, Py_ssize_t place, dict scales) except -1:
        cdef object pod_uid, said, fields, row, label, scale
        cdef PyObject *found
        pod_uid = self.pods[self.source_of[place]]
        if pod_uid is None:
            return False
        if not pod_uid:
            return True
        said = self.said(place)
        fields = <object>PyTuple_GET_ITEM(said, 2)
        label = <object>PyTuple_GET_ITEM(said, 5)
        # A line may be another than those that its plan was learned from.
        if (
            <object>PyTuple_GET_ITEM(said, 3)
            or <object>PyTuple_GET_ITEM(said, 0) != _performance
            or <object>PyTuple_GET_ITEM(said, 4) in _of_epoch
            or type(fields) is not dict
        ):
            return False
        found = PyDict_GetItemWithError(fields, _scale)
        if found != NULL and <object>found is not None:
            scale = <object>found
            found = PyDict_GetItemWithError(scales, (pod_uid, label)) if scales else NULL
            if scale != (1.0 if found == NULL else (<object>found).scale):
                return False
        row = PyType_GenericAlloc(<PyTypeObject *>self.row, ROW_PARTS)
        put(row, 0, pod_uid)
        put(row, 1, self.source)
        put(row, 2, label)
        put(row, 3, self.at_ns[place])
        found = PyDict_GetItemWithError(fields, _step)
        put(row, 4, None if found == NULL else <object>found)
        put(row, 5, None)
        put(row, 6, <object>PyTuple_GET_ITEM(said, 1))
        put(row, 7, fields)
        rows.append(row)
        return True

    cdef bint told(self, list records, Py_ssize_t place, bint asked) except -1:
        cdef object origin = self.origins[self.source_of[place]], said
        if origin is NotImplemented:
            origin = self.origins[self.source_of[place]] = self.origin(self.source_of[place])
        cdef tuple events, expected
        cdef Py_ssize_t number, start, stop
        if origin is None:
            return False
        said = self.said(place)
        if <object>PyTuple_GET_ITEM(said, 0) == _performance:
            return False
        events = <tuple?><object>PyTuple_GET_ITEM(said, 3)
        # A line may be another than those that its plan was learned from.
        expected = <tuple?>self.plans[self.plan_of[place] - 1]
        if PyTuple_GET_SIZE(events) != PyTuple_GET_SIZE(expected):
            return False
        for number in range(PyTuple_GET_SIZE(events)):
            event = <object>PyTuple_GET_ITEM(events, number)
            if not isinstance(event, tuple) or PyTuple_GET_SIZE(event) < 3:
                raise TypeError("not an event")
            if event[0] != expected[number][0]:
                return False
        start = self.ends[place - 1] if place else 0
        stop = self.ends[place]
        if not start <= stop <= PyBytes_GET_SIZE(self.blob):
            raise IndexError(place)
        if not isinstance(origin, tuple) or PyTuple_GET_SIZE(origin) < 5:
            raise TypeError("not an origin")
        for number in range(PyTuple_GET_SIZE(events)):
            event = <object>PyTuple_GET_ITEM(events, number)
            if asked and not self.tells(
                origin, <object>PyTuple_GET_ITEM(said, 5), event, self.at_ns[place]
            ):
                continue
            records.append(self.record_of(
                origin, said, event, number, place,
                PyBytes_AS_STRING(self.blob) + start, stop - start,
            ))
        return True

    cdef object record_of(
        self, object origin, object said, object event, Py_ssize_t number, Py_ssize_t place,
        const char *text, Py_ssize_t size,
    ):
        cdef object event_type = <object>PyTuple_GET_ITEM(event, 0)
        cdef object attributes = <object>PyTuple_GET_ITEM(event, 2)
        cdef object fields = <object>PyTuple_GET_ITEM(said, 2)
        cdef bytes told = self.event(event_type, number)
        cdef dict own
        cdef object at_ns = self.at_ns[place]
        identity = identity_of(
            <bytes?><object>PyTuple_GET_ITEM(origin, 2), self.at_ns[place], text, size, told
        )
        own = dict(attributes)
        PyDict_SetItem(own, _framework, <object>PyTuple_GET_ITEM(said, 1))
        resource = resource_of(
            <dict?><object>PyTuple_GET_ITEM(origin, 4), attributes, fields.get(_rank),
            <object>PyTuple_GET_ITEM(said, 5),
        )
        body = PyUnicode_DecodeUTF8(text, size, "surrogatepass") if self.bodies else None
        record = PyType_GenericAlloc(<PyTypeObject *>self.record, RECORD_PARTS)
        put(record, 0, id_of(identity))
        put(record, 1, at_ns)
        put(record, 2, self.arrival_ns)
        put(record, 3, <object>PyTuple_GET_ITEM(origin, 3))
        put(record, 4, self.source)
        put(record, 5, event_type)
        put(record, 6, None)
        put(record, 7, <object>PyTuple_GET_ITEM(event, 1))
        put(record, 8, None)
        put(record, 9, body)
        put(record, 10, resource)
        put(record, 11, own)
        put(record, 12, {})
        return record
