# Between the texts of a JSON document, and past an escape in one; a part of the kernels that read
# bodies. Those include it where `uint8_t` is known.

cdef inline const uint8_t *blank_end(const uint8_t *at, const uint8_t *end) noexcept nogil:
    while at < end and (at[0] == 32 or at[0] == 10 or at[0] == 13 or at[0] == 9):
        at += 1
    return at


cdef inline int hex_of(const uint8_t *at) noexcept nogil:
    """The four digits at *at*, or -1."""
    cdef int value = 0, k
    cdef uint8_t c
    for k in range(4):
        c = at[k]
        if 48 <= c <= 57:
            value = value * 16 + c - 48
        elif 97 <= c <= 102:
            value = value * 16 + c - 87
        elif 65 <= c <= 70:
            value = value * 16 + c - 55
        else:
            return -1
    return value


cdef const uint8_t *escape_end(const uint8_t *at, const uint8_t *end) noexcept nogil:
    """Past the escape at *at*; NULL where it is not a usual one."""
    cdef int code
    if end - at < 2:
        return NULL
    if at[1] != 117:
        if at[1] not in (34, 92, 47, 98, 102, 110, 114, 116):
            return NULL
        return at + 2
    if end - at < 6:
        return NULL
    code = hex_of(at + 2)
    if code < 0:
        return NULL
    if not 0xD800 <= code <= 0xDFFF:
        return at + 6
    if code > 0xDBFF or end - at < 12 or at[6] != 92 or at[7] != 117:
        return NULL
    code = hex_of(at + 8)
    if not 0xDC00 <= code <= 0xDFFF:
        return NULL
    return at + 12
