"""Scanner: one pass over a Prometheus remote write 1.0 message, straight into columns.

    WriteRequest { repeated TimeSeries timeseries = 1; repeated MetricMetadata metadata = 3; }
    TimeSeries   { repeated Label labels = 1; repeated Sample samples = 2;
                   repeated Exemplar exemplars = 3; repeated Histogram histograms = 4; }
    Label        { string name = 1; string value = 2; }
    Sample       { double value = 1; int64 timestamp = 2; }          milliseconds

What makes it fast: nearly every time series of a real sender is its labels and then one sample of
18 bytes, `12 10 09 <value 8> 10 <time 6>` (9 bytes, `12 07 10 <time 6>`, when the value is zero).
So the bytes before the value, labels and sample header together, are looked up whole in a dict of
those met before. Only bytes that were parsed from end to end get into it, and a message has one
reading from left to right: a hit proves all but the time, which is looked up likewise.
Anything else, any order of fields, any unknown field, takes the general path.

Exemplars, histograms and metadata are counted by their outer field and not opened.
Fields that are known but of another wire type are malformed, as they are to Go's decoder; groups,
which no sender of this protocol writes, are too.

The file runs as Python as it stands; with the `.pxd` beside it Cython makes C of the same text.
Source: Prometheus remote write specification 1.0; protobuf encoding, wire types.
"""

from array import array
from types import FunctionType

# The id of a series that *known* does not have; the last of u32, which no table gives out first.
_PENDING = 0xFFFFFFFF
PENDING = _PENDING

# (Names with an underscore are C constants where the file is compiled.)

# What a `known` key has after the labels: the header of a sample with value and 6-byte time.
SAMPLE_HEAD = b"\x12\x10\x09"

# Where the value of a sample that has none is said to be: it is 0.0.
_NO_VALUE = -1
NO_VALUE = _NO_VALUE

# ms * 1,000,000 has to fit int64.
_TIME_MS_MAX = 9_223_372_036_854
TIME_MS_MAX = _TIME_MS_MAX

# Indices kept of what is not written, for the answer; the rest is only counted.
NOTED_MAX = 16

# Times remembered within a message; one scrape has one, a batch of many scrapes some dozens.
_TIMES_MAX = 1024

# Numbers of one `unknown` entry.
UNKNOWN_WIDTH = 6


class Malformed(ValueError):
    """Not a WriteRequest. *reason* is one of a fixed few, *at* the offset of the fault.

    truncated, length_beyond_end, varint_overlong, field_number, wire_type, wire_type_mismatch, group
    """

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(f"{reason} at byte {at}")
        self.reason = reason
        self.at = at


class TooMany(ValueError):
    """More time series or samples than the scan was told to take."""


