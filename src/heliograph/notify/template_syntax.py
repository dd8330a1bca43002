"""The subset of Go's templates that we read: text to a tree; pure and bounded.

    {{ define "x" }}[{{ .Status | toUpper }}]{{ end }}
    {{ template "x" . }}   {{ if eq .Status "firing" }}…{{ else if … }}…{{ else }}…{{ end }}
    {{ range .Alerts.Firing }}{{ .Labels.pod }}{{ end }}
    {{ with .CommonAnnotations.summary }}{{ . }}{{ end }}   {{ $v := len .Alerts }}   {{- trim -}}

There are fields and methods of the data, variables, `range` (with index and value), `if`, `with`,
`define`, `block`, `template`, comments, pipelines, parentheses, and constants. There is no
`break`, `continue`, `call`, complex number or rune. What is outside raises Unsupported.
Source: Go text/template, "Actions", "Arguments", "Pipelines".
"""

import re
from typing import NamedTuple, TypeAlias

from heliograph.core.errors import HeliographError

TEXT_CHARS_MAX = 64 * 1024
NODES_MAX = 10_000
DEPTH_MAX = 32


class Unsupported(HeliographError):
    """Not a template, or one beyond the subset; the message names what, and the line."""


class Text(NamedTuple):
    """Literal *text*."""

    text: str


class Operand(NamedTuple):
    """What an argument starts with, and the fields that follow.

    kind    `dot`, `variable` (its name is *value*), `constant`, `function` (its name), `group` (a
            Pipe)
    """

    kind: str
    value: "str | float | bool | Pipe | None"
    chain: tuple[str, ...] = ()


class Pipe(NamedTuple):
    """Commands, each handed the result of the one before it; set to *names*.

    declares   `:=` rather than `=`
    """

    commands: tuple[tuple[Operand, ...], ...]
    names: tuple[str, ...] = ()
    declares: bool = True


class Print(NamedTuple):
    """The value of *pipe*, escaped for where the text goes."""

    pipe: Pipe


class Branch(NamedTuple):
    """`if`, `with` and `range`, by *word*."""

    word: str
    pipe: Pipe
    body: "Nodes"
    other: "Nodes"


class Include(NamedTuple):
    """`{{ template "name" pipe }}`."""

    name: str
    pipe: Pipe | None


Node: TypeAlias = Text | Print | Branch | Include
Nodes: TypeAlias = tuple[Node, ...]


class Parsed(NamedTuple):
    """A template and the others that it defines."""

    body: Nodes
    defined: dict[str, Nodes]


