# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=False
"""`alert_rows.py` for machines with a compiler: what is given and answered is told there."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.string cimport memchr, memcmp, memcpy

cdef extern from "Python.h":
    bint PyUnicode_CheckExact(object text)
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
    "episode", "seq", "entities", "raw", "enriched",
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


cdef inline bint _alike(one, other):
    return one is other or one == other


def rows(alerts, documents, raws, enriched, stored_kind, stored, dict kinds):
    cdef list given = list(alerts), values = [], texts_of = [*documents]
    cdef list raws_of = list(raws), enriched_of = list(enriched)
    cdef Py_ssize_t n, many = len(given)
    cdef tuple kind, texts, shared = ()
    cdef dict known = {}
    cdef Fields of, about = None
    cdef PyObject* alert
    cdef PyObject* context
    cdef bint alike
    if len(texts_of) != many or len(raws_of) != many or len(enriched_of) != many:
        raise ValueError("columns of different lengths")
    if not many:
        return values, shared
    of = _fields_of(type(given[0]), _COLUMNS)
    about = _fields_of(type(given[0].context), _CONTEXT)
    for alike in (True, False):
        values = []
        for n in range(many):
            of.check(given[n])
            alert = <PyObject*> given[n]
            context = of.read(alert, 4)
            about.check(<object> context)
            texts = (
                <object> of.read(alert, 1), _name(<tuple?> <object> of.read(alert, 3)),
                <object> of.read(alert, 2), <object> about.read(context, 6),
            )
            found = known.get(texts)
            if found is None:
                found = known[texts] = stored_kind(*texts)
                kinds[found[4]] = texts
            kind = <tuple?> found
            ends, updated = <object> of.read(alert, 5), <object> of.read(alert, 6)
            is_open = 1 if ends is None or ends > updated else 0
            created, count = <object> of.read(alert, 8), <object> of.read(alert, 9)
            if n == 0:
                shared = (kind[0], is_open, created, updated, count, texts_of[0], raws_of[0])
            elif alike and not (
                _alike(kind[0], shared[0]) and _alike(is_open, shared[1])
                and _alike(created, shared[2]) and _alike(updated, shared[3])
                and _alike(count, shared[4]) and _alike(texts_of[n], shared[5])
                and _alike(raws_of[n], shared[6])
            ):
                break
            values.append(<object> of.read(alert, 0))
            values.append(kind[1])
            values.append(kind[2])
            values.append(kind[3])
            values.append(_stored(<str?> <object> about.read(context, 0), stored))
            values.append(_stored(<str?> <object> about.read(context, 3), stored))
            values.append(_stored(<str?> <object> about.read(context, 5), stored))
            values.append(kind[4])
            values.append(<object> of.read(alert, 7))
            values.append(ends)
            values.append(enriched_of[n])
            if not alike:
                values += (kind[0], is_open, created, updated, count, texts_of[n], raws_of[n])
        else:
            break
    return values, shared if alike else ()


cdef int _document(_Out out, alert, Fields of, Fields about, document) except -1:
    """Pack the document of *alert* into *out*, which has nothing else then."""
    cdef PyObject* one = <PyObject*> alert
    cdef PyObject* context
    cdef Py_ssize_t n
    of.check(alert)
    context = of.read(one, 6)
    about.check(<object> context)
    out.size = 0
    try:
        out.many(10)
        out.text(of.read(one, 0))
        out.pairs(of.read(one, 1))
        out.pairs(of.read(one, 2))
        out.flag(<object> of.read(one, 3))
        out.text(of.read(one, 4))
        out.text(of.read(one, 5))
        out.many(7)
        for n in range(7):
            out.text(about.read(context, n))
        out.number(<object> of.read(one, 7))
        out.number(<object> of.read(one, 8))
        out.texts(of.read(one, 9))
    except UnicodeEncodeError:
        out.size = 0
        out.append(document(alert))
    return 0


def documents(alerts, document):
    cdef _Out out = _Out()
    cdef list given = list(alerts), found = []
    cdef Fields of, about
    if not given:
        return found
    of, about = _fields_of(type(given[0]), _REST), _fields_of(type(given[0].context), _CONTEXT)
    for each in given:
        _document(out, each, of, about, document)
        found.append(PyBytes_FromStringAndSize(out.data, out.size))
    return found


def sheets(alerts, document, pack, Py_ssize_t size, Py_ssize_t bytes_max):
    cdef _Out one = _Out(), texts = _Out(), raws = _Out()
    cdef list given = list(alerts), found = []
    cdef Py_ssize_t n, begin, end, many = len(given)
    cdef Fields of, about
    cdef bytes raw, more
    if not given:
        return found
    of, about = _fields_of(type(given[0]), _REST), _fields_of(type(given[0].context), _CONTEXT)
    for begin in range(0, many, size):
        end = min(begin + size, many)
        texts.size = raws.size = 0
        texts.many(end - begin)
        raws.many(2 * (end - begin))
        for n in range(begin, end):
            _document(one, given[n], of, about, document)
            raw = <bytes?> <object> of.read(<PyObject*> given[n], 10)
            more = <bytes?> <object> of.read(<PyObject*> given[n], 11)
            if not raw or not more or one.size + len(raw) + len(more) > bytes_max:
                return None
            texts.binary(one.data, one.size)
            raws.binary(PyBytes_AS_STRING(raw), len(raw))
            raws.binary(PyBytes_AS_STRING(more), len(more))
        found.append((
            end - begin,
            PyBytes_FromStringAndSize(texts.data, texts.size),
            PyBytes_FromStringAndSize(raws.data, raws.size),
        ))
    return found
