# The C types of remote_write.py. What is not named here stays a Python object.
cimport cython

cdef unsigned int _PENDING
cdef Py_ssize_t _NO_VALUE, _TIMES_MAX
cdef long long _TIME_MS_MAX

cdef class Scanner:
    cdef bytes raw
    cdef const unsigned char *data
    cdef dict known
    cdef Py_ssize_t at, room
    cdef readonly Py_ssize_t parts_max, rows, count, hits, exemplars, metadata, far, unread
    cdef public unsigned int[::1] series
    cdef public long long[::1] at_ms, value_at
    cdef readonly object unknown
    cdef readonly list far_in, unread_in

    @cython.locals(
        raw=bytes, data="const unsigned char *", known=dict, times=dict,
        series="unsigned int[::1]", at_ms="long long[::1]", value_at="long long[::1]",
        size=Py_ssize_t, at=Py_ssize_t, row=Py_ssize_t, hits=Py_ssize_t, index=Py_ssize_t,
        room=Py_ssize_t, length=Py_ssize_t, start=Py_ssize_t, stop=Py_ssize_t, head=Py_ssize_t,
    )
    cpdef run(self)

    @cython.locals(tag="unsigned long long", end=Py_ssize_t, begin=Py_ssize_t)
    cpdef list labels(self, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t count_max)

    @cython.locals(stop=Py_ssize_t)
    cdef bytes _text(self, Py_ssize_t begin, Py_ssize_t end)

    @cython.locals(tag="unsigned long long", number="unsigned long long")
    cdef void _field(self, Py_ssize_t end) except *

    @cython.locals(
        data="const unsigned char *", start=Py_ssize_t, labels_end=Py_ssize_t, first=Py_ssize_t,
        tag="unsigned long long", number="unsigned long long", stop=Py_ssize_t, row=Py_ssize_t, rows=Py_ssize_t,
        series="unsigned int[::1]",
    )
    cdef void _series(self, Py_ssize_t end) except *

    cdef void _check_labels(self, Py_ssize_t start, Py_ssize_t stop) except *

    @cython.locals(tag="unsigned long long")
    cdef void _check_label(self, Py_ssize_t end) except *

    @cython.locals(
        value_at=Py_ssize_t, ms="long long", row=Py_ssize_t,
        tag="unsigned long long", number="unsigned long long",
    )
    cdef void _sample(self, Py_ssize_t end) except *

    cdef void _note(self, list indices) except *

    @cython.locals(more=Py_ssize_t)
    cdef void _grow(self) except *

    @cython.locals(begin=Py_ssize_t, tag="unsigned long long")
    cdef unsigned long long _tag(self, Py_ssize_t end) except 0

    cdef void _delimited(self, unsigned long long tag) except *

    @cython.locals(begin=Py_ssize_t, length=Py_ssize_t)
    cdef Py_ssize_t _end(self, Py_ssize_t end) except -1

    @cython.locals(begin=Py_ssize_t, kind=int)
    cdef void _skip(self, unsigned long long tag, Py_ssize_t end) except *

    @cython.locals(
        data="const unsigned char *", begin=Py_ssize_t, at=Py_ssize_t,
        result="unsigned long long", shift=int, byte="unsigned long long",
    )
    cdef unsigned long long _varint(self, Py_ssize_t end, int bytes_max) except? 0

cdef bint _is_time(const unsigned char *data, Py_ssize_t at) noexcept

@cython.locals(result="unsigned long long", byte="unsigned long long", i=int)
cdef long long _time(const unsigned char *data, Py_ssize_t at) noexcept

@cython.locals(low="long long")
cdef long long _signed(unsigned long long varint) noexcept
