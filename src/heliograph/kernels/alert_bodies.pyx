# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
# cython: embedsignature=False, auto_pickle=False, nonecheck=False, initializedcheck=False
"""One pass over a body of alerts, compiled: `alert_bodies.py` has what it means.

Stricter than the decoder behind it: whatever is in the least out of the ordinary (a key that is not
the API's, or one of them twice, an escape in a name, a lone surrogate, a label without a value) ends it, and
the body is read the general way. So what is taken needs no second opinion.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject, PyObject_Hash
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

import hashlib
import math
import os
from typing import NamedTuple

COMPILED = True

Repeat = Fresh = Pairs = tuple


class Read(NamedTuple):
    """See the twin."""

    digests: list
    found: list
    fresh: list


cdef extern from *:
    """
    #include <stdint.h>
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #endif
    /* The first of [at, end) that is a quote, a backslash or a control character; end if none.
       *high gets a bit where a character before it is not ASCII. */
    static inline const uint8_t *ab_text_end(
            const uint8_t *at, const uint8_t *end, unsigned *high) {
    #if defined(__SSE2__)
        const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\\\');
        const __m128i control = _mm_set1_epi8(0x1f);
        while (end - at >= 16) {
            __m128i some = _mm_loadu_si128((const __m128i *)at);
            __m128i found = _mm_or_si128(
                _mm_or_si128(_mm_cmpeq_epi8(some, quote), _mm_cmpeq_epi8(some, slash)),
                _mm_cmpeq_epi8(_mm_min_epu8(some, control), some));
            unsigned mask = (unsigned)_mm_movemask_epi8(found);
            unsigned sign = (unsigned)_mm_movemask_epi8(some);
            if (mask) {
                *high |= sign & (mask ^ (mask - 1));
                return at + __builtin_ctz(mask);
            }
            *high |= sign;
            at += 16;
        }
    #endif
        while (at < end && *at != '"' && *at != '\\\\' && *at > 0x1f) *high |= *at++ & 0x80;
        return at;
    }

    #define AB_ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
    #define AB_ROUND \\
        v0 += v1; v1 = AB_ROTL(v1, 13); v1 ^= v0; v0 = AB_ROTL(v0, 32); \\
        v2 += v3; v3 = AB_ROTL(v3, 16); v3 ^= v2; \\
        v0 += v3; v3 = AB_ROTL(v3, 21); v3 ^= v0; \\
        v2 += v1; v1 = AB_ROTL(v1, 17); v1 ^= v2; v2 = AB_ROTL(v2, 32);
    typedef struct { const uint8_t *start, *end; } AbPart;
    /* SipHash-1-3 with 128 bits of result, over the parts one after the other. */
    static void ab_digest(const AbPart *part, int parts, const uint64_t *key, uint8_t *out) {
        uint64_t v0 = key[0] ^ 0x736f6d6570736575ULL, v1 = key[1] ^ 0x646f72616e646f6dULL ^ 0xee;
        uint64_t v2 = key[0] ^ 0x6c7967656e657261ULL, v3 = key[1] ^ 0x7465646279746573ULL;
        uint64_t word = 0, total = 0;
        int held = 0;
        for (; parts--; part++) {
            const uint8_t *at = part->start, *end = part->end;
            total += (uint64_t)(end - at);
            while (at < end) {
                if (end - at >= 8) {
                    uint64_t m;
                    memcpy(&m, at, 8);
                    at += 8;
                    word |= m << (8 * held);
                    v3 ^= word; AB_ROUND v0 ^= word;
                    word = held ? m >> (64 - 8 * held) : 0;
                    continue;
                }
                word |= (uint64_t)*at++ << (8 * held);
                if (++held == 8) {
                    v3 ^= word; AB_ROUND v0 ^= word;
                    word = 0; held = 0;
                }
            }
        }
        word |= total << 56;
        v3 ^= word; AB_ROUND v0 ^= word;
        v2 ^= 0xee;
        AB_ROUND AB_ROUND AB_ROUND
        word = v0 ^ v1 ^ v2 ^ v3;
        memcpy(out, &word, 8);
        v1 ^= 0xdd;
        AB_ROUND AB_ROUND AB_ROUND
        word = v0 ^ v1 ^ v2 ^ v3;
        memcpy(out + 8, &word, 8);
    }

    #if defined(__x86_64__) && defined(__GNUC__)
    #include <cpuid.h>
    #include <immintrin.h>
    static int ab_has_sha(void) {
        unsigned a, b, c, d;
        return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1)
            && __get_cpuid(1, &a, &b, &c, &d) && (c >> 19 & 1);
    }
    /* The first sixteen bytes of the SHA-256 of whole blocks, padded already, by the instructions
       that many machines have for it; *first* are its eight first words, *k* its constants. */
    __attribute__((target("sha,sse4.1"))) static void ab_sha256(
            const uint8_t *at, Py_ssize_t blocks, const uint32_t *first, const uint32_t *k,
            uint8_t *out) {
        const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
        __m128i one = _mm_set_epi32(first[0], first[1], first[4], first[5]);
        __m128i two = _mm_set_epi32(first[2], first[3], first[6], first[7]);
        for (; blocks--; at += 64) {
            const __m128i one_before = one, two_before = two;
            __m128i w[16];
            for (int n = 0; n < 16; n++) {
                if (n < 4)
                    w[n] = _mm_shuffle_epi8(
                        _mm_loadu_si128((const __m128i *)(at + 16 * n)), swap);
                else
                    w[n] = _mm_sha256msg2_epu32(
                        _mm_add_epi32(_mm_sha256msg1_epu32(w[n - 4], w[n - 3]),
                                      _mm_alignr_epi8(w[n - 1], w[n - 2], 4)),
                        w[n - 1]);
                __m128i some = _mm_add_epi32(w[n], _mm_loadu_si128((const __m128i *)(k + 4 * n)));
                two = _mm_sha256rnds2_epu32(two, one, some);
                one = _mm_sha256rnds2_epu32(one, two, _mm_shuffle_epi32(some, 0x0e));
            }
            one = _mm_add_epi32(one, one_before);
            two = _mm_add_epi32(two, two_before);
        }
        _mm_storeu_si128((__m128i *)out,
                         _mm_shuffle_epi8(_mm_unpackhi_epi64(two, one),
                                          _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7,
                                                       8, 9, 10, 11, 12, 13, 14, 15)));
    }
    #else
    static int ab_has_sha(void) { return 0; }
    static void ab_sha256(const uint8_t *at, Py_ssize_t blocks, const uint32_t *first,
                          const uint32_t *k, uint8_t *out) {}
    #endif
    """
    ctypedef struct AbPart:
        const uint8_t *start
        const uint8_t *end
    const uint8_t *ab_text_end(const uint8_t *at, const uint8_t *end, unsigned *high) nogil
    bint ab_has_sha() nogil
    void ab_sha256(
        const uint8_t *at, Py_ssize_t blocks, const uint32_t *first, const uint32_t *k, uint8_t *out
    ) nogil
    void ab_digest(const AbPart *part, int parts, const uint64_t *key, uint8_t *out) nogil


cdef extern from "string.h":
    void *memmove(void *, const void *, size_t) nogil

cdef extern from "Python.h":
    object PyUnicode_DecodeUTF8(const char *text, Py_ssize_t size, const char *errors)
    object PyUnicode_New(Py_ssize_t size, uint32_t greatest)
    void *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    void PyUnicode_InternInPlace(PyObject **text)
    void PyObject_GC_UnTrack(PyObject *made)


cdef enum:
    ALERTS_MAX = 50_000
    # Alerts after which other threads may have a turn; a power of two. They take some milliseconds.
    TURN_ALERTS = 512
    DIGEST_BYTES = 16
    # Of one element: what is no longer is in none of its parts too large.
    ELEMENT_BYTES_MAX = 16 * 1024
    LABELS_MAX = 128
    ANNOTATIONS_MAX = 64
    NAME_BYTES_MAX = 1024
    URL_BYTES_MAX = 8 * 1024
    # Pairs and names that are made once. A name or a pair that is longer is made each time.
    PAIRS = 4096
    NAMES = 1024
    PAIR_BYTES_MAX = 96
    URLS_MAX = 4096
    URL_BYTES_KEPT_MAX = 512
    # With what a hash pads it with.
    PACKED_BYTES_MAX = ELEMENT_BYTES_MAX + 4 * LABELS_MAX + 128

cdef uint64_t[2] _key
_random = os.urandom(16)
memcpy(_key, PyBytes_AS_STRING(_random), sizeof(_key))
_sha256 = hashlib.sha256
cdef bint _has_sha = ab_has_sha()
# What the words of SHA-256 begin with, and its constants.
cdef uint32_t[8] _first
cdef uint32_t[64] _constants
cdef dict _urls = {}


def _cube_root(whole):
    """Of an integer, rounded down."""
    low, high = 0, 1 << (whole.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high + 1) // 2
        if middle ** 3 <= whole:
            low = middle
        else:
            high = middle - 1
    return low


# The fractions of the roots of the first primes.
_primes = [n for n in range(2, 312) if all(n % k for k in range(2, n))]
for _n in range(64):
    _constants[_n] = _cube_root(_primes[_n] << 96) & 0xFFFFFFFF
for _n in range(8):
    _first[_n] = math.isqrt(_primes[_n] << 64) & 0xFFFFFFFF


cdef struct Text:
    # Between the quotes. *escaped*: there is a backslash in it; *high*: not all is ASCII.
    const uint8_t *start
    Py_ssize_t size
    bint escaped
    unsigned high


cdef struct Pair:
    Text name
    Text value


cdef struct Element:
    # Where it is, and what is in it; an absent part has no start.
    AbPart whole
    AbPart[3] words
    Pair[LABELS_MAX] labels
    Pair[ANNOTATIONS_MAX] annotations
    Py_ssize_t labels_count, annotations_count
    Text url, starts, ends


cdef struct Slot:
    # *missed*: of the last pair that was not there.
    uint64_t hash, missed
    PyObject *made


cdef Slot[PAIRS] _pairs
cdef Slot[NAMES] _names


include "json_walk.pxi"


cdef inline const uint8_t *text_end(const uint8_t *at, const uint8_t *end, Text *found) noexcept nogil:
    """Past the string that opens at *at*; NULL where it is not a usual one."""
    if at >= end or at[0] != 34:
        return NULL
    at += 1
    found.start = at
    found.escaped = False
    found.high = 0
    while True:
        at = ab_text_end(at, end, &found.high)
        if at >= end or at[0] < 32:
            return NULL
        if at[0] == 34:
            found.size = at - found.start
            return at + 1
        found.escaped = True
        at = escape_end(at, end)
        if at == NULL:
            return NULL


cdef const uint8_t *pairs_end(
    const uint8_t *at, const uint8_t *end, Pair *pairs, Py_ssize_t most, Py_ssize_t *count
) noexcept nogil:
    """Past the object of texts that opens at *at*; NULL where it is not a usual one, and where it has
    more than *most* pairs."""
    cdef Pair *pair
    count[0] = 0
    if at >= end or at[0] != 123:
        return NULL
    at = blank_end(at + 1, end)
    if at < end and at[0] == 125:
        return at + 1
    while count[0] < most:
        pair = &pairs[count[0]]
        at = text_end(at, end, &pair.name)
        if at == NULL or pair.name.escaped:
            return NULL
        at = blank_end(at, end)
        if at >= end or at[0] != 58:
            return NULL
        at = text_end(blank_end(at + 1, end), end, &pair.value)
        if at == NULL:
            return NULL
        count[0] += 1
        at = blank_end(at, end)
        if at >= end:
            return NULL
        if at[0] == 125:
            return at + 1
        if at[0] != 44:
            return NULL
        at = blank_end(at + 1, end)
    return NULL


cdef const uint8_t *time_end(const uint8_t *at, const uint8_t *end, Text *found) noexcept nogil:
    """Past the time at *at*, which may be null; NULL where it is not a usual one."""
    if at < end and at[0] == 110:
        found.start = at
        found.size = 0
        if end - at < 4 or memcmp(at, b"null", 4) != 0:
            return NULL
        return at + 4
    at = text_end(at, end, found)
    if at != NULL and (found.escaped or found.high):
        return NULL
    return at


cdef inline bint is_text(Text *text, const char *other, Py_ssize_t size) noexcept nogil:
    return text.size == size and memcmp(text.start, other, size) == 0


cdef const uint8_t *element_end(const uint8_t *at, const uint8_t *end, Element *found) noexcept nogil:
    """Past the alert that opens at *at*; NULL where it is not a usual one."""
    cdef Text key
    cdef const uint8_t *start
    cdef int n
    found.whole.start = at
    for n in range(3):
        found.words[n].start = found.words[n].end = NULL
    found.url.start = found.starts.start = found.ends.start = NULL
    found.url.size = found.starts.size = found.ends.size = 0
    found.labels_count = found.annotations_count = 0
    if at >= end or at[0] != 123:
        return NULL
    at = blank_end(at + 1, end)
    while True:
        at = text_end(at, end, &key)
        if at == NULL:
            return NULL
        at = blank_end(at, end)
        if at >= end or at[0] != 58:
            return NULL
        start = at = blank_end(at + 1, end)
        if is_text(&key, b"labels", 6):
            if found.words[0].start != NULL:
                return NULL
            at = pairs_end(at, end, found.labels, LABELS_MAX, &found.labels_count)
            found.words[0].start, found.words[0].end = start, at
        elif is_text(&key, b"annotations", 11):
            if found.words[1].start != NULL:
                return NULL
            at = pairs_end(
                at, end, found.annotations, ANNOTATIONS_MAX, &found.annotations_count
            )
            found.words[1].start, found.words[1].end = start, at
        elif is_text(&key, b"generatorURL", 12):
            if found.words[2].start != NULL:
                return NULL
            at = text_end(at, end, &found.url)
            found.words[2].start, found.words[2].end = start, at
        elif is_text(&key, b"startsAt", 8):
            if found.starts.start != NULL:
                return NULL
            at = time_end(at, end, &found.starts)
        elif is_text(&key, b"endsAt", 6):
            if found.ends.start != NULL:
                return NULL
            at = time_end(at, end, &found.ends)
        else:
            return NULL
        if at == NULL:
            return NULL
        at = blank_end(at, end)
        if at >= end:
            return NULL
        if at[0] == 125:
            found.whole.end = at + 1
            if found.labels_count == 0 or at + 1 - found.whole.start > ELEMENT_BYTES_MAX:
                return NULL
            return at + 1
        if at[0] != 44:
            return NULL
        at = blank_end(at + 1, end)


# Names in order

cdef inline int compare(Text *one, Text *other) noexcept nogil:
    """As texts compare; the order of UTF-8 is theirs."""
    cdef Py_ssize_t size = min(one.size, other.size)
    cdef int found = memcmp(one.start, other.start, size)
    if found:
        return found
    return (one.size > other.size) - (one.size < other.size)


cdef Py_ssize_t ordered(Pair *pairs, Py_ssize_t count) noexcept nogil:
    """Put *pairs* in order of name, of those of one name the last; how many they are then, -1 where
    one that is left out is not ASCII and so might be no UTF-8. Most come in order, but vmalert says
    the name of the alert twice."""
    cdef Py_ssize_t n, at, kept
    cdef Pair moved
    cdef bint again = False
    cdef int found
    for n in range(1, count):
        found = compare(&pairs[n - 1].name, &pairs[n].name)
        again = again or found == 0
        if found <= 0:
            continue
        moved = pairs[n]
        at = n
        while at > 0:
            found = compare(&pairs[at - 1].name, &moved.name)
            again = again or found == 0
            if found <= 0:
                break
            pairs[at] = pairs[at - 1]
            at -= 1
        pairs[at] = moved
    if not again:
        return count
    kept = 0
    for n in range(count):
        if n + 1 < count and compare(&pairs[n].name, &pairs[n + 1].name) == 0:
            if pairs[n].value.high:
                return -1
            continue
        pairs[kept] = pairs[n]
        kept += 1
    return kept


cdef bint are_labels(Element *of) noexcept nogil:
    """Whether the labels are as `receive.alert_labels` wants them: classic names, and values."""
    cdef Py_ssize_t n, k
    cdef Text *name
    cdef uint8_t c
    for n in range(of.labels_count):
        name = &of.labels[n].name
        if of.labels[n].value.size == 0 or not 0 < name.size <= NAME_BYTES_MAX:
            return False
        if 48 <= name.start[0] <= 57:
            return False
        for k in range(name.size):
            c = name.start[k]
            if not (97 <= c <= 122 or 65 <= c <= 90 or c == 95 or 48 <= c <= 57):
                return False
    return True


# Times

cdef inline int digits(const uint8_t *at, int count) noexcept nogil:
    """The number of so many digits at *at*, or -1."""
    cdef int value = 0, n
    for n in range(count):
        if not 48 <= at[n] <= 57:
            return -1
        value = value * 10 + at[n] - 48
    return value


cdef bint plain_ns(Text *text, int64_t *at_ns) noexcept nogil:
    """Nanoseconds of `2026-11-22T00:43:18.518764605Z` or with an offset of hours and minutes; False
    where it is not written so plainly, or not of 1970 to 2199."""
    cdef const uint8_t *at = text.start
    cdef const uint8_t *end = at + text.size
    cdef int year, month, day, hour, minute, second, days, zone_h = 0, zone_min = 0, count = 0
    cdef int64_t fraction = 0, days_before
    cdef bint west = False
    if text.size < 20 or at[4] != 45 or at[7] != 45 or at[10] != 84 or at[13] != 58 or at[16] != 58:
        return False
    year, month, day = digits(at, 4), digits(at + 5, 2), digits(at + 8, 2)
    hour, minute, second = digits(at + 11, 2), digits(at + 14, 2), digits(at + 17, 2)
    if not (1970 <= year < 2200 and 1 <= month <= 12 and 1 <= day):
        return False
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        return False
    days = 31
    if month == 2:
        days = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    elif month in (4, 6, 9, 11):
        days = 30
    if day > days:
        return False
    at += 19
    if at[0] == 46:
        at += 1
        while at < end and 48 <= at[0] <= 57 and count < 10:
            fraction = fraction * 10 + at[0] - 48
            at += 1
            count += 1
        if not 1 <= count <= 9:
            return False
        while count < 9:
            fraction *= 10
            count += 1
    if end - at == 6 and (at[0] == 43 or at[0] == 45) and at[3] == 58:
        west = at[0] == 45
        zone_h, zone_min = digits(at + 1, 2), digits(at + 4, 2)
        if not (0 <= zone_h < 24 and 0 <= zone_min < 60):
            return False
    elif end - at != 1 or at[0] != 90:
        return False
    # Days before the month, counted from March, so that the leap day is the last of a year.
    if month <= 2:
        year -= 1
        month += 12
    days_before = (
        365 * <int64_t>year + year // 4 - year // 100 + year // 400
        + (153 * (month - 3) + 2) // 5 + day - 1 - 719468
    )
    at_ns[0] = days_before * 86400 + hour * 3600 + minute * 60 + second
    at_ns[0] += (zone_h * 3600 + zone_min * 60) * (1 if west else -1)
    at_ns[0] = at_ns[0] * 1000000000 + fraction
    return True


cdef class _Time:
    """The last time of its kind, which the next alert often has too."""

    cdef uint8_t[64] text
    cdef Py_ssize_t size
    cdef object at_ns

    def __cinit__(self):
        self.size = -1

    cdef object read(self, Text *text, instant_of):
        """Nanoseconds or None; NotImplemented where it is no time."""
        cdef int64_t at_ns
        if text.size == 0:
            return None
        if text.size == self.size and memcmp(text.start, self.text, self.size) == 0:
            return self.at_ns
        if text.size > 64:
            return NotImplemented
        if plain_ns(text, &at_ns):
            self.at_ns = at_ns
        else:
            self.at_ns = instant_of(
                PyUnicode_DecodeUTF8(<const char *> text.start, text.size, NULL)
            )
        self.size = text.size
        memcpy(self.text, text.start, text.size)
        return self.at_ns


# Objects

cdef inline uint64_t hash_of(const uint8_t *at, Py_ssize_t size, uint64_t hash) noexcept nogil:
    cdef uint64_t word
    while size >= 8:
        memcpy(&word, at, 8)
        hash = (hash ^ word) * <uint64_t> 0xD6E8FEB86659FD93
        hash ^= hash >> 32
        at += 8
        size -= 8
    word = 0
    memcpy(&word, at, size)
    hash = (hash ^ word ^ (<uint64_t> size << 56)) * <uint64_t> 0xD6E8FEB86659FD93
    return hash ^ (hash >> 32)


cdef inline bint says(PyObject *text, Text *what) noexcept:
    """Whether the ASCII text is *what*."""
    return (
        PyUnicode_GET_LENGTH(<object> text) == what.size
        and memcmp(PyUnicode_DATA(<object> text), what.start, what.size) == 0
    )


cdef inline void keep(Slot *slot, uint64_t hash, object made) noexcept:
    cdef PyObject *before = slot.made
    Py_INCREF(made)
    slot.hash, slot.made = hash, <PyObject *> made
    if before != NULL:
        Py_DECREF(<object> before)


cdef object unescaped(Text *text):
    """The text, with escapes resolved."""
    cdef bytearray out = bytearray()
    cdef const uint8_t *at = text.start
    cdef const uint8_t *end = at + text.size
    cdef const uint8_t *stop
    cdef unsigned high = 0
    cdef int code
    while at < end:
        stop = ab_text_end(at, end, &high)
        out += (<const char *> at)[: stop - at]
        at = stop
        if at >= end:
            break
        if at[1] != 117:
            out.append(_SHORT[at[1]])
            at += 2
            continue
        code = hex_of(at + 2)
        at += 6
        if 0xD800 <= code <= 0xDBFF:
            code = 0x10000 + ((code - 0xD800) << 10) + (hex_of(at + 2) - 0xDC00)
            at += 6
        out += chr(code).encode()
    return out.decode()


cdef dict _SHORT = {
    34: 34, 92: 92, 47: 47, 98: 8, 102: 12, 110: 10, 114: 13, 116: 9,
}  # fmt: skip


cdef inline object text_of(Text *text):
    """The text itself. Raises UnicodeDecodeError where it is no UTF-8."""
    cdef object made
    if text.escaped:
        return unescaped(text)
    if text.high:
        return PyUnicode_DecodeUTF8(<const char *> text.start, text.size, NULL)
    made = PyUnicode_New(text.size, 127)
    memcpy(PyUnicode_DATA(made), text.start, text.size)
    return made


cdef object name_of(Text *name):
    """A name, the same object each time where it is usual."""
    cdef uint64_t hash
    cdef Slot *slot
    cdef object made
    cdef PyObject *interned
    if name.high or name.size > PAIR_BYTES_MAX:
        return text_of(name)
    hash = hash_of(name.start, name.size, 0)
    slot = &_names[hash & (NAMES - 1)]
    if slot.made != NULL and slot.hash == hash and says(slot.made, name):
        return <object> slot.made
    made = text_of(name)
    interned = <PyObject *> made
    Py_INCREF(made)
    PyUnicode_InternInPlace(&interned)
    made = <object> interned
    Py_DECREF(<object> interned)
    keep(slot, hash, made)
    return made


cdef tuple pair_of(Pair *pair, bint often):
    """Name and value; the same object each time where such a pair comes *often*."""
    cdef uint64_t hash = 0
    cdef Slot *slot = NULL
    cdef tuple made
    if pair.value.high or pair.value.escaped or pair.value.size > PAIR_BYTES_MAX:
        often = False
    if pair.name.size > PAIR_BYTES_MAX:
        often = False
    if often:
        hash = hash_of(pair.name.start, pair.name.size, 0)
        hash = hash_of(pair.value.start, pair.value.size, hash)
        slot = &_pairs[hash & (PAIRS - 1)]
        if (
            slot.made != NULL
            and slot.hash == hash
            and says(PyTuple_GET_ITEM(<object> slot.made, 0), &pair.name)
            and says(PyTuple_GET_ITEM(<object> slot.made, 1), &pair.value)
        ):
            return <tuple> slot.made
    made = (name_of(&pair.name), text_of(&pair.value))
    # Of texts alone: no cycle goes through it, and nobody needs to look for one.
    PyObject_GC_UnTrack(<PyObject *> made)
    # When it comes again: what comes once must not take the place of what comes all the time.
    if often and (slot.made == NULL or slot.missed == hash):
        keep(slot, hash, made)
    elif often:
        slot.missed = hash
    return made


cdef object url_of(Text *text, is_url):
    """The URL, or NotImplemented where it is none."""
    cdef bytes raw
    cdef PyObject *known
    cdef object made
    if text.size == 0:
        return ""
    if text.size > URL_BYTES_MAX:
        return NotImplemented
    raw = PyBytes_FromStringAndSize(<const char *> text.start, text.size)
    known = PyDict_GetItem(_urls, raw)
    if known != NULL:
        return <object> known
    made = text_of(text)
    if not is_url(made):
        return NotImplemented
    if text.size <= URL_BYTES_KEPT_MAX:
        if len(_urls) >= URLS_MAX:
            _urls.clear()
        _urls[raw] = made
    return made


cdef inline uint8_t *put(uint8_t *out, const uint8_t *text, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t length = size
    while length > 0x7F:
        out[0] = (length & 0x7F) | 0x80
        out += 1
        length >>= 7
    out[0] = length
    memcpy(out + 1, text, size)
    return out + 1 + size


cdef str fingerprint_of(Element *of, tuple labels):
    """As `core.labels.fingerprint`."""
    cdef uint8_t[PACKED_BYTES_MAX] packed
    cdef uint8_t *out = packed
    cdef const char *utf8
    cdef Py_ssize_t n, size, at
    cdef Pair *pair
    for n in range(of.labels_count):
        pair = &of.labels[n]
        out = put(out, pair.name.start, pair.name.size)
        if pair.value.escaped:
            value = <object> PyTuple_GET_ITEM(<object> PyTuple_GET_ITEM(labels, n), 1)
            utf8 = PyUnicode_AsUTF8AndSize(value, &size)
            out = put(out, <const uint8_t *> utf8, size)
        else:
            out = put(out, pair.value.start, pair.value.size)
    cdef uint8_t[16] digest
    cdef bytes whole
    size = out - packed
    if _has_sha:
        out[0] = 0x80
        n = (size + 9 + 63) // 64
        memset(out + 1, 0, 64 * n - size - 1)
        for at in range(8):
            packed[64 * n - 1 - at] = (size * 8) >> (8 * at) & 0xFF
        ab_sha256(packed, n, _first, _constants, digest)
    else:
        whole = _sha256((<const char *> packed)[:size]).digest()
        memcpy(digest, PyBytes_AS_STRING(whole), 16)
    return hexadecimal(digest)


cdef str hexadecimal(const uint8_t *digest):
    """The first sixteen bytes."""
    cdef object made = PyUnicode_New(32, 127)
    cdef uint8_t *out = <uint8_t *> PyUnicode_DATA(made)
    cdef int n
    for n in range(16):
        out[2 * n] = b"0123456789abcdef"[digest[n] >> 4]
        out[2 * n + 1] = b"0123456789abcdef"[digest[n] & 15]
    return <str> made


cdef tuple tuple_of(Pair *pairs, Py_ssize_t count, bint often):
    cdef tuple made = PyTuple_New(count)
    cdef tuple pair
    cdef Py_ssize_t n
    for n in range(count):
        pair = pair_of(&pairs[n], often)
        Py_INCREF(pair)
        PyTuple_SET_ITEM(made, n, pair)
    if count:
        PyObject_GC_UnTrack(<PyObject *> made)
    return made


cdef tuple fresh_of(Element *of, starts_ns, ends_ns, is_url):
    """All that the alert says; None where it is not a usual one."""
    cdef tuple labels, annotations
    cdef Py_ssize_t n
    if not are_labels(of):
        return None
    of.labels_count = ordered(of.labels, of.labels_count)
    of.annotations_count = ordered(of.annotations, of.annotations_count)
    if of.labels_count < 0 or of.annotations_count < 0:
        return None
    url = url_of(&of.url, is_url)
    if url is NotImplemented:
        return None
    labels = tuple_of(of.labels, of.labels_count, True)
    annotations = tuple_of(of.annotations, of.annotations_count, False)
    severity = ""
    for n in range(of.labels_count):
        if is_text(&of.labels[n].name, b"severity", 8):
            severity = <object> PyTuple_GET_ITEM(<object> PyTuple_GET_ITEM(labels, n), 1)
            break
    cdef tuple fresh = (
        labels,
        fingerprint_of(of, labels),
        annotations,
        severity,
        url,
        starts_ns,
        ends_ns,
        PyBytes_FromStringAndSize(
            <const char *> of.whole.start, of.whole.end - of.whole.start
        ),
        PyObject_Hash((annotations, severity, url)),
    )
    PyObject_GC_UnTrack(<PyObject *> fresh)
    return fresh


def digest_of(bytes words not None):
    """See the twin."""
    cdef AbPart part
    part.start = <const uint8_t *> PyBytes_AS_STRING(words)
    part.end = part.start + PyBytes_GET_SIZE(words)
    cdef bytes digest = PyBytes_FromStringAndSize(NULL, DIGEST_BYTES)
    ab_digest(&part, 1, _key, <uint8_t *> PyBytes_AS_STRING(digest))
    return digest


cdef struct Known:
    # The fingerprint is kept alive.
    uint64_t[2] digest
    PyObject *fingerprint
    int64_t said


cdef class Words:
    """See the twin. Rows in the order in which they came, and a table of their numbers, from 1, by
    the first half of the digest, which is a hash already."""

    cdef Known *rows
    cdef uint32_t *table
    cdef Py_ssize_t most, count, room
    cdef uint64_t mask

    def __cinit__(self, Py_ssize_t most):
        self.most = most

    def __dealloc__(self):
        cdef Py_ssize_t n
        for n in range(self.count):
            Py_DECREF(<object> self.rows[n].fingerprint)
        PyMem_Free(self.rows)
        PyMem_Free(self.table)

    def __len__(self):
        return self.count

    cdef inline uint32_t *place(self, const uint64_t *digest) noexcept:
        """Where the number of *digest* is, or would be."""
        cdef uint64_t at = digest[0] & self.mask
        cdef Known *row
        while self.table[at]:
            row = &self.rows[self.table[at] - 1]
            if row.digest[0] == digest[0] and row.digest[1] == digest[1]:
                break
            at = (at + 1) & self.mask
        return &self.table[at]

    cdef inline Known *find(self, const uint64_t *digest) noexcept:
        """The row of *digest*, or NULL."""
        cdef uint32_t number
        if self.count == 0:
            return NULL
        number = self.place(digest)[0]
        return &self.rows[number - 1] if number else NULL

    cdef int make_room(self) except -1:
        """For one row more, with half of the table free."""
        cdef Py_ssize_t room
        cdef void *made
        if self.count >= self.room:
            room = max(64, self.room + self.room // 4)
            made = PyMem_Realloc(self.rows, room * sizeof(Known))
            if not made:
                raise MemoryError
            self.rows, self.room = <Known *> made, room
        if not self.table or 2 * <uint64_t> self.count > self.mask:
            room = 2 * (self.mask + 1) if self.table else 256
            made = PyMem_Realloc(self.table, room * sizeof(uint32_t))
            if not made:
                raise MemoryError
            self.table, self.mask = <uint32_t *> made, room - 1
            self.number()
        return 0

    cdef void number(self) noexcept:
        """Fill the table anew."""
        cdef Py_ssize_t n
        memset(self.table, 0, (self.mask + 1) * sizeof(uint32_t))
        for n in range(self.count):
            self.place(self.rows[n].digest)[0] = n + 1

    cdef void forget(self, Py_ssize_t gone) noexcept:
        """The oldest *gone*."""
        cdef Py_ssize_t n
        if self.count == 0:
            return
        gone = min(gone, self.count)
        for n in range(gone):
            Py_DECREF(<object> self.rows[n].fingerprint)
        self.count -= gone
        memmove(self.rows, self.rows + gone, self.count * sizeof(Known))
        self.number()

    def get(self, bytes digest not None):
        """See the twin."""
        cdef Known *row
        cdef uint64_t[2] wanted
        if PyBytes_GET_SIZE(digest) != DIGEST_BYTES:
            return None
        memcpy(wanted, PyBytes_AS_STRING(digest), DIGEST_BYTES)
        row = self.find(wanted)
        return None if row == NULL else (<object> row.fingerprint, row.said)

    def learn(self, digests, fingerprints, saids):
        """See the twin."""
        cdef bytes digest
        cdef str fingerprint
        cdef int64_t said
        cdef uint64_t[2] wanted
        cdef Known *row
        cdef PyObject *before
        for digest, fingerprint, said in zip(digests, fingerprints, saids, strict=True):
            if digest is None or fingerprint is None or PyBytes_GET_SIZE(digest) != DIGEST_BYTES:
                raise ValueError("a digest of another length")
            memcpy(wanted, PyBytes_AS_STRING(digest), DIGEST_BYTES)
            row = self.find(wanted)
            if row == NULL:
                if self.count >= self.most:
                    self.forget(self.most // 2 + 1)
                self.make_room()
                row = &self.rows[self.count]
                row.digest[0], row.digest[1] = wanted[0], wanted[1]
                row.fingerprint = NULL
                self.count += 1
                self.place(wanted)[0] = self.count
            before = row.fingerprint
            Py_INCREF(fingerprint)
            row.fingerprint, row.said = <PyObject *> fingerprint, said
            if before != NULL:
                Py_DECREF(<object> before)


def read(bytes body not None, Words words not None, instant_of, is_url, horizon_ns):
    """See the twin."""
    cdef const uint8_t *at = <const uint8_t *> PyBytes_AS_STRING(body)
    cdef const uint8_t *end = at + PyBytes_GET_SIZE(body)
    cdef Element element
    cdef Known *known
    cdef uint64_t[2] wanted
    cdef bytes digest
    cdef tuple fresh
    cdef list digests = [], found = [], freshes = []
    cdef _Time starts = _Time(), ends = _Time()
    at = blank_end(at, end)
    if at >= end or at[0] != 91:
        return None
    at = blank_end(at + 1, end)
    while True:
        at = element_end(at, end, &element)
        if at == NULL or len(digests) >= ALERTS_MAX:
            return None
        starts_ns = starts.read(&element.starts, instant_of)
        ends_ns = ends.read(&element.ends, instant_of)
        if starts_ns is NotImplemented or ends_ns is NotImplemented:
            return None
        if starts_ns is not None and starts_ns > (horizon_ns if ends_ns is None else ends_ns):
            return None
        digest = PyBytes_FromStringAndSize(NULL, DIGEST_BYTES)
        ab_digest(element.words, 3, _key, <uint8_t *> PyBytes_AS_STRING(digest))
        digests.append(digest)
        memcpy(wanted, PyBytes_AS_STRING(digest), DIGEST_BYTES)
        known = words.find(wanted)
        if known == NULL:
            try:
                fresh = fresh_of(&element, starts_ns, ends_ns, is_url)
            except UnicodeDecodeError:
                return None
            if fresh is None:
                return None
            found.append(None)
            freshes.append(fresh)
        else:
            found.append((<object> known.fingerprint, known.said, starts_ns, ends_ns))
            freshes.append(None)
        at = blank_end(at, end)
        if at >= end:
            return None
        if at[0] == 93:
            break
        if at[0] != 44:
            return None
        at = blank_end(at + 1, end)
        if len(digests) & (TURN_ALERTS - 1) == 0:
            with nogil:
                pass
    if blank_end(at + 1, end) != end:
        return None
    return Read(digests, found, freshes)


def posts(make, list fresh not None, nobody, now_ns, resolve_after_ns):
    """See the twin."""
    cdef list made = []
    cdef tuple one
    for one in fresh:
        starts_ns = one[5]
        made.append(
            make(
                "metric",
                one[0],
                one[1],
                one[2],
                now_ns,
                starts_ns if starts_ns is not None and starts_ns < now_ns else now_ns,
                resolve_after_ns,
                starts_ns,
                one[6],
                "",
                one[4],
                nobody,
                one[3],
                one[7],
            )
        )
    return made
