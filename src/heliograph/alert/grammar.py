"""Matchers as Alertmanager writes them: two grammars, and which of them a text is read by.

    {alertname="OOM", pod=~"llm-.*",}      both
    foo=🙂   "a name"="x"                   UTF-8 (Alertmanager 0.27 and later)
    job=   tricky=~~~   {foo=bar}}         classic (before 0.27)

`matchers` reads a text as a current Alertmanager does by default: classic where that can be read,
for that is what the text has meant so far, else UTF-8.
Source: the tables of Alertmanager's parser tests, and probes of 0.25.
"""

import re
from typing import NamedTuple

from heliograph.core.matcher import Matcher

TEXT_BYTES_MAX = 64 * 1024

# What Go's unicode.IsSpace calls space; Python's str.isspace has four more.
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_TOKEN = re.compile(
    rf"""[{_SPACES}]*(?:
        (?P<open>\{{) | (?P<close>\}}) | (?P<comma>,) | (?P<op>=~|!=|!~|=)
      | (?P<quoted>"(?:[^"\\]|\\.)*+")
      | (?P<bare>[^{_SPACES}{{}}!=~,\\"'`]+)
      | (?P<end>\Z))""",
    re.VERBOSE | re.DOTALL,
)
_CLASSIC = re.compile(
    r"[\t\n\f\r ]*([a-zA-Z_:][a-zA-Z0-9_:-]*)[\t\n\f\r ]*(=~|=|!=|!~)[\t\n\f\r ]*(.*?)[\t\n\f\r ]*\Z",
    re.DOTALL,
)
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))"
)
_PLAIN = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"',
}  # fmt: skip
_CLASSIC_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


def matchers(text: str) -> list[Matcher]:
    """The matchers of *text*, by the grammar that reads it. Raises ValueError that quotes it."""
    if len(text) > TEXT_BYTES_MAX:
        raise ValueError(f"matchers of {len(text)} characters, limit {TEXT_BYTES_MAX}")
    try:
        return classic_matchers(text)
    except ValueError as error:
        reason = error
    try:
        return utf8_matchers(text)
    except ValueError:
        raise reason from None


def matcher(text: str) -> Matcher:
    """The one matcher of *text*, which has no braces (`filter=` of the API). Raises ValueError."""
    if text.startswith("{") or text.endswith("}"):
        raise ValueError(f"unexpected open or close brace: {text!r}")
    if len(text) <= TEXT_BYTES_MAX:
        try:
            # All after the operator is the value, a comma too.
            return _classic(text)
        except ValueError:
            pass
    return one(text, matchers(text))


def one(text: str, found: list[Matcher]) -> Matcher:
    """The only one of *found*. Raises ValueError when *text* gave none or several."""
    if not found:
        raise ValueError(f"no matchers: {text!r}")
    if len(found) > 1:
        raise ValueError(f"expected 1 matcher, found {len(found)}: {text!r}")
    return found[0]


def utf8_matchers(text: str) -> list[Matcher]:
    """The matchers of *text* by the UTF-8 grammar. Raises ValueError that quotes *text*."""
    tokens = _tokens(text)
    at = 1 if tokens[0].kind == "open" else 0
    found: list[Matcher] = []
    while tokens[at].kind in {"quoted", "bare"}:
        name, op, value = tokens[at : at + 3] if at + 3 < len(tokens) else [_END] * 3
        if op.kind != "op" or value.kind not in {"quoted", "bare"}:
            raise _misread(text, tokens[at + 1])
        if not name.text:
            raise ValueError(f"a label name is empty: {text!r}")
        found.append(_matcher(name.text, op.text, value.text, text))
        at += 3
        if tokens[at].kind != "comma":
            break
        at += 1
    if tokens[0].kind == "open":
        if tokens[at].kind != "close":
            raise _misread(text, tokens[at])
        at += 1
    if tokens[at].kind != "end":
        raise _misread(text, tokens[at])
    return found


