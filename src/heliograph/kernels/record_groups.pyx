# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
# cython: embedsignature=False, auto_pickle=False, nonecheck=False, initializedcheck=False
"""Records by their ids, and those alike together, compiled: `record_groups.py` has what it means."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_CheckExact, PyDict_GetItemWithError
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_Check, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_Check, PyUnicode_CheckExact
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport qsort
from libc.string cimport memcmp

from typing import NamedTuple

COMPILED = True
Names = tuple[str, str, str, str, str]

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    void *PyUnicode_1BYTE_DATA(object)
    long long PyLong_AsLongLongAndOverflow(object, int *) except? -1
    PyObject *PyDict_SetDefault(object, object, object) except NULL


class Alike(NamedTuple):
    names: tuple
    ats: list
    places: list
    records: list


cdef struct Placed:
    Py_ssize_t group
    int64_t at_ns
    Py_ssize_t place
    PyObject *record


cdef int in_order(const void *a, const void *b) noexcept nogil:
    cdef const Placed *left = <const Placed *> a
    cdef const Placed *right = <const Placed *> b
    if left.group != right.group:
        return -1 if left.group < right.group else 1
    if left.at_ns != right.at_ns:
        return -1 if left.at_ns < right.at_ns else 1
    return -1 if left.place < right.place else left.place > right.place


cdef inline int digit(char one) noexcept:
    if 48 <= one <= 57:
        return one - 48
    return one - 87 if 97 <= one <= 102 else -1


cpdef object digits_of(object record_id):
    """The 16 bytes that an id of ours says, None for any other."""
    cdef const char *text
    cdef uint8_t *out
    cdef object found
    cdef int n, high, low
    if (
        not PyUnicode_CheckExact(record_id)
        or not PyUnicode_IS_COMPACT_ASCII(record_id)
        or PyUnicode_GET_LENGTH(record_id) != 42
    ):
        return None
    text = <const char *> PyUnicode_1BYTE_DATA(record_id)
    if memcmp(text, b"telemetry-", 10):
        return None
    found = PyBytes_FromStringAndSize(NULL, 16)
    out = <uint8_t *> PyBytes_AS_STRING(found)
    for n in range(16):
        high, low = digit(text[10 + 2 * n]), digit(text[11 + 2 * n])
        if high < 0 or low < 0:
            return None
        out[n] = high << 4 | low
    return found


cdef int check(object record) except -1:
    if not PyTuple_Check(record) or PyTuple_GET_SIZE(record) < 11:
        raise TypeError("records of eleven parts or more")
    return 0


def by_id(records, id_of):
    cdef dict found = {}
    cdef object each, id_
    for each in records:
        check(each)
        id_ = digits_of(<object> PyTuple_GET_ITEM(each, 0))
        if id_ is None:
            id_ = id_of(<object> PyTuple_GET_ITEM(each, 0))
        PyDict_SetDefault(found, id_, each)
    return found


cdef tuple named(object record):
    cdef object resource = <object> PyTuple_GET_ITEM(record, 10)
    cdef object session = <object> PyTuple_GET_ITEM(record, 3)
    cdef object severity = <object> PyTuple_GET_ITEM(record, 7)
    cdef object pod_uid = None
    cdef PyObject *there
    if PyDict_CheckExact(resource):
        there = PyDict_GetItemWithError(resource, "pod_uid")
        if there != NULL:
            pod_uid = <object> there
    else:
        pod_uid = resource.get("pod_uid")
    return (
        pod_uid if PyUnicode_Check(pod_uid) and pod_uid else session,
        session,
        <object> PyTuple_GET_ITEM(record, 5),
        severity or "",
        <object> PyTuple_GET_ITEM(record, 4),
    )


def names_of(record):
    check(record)
    return named(record)


def alike(records):
    cdef list held = list(records), found = [], ats, places, some
    cdef dict groups = {}
    cdef Py_ssize_t n, first, many = len(held)
    cdef int over = 0
    cdef object each, at_ns, names
    cdef PyObject *there
    cdef Placed *placed = <Placed *> PyMem_Malloc((many + 1) * sizeof(Placed))
    if placed == NULL:
        raise MemoryError
    try:
        for n in range(many):
            each = held[n]
            check(each)
            at_ns = <object> PyTuple_GET_ITEM(each, 1)
            if not PyLong_CheckExact(at_ns):
                raise TypeError("times are int")
            placed[n].at_ns = PyLong_AsLongLongAndOverflow(at_ns, &over)
            if over:
                return ordered_otherwise(held)
            names = named(each)
            there = PyDict_GetItemWithError(groups, names)
            if there == NULL:
                placed[n].group = len(groups)
                groups[names] = len(groups)
            else:
                placed[n].group = <object> there
            placed[n].place = n
            placed[n].record = <PyObject *> each
        with nogil:
            qsort(placed, many, sizeof(Placed), in_order)
        n = 0
        for names in groups:
            ats, places, some = [], [], []
            first = placed[n].group
            while n < many and placed[n].group == first:
                ats.append(placed[n].at_ns)
                places.append(placed[n].place)
                some.append(<object> placed[n].record)
                n += 1
            found.append(Alike(names, ats, places, some))
        return found
    finally:
        PyMem_Free(placed)


cdef list ordered_otherwise(list records):
    """As `alike`, for times over 64 bits."""
    cdef dict groups = {}
    cdef list found = []
    for place, each in enumerate(records):
        check(each)
        groups.setdefault(named(each), []).append((each[1], place, each))
    for names, some in groups.items():
        ats, places, held = zip(*sorted(some))
        found.append(Alike(names, list(ats), list(places), list(held)))
    return found
