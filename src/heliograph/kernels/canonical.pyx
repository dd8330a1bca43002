# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
"""`canonical.py` for machines with a compiler: one walk over the document, into one buffer.

What plain is, and what is answered, is told there; a test holds the two together.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Copy, PyDict_GetItemWithError
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from libc.math cimport isfinite
from libc.string cimport memcpy

from json.encoder import encode_basestring_ascii

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1
    bint PyUnicode_IS_ASCII(object text)

COMPILED = True
DEPTH_MAX = 40

# Shapes of mappings met, for their sorted keys; all are forgotten when there are more.
LAYOUTS_MAX = 512

cdef dict _layouts = {}
cdef object _escaped = encode_basestring_ascii
cdef Py_ssize_t FIRST_BYTES = 2048
cdef int _DEPTH_MAX = DEPTH_MAX


cdef struct Buffer:
    char* bytes
    Py_ssize_t used
    Py_ssize_t room


cdef int _grow(Buffer* out, Py_ssize_t more) except -1:
    cdef Py_ssize_t room = out.room * 2
    cdef char* grown
    while room < out.used + more:
        room *= 2
    grown = <char*> PyMem_Realloc(out.bytes, room)
    if grown is NULL:
        raise MemoryError
    out.bytes = grown
    out.room = room
    return 0


cdef inline int _put(Buffer* out, const char* text, Py_ssize_t size) except -1:
    if out.used + size > out.room:
        _grow(out, size)
    memcpy(out.bytes + out.used, text, size)
    out.used += size
    return 0


cdef int _text(Buffer* out, str text) except -1:
    cdef Py_ssize_t size, n
    cdef const char* source
    cdef unsigned char c
    cdef char* target
    if PyUnicode_IS_ASCII(text):
        source = PyUnicode_AsUTF8AndSize(text, &size)
        if out.used + size + 2 > out.room:
            _grow(out, size + 2)
        target = out.bytes + out.used
        target[0] = c'"'
        for n in range(size):
            c = <unsigned char> source[n]
            if c < 0x20 or c > 0x7E or c == c'"' or c == c'\\':
                break
            target[n + 1] = <char> c
        else:
            target[size + 1] = c'"'
            out.used += size + 2
            return 0
    text = _escaped(text)
    source = PyUnicode_AsUTF8AndSize(text, &size)
    return _put(out, source, size)


cdef int _number(Buffer* out, object number) except -1:
    cdef int overflow = 0
    cdef long long value = PyLong_AsLongLongAndOverflow(number, &overflow)
    cdef unsigned long long left
    cdef char digits[24]
    cdef int at = 24
    cdef Py_ssize_t size
    cdef const char* source
    cdef str text
    if overflow:
        text = str(number)
        source = PyUnicode_AsUTF8AndSize(text, &size)
        return _put(out, source, size)
    left = <unsigned long long> value
    if value < 0:
        left = 0 - left
    while True:
        at -= 1
        digits[at] = <char> (c'0' + left % 10)
        left //= 10
        if left == 0:
            break
    if value < 0:
        at -= 1
        digits[at] = c'-'
    return _put(out, digits + at, 24 - at)


cdef int _float(Buffer* out, double value) except -1:
    cdef Py_ssize_t size
    cdef const char* source
    cdef str text
    if not isfinite(value):
        if value != value:
            return _put(out, "NaN", 3)
        if value > 0:
            return _put(out, "Infinity", 8)
        return _put(out, "-Infinity", 9)
    text = repr(value)
    source = PyUnicode_AsUTF8AndSize(text, &size)
    return _put(out, source, size)


cdef object _layout(dict mapping):
    # The (key, text of the key) of *mapping* in order; None where a key is not plain.
    cdef tuple keys = tuple(mapping)
    cdef object key, found
    cdef list layout
    for key in keys:
        if type(key) is not str or not PyUnicode_IS_ASCII(key):
            return None
    found = _layouts.get(keys)
    if found is not None:
        return found
    layout = []
    for key in sorted(keys):
        layout.append((key, (b", " if layout else b"") + _escaped(key).encode() + b": "))
    if len(_layouts) >= LAYOUTS_MAX:
        _layouts.clear()
    _layouts[keys] = layout
    return layout


cdef int _mapping(Buffer* out, dict mapping, int depth) except -1:
    # 1 where it is written, 0 where it is not plain.
    cdef object layout = _layout(mapping)
    cdef tuple place
    cdef bytes label
    cdef PyObject* value
    if layout is None:
        return 0
    _put(out, "{", 1)
    for place in <list> layout:
        label = <bytes> place[1]
        _put(out, PyBytes_AS_STRING(label), PyBytes_GET_SIZE(label))
        value = PyDict_GetItemWithError(mapping, place[0])
        # A finalizer or another thread may have taken it away meanwhile.
        if value is NULL or not _value(out, <object> value, depth):
            return 0
    _put(out, "}", 1)
    return 1


cdef int _sequence(Buffer* out, object items, int depth) except -1:
    cdef object each
    cdef bint first = True
    _put(out, "[", 1)
    for each in items:
        if not first:
            _put(out, ", ", 2)
        first = False
        if not _value(out, each, depth):
            return 0
    _put(out, "]", 1)
    return 1


cdef int _value(Buffer* out, object value, int depth) except -1:
    if type(value) is str:
        _text(out, <str> value)
    elif type(value) is int:
        _number(out, value)
    elif value is None:
        _put(out, "null", 4)
    elif value is True:
        _put(out, "true", 4)
    elif value is False:
        _put(out, "false", 5)
    elif type(value) is float:
        _float(out, <double> value)
    elif depth == 0:
        return 0
    elif type(value) is dict:
        return _mapping(out, <dict> value, depth - 1)
    elif type(value) is list or type(value) is tuple:
        return _sequence(out, value, depth - 1)
    else:
        return 0
    return 1


def canonical(document):
    """The bytes of *document*, or None where it is not plain."""
    cdef Buffer out
    out.used = 0
    out.room = FIRST_BYTES
    out.bytes = <char*> PyMem_Malloc(FIRST_BYTES)
    if out.bytes is NULL:
        raise MemoryError
    try:
        if not _value(&out, document, _DEPTH_MAX):
            return None
        return PyBytes_FromStringAndSize(out.bytes, out.used)
    finally:
        PyMem_Free(out.bytes)


cdef inline bint _is_atom(object value) noexcept:
    return (
        type(value) is int
        or type(value) is str
        or value is None
        or type(value) is float
        or type(value) is bool
    )


def frozen(dict mapping not None, kind):
    """A *kind* of *mapping*, which is plain: mappings inside are of the same kind, lists tuples."""
    return _frozen(mapping, kind)


def frozen_items(tuple items not None, kind):
    """*items*, which are plain, with every container in them as `frozen` makes it."""
    cdef object each
    for each in items:
        if not _is_atom(each):
            return _frozen_value(items, kind)
    return items


def thawed(mapping):
    """A new dict of *mapping*: mappings inside are dicts, lists and tuples lists."""
    return _thawed(mapping)


cdef object _thawed(object value):
    cdef object key, each
    cdef dict plain
    cdef list items
    if isinstance(value, dict):
        plain = PyDict_Copy(<dict> value)
        for key, each in (<dict> value).items():
            if not _is_atom(each):
                plain[key] = _thawed(each)
        return plain
    if isinstance(value, (tuple, list)):
        items = []
        for each in value:
            items.append(each if _is_atom(each) else _thawed(each))
        return items
    return value


cdef object _frozen(dict mapping, object kind):
    cdef object key, value
    cdef dict changed = None
    for key, value in mapping.items():
        if not _is_atom(value):
            if changed is None:
                changed = mapping.copy()
            changed[key] = _frozen_value(value, kind)
    return kind(mapping if changed is None else changed)


cdef object _frozen_value(object value, object kind):
    cdef list items = []
    cdef object each
    if type(value) is dict:
        return _frozen(<dict> value, kind)
    for each in value:
        items.append(each if _is_atom(each) else _frozen_value(each, kind))
    return tuple(items)
