"""Protobuf for tests: messages by the library's own decoder, and bytes by hand, also such as no library
writes.

WriteRequest = message_class({"Label": [("name", 1, ONE, STRING), …], …}, "WriteRequest")
field(1, field(1, b"__name__") + field(2, b"up"))      a length-delimited field in another
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

REPEATED, ONE, DOUBLE, INT64, STRING, MESSAGE, BYTES = 3, 1, 1, 3, 9, 11, 12


def message_class(schema, name):
    """The class of the message *name* of *schema*: the fields of each message, as (name, number, how
    many, kind or `.Message`)."""
    described = descriptor_pb2.FileDescriptorProto(name="tested.proto", syntax="proto3")
    for message_name, fields in schema.items():
        message = described.message_type.add(name=message_name)
        for field_name, number, times, kind in fields:
            made = message.field.add(name=field_name, number=number, label=times)
            made.type = MESSAGE if isinstance(kind, str) else kind
            if isinstance(kind, str):
                made.type_name = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(described)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def varint(number, *, longer=0):
    """*number* modulo 2^64 as varint, with *longer* bytes more than it needs."""
    number %= 2**64
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    for _ in range(longer):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def field(number, content):
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content
