# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
# cython: embedsignature=False, auto_pickle=False, nonecheck=False, initializedcheck=False
"""Training rows as chunks of their streams, compiled: `row_chunks.py` has what it means."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_GetItemWithError, PyDict_Next, PyDict_Size
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_RawFree, PyMem_RawRealloc
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_Check, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport qsort
from libc.string cimport memcmp, memcpy

from typing import NamedTuple

COMPILED = True
NO_ITERATION = INT64_MIN

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL
    long long PyLong_AsLongLongAndOverflow(object, int *) except? -1
    unsigned long long PyLong_AsUnsignedLongLong(object) except? 0xFFFFFFFFFFFFFFFF


class Stream(NamedTuple):
    name: tuple
    ordered: bool | None
    chunks: list


cdef struct Row:
    int64_t at_ns
    int64_t iteration
    Py_ssize_t offset
    Py_ssize_t size
    Py_ssize_t number
    Py_ssize_t next
    uint32_t kind
    int32_t marker
    int32_t framework


# Of a stream: its first and last row, how many, and what its latest rows were like.
cdef struct Told:
    Py_ssize_t first
    Py_ssize_t last
    Py_ssize_t many
    uint32_t kind
    int32_t framework


cdef struct Text:
    const char *start
    Py_ssize_t size


# What became of a stream: *ordered* -1 where rows of one place are not alike.
cdef struct Settled:
    Py_ssize_t past
    int ordered


cdef struct Made:
    Py_ssize_t heads
    Py_ssize_t fields
    Py_ssize_t end
    Py_ssize_t rows
    Py_ssize_t values
    int64_t end_ns
    int64_t end_iteration
    int64_t start_ns
    int64_t value_ns


cdef int by_place(const void *a, const void *b) noexcept nogil:
    cdef const Row *left = <const Row *> a
    cdef const Row *right = <const Row *> b
    if left.at_ns != right.at_ns:
        return -1 if left.at_ns < right.at_ns else 1
    if left.iteration != right.iteration:
        return -1 if left.iteration < right.iteration else 1
    return -1 if left.number < right.number else left.number > right.number


cdef class _Items:
    """An array that grows."""

    cdef char *held
    cdef Py_ssize_t size, room

    def __dealloc__(self):
        PyMem_RawFree(self.held)

    cdef int hold(self, Py_ssize_t more) noexcept nogil:
        """Have room for *more* bytes; -1 where there is none."""
        cdef Py_ssize_t room = self.room
        cdef char *grown
        if self.size + more <= room:
            return 0
        room = 2 * room
        if room < self.size + more:
            room = self.size + more
        if room < 4096:
            room = 4096
        grown = <char *> PyMem_RawRealloc(self.held, room)
        if grown == NULL:
            return -1
        self.held, self.room = grown, room
        return 0

    cdef inline int raw(self, const char *start, Py_ssize_t size) noexcept nogil:
        if self.hold(size) < 0:
            return -1
        memcpy(self.held + self.size, start, size)
        self.size += size
        return 0

    cdef inline int big(self, uint8_t kind, uint64_t value, int width) noexcept nogil:
        """Append *kind* and the *width* low bytes of *value*, the highest first."""
        cdef int n
        cdef uint8_t *out
        if self.hold(1 + width) < 0:
            return -1
        out = <uint8_t *> (self.held + self.size)
        out[0] = kind
        for n in range(width):
            out[1 + n] = <uint8_t> (value >> (8 * (width - 1 - n)))
        self.size += 1 + width
        return 0

    cdef inline int double(self, double value) noexcept nogil:
        cdef uint64_t bits
        cdef uint8_t *out
        if self.hold(9) < 0:
            return -1
        memcpy(&bits, &value, 8)
        bits = (
            bits >> 56
            | bits >> 40 & 0xFF00
            | bits >> 24 & 0xFF0000
            | bits >> 8 & 0xFF000000U
            | (bits & 0xFF000000U) << 8
            | (bits & 0xFF0000) << 24
            | (bits & 0xFF00) << 40
            | bits << 56
        )
        out = <uint8_t *> (self.held + self.size)
        out[0] = 0xCB
        memcpy(out + 1, &bits, 8)
        self.size += 9
        return 0

    cdef inline int unsigned(self, uint64_t value) noexcept nogil:
        if value < 0x80:
            return self.big(<uint8_t> value, 0, 0)
        if value < 0x100:
            return self.big(0xCC, value, 1)
        if value < 0x10000:
            return self.big(0xCD, value, 2)
        if not value >> 32:
            return self.big(0xCE, value, 4)
        return self.big(0xCF, value, 8)

    cdef inline int signed(self, int64_t value) noexcept nogil:
        if value >= 0:
            return self.unsigned(<uint64_t> value)
        if value >= -32:
            return self.big(<uint8_t> value, 0, 0)
        if value >= -128:
            return self.big(0xD0, <uint64_t> value, 1)
        if value >= -32768:
            return self.big(0xD1, <uint64_t> value, 2)
        if value >= -2147483648:
            return self.big(0xD2, <uint64_t> value, 4)
        return self.big(0xD3, <uint64_t> value, 8)

    cdef inline int array(self, Py_ssize_t many) noexcept nogil:
        if many < 16:
            return self.big(<uint8_t> (0x90 | many), 0, 0)
        if many < 0x10000:
            return self.big(0xDC, <uint64_t> many, 2)
        return self.big(0xDD, <uint64_t> many, 4)

    cdef int text(self, const char *start, Py_ssize_t size) noexcept nogil:
        cdef int failed
        if size < 32:
            failed = self.big(<uint8_t> (0xA0 | size), 0, 0)
        elif size < 0x100:
            failed = self.big(0xD9, <uint64_t> size, 1)
        elif size < 0x10000:
            failed = self.big(0xDA, <uint64_t> size, 2)
        else:
            failed = self.big(0xDB, <uint64_t> size, 4)
        return -1 if failed else self.raw(start, size)


include "row_names.pxi"


cdef int number_of(object one, int64_t *out) except -1:
    """Whether *one* is an int that fits, and is not what stands for none; it is in *out* then."""
    cdef int over = 0
    if not PyLong_CheckExact(one):
        return 0
    out[0] = PyLong_AsLongLongAndOverflow(one, &over)
    return not over and out[0] != INT64_MIN


cdef class RowChunks:
    """See the twin."""

    cdef object encode
    cdef int64_t span_ns_max
    cdef Py_ssize_t rows_max, in_order_min
    cdef Py_ssize_t many
    # Rows, what they hold, streams; and texts, MessagePack each, by their numbers.
    cdef _Items rows, values, streamed, made, out
    cdef dict by_name, kinds, texts
    cdef list names, kind_names, kind_texts, said

    def __init__(self, encode, *, Py_ssize_t rows_max, int64_t span_ns_max, Py_ssize_t in_order_min):
        if not 0 < rows_max < 128 or span_ns_max < 0 or in_order_min < 1:
            raise ValueError("chunks of 1 to 127 rows")
        self.encode = encode
        self.rows_max, self.span_ns_max = rows_max, span_ns_max
        self.in_order_min = in_order_min
        self.clear()

    def __len__(self):
        return self.many

    cdef int clear(self) except -1:
        self.many = 0
        self.rows, self.values, self.streamed = _Items(), _Items(), _Items()
        self.made, self.out = _Items(), _Items()
        self.by_name, self.kinds, self.texts = {}, {}, {}
        self.names, self.kind_names, self.kind_texts, self.said = [], [], [], []
        return 0

    def take(self, rows):
        """See the twin."""
        cdef list odd = []
        for row in rows:
            if not PyTuple_Check(row) or PyTuple_GET_SIZE(row) != 8:
                raise TypeError("rows of eight parts")
            if not self.took(<tuple> row):
                odd.append(row)
                self.forget_empty()
        return odd

    cdef int took(self, tuple row) except -1:
        """Whether *row* could be taken."""
        cdef Row it
        cdef Told *told
        cdef Py_ssize_t stream, before = self.values.size
        cdef object fields = <object> PyTuple_GET_ITEM(row, 7)
        cdef object iteration = <object> PyTuple_GET_ITEM(row, 4)
        it.iteration = INT64_MIN
        if (
            not number_of(<object> PyTuple_GET_ITEM(row, 3), &it.at_ns)
            or iteration is not None and not number_of(iteration, &it.iteration)
            or not PyDict_CheckExact(fields)
        ):
            return 0
        stream = self.stream_of(row)
        # Of the stream's first row there is none to be like; a number too many is none of any.
        told = <Told *> self.streamed.held + stream
        it.kind = told.kind
        if it.kind >= <uint32_t> len(self.kind_names) or not is_of(
            <dict> fields, <tuple> self.kind_names[it.kind]
        ):
            if not self.kind_of(<dict> fields, &it.kind):
                return 0
        if not self.text_of(<object> PyTuple_GET_ITEM(row, 5), &it.marker, True):
            return 0
        it.framework = told.framework
        if (
            it.framework < 0
            or (<tuple> self.said[it.framework])[0] is not <object> PyTuple_GET_ITEM(row, 6)
        ) and not self.text_of(<object> PyTuple_GET_ITEM(row, 6), &it.framework, False):
            return 0
        if not self.took_values(<dict> fields):
            self.values.size = before
            return 0
        # What encodes a value may be anything: look again.
        told = <Told *> self.streamed.held + stream
        it.offset, it.size = before, self.values.size - before
        it.number = self.rows.size // <Py_ssize_t> sizeof(Row)
        it.next = -1
        if self.rows.raw(<const char *> &it, sizeof(Row)) < 0:
            raise MemoryError
        if told.many:
            (<Row *> self.rows.held)[told.last].next = it.number
        else:
            told.first = it.number
        told.last = it.number
        told.many += 1
        told.kind, told.framework = it.kind, it.framework
        self.many += 1
        return 1

    cdef Py_ssize_t stream_of(self, tuple row) except -1:
        cdef tuple name = row[:3]
        cdef PyObject *found = PyDict_GetItemWithError(self.by_name, name)
        cdef Told told
        if found != NULL:
            return <object> found
        told.first = told.last = -1
        told.many = 0
        told.kind, told.framework = 0xFFFFFFFF, -1
        if self.streamed.raw(<const char *> &told, sizeof(Told)) < 0:
            raise MemoryError
        self.by_name[name] = len(self.names)
        self.names.append(name)
        return len(self.names) - 1

    cdef int kind_of(self, dict fields, uint32_t *out) except -1:
        """The number of the names of *fields*, in *out*; 0 where they cannot be told as text."""
        cdef tuple names = tuple(fields)
        cdef Py_ssize_t size
        cdef const char *start
        cdef _Items text
        for name in names:
            if not PyUnicode_CheckExact(name):
                return 0
        cdef PyObject *found = PyDict_GetItemWithError(self.kinds, names)
        if found != NULL:
            out[0] = <object> found
            return 1
        text = _Items()
        if text.array(len(names)) < 0:
            raise MemoryError
        for name in names:
            try:
                start = PyUnicode_AsUTF8AndSize(name, &size)
            except UnicodeEncodeError:
                return 0
            if text.text(start, size) < 0:
                raise MemoryError
        out[0] = <uint32_t> len(self.kind_names)
        self.kinds[names] = len(self.kind_names)
        self.kind_names.append(names)
        self.kind_texts.append(PyBytes_FromStringAndSize(text.held, text.size))
        return 1

    cdef int text_of(self, object text, int32_t *out, bint may_be_none) except -1:
        """The number of *text*, in *out*, -1 for none; 0 where it is no text that can be told."""
        cdef Py_ssize_t size
        cdef const char *start
        cdef PyObject *found
        cdef _Items told
        if text is None and may_be_none:
            out[0] = -1
            return 1
        if not PyUnicode_CheckExact(text):
            return 0
        found = PyDict_GetItemWithError(self.texts, text)
        if found != NULL:
            out[0] = <object> found
            return 1
        try:
            start = PyUnicode_AsUTF8AndSize(text, &size)
        except UnicodeEncodeError:
            return 0
        told = _Items()
        if told.text(start, size) < 0:
            raise MemoryError
        out[0] = <int32_t> len(self.said)
        self.texts[text] = len(self.said)
        self.said.append((text, PyBytes_FromStringAndSize(told.held, told.size)))
        return 1

    cdef int took_values(self, dict fields) except -1:
        """Whether all values of *fields* could be written."""
        cdef PyObject *key
        cdef PyObject *found
        cdef Py_ssize_t at = 0
        cdef int failed
        while PyDict_Next(fields, &at, &key, &found):
            failed = self.took_value(<object> found)
            if failed > 0:
                return 0
            if failed < 0:
                raise MemoryError
        return 1

    cdef inline int took_value(self, object value) except -2:
        """0 once *value* is written; 1 where it cannot be told, -1 where there is no room."""
        cdef int over = 0
        cdef int64_t whole
        cdef Py_ssize_t size
        cdef const char *start
        if PyFloat_CheckExact(value):
            return self.values.double(PyFloat_AS_DOUBLE(value))
        if PyLong_CheckExact(value):
            whole = PyLong_AsLongLongAndOverflow(value, &over)
            if not over:
                return self.values.signed(whole)
            if over < 0:
                return 1
            try:
                return self.values.unsigned(PyLong_AsUnsignedLongLong(value))
            except OverflowError:
                return 1
        if value is None:
            return self.values.big(0xC0, 0, 0)
        if value is True:
            return self.values.big(0xC3, 0, 0)
        if value is False:
            return self.values.big(0xC2, 0, 0)
        if PyUnicode_CheckExact(value):
            try:
                start = PyUnicode_AsUTF8AndSize(value, &size)
            except UnicodeEncodeError:
                return 1
            return self.values.text(start, size)
        said = self.encode(value)
        if said is None:
            return 1
        return self.values.raw(PyBytes_AS_STRING(<bytes?> said), PyBytes_GET_SIZE(said))

    cdef int forget_empty(self) except -1:
        """Forget a stream whose only row could not be taken."""
        cdef Py_ssize_t last = self.streamed.size - <Py_ssize_t> sizeof(Told)
        if last >= 0 and not (<Told *> (self.streamed.held + last)).many:
            self.streamed.size = last
            del self.by_name[self.names.pop()]
        return 0

    def streams(self):
        """See the twin."""
        cdef _Items kinds = _Items(), said = _Items(), placed = _Items(), settled = _Items()
        cdef Py_ssize_t n, past, at = 0, many = len(self.names)
        cdef Settled *one
        cdef int failed
        cdef list found = [], chunks
        for text in self.kind_texts:
            self.point(kinds, text)
        for _, text in self.said:
            self.point(said, text)
        with nogil:
            failed = self.settle(
                many, placed, settled, <const Text *> kinds.held, <const Text *> said.held
            )
        if failed:
            raise MemoryError
        for n in range(many):
            one = <Settled *> settled.held + n
            chunks = []
            while at < one.past:
                chunks.append(self.chunk(at))
                at += 1
            ordered = None if one.ordered < 0 else one.ordered > 0
            found.append(Stream(self.names[n], ordered, chunks))
        self.clear()
        return found

    cdef int point(self, _Items texts, bytes text) except -1:
        cdef Text it
        it.start, it.size = PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
        if texts.raw(<const char *> &it, sizeof(Text)) < 0:
            raise MemoryError
        return 0

    cdef object chunk(self, Py_ssize_t at):
        cdef Made *made = <Made *> self.made.held + at
        return (
            made.end_ns,
            made.end_iteration,
            made.start_ns,
            made.value_ns if made.values else None,
            PyBytes_FromStringAndSize(self.out.held + made.heads, made.fields - made.heads),
            PyBytes_FromStringAndSize(self.out.held + made.fields, made.end - made.fields),
            made.rows,
            made.values,
        )

    cdef int settle(
        self, Py_ssize_t many, _Items placed, _Items settled, const Text *kinds, const Text *said
    ) noexcept nogil:
        """Put the rows of each stream in order, and cut and write them; -1 where there is no room."""
        cdef Py_ssize_t n, at, size
        cdef Told *told
        cdef Row *rows
        cdef Settled one
        for n in range(many):
            told = <Told *> self.streamed.held + n
            placed.size = 0
            if placed.hold(told.many * <Py_ssize_t> sizeof(Row)) < 0:
                return -1
            rows = <Row *> placed.held
            at, size = told.first, 0
            while at >= 0:
                rows[size] = (<Row *> self.rows.held)[at]
                at = rows[size].next
                size += 1
            one.ordered = self.arrange(rows, &size)
            if one.ordered < 0:
                # As they came.
                at, size = told.first, 0
                while at >= 0:
                    rows[size] = (<Row *> self.rows.held)[at]
                    at = rows[size].next
                    size += 1
            if self.cut(rows, size, one.ordered, kinds, said) < 0:
                return -1
            one.past = self.made.size // <Py_ssize_t> sizeof(Made)
            if settled.raw(<const char *> &one, sizeof(Settled)) < 0:
                return -1
        return 0

    cdef int arrange(self, Row *rows, Py_ssize_t *size) noexcept nogil:
        """Put *rows* in order, each once; whether they came so, -1 where two differ at one place."""
        cdef Py_ssize_t n, kept = 0, falls = 0, many = size[0]
        cdef Row *last
        cdef bint sorted_ = True
        for n in range(1, many):
            if by_place(&rows[n - 1], &rows[n]) > 0 or is_at(&rows[n - 1], &rows[n]):
                sorted_ = False
                break
        if not sorted_:
            qsort(rows, many, sizeof(Row), by_place)
            for n in range(many):
                if kept and is_at(&rows[kept - 1], &rows[n]):
                    last = &rows[kept - 1]
                    if (
                        last.kind != rows[n].kind
                        or last.marker != rows[n].marker
                        or last.framework != rows[n].framework
                        or last.size != rows[n].size
                        or memcmp(
                            self.values.held + last.offset,
                            self.values.held + rows[n].offset,
                            last.size,
                        )
                    ):
                        return -1
                    continue
                rows[kept] = rows[n]
                kept += 1
            size[0] = many = kept
            falls = self.falls(rows, many)
        if many < self.in_order_min:
            return 0
        kept = many // self.in_order_min - 1
        return falls <= kept

    cdef Py_ssize_t falls(self, const Row *rows, Py_ssize_t many) noexcept nogil:
        """How many of *rows*, which are in their order, came before the one that came just before
        them."""
        cdef Py_ssize_t n, found = 0, before = -1, at
        cdef Row *all_ = <Row *> self.rows.held
        # By number of arrival: where each row stands now is noted where all rows are.
        for n in range(many):
            all_[rows[n].number].size = -1 - n
        at = -1
        for n in range(many):
            if at < 0 or rows[n].number < at:
                at = rows[n].number
        while at >= 0:
            if all_[at].size < 0:
                n = -1 - all_[at].size
                all_[at].size = rows[n].size
                if n < before:
                    found += 1
                before = n
            at = all_[at].next
        return found

    cdef int cut(
        self, const Row *rows, Py_ssize_t many, int ordered, const Text *kinds, const Text *said
    ) noexcept nogil:
        """Write *rows*, many together or each alone."""
        cdef Py_ssize_t first = 0, past, most = self.rows_max if ordered else 1
        while first < many:
            past = first + most
            if past > many:
                past = many
            # The difference of any two times fits an unsigned number.
            while (
                ordered > 0
                and <uint64_t> rows[past - 1].at_ns - <uint64_t> rows[first].at_ns
                > <uint64_t> self.span_ns_max
            ):
                past -= 1
            if self.write(rows + first, past - first, kinds, said) < 0:
                return -1
            first = past
        return 0

    cdef int write(
        self, const Row *rows, Py_ssize_t many, const Text *kinds, const Text *said
    ) noexcept nogil:
        """Write *rows* as one chunk."""
        cdef Made made
        cdef Py_ssize_t n, one
        cdef Py_ssize_t width
        cdef uint32_t[128] which
        cdef uint32_t names = 0
        cdef int failed = 0
        made.heads, made.rows, made.values = self.out.size, many, 0
        made.end_ns, made.end_iteration = rows[many - 1].at_ns, rows[many - 1].iteration
        made.start_ns, made.value_ns = rows[0].at_ns, 0
        failed |= self.out.array(4)
        failed |= self.out.array(many)
        for n in range(many):
            failed |= self.out.signed(rows[n].at_ns)
        failed |= self.out.array(many)
        for n in range(many):
            if rows[n].iteration == INT64_MIN:
                failed |= self.out.big(0xC0, 0, 0)
            else:
                failed |= self.out.signed(rows[n].iteration)
        failed |= self.write_texts(rows, many, True, said)
        failed |= self.write_texts(rows, many, False, said)
        made.fields = self.out.size
        for n in range(many):
            if rows[n].marker < 0:
                made.values += 1
                made.value_ns = rows[n].at_ns
            one = 0
            while one < names and which[one] != rows[n].kind:
                one += 1
            if one == names:
                which[names] = rows[n].kind
                names += 1
        failed |= self.out.array(2)
        failed |= self.out.array(names)
        for n in range(names):
            failed |= self.out.raw(kinds[which[n]].start, kinds[which[n]].size)
        failed |= self.out.array(many)
        for n in range(many):
            one = 0
            while which[one] != rows[n].kind:
                one += 1
            width = self.width(kinds[rows[n].kind])
            failed |= self.out.array(width + 1)
            failed |= self.out.big(<uint8_t> one, 0, 0)
            failed |= self.out.raw(self.values.held + rows[n].offset, rows[n].size)
        made.end = self.out.size
        failed |= self.made.raw(<const char *> &made, sizeof(Made))
        return -1 if failed else 0

    cdef Py_ssize_t width(self, Text names) noexcept nogil:
        """How many *names* there are, as they are written."""
        cdef const uint8_t *start = <const uint8_t *> names.start
        if start[0] == 0xDC:
            return start[1] << 8 | start[2]
        if start[0] == 0xDD:
            return <Py_ssize_t> start[1] << 24 | start[2] << 16 | start[3] << 8 | start[4]
        return start[0] & 0x0F

    cdef int write_texts(
        self, const Row *rows, Py_ssize_t many, bint markers, const Text *said
    ) noexcept nogil:
        """Write the markers of *rows*, or their frameworks: once where all are the same."""
        cdef Py_ssize_t n, held = 1
        cdef int32_t first = rows[0].marker if markers else rows[0].framework, one
        cdef int failed = 0
        for n in range(1, many):
            if (rows[n].marker if markers else rows[n].framework) != first:
                held = many
                failed |= self.out.array(many)
                break
        for n in range(held):
            one = rows[n].marker if markers else rows[n].framework
            if one < 0:
                failed |= self.out.big(0xC0, 0, 0)
            else:
                failed |= self.out.raw(said[one].start, said[one].size)
        return failed


cdef inline bint is_at(const Row *one, const Row *other) noexcept nogil:
    return one.at_ns == other.at_ns and one.iteration == other.iteration
