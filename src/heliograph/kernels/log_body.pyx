# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
# cython: embedsignature=False, auto_pickle=False, nonecheck=False, initializedcheck=False
"""One pass over a body of container logs, compiled: `log_body.py` has what it means.

Stricter than any decoder behind it: whatever is in the least out of the ordinary (a key twice, an
escape in a key, a lone surrogate, a null, a piece of a line) ends the walk, and the body is read the
general way. So a body that is taken needs no second opinion.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from libc.math cimport rint
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from typing import NamedTuple

COMPILED = True
PODS_MAX = 8192
POD_BYTES_MAX = 4096

Pod = tuple


class Columns(NamedTuple):
    """See the twin."""

    sources: list
    source_of: bytes
    at_ns: bytes
    at_known: bytes
    ends: bytes
    blob: bytes
    received: int
    late: dict
    time_missing: int
    future: int
    blank: int


class Bounds(NamedTuple):
    """See the twin."""

    entries: int
    lines: int
    entry_bytes: int
    line_bytes: int


cdef extern from *:
    """
    #include <stdint.h>
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #endif
    /* The first of [at, end) that is a quote, a backslash or a control character; end if none. */
    static inline const uint8_t *hl_plain_end(const uint8_t *at, const uint8_t *end) {
    #if defined(__SSE2__)
        const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\\\');
        const __m128i control = _mm_set1_epi8(0x1f);
        while (end - at >= 16) {
            __m128i some = _mm_loadu_si128((const __m128i *)at);
            __m128i found = _mm_or_si128(
                _mm_or_si128(_mm_cmpeq_epi8(some, quote), _mm_cmpeq_epi8(some, slash)),
                _mm_cmpeq_epi8(_mm_min_epu8(some, control), some));
            int mask = _mm_movemask_epi8(found);
            if (mask) return at + __builtin_ctz(mask);
            at += 16;
        }
    #endif
        while (at < end && *at != '"' && *at != '\\\\' && *at > 0x1f) at++;
        return at;
    }
    """
    const uint8_t *hl_plain_end(const uint8_t *at, const uint8_t *end) nogil


cdef extern from "string.h":
    void *memchr(const void *, int, size_t) nogil
    void *memmove(void *, const void *, size_t) nogil


# Nesting beyond this is not usual.
cdef int DEPTH_MAX = 24
cdef double SECONDS_BELOW = 1e11
# Greater integers may not be doubles.
cdef uint64_t WHOLE_MAX = 1 << 53


cdef struct Text:
    # Between the quotes; *escaped* when there is a backslash in it.
    const uint8_t *start
    const uint8_t *end
    bint escaped


include "json_walk.pxi"


cdef const uint8_t *string_end(const uint8_t *at, const uint8_t *end, Text *found) noexcept nogil:
    """Past the string that opens at *at*; NULL where it is not a usual one."""
    if at >= end or at[0] != 34:
        return NULL
    at += 1
    found.start = at
    found.escaped = False
    while True:
        at = hl_plain_end(at, end)
        if at >= end:
            return NULL
        if at[0] == 34:
            found.end = at
            return at + 1
        if at[0] != 92:
            return NULL
        found.escaped = True
        at = escape_end(at, end)
        if at == NULL:
            return NULL


cdef const uint8_t *number_end(const uint8_t *at, const uint8_t *end, bint *whole) noexcept nogil:
    """Past the JSON number at *at*, NULL where there is none; *whole* when it is digits alone."""
    cdef const uint8_t *first
    whole[0] = True
    if at < end and at[0] == 45:
        at += 1
    first = at
    while at < end and 48 <= at[0] <= 57:
        at += 1
    if at == first or (first[0] == 48 and at - first > 1):
        return NULL
    if at < end and at[0] == 46:
        whole[0] = False
        at += 1
        first = at
        while at < end and 48 <= at[0] <= 57:
            at += 1
        if at == first:
            return NULL
    if at < end and (at[0] == 101 or at[0] == 69):
        whole[0] = False
        at += 1
        if at < end and (at[0] == 43 or at[0] == 45):
            at += 1
        first = at
        while at < end and 48 <= at[0] <= 57:
            at += 1
        if at == first:
            return NULL
    return at


cdef const uint8_t *value_end(const uint8_t *at, const uint8_t *end, int depth) noexcept nogil:
    """Past the value at *at*, without a look at what it says; NULL where it is not a usual one."""
    cdef Text text
    cdef bint whole
    cdef uint8_t c
    if at >= end or depth > DEPTH_MAX:
        return NULL
    c = at[0]
    if c == 34:
        return string_end(at, end, &text)
    if c == 123:
        at = blank_end(at + 1, end)
        if at < end and at[0] == 125:
            return at + 1
        while True:
            at = string_end(at, end, &text)
            if at == NULL:
                return NULL
            at = blank_end(at, end)
            if at >= end or at[0] != 58:
                return NULL
            at = value_end(blank_end(at + 1, end), end, depth + 1)
            if at == NULL:
                return NULL
            at = blank_end(at, end)
            if at >= end:
                return NULL
            if at[0] == 125:
                return at + 1
            if at[0] != 44:
                return NULL
            at = blank_end(at + 1, end)
    if c == 91:
        at = blank_end(at + 1, end)
        if at < end and at[0] == 93:
            return at + 1
        while True:
            at = value_end(at, end, depth + 1)
            if at == NULL:
                return NULL
            at = blank_end(at, end)
            if at >= end:
                return NULL
            if at[0] == 93:
                return at + 1
            if at[0] != 44:
                return NULL
            at = blank_end(at + 1, end)
    if c == 116:
        return at + 4 if end - at >= 4 and memcmp(at, b"true", 4) == 0 else NULL
    if c == 102:
        return at + 5 if end - at >= 5 and memcmp(at, b"false", 5) == 0 else NULL
    if c == 110:
        return at + 4 if end - at >= 4 and memcmp(at, b"null", 4) == 0 else NULL
    return number_end(at, end, &whole)


cdef uint8_t *unescaped(Text text, uint8_t *out) noexcept nogil:
    """Write *text* to *out*; where it ends. It is never longer than what it was."""
    cdef const uint8_t *at = text.start
    cdef const uint8_t *stop
    cdef Py_ssize_t run
    cdef unsigned int code
    cdef uint8_t c
    if not text.escaped:
        run = text.end - at
        memcpy(out, at, run)
        return out + run
    while at < text.end:
        stop = hl_plain_end(at, text.end)
        run = stop - at
        memcpy(out, at, run)
        out += run
        at = stop
        if at >= text.end:
            break
        c = at[1]
        if c == 117:
            code = hex_of(at + 2)
            at += 6
            if 0xD800 <= code <= 0xDBFF:
                code = 0x10000 + ((code - 0xD800) << 10) + (hex_of(at + 2) - 0xDC00)
                at += 6
            if code < 0x80:
                out[0] = code
                out += 1
            elif code < 0x800:
                out[0] = 0xC0 | (code >> 6)
                out[1] = 0x80 | (code & 63)
                out += 2
            elif code < 0x10000:
                out[0] = 0xE0 | (code >> 12)
                out[1] = 0x80 | ((code >> 6) & 63)
                out[2] = 0x80 | (code & 63)
                out += 3
            else:
                out[0] = 0xF0 | (code >> 18)
                out[1] = 0x80 | ((code >> 12) & 63)
                out[2] = 0x80 | ((code >> 6) & 63)
                out[3] = 0x80 | (code & 63)
                out += 4
            continue
        if c == 110:
            c = 10
        elif c == 116:
            c = 9
        elif c == 114:
            c = 13
        elif c == 98:
            c = 8
        elif c == 102:
            c = 12
        out[0] = c
        out += 1
        at += 2
    return out


cdef double[23] POWERS
cdef int _power
POWERS[0] = 1.0
for _power in range(1, 23):
    POWERS[_power] = POWERS[_power - 1] * 10.0


cdef int64_t seconds_ns(const uint8_t *at, const uint8_t *end) noexcept nogil:
    """Nanoseconds of `1764666728.5`, as Python's `round(value * 1e6) * 1000`; -1 for another text.

    At most 15 digits make an integer that a double holds, and a power of ten that it holds: their
    quotient is the double that the text stands for.
    """
    cdef uint64_t digits = 0
    cdef int count = 0, fraction = 0
    cdef bint point = False
    cdef double value
    while at < end:
        if at[0] == 46:
            if point:
                return -1
            point = True
        elif 48 <= at[0] <= 57:
            digits = digits * 10 + at[0] - 48
            count += 1
            fraction += point
            # 2**53 has sixteen digits.
            if count > 19:
                return -1
        else:
            return -1
        at += 1
    if not point or digits > WHOLE_MAX:
        return -1
    value = <double>digits / POWERS[fraction]
    if not (0 < value < SECONDS_BELOW):
        return -1
    value = rint(value * 1e6)
    if value < 1 or value > 9.2e15:
        return -1
    return <int64_t>value * 1000


cdef inline bint is_key(Text key, const char *name, Py_ssize_t size) noexcept nogil:
    return key.end - key.start == size and memcmp(key.start, name, size) == 0


# As many bytes of an object tell where it may be in the table; so many places are looked at.
cdef enum:
    HEAD_BYTES = 64
    SLOTS = 16384
    WAYS = 8

# Of which walk the numbers in a slot are.
cdef uint64_t _walks = 0


cdef struct Slot:
    # What is at *raw* and *pod* lives as long as the dict of the table's owner holds it.
    uint64_t head
    PyObject *raw
    PyObject *pod
    # Of the walk at hand: its sources by stream, 1 + their number, and its latencies.
    uint64_t walk
    uint32_t stdout_of, stderr_of
    PyObject *late


cdef inline uint64_t head_of(const uint8_t *at) noexcept nogil:
    cdef uint64_t hash = 0x9E3779B97F4A7C15, word
    cdef int n
    for n in range(HEAD_BYTES // 8):
        memcpy(&word, at + 8 * n, 8)
        hash = (hash ^ word) * <uint64_t>0xD6E8FEB86659FD93
        hash ^= hash >> 32
    return hash | 1


cdef class Pods:
    """See the twin. The end of an object that was seen before is known without a walk over it: no
    JSON object is the beginning of another."""

    cdef dict by_raw
    cdef Slot *slots

    def __cinit__(self):
        self.by_raw = {}
        self.slots = <Slot *>PyMem_Calloc(SLOTS, sizeof(Slot))
        if not self.slots:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.slots)

    def __len__(self):
        return len(self.by_raw)

    cdef Slot *find(self, const uint8_t *at, const uint8_t *end) noexcept:
        """Where the object that *at* begins with is; NULL where it was not seen."""
        cdef uint64_t head
        cdef Slot *slot
        cdef Py_ssize_t way, size
        if end - at < HEAD_BYTES:
            return NULL
        head = head_of(at)
        for way in range(WAYS):
            slot = &self.slots[(head + way) & (SLOTS - 1)]
            if slot.raw == NULL:
                return NULL
            if slot.head == head:
                size = PyBytes_GET_SIZE(<object>slot.raw)
                if size <= end - at and memcmp(PyBytes_AS_STRING(<object>slot.raw), at, size) == 0:
                    return slot
        return NULL

    cdef tuple get(self, bytes raw):
        return self.by_raw.get(raw)

    cdef int put(self, bytes raw, tuple pod) except -1:
        cdef uint64_t head
        cdef Slot *slot
        cdef Py_ssize_t way
        if PyBytes_GET_SIZE(raw) > POD_BYTES_MAX:
            return 0
        if len(self.by_raw) >= PODS_MAX:
            self.by_raw.clear()
            memset(self.slots, 0, SLOTS * sizeof(Slot))
        self.by_raw[raw] = pod
        if PyBytes_GET_SIZE(raw) < HEAD_BYTES:
            return 0
        head = head_of(<const uint8_t *>PyBytes_AS_STRING(raw))
        for way in range(WAYS):
            slot = &self.slots[(head + way) & (SLOTS - 1)]
            if slot.raw == NULL:
                slot.head, slot.raw, slot.pod = head, <PyObject *>raw, <PyObject *>pod
                break
        return 0


cdef class _Walk:
    """One body while it is walked."""

    cdef const uint8_t *at
    cdef const uint8_t *end
    cdef uint32_t *source_of
    cdef uint32_t *ends
    cdef int64_t *at_ns
    cdef uint8_t *known
    cdef uint8_t *blob
    cdef uint8_t *out
    cdef Py_ssize_t lines, room, lines_max, received, line_bytes, entry_bytes
    cdef uint64_t number
    cdef int64_t arrival_ns
    cdef Py_ssize_t time_missing, future, blank
    cdef object pod_of, instant_of
    cdef Pods pods
    cdef dict numbers, late
    cdef list sources
    cdef str sender
    cdef tuple nobody

    def __dealloc__(self):
        PyMem_Free(self.source_of)
        PyMem_Free(self.ends)
        PyMem_Free(self.at_ns)
        PyMem_Free(self.known)
        PyMem_Free(self.blob)

    cdef int make_room(self, Py_ssize_t size) except -1:
        # Most lines are longer; where they are not, there is more.
        self.more_room(min(self.lines_max, size // 256 + 64))
        self.blob = <uint8_t *>PyMem_Malloc(size + 1)
        if not self.blob:
            raise MemoryError
        self.out = self.blob
        return 0

    cdef int more_room(self, Py_ssize_t lines) except -1:
        cdef void *made
        for which in range(4):
            if which == 0:
                made = PyMem_Realloc(self.source_of, lines * 4)
                if made:
                    self.source_of = <uint32_t *>made
            elif which == 1:
                made = PyMem_Realloc(self.ends, lines * 4)
                if made:
                    self.ends = <uint32_t *>made
            elif which == 2:
                made = PyMem_Realloc(self.at_ns, lines * 8)
                if made:
                    self.at_ns = <int64_t *>made
            else:
                made = PyMem_Realloc(self.known, lines)
                if made:
                    self.known = <uint8_t *>made
            if not made:
                raise MemoryError
        self.room = lines
        return 0

    cdef object instant(self, const uint8_t *at, const uint8_t *end):
        """What *instant_of* says of the number or string at *at*."""
        cdef Text text
        cdef bint whole
        if at[0] == 34:
            string_end(at, end, &text)
            if text.escaped:
                return NotImplemented
            return self.instant_of(
                PyBytes_FromStringAndSize(<char *>text.start, text.end - text.start).decode()
            )
        if number_end(at, end, &whole) == NULL or end - at > 18:
            return NotImplemented
        if whole:
            return self.instant_of(int(PyBytes_FromStringAndSize(<char *>at, end - at)))
        return self.instant_of(float(PyBytes_FromStringAndSize(<char *>at, end - at)))

    cdef tuple pod(self, const uint8_t *at, const uint8_t *end):
        """Whose the `kubernetes` object at *at* is; None for an unusual one."""
        cdef bytes raw = PyBytes_FromStringAndSize(<char *>at, end - at)
        found = self.pods.get(raw)
        if found is None:
            found = self.pod_of(raw)
            if found is not None:
                self.pods.put(raw, found)
        return found

    cdef int entry(self) except -1:
        """Read the entry at hand: 1, or 0 where it is not a usual one."""
        cdef const uint8_t *at = self.at
        cdef const uint8_t *end = self.end
        cdef const uint8_t *stop
        cdef const uint8_t *date = NULL
        cdef const uint8_t *date_end = NULL
        cdef const uint8_t *time = NULL
        cdef const uint8_t *time_end = NULL
        cdef const uint8_t *pod_at = NULL
        cdef const uint8_t *pod_end = NULL
        cdef Text key, text, log, message, stream, unused
        cdef bint has_log = False, has_message = False, has_stream = False, known = True
        cdef bint has_tag = False
        cdef int64_t at_ns
        cdef tuple pod
        cdef Slot *seen = NULL
        log.start = log.end = message.start = message.end = stream.start = stream.end = NULL
        log.escaped = message.escaped = stream.escaped = False
        if at >= end or at[0] != 123:
            return 0
        at = blank_end(at + 1, end)
        while True:
            at = string_end(at, end, &key)
            if at == NULL or key.escaped:
                return 0
            at = blank_end(at, end)
            if at >= end or at[0] != 58:
                return 0
            at = blank_end(at + 1, end)
            if at >= end:
                return 0
            if is_key(key, b"log", 3):
                stop = string_end(at, end, &log)
                if has_log or stop == NULL:
                    return 0
                has_log = True
            elif is_key(key, b"message", 7):
                stop = string_end(at, end, &message)
                if has_message or stop == NULL:
                    return 0
                has_message = True
            elif is_key(key, b"kubernetes", 10):
                if pod_at != NULL or at[0] != 123:
                    return 0
                seen = self.pods.find(at, end)
                if seen != NULL:
                    stop = at + PyBytes_GET_SIZE(<object>seen.raw)
                else:
                    stop = value_end(at, end, 1)
                pod_at, pod_end = at, stop
            elif is_key(key, b"date", 4):
                if date != NULL or not (at[0] == 34 or 48 <= at[0] <= 57):
                    return 0
                stop = value_end(at, end, 1)
                date, date_end = at, stop
            elif is_key(key, b"time", 4):
                if time != NULL or not (at[0] == 34 or 48 <= at[0] <= 57):
                    return 0
                stop = value_end(at, end, 1)
                time, time_end = at, stop
            elif is_key(key, b"stream", 6):
                stop = string_end(at, end, &stream)
                if has_stream or stop == NULL or stream.escaped:
                    return 0
                has_stream = True
            elif is_key(key, b"logtag", 6):
                stop = string_end(at, end, &text)
                if has_tag or stop == NULL or not (text.end - text.start == 1 and text.start[0] == 70):
                    return 0
                has_tag = True
            elif is_key(key, b"MESSAGE", 7) or is_key(key, b"_HOSTNAME", 9) or is_key(key, b"hostname", 8):
                return 0
            else:
                stop = value_end(at, end, 1)
            if stop == NULL:
                return 0
            at = blank_end(stop, end)
            if at >= end:
                return 0
            if at[0] == 125:
                at += 1
                break
            if at[0] != 44:
                return 0
            at = blank_end(at + 1, end)
        self.at = at
        if has_message and message.start != message.end:
            text = message
        elif has_log:
            text = log
        else:
            return 0
        if text.end - text.start > self.entry_bytes:
            return 0
        pod = self.nobody
        if seen != NULL:
            pod = <tuple>seen.pod
            if seen.walk != self.number:
                seen.walk = self.number
                seen.stdout_of = seen.stderr_of = 0
                seen.late = NULL
        elif pod_at != NULL:
            pod = self.pod(pod_at, pod_end)
            if pod is None:
                return 0
        at_ns = -1
        if date != NULL:
            at_ns = seconds_ns(date, date_end)
            if at_ns < 0:
                found = self.instant(date, date_end)
                if found is NotImplemented:
                    return 0
                at_ns = -1 if found is None else found
        if at_ns < 0 and time != NULL:
            found = self.instant(time, time_end)
            if found is NotImplemented:
                return 0
            at_ns = -1 if found is None else found
        if at_ns < 0:
            known = False
            self.time_missing += 1
            at_ns = self.arrival_ns
        else:
            self.note(pod, at_ns, seen)
        self.received += 1
        return self.split(text, self.source(pod, stream, seen), at_ns, known)

    cdef int note(self, tuple pod, int64_t at_ns, Slot *seen) except -1:
        cdef int64_t late_ns = self.arrival_ns - at_ns
        cdef list seconds
        if seen != NULL and seen.late != NULL:
            seconds = <list>seen.late
        else:
            node = pod[3] or self.sender
            seconds = self.late.get(node)
            if seconds is None:
                seconds = self.late[node] = []
            if seen != NULL:
                seen.late = <PyObject *>seconds
        if late_ns < 0:
            self.future += 1
            late_ns = 0
        seconds.append(<double>late_ns / 1e9)
        return 0

    cdef uint32_t source(self, tuple pod, Text stream, Slot *seen) except? 0xFFFFFFFF:
        """The number of the source that *pod* and *stream* are."""
        cdef uint32_t number
        cdef uint32_t *known = NULL
        if seen != NULL and stream.end - stream.start == 6:
            if memcmp(stream.start, b"stdout", 6) == 0:
                known = &seen.stdout_of
            elif memcmp(stream.start, b"stderr", 6) == 0:
                known = &seen.stderr_of
            if known != NULL and known[0]:
                return known[0] - 1
        number = self.source_named(pod, stream)
        if known != NULL:
            known[0] = number + 1
        return number

    cdef uint32_t source_named(self, tuple pod, Text stream) except? 0xFFFFFFFF:
        cdef tuple key
        cdef object name
        cdef Py_ssize_t size = stream.end - stream.start
        if size == 6 and memcmp(stream.start, b"stdout", 6) == 0:
            name = "stdout"
        elif size == 6 and memcmp(stream.start, b"stderr", 6) == 0:
            name = "stderr"
        elif size:
            name = PyBytes_FromStringAndSize(<char *>stream.start, size).decode()
        else:
            name = ""
        of_pod = self.numbers.get(name)
        if of_pod is None:
            of_pod = self.numbers[name] = {}
        number = (<dict>of_pod).get(pod)
        if number is None:
            number = (<dict>of_pod)[pod] = len(self.sources)
            self.sources.append((*pod, name))
        return number

    cdef int split(self, Text text, uint32_t source, int64_t at_ns, bint known) except -1:
        """One line a physical line of *text*: 1, or 0 where one is too long."""
        cdef uint8_t *start = self.out
        cdef uint8_t *stop = unescaped(text, self.out)
        cdef uint8_t *line = start
        cdef uint8_t *line_end
        cdef uint8_t *bare
        cdef uint8_t *first
        # As the general way counts them: blank ones of this entry too.
        cdef Py_ssize_t most = self.lines
        if stop > start and (stop - 1)[0] == 10:
            stop -= 1
        while True:
            most += 1
            if most > self.lines_max:
                return 0
            line_end = <uint8_t *>memchr(line, 10, stop - line)
            if line_end == NULL:
                line_end = stop
            bare = line_end
            if bare > line and (bare - 1)[0] == 13:
                bare -= 1
            if bare - line > self.line_bytes:
                return 0
            first = line
            while first < bare and (first[0] == 32 or 9 <= first[0] <= 13 or 28 <= first[0] <= 31):
                first += 1
            if first == bare or (
                first[0] >= 128
                and PyBytes_FromStringAndSize(<char *>line, bare - line).decode().isspace()
            ):
                self.blank += 1
            else:
                if self.lines == self.room:
                    self.more_room(min(self.lines_max, 2 * self.room))
                if self.out != line:
                    memmove(self.out, line, bare - line)
                self.out += bare - line
                self.source_of[self.lines] = source
                self.at_ns[self.lines] = at_ns
                self.known[self.lines] = known
                self.ends[self.lines] = <uint32_t>(self.out - self.blob)
                self.lines += 1
            if line_end >= stop:
                return 1
            line = line_end + 1


def walk(bytes raw, int64_t arrival_ns, str sender, bounds, Pods pods, pod_of, instant_of):
    """See the twin."""
    global _walks
    cdef _Walk walk = _Walk()
    cdef bint array
    cdef const uint8_t *began
    cdef Py_ssize_t size = PyBytes_GET_SIZE(raw)
    cdef Py_ssize_t entries_max = bounds.entries
    if size >= 0x7FFFFFFF:
        return None
    walk.at = <const uint8_t *>PyBytes_AS_STRING(raw)
    walk.end = walk.at + size
    walk.arrival_ns = arrival_ns
    walk.sender = sender
    walk.pods, walk.pod_of, walk.instant_of = pods, pod_of, instant_of
    walk.numbers, walk.late, walk.sources = {}, {}, []
    walk.nobody = ("", "", "", "", "")
    walk.entry_bytes, walk.line_bytes = bounds.entry_bytes, bounds.line_bytes
    walk.at = blank_end(walk.at, walk.end)
    if walk.at >= walk.end:
        return None
    # No line takes less than the two bytes of its `\\n`.
    walk.lines_max = min(<Py_ssize_t>bounds.lines, size // 2 + 1)
    walk.make_room(size)
    _walks += 1
    walk.number = _walks
    array = walk.at[0] == 91
    if array:
        walk.at = blank_end(walk.at + 1, walk.end)
    while True:
        began = walk.at
        if walk.received >= entries_max or not walk.entry():
            return None
        if not array:
            # Objects on lines, or one after the other; one that is spread over lines is not usual.
            if memchr(began, 10, walk.at - began) != NULL:
                return None
            while walk.at < walk.end and (walk.at[0] == 10 or walk.at[0] == 13):
                walk.at += 1
            if walk.at >= walk.end:
                break
            continue
        walk.at = blank_end(walk.at, walk.end)
        if walk.at >= walk.end:
            return None
        if walk.at[0] == 93:
            walk.at = blank_end(walk.at + 1, walk.end)
            if walk.at != walk.end:
                return None
            break
        if walk.at[0] != 44:
            return None
        walk.at = blank_end(walk.at + 1, walk.end)
    return Columns(
        walk.sources,
        PyBytes_FromStringAndSize(<char *>walk.source_of, walk.lines * 4),
        PyBytes_FromStringAndSize(<char *>walk.at_ns, walk.lines * 8),
        PyBytes_FromStringAndSize(<char *>walk.known, walk.lines),
        PyBytes_FromStringAndSize(<char *>walk.ends, walk.lines * 4),
        PyBytes_FromStringAndSize(<char *>walk.blob, walk.out - walk.blob),
        walk.received,
        walk.late,
        walk.time_missing,
        walk.future,
        walk.blank,
    )