class Scanner:
    """The scan of *raw*, and its result. Nothing outside it changes.

    known       label bytes + `SAMPLE_HEAD` → series id; read only
    parts_max   time series, and samples, that are taken; TooMany beyond

    After `run`, and only if it did not raise, for the *rows* samples in the order of the message:
    series (u32, `PENDING` where unknown), at_ms (i64), value_at (i64, offset of the 8 bytes in
    *raw* or `NO_VALUE`); each is an array of at least *rows* items.
    unknown is an array of `UNKNOWN_WIDTH` numbers a time series that has samples and no id yet:
    index, first row, rows, start and end of its bytes, end of its leading labels or -1 when
    labels come later too.
    far and unread count the samples whose time does not fit nanoseconds (they have no row) and
    the native histograms; far_in and unread_in are the indices of the first `NOTED_MAX`.
    """

    def __init__(self, raw: bytes, known: dict[bytes, int], parts_max: int) -> None:
        self.raw = raw
        self.data = raw
        self.known = known
        self.parts_max = parts_max
        self.at = 0
        self.rows = 0
        self.room = min(len(raw) // 64 + 16, parts_max)
        self.series = array("I", bytes(4 * self.room))
        self.at_ms = array("q", bytes(8 * self.room))
        self.value_at = array("q", bytes(8 * self.room))
        self.unknown = array("q")
        self.count = self.hits = self.exemplars = self.metadata = 0
        self.far = self.unread = 0
        self.far_in: list[int] = []
        self.unread_in: list[int] = []

    def run(self) -> None:
        """Scan all of it. Raises Malformed or TooMany, and then there is no result."""
        raw, data, known = self.raw, self.data, self.known
        series, at_ms, value_at = self.series, self.at_ms, self.value_at
        times: dict[bytes, int] = {}
        size = len(raw)
        at = row = hits = index = 0
        room = self.room
        while at < size:
            # The shortest series with a name and a sample has more than 22 bytes.
            if data[at] == 0x0A and size - at > 22:
                length = data[at + 1]
                start = at + 2
                if length > 0x7F:
                    # Wrong where a third byte follows: but then *stop* is 16 KiB or more away.
                    length += (data[start] << 7) - 0x80
                    start += 1
                stop = start + length
                if 20 < length < 0x4000 and stop <= size and row < room:
                    head = stop - 15
                    if data[stop - 9] == 0x12 and data[stop - 8] == 0x07:
                        head = _NO_VALUE
                        found = known.get(data[start : stop - 9] + SAMPLE_HEAD)
                    else:
                        found = known.get(data[start:head])
                    if found is not None:
                        ms = times.get(data[stop - 7 : stop])
                        if ms is None and _is_time(data, stop - 7):
                            ms = _time(data, stop - 6)
                            if len(times) < _TIMES_MAX:
                                times[data[stop - 7 : stop]] = ms
                        if ms is not None:
                            series[row] = found
                            at_ms[row] = ms
                            value_at[row] = head
                            row += 1
                            hits += 1
                            index += 1
                            at = stop
                            continue
            self.at, self.rows, self.count = at, row, index
            self._field(size)
            at, row, index = self.at, self.rows, self.count
            series, at_ms, value_at, room = self.series, self.at_ms, self.value_at, self.room
        self.rows, self.count = row, index
        self.hits += hits
        if index > self.parts_max:
            raise TooMany

    def labels(self, start: int, stop: int, count_max: int) -> list[tuple[bytes, bytes]]:
        """(name, value) of the labels of the scanned time series in [start, stop), as sent.

        Those without a value are left out: they are absent. At most *count_max* + 1.
        """
        found: list[tuple[bytes, bytes]] = []
        self.at = start
        while self.at < stop and len(found) <= count_max:
            tag = self._tag(stop)
            if tag != 0x0A:
                self._skip(tag, stop)
                continue
            end = self._end(stop)
            name = value = b""
            while self.at < end:
                tag = self._tag(end)
                begin = self.at
                self._skip(tag, end)
                if tag == 0x0A:
                    name = self._text(begin, end)
                elif tag == 0x12:
                    value = self._text(begin, end)
            if value:
                found.append((name, value))
        return found

    def _text(self, begin: int, end: int) -> bytes:
        """The bytes of the length-delimited field whose length is at *begin*."""
        stop = self.at
        self.at = begin
        self._varint(end, 5)
        begin = self.at
        self.at = stop
        return self.data[begin:stop]

    def _field(self, end: int) -> None:
        """One field of the WriteRequest at the cursor."""
        tag = self._tag(end)
        number = tag >> 3
        if number == 1:
            self._delimited(tag)
            self._series(self._end(end))
            self.count += 1
            if self.count > self.parts_max:
                raise TooMany
            return
        if number == 3:
            self._delimited(tag)
            self.metadata += 1
        self._skip(tag, end)

    def _series(self, end: int) -> None:
        """The time series from the cursor to *end*, whatever its order."""
        data = self.data
        start = self.at
        while self.at < end and data[self.at] == 0x0A:
            self.at += 1
            self.at = self._end(end)
        labels_end = self.at
        found = self.known.get(data[start:labels_end] + SAMPLE_HEAD)
        if found is None:
            self._check_labels(start, labels_end)
        first = self.rows
        while self.at < end:
            tag = self._tag(end)
            number = tag >> 3
            if 1 <= number <= 4:
                self._delimited(tag)
            if number == 1:
                stop = self._end(end)
                self._check_label(stop)
                found = None
                labels_end = -1
            elif number == 2:
                self._sample(self._end(end))
            else:
                self.exemplars += number == 3
                if number == 4:
                    self.unread += 1
                    self._note(self.unread_in)
                self._skip(tag, end)
        if self.rows == first:
            return
        if found is None:
            rows = self.rows - first
            self.unknown.extend((self.count, first, rows, start, end, labels_end))
            return
        self.hits += 1
        series = self.series
        for row in range(first, self.rows):
            series[row] = found

    def _check_labels(self, start: int, stop: int) -> None:
        """Raise unless [start, stop) is whole labels, tag `0a` each."""
        self.at = start
        while self.at < stop:
            self.at += 1
            self._check_label(self._end(stop))

    def _check_label(self, end: int) -> None:
        """Raise unless the label from the cursor to *end* is well formed."""
        while self.at < end:
            tag = self._tag(end)
            if tag >> 3 == 1 or tag >> 3 == 2:
                self._delimited(tag)
            self._skip(tag, end)

    def _sample(self, end: int) -> None:
        """The sample from the cursor to *end*: one more row, or one more *far*."""
        value_at = _NO_VALUE
        ms = 0
        while self.at < end:
            tag = self._tag(end)
            number = tag >> 3
            if number == 1:
                if tag != 0x09:
                    raise Malformed("wire_type_mismatch", self.at)
                value_at = self.at
                self._skip(tag, end)
            elif number == 2:
                if tag != 0x10:
                    raise Malformed("wire_type_mismatch", self.at)
                ms = _signed(self._varint(end, 10))
            else:
                self._skip(tag, end)
        if not -_TIME_MS_MAX <= ms <= _TIME_MS_MAX:
            self.far += 1
            self._note(self.far_in)
            return
        row = self.rows
        if row == self.room:
            self._grow()
        self.series[row] = _PENDING
        self.at_ms[row] = ms
        self.value_at[row] = value_at
        self.rows = row + 1

    def _note(self, indices: list[int]) -> None:
        if len(indices) < NOTED_MAX:
            indices.append(self.count)

    def _grow(self) -> None:
        """Double the columns, up to *parts_max* rows."""
        more = min(self.room, self.parts_max - self.room)
        if more <= 0:
            raise TooMany
        self.series = array("I", bytes(self.series) + bytes(4 * more))
        self.at_ms = array("q", bytes(self.at_ms) + bytes(8 * more))
        self.value_at = array("q", bytes(self.value_at) + bytes(8 * more))
        self.room += more

    def _tag(self, end: int) -> int:
        """The tag at the cursor: field number << 3 | wire type."""
        begin = self.at
        tag = self._varint(end, 5)
        if tag >> 3 == 0 or tag > 0xFFFFFFFF:
            raise Malformed("field_number", begin)
        return tag

    def _delimited(self, tag: int) -> None:
        """Raise unless *tag*, of a field that has a length, says so."""
        if tag & 7 != 2:
            raise Malformed("wire_type_mismatch", self.at)

    def _end(self, end: int) -> int:
        """Read a length at the cursor; where what it measures ends, at most *end*."""
        begin = self.at
        length = self._varint(end, 5)
        if length > end - self.at:
            raise Malformed("length_beyond_end", begin)
        return self.at + length

    def _skip(self, tag: int, end: int) -> None:
        """Move over the content of the field of *tag*, whose tag is behind the cursor."""
        begin = self.at
        kind = tag & 7
        if kind == 0:
            self._varint(end, 10)
        elif kind == 1:
            self.at += 8
        elif kind == 2:
            self.at = self._end(end)
        elif kind == 5:
            self.at += 4
        elif kind < 5:
            raise Malformed("group", begin)
        else:
            raise Malformed("wire_type", begin)
        if self.at > end:
            raise Malformed("truncated", begin)

    def _varint(self, end: int, bytes_max: int) -> int:
        """The varint at the cursor, modulo 2^64, and the cursor behind it."""
        data = self.data
        begin = at = self.at
        result = shift = 0
        while at < end:
            byte = data[at]
            at += 1
            # Of a tenth byte only one bit is within 64.
            result |= (byte & (0x7F if shift < 63 else 1)) << shift
            if byte < 0x80:
                self.at = at
                return result
            shift += 7
            if at - begin == bytes_max:
                raise Malformed("varint_overlong", begin)
        raise Malformed("truncated", begin)


def _is_time(data: bytes, at: int) -> bool:
    """Whether the 7 bytes at *at* are the field `timestamp` with a varint of just 6 bytes."""
    return (
        data[at] == 0x10
        and data[at + 1] & data[at + 2] & data[at + 3] & data[at + 4] & data[at + 5] > 0x7F
        and data[at + 6] < 0x80
    )


def _time(data: bytes, at: int) -> int:
    """The varint of 6 bytes at *at*."""
    result = 0
    for i in range(6):
        byte = data[at + i]
        result |= (byte & 0x7F) << (7 * i)
    return result


def _signed(varint: int) -> int:
    """The int64 of which *varint* is the two's complement in 64 bits."""
    low = varint & 0x7FFFFFFFFFFFFFFF
    return low - 0x7FFFFFFFFFFFFFFF - 1 if varint >> 63 else low


# Whether this is the compiled file: there a method is no Python function.
COMPILED = not isinstance(Malformed.__init__, FunctionType)
