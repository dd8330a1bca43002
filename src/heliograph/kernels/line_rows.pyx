# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
# cython: embedsignature=False, auto_pickle=False, nonecheck=False, initializedcheck=False
"""Training rows of lines that tell nothing but values, compiled: `line_rows.py` has what it means."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_SET_ITEM
from libc.stdint cimport int64_t, uint32_t

COMPILED = True
PARTS = 8
PERFORMANCE, BAR, STEP, SCALE = "performance", "bar", "current_iteration", "loss_scale"

cdef object _performance = PERFORMANCE, _bar = BAR, _step = STEP, _scale = SCALE

cdef extern from "Python.h":
    object PyType_GenericAlloc(PyTypeObject *, Py_ssize_t)


cdef inline void put(object row, Py_ssize_t n, object item) noexcept:
    Py_INCREF(item)
    PyTuple_SET_ITEM(row, n, item)


cdef class PlainRows:
    """See the twin."""

    cdef object parsed, row, source
    cdef list pods
    cdef bytes plain
    cdef const uint32_t[::1] places, plan_of, source_of
    cdef const int64_t[::1] at_ns

    def __init__(self, parsed, places, plan_of, bytes plain, source_of, pods, at_ns, row, source):
        self.parsed, self.places, self.plan_of, self.plain = parsed, places, plan_of, plain
        self.source_of, self.pods, self.at_ns = source_of, list(pods), at_ns
        self.row, self.source = row, source
        if not len(plan_of) == len(source_of) == len(at_ns):
            raise ValueError("columns of one length")
        if not issubclass(row, tuple) or len(row._fields) != 8:
            raise ValueError("a row of eight parts")

    def take(self, list rows, Py_ssize_t at, dict scales):
        """See the twin."""
        cdef const char *plain = PyBytes_AS_STRING(self.plain)
        cdef Py_ssize_t n, place, many = self.places.shape[0], size = self.plan_of.shape[0]
        cdef bint known = len(scales) > 0
        cdef object pod_uid, said, fields, row, label, scale
        cdef PyObject *found
        for n in range(at, many):
            place = self.places[n]
            if (
                place >= size
                or <Py_ssize_t>self.plan_of[place] >= PyBytes_GET_SIZE(self.plain)
                or <Py_ssize_t>self.source_of[place] >= len(self.pods)
            ):
                raise IndexError(place)
            if not plain[self.plan_of[place]]:
                return n
            pod_uid = self.pods[self.source_of[place]]
            if pod_uid is None:
                return n
            if not pod_uid:
                continue
            said = self.parsed[place]
            if not isinstance(said, tuple) or PyTuple_GET_SIZE(said) < 6:
                raise TypeError("not what a line says")
            fields = <object>PyTuple_GET_ITEM(said, 2)
            label = <object>PyTuple_GET_ITEM(said, 5)
            # A line may be another than those that its plan was learned from.
            if (
                <object>PyTuple_GET_ITEM(said, 3)
                or <object>PyTuple_GET_ITEM(said, 0) != _performance
                or <object>PyTuple_GET_ITEM(said, 4) == _bar
                or type(fields) is not dict
            ):
                return n
            found = PyDict_GetItemWithError(fields, _scale)
            if found != NULL and <object>found is not None:
                scale = <object>found
                found = PyDict_GetItemWithError(scales, (pod_uid, label)) if known else NULL
                if scale != (1.0 if found == NULL else (<object>found).scale):
                    return n
            row = PyType_GenericAlloc(<PyTypeObject *>self.row, 8)
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
        return many
