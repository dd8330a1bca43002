"""A writer of `.wandb` files: what a client writes, of whatever fields a test names.

written([message(17, message(1, b"run-id"), …), …])      the file's bytes
"""

import zlib

from tests.protobuf import field, varint

BLOCK = 32 * 1024
HEADER = b":W&B\xe1\xbe\x00"


def message(number, *values):
    """Field *number*: a number, or the bytes of a text or of a nested message."""
    if len(values) == 1 and isinstance(values[0], int):
        return varint(number << 3) + varint(values[0] % 2**64)
    content = b"".join(one.encode() if isinstance(one, str) else one for one in values)
    return field(number, content)


def instant(at_ns):
    """The fields of a timestamp."""
    return message(1, at_ns // 10**9) + message(2, at_ns % 10**9)


def item(name, text):
    """A name and a JSON text; a name in parts is a nested one."""
    parts = [message(1, name)] if isinstance(name, str) else [message(2, one) for one in name]
    return message(1, *parts, message(16, text))


def run(run_id, *, project="p", started_ns, config=()):
    """The record of a run."""
    settings = message(4, *(item(name, text) for name, text in config))
    said = [message(1, run_id), message(3, project), settings, message(8, "nice")]
    return message(
        17, *said, message(13, "vm"), message(10, "a"), message(17, instant(started_ns))
    )


def history(step, at_s, values):
    """One logged step."""
    known = {"_timestamp": repr(at_s), "_step": str(step)}
    items = [item(name, text) for name, text in [*values, *known.items()]]
    return message(2, *items, message(2, message(1, step)))


def console(at_ns, text, *, stderr=False):
    """Something printed."""
    return message(
        13, message(1, 0 if stderr else 1), message(2, instant(at_ns)), message(3, text)
    )


def system(at_ns, values):
    """System metrics."""
    items = (message(3, message(1, name), message(16, text)) for name, text in values)
    return message(7, message(2, instant(at_ns)), *items)


def ended(code):
    """The run's end."""
    return message(18, message(1, code))


def written(records):
    """A file of *records*, in blocks."""
    out = bytearray(HEADER)
    for record in records:
        rest, first = record, True
        while first or rest:
            room = BLOCK - len(out) % BLOCK
            if room < 7:
                out += bytes(room)
                continue
            piece, rest = rest[: room - 7], rest[room - 7 :]
            kind = (1 if first else 4) if not rest else (2 if first else 3)
            crc = zlib.crc32(piece, zlib.crc32(bytes([kind])))
            out += crc.to_bytes(4, "little") + len(piece).to_bytes(2, "little") + bytes([kind])
            out += piece
            first = False
    return bytes(out)
