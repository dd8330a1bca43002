# The C types of cells.pyx, whose plain twin is cells.py.

from cpython.object cimport PyObject

cdef class Bank:
    cdef public Py_ssize_t used, shared_from
    cdef public object limit
    cdef public dict free, links
    cdef readonly list peers
    cdef double *held
    cdef double **elsewhere
    cdef Py_ssize_t room
    cdef object buffer

cdef class Spec:
    cdef public str name, kind, description, unit
    cdef public tuple constant
    cdef public object declared, on_error, buckets
    cdef public list bounds, shapes
    cdef public dict exemplars
    cdef public bint strict
    cdef public int policy
    cdef public Py_ssize_t width, series_max
    cdef public object number, scope
    cdef double *ends
    cdef Py_ssize_t count
    cdef double[2] tags

ctypedef PyObject *(*vectorcallfunc)(PyObject *, PyObject *const *, size_t, PyObject *) noexcept

cdef class LabelsOf(dict):
    cdef public Spec spec
    cdef public object kind, overflow
    cdef public dict tables, orders, shared
    cdef public Py_ssize_t series, refused
    # Not counted: a metric owns this, and leaves a NULL when it goes. So there is no cycle, and
    # cells need none of the collector's attention.
    cdef PyObject *owner
    cdef object __weakref__
    cdef vectorcallfunc call
    # The last order of names, kept because a call site always has the same.
    cdef object last_names
    cdef tuple last_places
    cdef dict last_table

cdef class Cell:
    cdef readonly Spec spec
    cdef readonly object key
    cdef LabelsOf _labels
    cdef readonly int at, shape

cdef class CounterCell(Cell):
    pass

cdef class GaugeCell(Cell):
    pass

cdef class HistogramCell(Cell):
    pass
