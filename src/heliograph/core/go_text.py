"""Text as Go's `%q` writes it, for what Alertmanager writes so.

    quoted('a"b\\n')  →  '"a\\"b\\n"'

Source: Go `strconv.Quote`.
"""

_ESCAPES = {
    char: f"\\{letter}" for char, letter in zip('"\\\a\b\f\n\r\t\v', '"\\abfnrtv', strict=True)
}


def quoted(value: str) -> str:
    """*value* within quotes; what is not printable by its number."""
    return '"' + "".join(_ESCAPES.get(char) or _char(char) for char in value) + '"'


def _char(char: str) -> str:
    code = ord(char)
    if char.isprintable():
        return char
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
