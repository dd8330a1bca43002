# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=False
"""`alert_rows.py` for machines with a compiler: what is given and answered is told there."""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.string cimport memchr, memcmp, memcpy

cdef extern from "Python.h":
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    void* PyUnicode_DATA(object text)
    bint PyUnicode_IS_ASCII(object text)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

COMPILED = True

# As long a text of ASCII is stored as it is, whatever its characters, but for NUL.
cdef Py_ssize_t _SHORT = 128
cdef str _NONE = ""


cdef str _name(tuple labels):
    """The value of the label `alertname`, or ""."""
    cdef Py_ssize_t n
    cdef tuple pair
    cdef str name
    for n in range(PyTuple_GET_SIZE(labels)):
        pair = <tuple?> <object> PyTuple_GET_ITEM(labels, n)
        name = <str?> <object> PyTuple_GET_ITEM(pair, 0)
        if (
            PyUnicode_GET_LENGTH(name) == 9
            and PyUnicode_IS_ASCII(name)
            and memcmp(PyUnicode_DATA(name), <const char*> b"alertname", 9) == 0
        ):
            return <str?> <object> PyTuple_GET_ITEM(pair, 1)
    return _NONE


cdef str _stored(str text, stored):
    cdef Py_ssize_t length = PyUnicode_GET_LENGTH(text)
    if length <= _SHORT and PyUnicode_IS_ASCII(text):
        if length == 0 or memchr(PyUnicode_DATA(text), 0, length) == NULL:
            return text
    return stored(text)


include "fields.pxi"
include "packing.pxi"

cdef tuple _COLUMNS = (
    "id", "source", "severity", "labels", "context", "ends_ns", "updated_ns", "starts_ns",
    "created_ns", "count",
)
cdef tuple _REST = (
    "fingerprint", "labels", "annotations", "timed_out", "generator_url", "severity", "context",
    "episode", "seq", "entities",
)
cdef tuple _CONTEXT = (
    "workload_id", "workload_name", "workload_uid", "pod_name", "pod_id", "node_name",
    "cluster_name",
)
cdef dict _fields = {}


cdef Fields _fields_of(kind, tuple names):
    """The fields *names* of *kind*."""
    found = _fields.get((kind, names))
    if found is None:
        if len(_fields) >= 64:
            _fields.clear()
        found = _fields[kind, names] = Fields(kind, names)
    return found


def rows(alerts, documents, raws, enriched, stored_kind, stored, dict kinds):
    cdef list given = list(alerts), found = [], texts_of = [*documents]
    cdef list raws_of = list(raws), enriched_of = list(enriched)
    cdef Py_ssize_t n, many = len(given)
    cdef tuple kind, texts
    cdef Fields of, about = None
    cdef PyObject* alert
    cdef PyObject* context
    if len(texts_of) != many or len(raws_of) != many or len(enriched_of) != many:
        raise ValueError("columns of different lengths")
    if not many:
        return found
    of = _fields_of(type(given[0]), _COLUMNS)
    for n in range(many):
        of.check(given[n])
        alert = <PyObject*> given[n]
        context = of.read(alert, 4)
        if about is None:
            about = _fields_of(type(<object> context), _CONTEXT)
        about.check(<object> context)
        texts = (
            <object> of.read(alert, 1), _name(<tuple?> <object> of.read(alert, 3)),
            <object> of.read(alert, 2), <object> about.read(context, 6),
        )
        kind = stored_kind(*texts)
        kinds[kind[4]] = texts
        ends, updated = <object> of.read(alert, 5), <object> of.read(alert, 6)
        found.append((
            <object> of.read(alert, 0), kind[0], kind[1], kind[2], kind[3],
            _stored(<str?> <object> about.read(context, 0), stored),
            _stored(<str?> <object> about.read(context, 3), stored),
            _stored(<str?> <object> about.read(context, 5), stored),
            kind[4], 1 if ends is None or ends > updated else 0, <object> of.read(alert, 7), ends,
            <object> of.read(alert, 8), updated, <object> of.read(alert, 9),
            texts_of[n], raws_of[n], enriched_of[n],
        ))
    return found


def documents(alerts, document):
    cdef _Out out = _Out()
    cdef list given = list(alerts), found = []
    cdef Fields of, about = None
    cdef PyObject* alert
    cdef PyObject* context
    cdef Py_ssize_t n
    if not given:
        return found
    of = _fields_of(type(given[0]), _REST)
    for each in given:
        of.check(each)
        alert = <PyObject*> each
        context = of.read(alert, 6)
        if about is None:
            about = _fields_of(type(<object> context), _CONTEXT)
        about.check(<object> context)
        out.size = 0
        try:
            out.many(10)
            out.text(<str?> <object> of.read(alert, 0))
            out.pairs(<tuple?> <object> of.read(alert, 1))
            out.pairs(<tuple?> <object> of.read(alert, 2))
            out.flag(<object> of.read(alert, 3))
            out.text(<str?> <object> of.read(alert, 4))
            out.text(<str?> <object> of.read(alert, 5))
            out.many(7)
            for n in range(7):
                out.text(<str?> <object> about.read(context, n))
            out.number(<object> of.read(alert, 7))
            out.number(<object> of.read(alert, 8))
            out.texts(<tuple?> <object> of.read(alert, 9))
        except UnicodeEncodeError:
            found.append(document(each))
            continue
        found.append(PyBytes_FromStringAndSize(out.data, out.size))
    return found
