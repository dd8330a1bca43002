# cython: language_level=3, binding=False, boundscheck=False, wraparound=False
"""`label_sets.py` for machines with a compiler: what is given and answered is told there."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.string cimport memcpy

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    void* PyUnicode_DATA(object text)
    int PyUnicode_Compare(object one, object other) except? -1
    int PyDict_Next(object mapping, Py_ssize_t* at, PyObject** key, PyObject** value)

COMPILED = True


def canonical(dict pairs):
    """The pairs of *pairs* that have a value, in order of name, and the same packed."""
    cdef Py_ssize_t at = 0, size = 0
    cdef PyObject* key
    cdef PyObject* value
    cdef list found = []
    cdef bint in_order = True, plain = True
    cdef str name, text, before = None
    while PyDict_Next(pairs, &at, &key, &value):
        if <object> value is None:
            continue
        # A cast that looks: what is no text has no length there.
        name = <str?> <object> key
        text = <str?> <object> value
        if name is None:
            raise TypeError("a name is text")
        if PyUnicode_GET_LENGTH(text) == 0:
            continue
        if plain:
            plain = (
                PyUnicode_IS_ASCII(name) and PyUnicode_IS_ASCII(text)
                and PyUnicode_GET_LENGTH(name) < 128 and PyUnicode_GET_LENGTH(text) < 128
            )
            size += PyUnicode_GET_LENGTH(name) + PyUnicode_GET_LENGTH(text) + 2
        if before is not None and PyUnicode_Compare(before, name) > 0:
            in_order = False
        before = name
        found.append((name, text))
    if not in_order:
        found.sort()
    cdef tuple ordered = tuple(found)
    if not plain:
        return ordered, None
    cdef bytes packed = PyBytes_FromStringAndSize(NULL, size)
    cdef char* out = PyBytes_AS_STRING(packed)
    cdef tuple pair
    for pair in ordered:
        out = _put(out, <str> pair[0])
        out = _put(out, <str> pair[1])
    return ordered, packed


def foreign(tuple pairs not None):
    cdef unsigned long long found = 0xCBF29CE484222325ULL
    for pair in pairs:
        if pair is None:
            raise TypeError("no pair")
        for text in <tuple?> pair:
            found = _summed(found, <str?> text)
    return f"{found:016x}"


cdef unsigned long long _summed(unsigned long long found, str text) except? 0:
    cdef bytes encoded = None
    cdef const unsigned char* at
    cdef Py_ssize_t n, size
    if text is None:
        raise TypeError("no text")
    if PyUnicode_IS_ASCII(text):
        at, size = <const unsigned char*> PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text)
    else:
        # Not the text's own UTF-8, which it would keep.
        encoded = text.encode("utf-8", "replace")
        at, size = <const unsigned char*> PyBytes_AS_STRING(encoded), len(encoded)
    for n in range(size):
        found = (found ^ at[n]) * 0x100000001B3ULL
    return (found ^ 255) * 0x100000001B3ULL


cdef inline char* _put(char* out, str text):
    cdef Py_ssize_t length = PyUnicode_GET_LENGTH(text)
    out[0] = <char> length
    memcpy(out + 1, PyUnicode_DATA(text), length)
    return out + 1 + length
