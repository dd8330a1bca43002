# cython: language_level=3, binding=False, boundscheck=False, wraparound=False
# cython: embedsignature=False, auto_pickle=False, nonecheck=False, initializedcheck=False
"""Alerts about nobody that is known, compiled: `alert_strangers.py` has what it means."""

from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE

from libc.stdint cimport uint32_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    void *PyUnicode_DATA(object text)
    object PyUnicode_New(Py_ssize_t size, uint32_t greatest)

include "fields.pxi"

COMPILED = True

AWAY, NODES, INSTANCE, UUIDS, INDICES, LINK, ASIC = -1, 0, 6, 7, 10, 12, 13
PODS, NAMESPACES, CLUSTERS, WIDTH = 14, 16, 18, 20

cdef enum:
    _NODES = 0
    _INSTANCE = 6
    _UUIDS = 7
    _INDICES = 10
    _LINK = 12
    _ASIC = 13
    _PODS = 14
    _NAMESPACES = 16
    _CLUSTERS = 18
    _WIDTH = 20
    # Names of an alert whose places are remembered.
    _NAMES = 24


cdef Fields _post = None


cdef inline object first(PyObject **said, int begin, int end):
    """The text of the least place in [begin, end) that has one, or ""."""
    cdef int place
    for place in range(begin, end):
        if said[place] != NULL:
            return <object> said[place]
    return ""


cdef str joined(str kind, str one, str mark, str other):
    """The four as one."""
    if not (PyUnicode_IS_ASCII(one) and PyUnicode_IS_ASCII(other)):
        return kind + one + mark + other
    cdef Py_ssize_t first_size = PyUnicode_GET_LENGTH(kind), one_size = PyUnicode_GET_LENGTH(one)
    cdef Py_ssize_t other_size = PyUnicode_GET_LENGTH(other)
    cdef object made = PyUnicode_New(first_size + one_size + 1 + other_size, 127)
    cdef char *out = <char *> PyUnicode_DATA(made)
    memcpy(out, PyUnicode_DATA(kind), first_size)
    out += first_size
    memcpy(out, PyUnicode_DATA(one), one_size)
    out += one_size
    memcpy(out, PyUnicode_DATA(mark), 1)
    memcpy(out + 1, PyUnicode_DATA(other), other_size)
    return <str> made


cdef class _Places:
    """The places of names by *places*. Alerts have the same names in the same order mostly, and then
    nobody looks for them; those who made this keep the alerts alive."""

    cdef dict places
    cdef PyObject *names[_NAMES]
    cdef int found[_NAMES]

    def __cinit__(self, dict places):
        cdef int n
        self.places = places
        for n in range(_NAMES):
            self.names[n] = NULL

    cdef int of(self, Py_ssize_t n, PyObject *name) except -2:
        """The place of *name*, number *n* of an alert; _WIDTH where it has none."""
        cdef PyObject *place
        cdef int found = _WIDTH
        if n < _NAMES and self.names[n] == name:
            return self.found[n]
        place = PyDict_GetItem(self.places, <object> name)
        if place != NULL:
            found = <int> <object> place
        if n < _NAMES:
            self.names[n], self.found[n] = name, found
        return found


cdef object stranger(
    tuple labels, _Places places, pods_named, is_node, nobody, context, enriched, tuple documents
):
    cdef PyObject *said[_WIDTH]
    cdef PyObject *pair
    cdef Py_ssize_t n
    cdef int at
    for at in range(_WIDTH):
        said[at] = NULL
    for n in range(PyTuple_GET_SIZE(labels)):
        pair = PyTuple_GET_ITEM(labels, n)
        at = places.of(n, PyTuple_GET_ITEM(<object> pair, 0))
        if at == _WIDTH:
            continue
        if not 0 <= at < _WIDTH:
            return None
        said[at] = PyTuple_GET_ITEM(<object> pair, 1)
    cdef str node = first(said, _NODES, _INSTANCE), uuid = first(said, _UUIDS, _INDICES)
    cdef str index = first(said, _INDICES, _ASIC), pod = first(said, _PODS, _NAMESPACES)
    cdef str namespace = first(said, _NAMESPACES, _CLUSTERS)
    cdef str cluster = first(said, _CLUSTERS, _WIDTH)
    if is_node is not None:
        if uuid:
            return None
        for at in range(_INSTANCE + 1):
            if said[at] != NULL and is_node(<object> said[at], at == _INSTANCE):
                return None
    if pod and pods_named is not None and pods_named(pod, namespace or None):
        return None
    cdef str of_pod = joined("pod:", namespace, "/", pod) if pod else None
    cdef str of_device = None
    if uuid:
        of_device = "device:" + uuid
    elif node and index:
        of_device = joined("device:", node, "/", index)
    cdef str of_node = "node:" + node if node else None
    cdef tuple entities
    if of_pod is not None and of_node is not None and of_device is not None:
        entities = (of_pod, of_node, of_device)
    else:
        entities = tuple([one for one in (of_pod, of_node, of_device) if one is not None])
    document = documents[1] if pod else documents[2]
    if uuid or index or said[_ASIC] != NULL:
        document = documents[0]
    if pod or node or cluster:
        nobody = context("", "", "", pod, "", node, cluster)
    return enriched(nobody, entities, document)


def strangers(
    posts, dict places not None, pods_named, is_node, nobody, context, enriched, tuple documents
):
    """See the twin."""
    global _post
    cdef _Places known = _Places(places)
    cdef list given = list(posts), found = []
    cdef PyObject *labels
    for post in given:
        if _post is None:
            _post = Fields(type(post), ("hints", "labels"))
        _post.check(post)
        if _post.read(<PyObject *> post, 0) != <PyObject *> nobody:
            found.append(None)
            continue
        labels = _post.read(<PyObject *> post, 1)
        found.append(
            stranger(
                <tuple> <object> labels,
                known, pods_named, is_node, nobody, context, enriched, documents,
            )
        )
    return found
