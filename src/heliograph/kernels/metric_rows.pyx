# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
"""`metric_rows.py` for machines with a compiler: the rows are columns of C, an answer is made of bytes.

What a row, a key and an answer are is told there; a test holds the two together. Between the look-up
of a series and the keeping of its row nothing is allocated and nothing called, so that with the
interpreter's own lock no other is needed.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.datetime cimport (
    PyDateTime_CheckExact, datetime, datetime_day, datetime_hour, datetime_microsecond,
    datetime_minute, datetime_month, datetime_second, datetime_tzinfo, datetime_year, import_datetime,
    timedelta, timedelta_days, timedelta_microseconds, timedelta_seconds,
)
from cpython.dict cimport PyDict_Copy, PyDict_GetItemWithError, PyDict_Next, PyDict_SetItem, PyDict_Size
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.math cimport floor, isfinite, isnan, rint
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from collections import deque, namedtuple
from datetime import UTC

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void* PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    bint PyUnicode_IS_ASCII(object text)
    Py_UCS4 PyUnicode_READ_CHAR(object text, Py_ssize_t at)
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1

import_datetime()

COMPILED = True
Key = object
KEYS_MAX = 65_536
CONTEXT_KEYS_MAX = 32
TEXT_CHARS_MAX = 1024

Taken = namedtuple("Taken", "keys size slots at_ns values")

cdef Py_ssize_t _KEYS_MAX = KEYS_MAX
cdef Py_ssize_t _CONTEXT_KEYS_MAX = CONTEXT_KEYS_MAX
cdef Py_ssize_t _TEXT_CHARS_MAX = TEXT_CHARS_MAX
cdef enum:
    PREFIX = 24
    ID = 36
    SECOND_TEXT = 20
    STAMP = 26
    FIRST_YEAR = 1678
    LAST_YEAR = 2261
cdef int64_t SECOND_NS = 1_000_000_000
# Beyond, 64 bits of nanoseconds do not reach.
cdef int64_t SECONDS_MAX = 9_200_000_000
# What the text of an instant has after six digits of its second: more than a datetime takes.
cdef Py_ssize_t SEVENTH_DIGIT = 26

cdef object _from_text = __import__("datetime").datetime.fromisoformat
cdef object _UTC = UTC
cdef str _STATUS = "status"
cdef str _EVENT_ID = "event_id"
cdef str _TIMESTAMP = "timestamp"
cdef str _TRUE = "true"
cdef str _FALSE = "false"
cdef str _NULL = "null"
cdef str _NAN = "NaN"
cdef str _INFINITE = "Infinity"
cdef str _MINUS_INFINITE = "-Infinity"
cdef dict _ANSWER = {"status": "success", "event_id": None, "timestamp": None}


cdef class _Group:
    """Rows of one set of keys."""

    cdef list keys
    cdef Py_ssize_t count, room
    cdef int64_t* at_ns
    cdef double* values
    cdef uint32_t* slots

    def __cinit__(self, list keys, Py_ssize_t room):
        self.keys = keys
        self.count = 0
        self.room = room
        self.at_ns = <int64_t*> PyMem_RawMalloc(room * (sizeof(int64_t) + sizeof(double) + sizeof(uint32_t)))
        if self.at_ns is NULL:
            raise MemoryError
        self.values = <double*> (self.at_ns + room)
        self.slots = <uint32_t*> (self.values + room)

    def __dealloc__(self):
        PyMem_RawFree(self.at_ns)


cdef class Rows:
    """As the plain one."""

    cdef public bint open, asleep
    cdef public frozenset watched
    cdef public object wake
    cdef public Py_ssize_t recorded, waiting
    cdef object now_ns, stamp, read
    cdef bytes prefix
    cdef uint64_t number
    cdef Py_ssize_t rows_max, group_max
    cdef list keys, returned
    cdef dict slots
    cdef object groups
    cdef _Group group
    # The text of the second that begins at `second_ns`.
    cdef int64_t second_ns
    cdef char second_text[SECOND_TEXT]

    def __init__(self, now_ns, stamp, read, str prefix not None, number, *, rows_max, group_max):
        self.open = True
        self.watched = frozenset()
        self.wake = int
        self.now_ns = now_ns
        self.stamp = stamp
        self.read = read
        self.prefix = prefix.encode("ascii")
        if len(self.prefix) != PREFIX:
            raise ValueError("a prefix has 24 characters")
        self.number = number & 0xFFFF_FFFF_FFFF
        self.rows_max = rows_max
        self.group_max = group_max
        self.keys = []
        self.slots = {}
        self.groups = deque()
        self.returned = []
        self.group = _Group(self.keys, group_max)
        # As if nothing were known.
        self.second_ns = -2 * SECOND_NS
        self._stamped(0)

    def record(self, name, value, context, timestamp):
        """As the plain one."""
        cdef double number
        cdef int overflow = 0
        cdef int64_t at_ns = 0
        cdef object key, told, event_id
        cdef PyObject* found
        cdef dict answer
        if not self.open or self.waiting >= self.rows_max:
            return None
        if type(value) is float:
            number = <double> value
        elif type(value) is int:
            number = <double> PyLong_AsLongLongAndOverflow(value, &overflow)
            if overflow:
                return None
        else:
            return None
        if type(name) is not str or self.watched is None or name in <frozenset> self.watched:
            return None
        if context is None:
            key = name
        elif type(context) is dict:
            key = _key_of(name, <dict> context)
            if key is None:
                return None
        else:
            return None
        if timestamp is None or (type(timestamp) is str and PyUnicode_GET_LENGTH(timestamp) == 0):
            at_ns = self.now_ns()
            told = self._stamped(at_ns)
        else:
            told = self._read_moment(timestamp, &at_ns)
            if told is None:
                return None
        event_id = self._next_id()
        answer = PyDict_Copy(_ANSWER)
        PyDict_SetItem(answer, _EVENT_ID, event_id)
        PyDict_SetItem(answer, _TIMESTAMP, told)
        self._make_room()
        # From here to the row nothing is allocated.
        found = PyDict_GetItemWithError(self.slots, key)
        if found is NULL or not self.open:
            return None
        self._append(<uint32_t> <Py_ssize_t> <object> found, at_ns, number)
        self.recorded += 1
        if self.asleep:
            self.asleep = False
            self.wake()
        return answer

    def put(self, key, at_ns, value):
        """As the plain one."""
        self._put(key, at_ns, value)

    def put_all(self, rows):
        """As the plain one."""
        for key, at_ns, value in rows:
            self._put(key, at_ns, value)

    cdef int _put(self, object key, int64_t when_ns, double number) except -1:
        cdef PyObject* found
        cdef object slot
        while True:
            self._make_room()
            found = PyDict_GetItemWithError(self.slots, key)
            if found is not NULL:
                break
            if len(self.keys) >= _KEYS_MAX:
                self._begin_anew()
            slot = len(self.keys)
            self.keys.append(key)
            self.slots[key] = slot
        self._append(<uint32_t> <Py_ssize_t> <object> found, when_ns, number)
        if self.asleep:
            self.asleep = False
            self.wake()
        return 0

    def hold(self, Py_ssize_t count):
        """As the plain one."""
        self.waiting += count

    def take(self):
        """As the plain one."""
        cdef _Group group, following
        if self.returned:
            taken = self.returned.pop()
            self.waiting -= <Py_ssize_t> taken[1]
            return taken
        if self.groups:
            group = self.groups.popleft()
        else:
            following = _Group(self.keys, self.group_max)
            # What is allocated may run others: these are the rows and the keys of now.
            group = self.group
            if not group.count:
                return None
            following.keys = group.keys
            self.group = following
        self.waiting -= group.count
        return Taken(
            group.keys,
            group.count,
            PyBytes_FromStringAndSize(<char*> group.slots, group.count * sizeof(uint32_t)),
            PyBytes_FromStringAndSize(<char*> group.at_ns, group.count * sizeof(int64_t)),
            PyBytes_FromStringAndSize(<char*> group.values, group.count * sizeof(double)),
        )

    def give_back(self, taken):
        """As the plain one."""
        self.returned.append(taken)
        self.waiting += <Py_ssize_t> taken[1]

    def forget(self):
        """As the plain one."""
        self._begin_anew()

    cdef inline void _append(self, uint32_t slot, int64_t at_ns, double value) noexcept:
        cdef _Group group = self.group
        cdef Py_ssize_t at = group.count
        group.slots[at] = slot
        group.at_ns[at] = at_ns
        group.values[at] = value
        group.count = at + 1
        self.waiting += 1

    cdef inline int _make_room(self) except -1:
        cdef _Group following
        # What is allocated may run others, who fill it again.
        while self.group.count >= self.group.room:
            following = _Group(self.keys, self.group_max)
            if self.group.count >= self.group.room:
                following.keys = self.keys
                group, self.group = self.group, following
                self.groups.append(group)
        return 0

    cdef int _begin_anew(self) except -1:
        cdef list keys = []
        cdef dict slots = {}
        cdef _Group following = _Group(keys, self.group_max)
        group, self.group, self.keys, self.slots = self.group, following, keys, slots
        if (<_Group> group).count:
            self.groups.append(group)
        return 0

    cdef object _next_id(self):
        cdef object text = PyUnicode_New(ID, 127)
        cdef char* out = <char*> PyUnicode_1BYTE_DATA(text)
        cdef uint64_t left
        cdef int n, digit
        self.number += 1
        left = self.number
        memcpy(out, <char*> self.prefix, PREFIX)
        for n in range(ID - 1, PREFIX - 1, -1):
            digit = <int> (left & 15)
            out[n] = <char> (digit + (c"0" if digit < 10 else c"a" - 10))
            left >>= 4
        return text

    cdef object _stamped(self, int64_t at_ns):
        """The text of *at_ns*, whose second is most often that of the last one."""
        cdef int64_t since_ns = at_ns - self.second_ns
        cdef object text
        cdef char* out
        if since_ns < 0 or since_ns >= SECOND_NS:
            text = self.stamp(at_ns)
            if at_ns < 0 or PyUnicode_GET_LENGTH(text) != STAMP or not PyUnicode_IS_ASCII(text):
                return text
            self.second_ns = at_ns - at_ns % SECOND_NS
            memcpy(self.second_text, PyUnicode_1BYTE_DATA(text), SECOND_TEXT)
            return text
        text = PyUnicode_New(STAMP, 127)
        out = <char*> PyUnicode_1BYTE_DATA(text)
        memcpy(out, self.second_text, SECOND_TEXT)
        _digits(out + SECOND_TEXT, <int> (since_ns // 1000), STAMP - SECOND_TEXT)
        return text

    cdef object _read_moment(self, object when, int64_t* at_ns):
        """*when* as an answer repeats it, and its instant; None for what is not usual."""
        cdef int overflow = 0
        cdef double seconds, whole
        cdef long long count
        cdef object moment = None
        if type(when) is float:
            seconds = <double> when
            if not (-SECONDS_MAX < seconds < SECONDS_MAX):
                return None
            whole = floor(seconds)
            at_ns[0] = <int64_t> whole * SECOND_NS + <int64_t> rint((seconds - whole) * 1e9)
            return when
        if type(when) is int:
            count = PyLong_AsLongLongAndOverflow(when, &overflow)
            if overflow or not (-SECONDS_MAX < count < SECONDS_MAX):
                return None
            at_ns[0] = count * SECOND_NS
            return when
        if PyDateTime_CheckExact(when):
            return _iso_text(when) if _of_datetime(when, at_ns) else None
        if type(when) is not str:
            return None
        try:
            if not (
                PyUnicode_GET_LENGTH(when) > SEVENTH_DIGIT
                and c"0" <= PyUnicode_READ_CHAR(when, SEVENTH_DIGIT) <= c"9"
            ):
                try:
                    moment = _from_text(when)
                except ValueError:
                    moment = None
                if moment is not None and _of_datetime(moment, at_ns):
                    return when
            at_ns[0] = self.read(when)
        except (ValueError, TypeError, OverflowError):
            return None
        return when


cdef bint _of_datetime(object when, int64_t* at_ns) except -1:
    """Whether *when* has an instant, without a zone of UTC; years that 64 bits of nanoseconds hold."""
    cdef int year = datetime_year(when)
    cdef int month = datetime_month(when)
    cdef int64_t seconds, days, era, of_era
    cdef object zone = datetime_tzinfo(when)
    cdef object off
    if year < FIRST_YEAR or year > LAST_YEAR:
        return False
    # Days since 1970 of a year that begins in March.
    if month <= 2:
        year -= 1
    era = year // 400
    of_era = year - era * 400
    days = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + datetime_day(when) - 1
    days += of_era * 365 + of_era // 4 - of_era // 100 + era * 146_097 - 719_468
    seconds = days * 86_400 + datetime_hour(when) * 3600 + datetime_minute(when) * 60 + datetime_second(when)
    at_ns[0] = seconds * SECOND_NS + <int64_t> datetime_microsecond(when) * 1000
    if zone is None or zone is _UTC:
        return True
    off = when.utcoffset()
    if off is None:
        return False
    seconds = <int64_t> timedelta_days(off) * 86_400 + timedelta_seconds(off)
    at_ns[0] -= seconds * SECOND_NS + <int64_t> timedelta_microseconds(off) * 1000
    return True


cdef inline char* _digits(char* out, int number, int width) noexcept:
    cdef int n
    for n in range(width - 1, -1, -1):
        out[n] = <char> (c"0" + number % 10)
        number //= 10
    return out + width


cdef object _iso_text(object when):
    """What `isoformat` says, which takes longer."""
    cdef object zone = datetime_tzinfo(when)
    cdef int micros = datetime_microsecond(when)
    cdef char text[40]
    cdef char* out = text
    cdef object told
    if zone is not None and zone is not _UTC:
        return when.isoformat()
    out = _digits(out, datetime_year(when), 4)
    out[0] = c"-"
    out = _digits(out + 1, datetime_month(when), 2)
    out[0] = c"-"
    out = _digits(out + 1, datetime_day(when), 2)
    out[0] = c"T"
    out = _digits(out + 1, datetime_hour(when), 2)
    out[0] = c":"
    out = _digits(out + 1, datetime_minute(when), 2)
    out[0] = c":"
    out = _digits(out + 1, datetime_second(when), 2)
    if micros:
        out[0] = c"."
        out = _digits(out + 1, micros, 6)
    if zone is not None:
        memcpy(out, b"+00:00", 6)
        out += 6
    told = PyUnicode_New(out - text, 127)
    memcpy(PyUnicode_1BYTE_DATA(told), text, out - text)
    return told


def key_of(name, context):
    """As the plain one."""
    if not context:
        return name
    return _key_of(name, <dict> context) if type(context) is dict else None


cdef object _float_text(object value):
    # As JSON has it.
    cdef double number = <double> value
    if isfinite(number):
        return repr(value)
    return _NAN if isnan(number) else _INFINITE if number > 0 else _MINUS_INFINITE


cdef object _key_of(object name, dict context):
    cdef Py_ssize_t count = PyDict_Size(context)
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t place = 1
    cdef int overflow = 0
    cdef PyObject* label
    cdef PyObject* held
    cdef object value
    cdef tuple key
    if count == 0:
        return name
    if count > _CONTEXT_KEYS_MAX:
        return None
    key = PyTuple_New(2 * count + 1)
    Py_INCREF(name)
    PyTuple_SET_ITEM(key, 0, name)
    while PyDict_Next(context, &at, &label, &held):
        # Nothing here runs others, so the dict stays as it is.
        value = <object> held
        if type(<object> label) is not str or place > 2 * count:
            return None
        if type(value) is str:
            if PyUnicode_GET_LENGTH(value) > _TEXT_CHARS_MAX:
                return None
        elif type(value) is int:
            PyLong_AsLongLongAndOverflow(value, &overflow)
            if overflow:
                return None
        elif type(value) is float:
            value = _float_text(value)
        elif type(value) is bool:
            value = _TRUE if value is True else _FALSE
        elif value is None:
            value = _NULL
        else:
            return None
        Py_INCREF(<object> label)
        PyTuple_SET_ITEM(key, place, <object> label)
        Py_INCREF(value)
        PyTuple_SET_ITEM(key, place + 1, value)
        place += 2
    return key if place == 2 * count + 1 else None
