"""Numbers as protobuf and snappy write them: seven bits a byte from the lowest, the last without 0x80.

    300  →  ac 02

Source: protobuf.dev, encoding; the same in google/snappy, format_description.txt.
"""


def varint(number: int) -> bytes:
    """*number*, not negative."""
    if number < 0x80:
        return b"%c" % number
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
