# Which fields a training row has; a part of the kernels of rows, which name what it uses: `PyDict_*`,
# `PyTuple_*`, `PyUnicode_CheckExact`, `PyObject`.

cdef bint is_of(dict fields, tuple names):
    """Whether *fields* have *names*, in that order."""
    cdef PyObject *key
    cdef PyObject *value
    cdef Py_ssize_t at = 0, n = 0
    if PyDict_Size(fields) != PyTuple_GET_SIZE(names):
        return False
    while PyDict_Next(fields, &at, &key, &value):
        if key != PyTuple_GET_ITEM(names, n) and (
            not PyUnicode_CheckExact(<object> key)
            or <object> key != <object> PyTuple_GET_ITEM(names, n)
        ):
            return False
        n += 1
    return True