def classic_matchers(text: str) -> list[Matcher]:
    """The matchers of *text* by the classic grammar. Raises ValueError that quotes *text*."""
    inner = text.removeprefix("{").removesuffix("}")
    return [_classic(part) for part in _split(inner)]


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


_END = _Token("end", "", -1)


def _tokens(text: str) -> list[_Token]:
    """The tokens of *text*, ending with one of kind `end`; quoted ones without their quotes."""
    tokens: list[_Token] = []
    at = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise ValueError(f"not matchers: {text!r}: cannot be read at character {at + 1}")
        kind, found = match.lastgroup, match[match.lastgroup]
        if kind == "quoted":
            found = _unquoted(found, text)
        tokens.append(_Token(kind, found, match.end()))
        at = match.end()
    return tokens


def _unquoted(quoted: str, text: str) -> str:
    """What a double-quoted Go string stands for; bytes in escapes must make UTF-8."""
    inner = quoted[1:-1]
    out = bytearray()
    at = 0
    while at < len(inner):
        if inner[at] == "\n":
            raise ValueError(f"a line's end in quotes: {text!r}")
        if inner[at] != "\\":
            out += inner[at].encode("utf-8", "surrogatepass")
            at += 1
            continue
        match = _ESCAPE.match(inner, at)
        if match is None:
            raise ValueError(f"unknown escape in {quoted}: {text!r}")
        out += _escaped(match, text)
        at = match.end()
    try:
        return out.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{quoted} is not UTF-8: {text!r}") from error


def _escaped(match: "re.Match[str]", text: str) -> bytes:
    plain, byte, octal, short, long = match.groups()
    if plain is not None:
        return _PLAIN[plain].encode()
    if byte is not None or octal is not None:
        number = int(byte, 16) if byte is not None else int(octal, 8)
        if number > 255:
            raise ValueError(f"no such byte {match[0]}: {text!r}")
        return bytes([number])
    code = int(short or long, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ValueError(f"no such character {match[0]}: {text!r}")
    return chr(code).encode()


def _misread(text: str, token: _Token) -> ValueError:
    what = "its end" if token.kind == "end" else repr(token.text)
    return ValueError(f"not matchers: {text!r}: unexpected {what}")


def _split(inner: str) -> list[str]:
    """*inner* at its commas outside of quotes; a blank rest does not count."""
    parts: list[str] = []
    quoted = escaped = False
    begin = 0
    for at, char in enumerate(inner):
        if char == "," and not quoted:
            parts.append(inner[begin:at])
            begin = at + 1
        elif char == '"' and not escaped:
            quoted = not quoted
            escaped = False
        else:
            escaped = char == "\\" and not escaped
    rest = inner[begin:].strip()
    return [*parts, rest] if rest else parts


def _classic(part: str) -> Matcher:
    match = _CLASSIC.match(part)
    if match is None:
        raise ValueError(f'not a matcher: {part!r} (write e.g. pod=~"llm-.*")')
    return _matcher(match[1], match[2], _classic_value(match[3], part), part)


def _classic_value(raw: str, part: str) -> str:
    quoted = raw.startswith('"')
    text = raw[1:] if quoted else raw
    out: list[str] = []
    at, closed = 0, not quoted
    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            # An escape that is none is part of the value, its backslash too.
            out.append(_CLASSIC_ESCAPES.get(text[at + 1], text[at : at + 2]))
            at += 2
            continue
        if char == '"':
            if not quoted or at + 1 < len(text):
                raise ValueError(f"a double quote that is not escaped: {part!r}")
            closed = True
        else:
            out.append(char)
        at += 1
    if not closed:
        raise ValueError(f"a double quote is not closed: {part!r}")
    return "".join(out)


def _matcher(name: str, op: str, value: str, text: str) -> Matcher:
    try:
        return Matcher(name, op, value)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error
