# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
# cython: embedsignature=False, auto_pickle=False, nonecheck=False, initializedcheck=False
"""The numbers of rows as columns, compiled: `row_samples.py` has what it means."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_GetItemWithError, PyDict_Next, PyDict_Size
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_AsDouble, PyLong_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from typing import Any, NamedTuple

COMPILED = True
Stream = tuple[str, str, str]


class Kind(NamedTuple):
    names: tuple[str, ...]
    taken: bytes
    places: bytes


class Packed(NamedTuple):
    series: bytes
    at_ns: bytes
    value: bytes
    skipped: int


cdef class _Columns:
    cdef int64_t *series
    cdef int64_t *at
    cdef double *value
    cdef Py_ssize_t many, room

    def __dealloc__(self):
        PyMem_Free(self.series)
        PyMem_Free(self.at)
        PyMem_Free(self.value)

    cdef int hold(self, Py_ssize_t more) except -1:
        """Have room for *more*."""
        cdef Py_ssize_t room = self.room
        cdef void *grown
        if self.many + more <= room:
            return 0
        room = max(2 * room, self.many + more, 1024)
        grown = PyMem_Realloc(self.series, room * 8)
        if grown == NULL:
            raise MemoryError
        self.series = <int64_t *> grown
        grown = PyMem_Realloc(self.at, room * 8)
        if grown == NULL:
            raise MemoryError
        self.at = <int64_t *> grown
        grown = PyMem_Realloc(self.value, room * 8)
        if grown == NULL:
            raise MemoryError
        self.value = <double *> grown
        self.room = room
        return 0

    cdef int add(self, bytes places, const char *values, Py_ssize_t size, int64_t at_ns) except -1:
        """Take *size* bytes of values of one row; of *values* NULL they are there already."""
        cdef Py_ssize_t n, width = size // 8
        memcpy(self.series + self.many, PyBytes_AS_STRING(places), size)
        if values != NULL:
            memcpy(self.value + self.many, values, size)
        for n in range(width):
            self.at[self.many + n] = at_ns
        self.many += width
        return 0


include "row_names.pxi"


cdef int _values(dict fields, bytes taken, double *out) except -1:
    """Write what is taken of *fields* to *out*; 0 where not all of it is int and float."""
    cdef const char *takes = PyBytes_AS_STRING(taken)
    cdef PyObject *key
    cdef PyObject *value
    cdef Py_ssize_t at = 0, n = 0, many = 0
    while PyDict_Next(fields, &at, &key, &value):
        if takes[n]:
            if PyFloat_CheckExact(<object> value):
                out[many] = PyFloat_AS_DOUBLE(<object> value)
            elif PyLong_CheckExact(<object> value):
                try:
                    out[many] = PyLong_AsDouble(<object> value)
                except OverflowError:
                    return 0
            else:
                return 0
            many += 1
        n += 1
    return 1


def pack(rows, dict known, kind_of, odd, int64_t low_ns, int64_t high_ns):
    cdef _Columns columns = _Columns()
    cdef tuple row, stream, names
    cdef bytes places, values
    cdef int64_t at_ns
    cdef Py_ssize_t skipped = 0, size
    cdef PyObject *found
    for each in rows:
        # Unchecked: a tuple that has names is none to Cython.
        row = <tuple> each
        if row[5] is not None:
            continue
        fields = row[7] if PyDict_CheckExact(row[7]) else dict(row[7])
        stream = row[:3]
        found = PyDict_GetItemWithError(known, stream)
        if (
            found == NULL
            or not is_of(<dict> fields, <tuple> PyTuple_GET_ITEM(<object> found, 0))
        ):
            kind = known[stream] = kind_of(stream, tuple(fields))
        else:
            kind = <object> found
        places = (<tuple> kind)[2]
        size = PyBytes_GET_SIZE(places)
        if not size:
            continue
        try:
            at_ns = row[3]
        except OverflowError:
            skipped += 1
            continue
        if not low_ns < at_ns < high_ns:
            skipped += 1
            continue
        columns.hold(size // 8)
        if _values(<dict> fields, (<tuple> kind)[1], columns.value + columns.many):
            columns.add(places, NULL, size, at_ns)
            continue
        places, values = odd(kind, fields)
        columns.add(places, PyBytes_AS_STRING(values), PyBytes_GET_SIZE(values), at_ns)
    return Packed(
        PyBytes_FromStringAndSize(<char *> columns.series, columns.many * 8),
        PyBytes_FromStringAndSize(<char *> columns.at, columns.many * 8),
        PyBytes_FromStringAndSize(<char *> columns.value, columns.many * 8),
        skipped,
    )