_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<text>"(?:[^"\\\n]|\\.)*")
      | (?P<raw>`[^`]*`)
      | (?P<number>-?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+))
      | (?P<variable>\$[A-Za-z0-9_]*)
      | (?P<field>\.[A-Za-z_][A-Za-z0-9_]*)
      | (?P<dot>\.)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark>:=|=|\||\(|\)|,)""",
    re.VERBOSE,
)
# One that a literal spells alone; Go refuses it too.
_HALF = re.compile("[\ud800-\udfff]")
_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    '"': '"',
    "\\": "\\",
    "'": "'",
    "a": "\a",
    "b": "\b",
}
_BLOCKS = ("if", "with", "range", "define", "block")
_REFUSED = ("break", "continue", "call")


class _Token(NamedTuple):
    kind: str
    text: str


class _Item(NamedTuple):
    """A piece of the template: literal text (word ""), or an action by its first word."""

    word: str
    text: str
    tokens: tuple[_Token, ...]
    line: int


def parse(text: str) -> Parsed:
    """The tree of *text*. Raises Unsupported."""
    if len(text) > TEXT_CHARS_MAX:
        raise Unsupported(f"a template of {len(text)} characters, limit {TEXT_CHARS_MAX}")
    reader = _Reader(_items(text))
    body, ended = reader.nodes(0)
    if ended is not None:
        raise Unsupported(f"line {ended.line}: {ended.word} without a beginning")
    return Parsed(body, reader.defined)


def _items(text: str) -> list[_Item]:
    items: list[_Item] = []
    at, line, trims = 0, 1, False
    while (begin := text.find("{{", at)) >= 0:
        literal = text[at:begin].lstrip() if trims else text[at:begin]
        line += text.count("\n", at, begin)
        inner = begin + 2
        if text[inner : inner + 1] == "-" and text[inner + 1 : inner + 2].isspace():
            literal, inner = literal.rstrip(), inner + 1
        items.append(_Item("", literal, (), line))
        action, at = _action(text, inner, line)
        trims = action.endswith("-") and action[-2:-1].isspace()
        action = action[:-1] if trims else action
        if not action.lstrip().startswith("/*"):
            tokens = _tokens(action, line)
            word = tokens[0].text if tokens[0].kind == "word" else "print"
            items.append(_Item(word, action, tokens, line))
        line += text.count("\n", begin, at)
    items.append(_Item("", text[at:].lstrip() if trims else text[at:], (), line))
    return items


def _action(text: str, begin: int, line: int) -> tuple[str, int]:
    """What is between the braces, and where the text goes on. A comment may hold braces."""
    after = begin
    if text[begin : begin + 40].lstrip().startswith("/*"):
        after = text.find("*/", begin)
    end = text.find("}}", after) if after >= 0 else -1
    if end < 0:
        raise Unsupported(f"line {line}: an action that does not end")
    return text[begin:end], end + 2


def _tokens(text: str, line: int) -> tuple[_Token, ...]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise Unsupported(f"line {line}: {text[at : at + 20]!r} is not understood")
        at = found.end()
        assert found.lastgroup is not None
        tokens.append(_Token(found.lastgroup, found[0]))
    while tokens and tokens[0].kind == "space":
        tokens.pop(0)
    while tokens and tokens[-1].kind == "space":
        tokens.pop()
    if not tokens:
        raise Unsupported(f"line {line}: an empty action")
    return tuple(tokens)


class _Reader:
    """Items to nodes, by recursive descent."""

    def __init__(self, items: list[_Item]) -> None:
        self._items = items
        self._at = 0
        self._count = 0
        self.defined: dict[str, Nodes] = {}

    def nodes(self, depth: int) -> tuple[Nodes, _Item | None]:
        """Nodes up to an `else`, an `end` (which comes back too) or the end of the text."""
        if depth > DEPTH_MAX:
            raise Unsupported(f"blocks nested more than {DEPTH_MAX} deep")
        out: list[Node] = []
        while self._at < len(self._items):
            item = self._items[self._at]
            self._at += 1
            self._count += 1
            if self._count > NODES_MAX:
                raise Unsupported(f"more than {NODES_MAX} parts")
            if not item.word:
                if item.text:
                    out.append(Text(item.text))
            elif item.word in {"else", "end"}:
                return tuple(out), item
            else:
                node = self._action(item, depth)
                if node is not None:
                    out.append(node)
        return tuple(out), None

    def _action(self, item: _Item, depth: int) -> Node | None:
        if item.word in _REFUSED:
            raise Unsupported(f"line {item.line}: {item.word} is not in the subset")
        if item.word in {"define", "block"}:
            return self._define(item, depth)
        if item.word == "template":
            name, pipe = _named(item)
            return Include(name, pipe)
        if item.word in _BLOCKS:
            pipe = _Line(item, item.tokens[1:]).pipe(ranged=item.word == "range")
            return self._branch(item.word, pipe, depth)
        return Print(_Line(item, item.tokens).pipe())

    def _branch(self, word: str, pipe: Pipe, depth: int) -> Branch:
        body, ended = self.nodes(depth + 1)
        other: Nodes = ()
        if ended is not None and ended.word == "else":
            rest = tuple(token for token in ended.tokens[1:] if token.kind != "space")
            if not rest:
                other, ended = self.nodes(depth + 1)
            elif rest[0].text in {"if", "with"}:
                inner = _Line(ended, ended.tokens[ended.tokens.index(rest[0]) + 1 :]).pipe()
                # Its `end` is ours.
                return Branch(word, pipe, body, (self._branch(rest[0].text, inner, depth + 1),))
            else:
                raise Unsupported(f"line {ended.line}: else {rest[0].text}")
        if ended is None or ended.word != "end":
            raise Unsupported(f"{word} without an end")
        return Branch(word, pipe, body, other)

    def _define(self, item: _Item, depth: int) -> Node | None:
        name, pipe = _named(item)
        body, ended = self.nodes(depth + 1)
        if ended is None or ended.word != "end":
            raise Unsupported(f"line {item.line}: {item.word} without an end")
        self.defined[name] = body
        return Include(name, pipe) if item.word == "block" else None


def _named(item: _Item) -> tuple[str, Pipe | None]:
    tokens = [token for token in item.tokens[1:] if token.kind != "space"]
    if not tokens or tokens[0].kind not in {"text", "raw"}:
        raise Unsupported(f"line {item.line}: {item.word} needs a quoted name")
    name = _unquoted(tokens[0])
    rest = item.tokens[item.tokens.index(tokens[0]) + 1 :]
    has_more = any(token.kind != "space" for token in rest)
    return name, _Line(item, rest).pipe() if has_more else None


class _Line:
    """The tokens of one action to a pipe."""

    def __init__(self, item: _Item, tokens: tuple[_Token, ...]) -> None:
        self._line = item.line
        self._tokens = tokens
        self._at = 0

    def pipe(self, *, ranged: bool = False) -> Pipe:
        """All of the action."""
        names, declares = self._names(ranged=ranged)
        commands = self._commands(0)
        if self._at < len(self._tokens):
            raise self._wrong(self._tokens[self._at].text)
        return Pipe(commands, names, declares)

    def _names(self, *, ranged: bool) -> tuple[tuple[str, ...], bool]:
        solid = [token for token in self._tokens if token.kind != "space"]
        for count in (2, 1) if ranged else (1,):
            head = solid[: 2 * count]
            kinds = [token.kind for token in head[::2]]
            if (
                len(head) == 2 * count
                and set(kinds) == {"variable"}
                and head[-1].text in {":=", "="}
                and all(token.text == "," for token in head[1:-1:2])
            ):
                last = next(i for i, token in enumerate(self._tokens) if token is head[-1])
                self._at = last + 1
                return tuple(token.text for token in head[::2]), head[-1].text == ":="
        return (), True

    def _commands(self, depth: int) -> tuple[tuple[Operand, ...], ...]:
        if depth > DEPTH_MAX:
            raise Unsupported(f"line {self._line}: parentheses nested over {DEPTH_MAX} deep")
        commands: list[tuple[Operand, ...]] = []
        while True:
            command: list[Operand] = []
            while (operand := self._operand(depth)) is not None:
                command.append(operand)
            if not command:
                raise self._wrong("a missing value")
            commands.append(tuple(command))
            if not self._takes("|"):
                return tuple(commands)

    def _operand(self, depth: int) -> Operand | None:
        self._skip()
        if self._at >= len(self._tokens):
            return None
        token = self._tokens[self._at]
        if token.text in {"|", ")"} and token.kind == "mark":
            return None
        self._at += 1
        if token.text == "(" and token.kind == "mark":
            inner = Pipe(self._commands(depth + 1))
            if not self._takes(")"):
                raise self._wrong("a missing )")
            return Operand("group", inner, self._chain())
        if token.kind == "field":
            return Operand("dot", None, (token.text[1:], *self._chain()))
        if token.kind == "dot":
            return Operand("dot", None)
        if token.kind == "variable":
            return Operand("variable", token.text, self._chain())
        if token.kind in {"text", "raw"}:
            return Operand("constant", _unquoted(token))
        if token.kind == "number":
            whole = token.text.lstrip("-").isdigit() and len(token.text) < 20
            return Operand("constant", int(token.text) if whole else float(token.text))
        if token.kind == "word":
            return _word(token.text)
        raise self._wrong(token.text)

    def _chain(self) -> tuple[str, ...]:
        """Fields that follow without a space."""
        names: list[str] = []
        while self._at < len(self._tokens) and self._tokens[self._at].kind == "field":
            names.append(self._tokens[self._at].text[1:])
            self._at += 1
        return tuple(names)

    def _skip(self) -> None:
        while self._at < len(self._tokens) and self._tokens[self._at].kind == "space":
            self._at += 1

    def _takes(self, mark: str) -> bool:
        self._skip()
        if self._at < len(self._tokens) and self._tokens[self._at] == _Token("mark", mark):
            self._at += 1
            return True
        return False

    def _wrong(self, what: str) -> Unsupported:
        return Unsupported(f"line {self._line}: {what[:40]!r} is not understood here")


def _word(text: str) -> Operand:
    if text in {"true", "false"}:
        return Operand("constant", text == "true")
    return Operand("constant", None) if text == "nil" else Operand("function", text)


def _unquoted(token: _Token) -> str:
    inner = token.text[1:-1]
    if token.kind == "raw":
        return inner
    text = re.sub(
        r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))",
        lambda m: chr(int(m[1] or m[2], 16)) if m[1] or m[2] else _ESCAPES.get(m[3], m[0]),
        inner,
        flags=re.DOTALL,
    )
    if _HALF.search(text):
        raise Unsupported(f"{token.text[:40]!r} has half a character")
    return text
