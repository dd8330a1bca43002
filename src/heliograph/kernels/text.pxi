# Numbers and samples as text; a part of cells.pyx.
#
# A double is written with the fewest digits that read back as the same double, laid out as Python's
# `repr` does. The digits come from the Schubfach method: the powers of ten, as 128 bits rounded up,
# are computed when the first number is written.
# Source: R. Giulietti, "The Schubfach way to render doubles", 2020.

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    #define HG_POWER_MIN (-292)
    #define HG_POWER_MAX 324
    typedef unsigned __int128 hg_wide;
    static uint64_t hg_powers[HG_POWER_MAX - HG_POWER_MIN + 1][2];  /* high, low */

    static const char hg_pairs[201] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
        "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";

    /* The digits of *n* at *out*; how many. */
    static int hg_digits(char *out, uint64_t n) {
        char held[20];
        char *at = held + 20;
        while (n >= 100) {
            at -= 2;
            memcpy(at, hg_pairs + 2 * (n % 100), 2);
            n /= 100;
        }
        if (n >= 10) {
            at -= 2;
            memcpy(at, hg_pairs + 2 * n, 2);
        } else {
            *--at = (char)('0' + n);
        }
        memcpy(out, at, (size_t)(held + 20 - at));
        return (int)(held + 20 - at);
    }

    static int64_t hg_floor_log2_pow10(int64_t e) { return (e * 1741647) >> 19; }

    /* The high 64 bits of power * n / 2^64, odd where what is cut off is more than nothing. */
    static uint64_t hg_scaled(const uint64_t *power, uint64_t n) {
        hg_wide low = (hg_wide)power[1] * n;
        hg_wide high = (hg_wide)power[0] * n + (uint64_t)(low >> 64);
        return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
    }

    /* The shortest decimal that reads back as the finite positive double of *bits*: n * 10^e. */
    static uint64_t hg_shortest(uint64_t bits, int *exponent) {
        uint64_t fraction = bits & 0xFFFFFFFFFFFFFull;
        int64_t biased = (int64_t)(bits >> 52);
        uint64_t c = biased ? fraction | 0x10000000000000ull : fraction;
        int64_t q = (biased ? biased : 1) - 1075;
        int closer = fraction == 0 && biased > 1;
        int64_t k = (q * 1262611 - (closer ? 524031 : 0)) >> 22;
        int64_t shift = q + hg_floor_log2_pow10(-k) + 1;
        const uint64_t *power = hg_powers[-k - HG_POWER_MIN];
        uint64_t odd = c & 1;
        uint64_t lower = hg_scaled(power, (4 * c - 2 + closer) << shift) + odd;
        uint64_t value = hg_scaled(power, (4 * c) << shift);
        uint64_t upper = hg_scaled(power, (4 * c + 2) << shift) - odd;
        uint64_t s = value / 4;
        *exponent = (int)k;
        if (s >= 10) {
            uint64_t tens = s / 10;
            int below = lower <= 40 * tens, above = 40 * tens + 40 <= upper;
            if (below != above) {
                *exponent = (int)k + 1;
                return tens + (uint64_t)above;
            }
        }
        int below = lower <= 4 * s, above = 4 * s + 4 <= upper;
        if (below != above) return s + (uint64_t)above;
        uint64_t middle = 4 * s + 2;
        return s + (uint64_t)(value > middle || (value == middle && (s & 1)));
    }

    /* *value* at *out*, at most 32 bytes; how many. *whole* leaves `.0` away. */
    static int hg_double(char *out, double value, int whole) {
        char *at = out;
        uint64_t bits;
        memcpy(&bits, &value, 8);
        if (value != value) { memcpy(out, "NaN", 3); return 3; }
        if ((bits & 0x7FFFFFFFFFFFFFFFull) == 0x7FF0000000000000ull) {
            memcpy(out, bits >> 63 ? "-Inf" : "+Inf", 4);
            return 4;
        }
        if (bits >> 63) {
            if (!whole || value != 0) *at++ = '-';
            bits &= 0x7FFFFFFFFFFFFFFFull;
            value = -value;
        }
        if (value < 1e15 && (double)(uint64_t)value == value) {
            at += hg_digits(at, (uint64_t)value);
            if (!whole) { memcpy(at, ".0", 2); at += 2; }
            return (int)(at - out);
        }
        int exponent;
        uint64_t n = hg_shortest(bits, &exponent);
        while (n % 10 == 0) { n /= 10; exponent++; }
        char digits[20];
        int count = hg_digits(digits, n);
        int point = count + exponent;  /* digits before the point */
        if (point > 16 || point < -3) {
            *at++ = digits[0];
            if (count > 1) {
                *at++ = '.';
                memcpy(at, digits + 1, (size_t)count - 1);
                at += count - 1;
            }
            *at++ = 'e';
            int power = point - 1;
            *at++ = power < 0 ? '-' : '+';
            if (power < 0) power = -power;
            if (power < 10) *at++ = '0';
            at += hg_digits(at, (uint64_t)power);
        } else if (point <= 0) {
            memcpy(at, "0.000", 5);
            at += 2 - point;
            memcpy(at, digits, (size_t)count);
            at += count;
        } else if (point >= count) {
            memcpy(at, digits, (size_t)count);
            at += count;
            memset(at, '0', (size_t)(point - count));
            at += point - count;
            if (!whole) { memcpy(at, ".0", 2); at += 2; }
        } else {
            memcpy(at, digits, (size_t)point);
            at += point;
            *at++ = '.';
            memcpy(at, digits + point, (size_t)(count - point));
            at += count - point;
        }
        return (int)(at - out);
    }

    /* *text* with backslash, quote and newline escaped at *out*, twice its size at most. */
    static size_t hg_escaped(char *out, const char *text, size_t size) {
        char *at = out;
        for (size_t i = 0; i < size; i++) {
            char c = text[i];
            if (c == '"' || c == '\\\\' || c == '\\n') {
                *at++ = '\\\\';
                *at++ = c == '\\n' ? 'n' : c;
            } else {
                *at++ = c;
            }
        }
        return (size_t)(at - out);
    }
    """
    unsigned long long hg_powers[617][2]
    int hg_double(char *, double, int) noexcept
    int hg_digits(char *, unsigned long long) noexcept
    size_t hg_escaped(char *, const char *, size_t) noexcept
    int _PyBytes_Resize(PyObject **, Py_ssize_t) except -1
    object PyBytes_FromStringAndSize(const char *, Py_ssize_t)

cdef bint _powers_made = False
# Samples between two offers of the interpreter's lock to other threads, some 0.2 ms.
cdef enum:
    YIELD_EVERY = 2048


cdef int _make_powers() except -1:
    """Ten to each power as 128 bits, the first of them set, rounded up."""
    global _powers_made
    for power in range(-292, 325):
        shift = (power * 1741647 >> 19) - 127
        if power >= 0:
            scaled = 10**power
            scaled = -(-scaled >> shift) if shift >= 0 else scaled << -shift
        else:
            scaled = -(-(1 << -shift) // 10**-power)
        hg_powers[power + 292][0] = scaled >> 64
        hg_powers[power + 292][1] = scaled & 0xFFFFFFFFFFFFFFFF
    _powers_made = True
    return 0


def number(double value, bint whole=False):
    """The text of *value*, for tests."""
    cdef char out[40]
    if not _powers_made:
        _make_powers()
    return out[: hg_double(out, value, whole)].decode()


cdef class Writer:
    """A text that grows: `put` bytes, `lines` of a metric, then `finish`."""

    cdef PyObject *held
    cdef char *data
    cdef Py_ssize_t size, room

    def __cinit__(self):
        self.held = NULL
        self.size = self.room = 0

    def __dealloc__(self):
        if self.held != NULL:
            Py_DECREF(<object> self.held)

    cdef inline char *space(self, Py_ssize_t more) except NULL:
        """Where the next *more* bytes may be written."""
        if self.size + more >= self.room:
            self.grow(more)
        return self.data + self.size

    cdef int grow(self, Py_ssize_t more) except -1:
        cdef Py_ssize_t room = max(4096, 2 * self.room, self.size + more)
        cdef object made
        if self.held == NULL:
            made = PyBytes_FromStringAndSize(NULL, room)
            Py_INCREF(made)
            self.held = <PyObject *> made
            made = None
        else:
            _PyBytes_Resize(&self.held, room)
        self.data = PyBytes_AS_STRING(<object> self.held)
        self.room = room
        return 0

    cdef inline int copy(self, const char *text, Py_ssize_t size) except -1:
        memcpy(self.space(size), text, size)
        self.size += size
        return 0

    def put(self, bytes text):
        """Append *text*."""
        self.copy(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))

    def finish(self):
        """All of it; the writer is empty then."""
        cdef object result
        if self.held == NULL:
            return b""
        if PyBytes_GET_SIZE(<object> self.held) != self.size:
            _PyBytes_Resize(&self.held, self.size)
        result = <object> self.held
        Py_DECREF(result)
        self.held = NULL
        self.size = self.room = 0
        return result

    cdef int labels(self, Cell cell, list names, bytes before) except -1:
        """`before`, then the labels of *cell*; *names* are the texts up to each value."""
        cdef Py_ssize_t size, i, count = len(names)
        cdef const char *text
        cdef bytes name
        cdef tuple key = None
        cdef bint first = PyBytes_GET_SIZE(before) == 0
        self.copy(PyBytes_AS_STRING(before), PyBytes_GET_SIZE(before))
        if count != 1:
            key = <tuple> cell.key
        for i in range(count):
            text = PyUnicode_AsUTF8AndSize(cell.key if key is None else <object> PyTuple_GET_ITEM(key, i), &size)
            if size == 0:
                continue
            name = <bytes> names[i]
            # A name's text begins with the comma, which the first one has no use for.
            self.copy(PyBytes_AS_STRING(name) + first, PyBytes_GET_SIZE(name) - first)
            first = False
            self.size += hg_escaped(self.space(2 * size + 1), text, size)
            self.copy(b'"', 1)
        return 0

    cdef int sample(self, Cell cell, bytes name, list names, bytes before) except -1:
        """The line of a counter or gauge."""
        cdef double value, tag = 0.0
        cdef Py_ssize_t begin
        self.copy(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        self.copy(b"{", 1)
        begin = self.size
        self.labels(cell, names, before)
        if self.size == begin:
            self.size -= 1
            self.copy(b" ", 1)
        else:
            self.copy(b"} ", 2)
        if isinstance(cell, CounterCell):
            value = _total(cell.at) if cell.at >= 0 else 0.0
        elif cell.at < 0:
            value = 0.0
        elif _gauges_bank.peers:
            value, tag = combined(cell.at, cell.spec.policy)
        else:
            value, tag = _gauges[cell.at], _gauges[cell.at + 1]
        if <long long> tag & WHOLE_ and value - value == 0.0 and not -1e15 < value < 1e15:
            self.put(str(int(value)).encode())
        else:
            self.size += hg_double(self.space(40), value, <long long> tag & WHOLE_)
        self.copy(b"\n", 1)
        return 0

    cdef int histogram(
        self, Cell cell, bytes name, list names, bytes before, list bounds
    ) except -1:
        """The lines of a histogram."""
        cdef Py_ssize_t begin, labels_at, labels_size, size, i
        cdef unsigned long long count = 0
        cdef bytes bound
        begin = self.size
        self.copy(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        self.copy(b"_bucket{", 8)
        labels_at = self.size
        self.labels(cell, names, before)
        labels_size = self.size - labels_at
        if labels_size:
            self.copy(b",", 1)
        size = self.size - begin
        for i in range(len(bounds)):
            if i:
                # What is before `le` is the same in every line.
                self.space(size)
                memcpy(self.data + self.size, self.data + begin, size)
                self.size += size
            bound = <bytes> bounds[i]
            self.copy(PyBytes_AS_STRING(bound), PyBytes_GET_SIZE(bound))
            if cell.at >= 0:
                count += <unsigned long long> _total(cell.at + 1 + i)
            self.size += hg_digits(self.space(24), count)
            self.copy(b"\n", 1)
        for i in range(2):
            self.copy(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
            if i == 0:
                self.copy(b"_sum", 4)
            else:
                self.copy(b"_count", 6)
            if labels_size:
                self.copy(b"{", 1)
                self.space(labels_size)
                memcpy(self.data + self.size, self.data + labels_at, labels_size)
                self.size += labels_size
                self.copy(b"}", 1)
            self.copy(b" ", 1)
            if i == 0:
                self.size += hg_double(
                    self.space(40), _total(cell.at) if cell.at >= 0 else 0.0, False
                )
            else:
                self.size += hg_digits(self.space(24), count)
            self.copy(b"\n", 1)
        return 0

    def lines(self, Cell metric, bint own, bytes before, bytes name, list bounds):
        """The samples of *metric* (itself if *own*) and its children, a line each.

        *before* are labels that come first, as text; *bounds* the texts `le="0.1"} ` of a
        histogram.
        """
        cdef list names
        cdef Py_ssize_t done = 0
        cdef bint histogram = isinstance(metric, HistogramCell)
        if not _powers_made:
            _make_powers()
        groups = [((), [metric])] if own else []
        groups += [(shape, list(table.values())) for shape, (_, table) in list(metric._labels.tables.items())]
        for shape, cells in groups:
            names = [f',{label}="'.encode() for label in shape]
            for cell in <list> cells:
                if histogram:
                    self.histogram(<Cell> cell, name, names, before, bounds)
                else:
                    self.sample(<Cell> cell, name, names, before)
                done += 1
                if done % YIELD_EVERY == 0:
                    with nogil:
                        pass
