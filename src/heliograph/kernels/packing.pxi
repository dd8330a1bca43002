# MessagePack, as much of it as alerts need: lists, texts, bytes, pairs of texts, whole numbers, flags.
# Included by kernels that name what it uses: `cython`, `PyBytes_*`, `PyMem_*`, `PyTuple_*`,
# `PyUnicode_*`, memcpy.

@cython.final
cdef class _Out:
    """Bytes that grow."""

    cdef char* data
    cdef Py_ssize_t size, room

    def __dealloc__(self):
        PyMem_Free(self.data)

    cdef inline int hold(self, Py_ssize_t more) except -1:
        if self.size + more > self.room:
            self.grow(more)
        return 0

    cdef int grow(self, Py_ssize_t more) except -1:
        cdef Py_ssize_t room = max(2 * self.room, self.size + more, 4096)
        cdef void* grown = PyMem_Realloc(self.data, room)
        if grown == NULL:
            raise MemoryError
        self.data, self.room = <char*> grown, room
        return 0

    cdef inline int many(self, Py_ssize_t size) except -1:
        """The head of a list of *size*."""
        self.hold(5)
        if size < 16:
            self.data[self.size] = <char> (0x90 | size)
            self.size += 1
        elif size < 0x10000:
            self.data[self.size] = <char> 0xDC
            self.data[self.size + 1] = <char> (size >> 8)
            self.data[self.size + 2] = <char> (size & 0xFF)
            self.size += 3
        else:
            raise ValueError("too many")
        return 0

    cdef int text(self, PyObject* text) except -1:
        cdef Py_ssize_t size
        cdef const char* data
        cdef char* out
        if not PyUnicode_CheckExact(<object> text):
            raise TypeError("not a text")
        if PyUnicode_IS_ASCII(<object> text):
            size = PyUnicode_GET_LENGTH(<object> text)
            data = <const char*> PyUnicode_DATA(<object> text)
        else:
            data = PyUnicode_AsUTF8AndSize(<object> text, &size)
        self.hold(size + 5)
        out = self.data + self.size
        if size < 32:
            out[0] = <char> (0xA0 | size)
            out += 1
        elif size < 0x100:
            out[0] = <char> 0xD9
            out[1] = <char> size
            out += 2
        elif size < 0x10000:
            out[0] = <char> 0xDA
            out[1] = <char> (size >> 8)
            out[2] = <char> (size & 0xFF)
            out += 3
        elif size < 0x100000000:
            out[0] = <char> 0xDB
            out[1] = <char> (size >> 24)
            out[2] = <char> ((size >> 16) & 0xFF)
            out[3] = <char> ((size >> 8) & 0xFF)
            out[4] = <char> (size & 0xFF)
            out += 5
        else:
            raise ValueError("too long")
        memcpy(out, data, size)
        self.size = out + size - self.data
        return 0

    cdef int append(self, bytes data) except -1:
        """What is packed already."""
        self.hold(PyBytes_GET_SIZE(data))
        memcpy(self.data + self.size, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        self.size += PyBytes_GET_SIZE(data)
        return 0

    cdef int binary(self, const char* data, Py_ssize_t size) except -1:
        cdef int width = 1 if size < 0x100 else 2 if size < 0x10000 else 4, n
        if size >= 0x100000000:
            raise ValueError("too long")
        self.hold(size + 5)
        cdef char* out = self.data + self.size
        out[0] = <char> (0xC4 if width == 1 else 0xC5 if width == 2 else 0xC6)
        for n in range(width):
            out[width - n] = <char> ((size >> (8 * n)) & 0xFF)
        memcpy(out + 1 + width, data, size)
        self.size += 1 + width + size
        return 0

    cdef int number(self, long long number) except -1:
        cdef int width = 0, n
        self.hold(9)
        cdef char* out = self.data + self.size
        if -32 <= number < 128:
            out[0] = <char> number
        elif number >= 0:
            width = 1 if number < 0x100 else 2 if number < 0x10000 else 4 if number >> 32 == 0 else 8
            out[0] = <char> (0xCC if width == 1 else 0xCD if width == 2 else 0xCE if width == 4 else 0xCF)
        else:
            width = (
                1 if number >= -0x80 else 2 if number >= -0x8000 else 4 if number >= -0x80000000 else 8
            )
            out[0] = <char> (0xD0 if width == 1 else 0xD1 if width == 2 else 0xD2 if width == 4 else 0xD3)
        for n in range(width):
            out[width - n] = <char> ((number >> (8 * n)) & 0xFF)
        self.size += 1 + width
        return 0

    cdef int flag(self, bint flag) except -1:
        self.hold(1)
        self.data[self.size] = <char> (0xC3 if flag else 0xC2)
        self.size += 1
        return 0

    cdef int pairs(self, PyObject* pairs) except -1:
        cdef Py_ssize_t n
        cdef PyObject* pair
        if not PyTuple_CheckExact(<object> pairs):
            raise TypeError("no pairs")
        self.many(PyTuple_GET_SIZE(<object> pairs))
        for n in range(PyTuple_GET_SIZE(<object> pairs)):
            pair = PyTuple_GET_ITEM(<object> pairs, n)
            if not PyTuple_CheckExact(<object> pair) or PyTuple_GET_SIZE(<object> pair) != 2:
                raise ValueError("no pair")
            self.many(2)
            self.text(PyTuple_GET_ITEM(<object> pair, 0))
            self.text(PyTuple_GET_ITEM(<object> pair, 1))
        return 0

    cdef int texts(self, PyObject* texts) except -1:
        cdef Py_ssize_t n
        if not PyTuple_CheckExact(<object> texts):
            raise TypeError("no texts")
        self.many(PyTuple_GET_SIZE(<object> texts))
        for n in range(PyTuple_GET_SIZE(<object> texts)):
            self.text(PyTuple_GET_ITEM(<object> texts, n))
        return 0
