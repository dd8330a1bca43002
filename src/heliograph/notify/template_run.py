"""Running a template over values: bounded in steps, depth and output; it can reach nothing else.

A value that is printed is escaped for where the text goes, unless the template says `safeHtml`; in
HTML, an address in `href` or `src` that is neither http, https nor mailto becomes `#`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from heliograph.notify import template_functions
from heliograph.notify.template_syntax import (
    DEPTH_MAX,
    Branch,
    Include,
    Nodes,
    Operand,
    Pipe,
    Print,
    Text,
)
from heliograph.notify.template_values import Failed, Pairs, Safe, member, text_of, truth

STEPS_MAX = 50_000
OUTPUT_CHARS_MAX = 64 * 1024

Escape: TypeAlias = Callable[[str], str]
_LINK = re.compile(r"""(?:href|src|action)\s*=\s*["']?\s*\Z""", re.IGNORECASE)
_OPEN_LINK = re.compile(r"(?:https?://|mailto:|[#/])", re.IGNORECASE)
_TAIL = 32


class Run:
    """One rendering of one template; used once."""

    def __init__(
        self, defined: Mapping[str, Nodes], escape: Escape, *, links: bool = False
    ) -> None:
        self._defined = defined
        self._escape = escape
        self._links = links
        self._left = STEPS_MAX
        self._out: list[str] = []
        self._chars = 0
        self._root: Any = None

    def text(self, body: Nodes, data: Any) -> str:
        """What *body* writes of *data*. Raises Failed."""
        self._root = data
        self._nodes(body, data, [{"$": data}], 0)
        return "".join(self._out)

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise Failed(f"more than {STEPS_MAX} steps")

    def _step(self, depth: int) -> None:
        self._spend(1)
        if depth > DEPTH_MAX:
            raise Failed(f"templates nested more than {DEPTH_MAX} deep")

    def _write(self, text: str) -> None:
        self._chars += len(text)
        if self._chars > OUTPUT_CHARS_MAX:
            raise Failed(f"more than {OUTPUT_CHARS_MAX} characters")
        self._out.append(text)

    def _nodes(self, nodes: Nodes, dot: Any, scopes: list[dict[str, Any]], depth: int) -> None:
        scopes = [*scopes, {}]
        for node in nodes:
            self._step(depth)
            if isinstance(node, Text):
                self._write(node.text)
            elif isinstance(node, Print):
                value = self._pipe(node.pipe, dot, scopes, depth)
                if not node.pipe.names:
                    self._print(value)
            elif isinstance(node, Include):
                self._include(node, dot, scopes, depth)
            else:
                self._branch(node, dot, scopes, depth)

    def _print(self, value: Any) -> None:
        text = text_of(value)
        if isinstance(value, Safe):
            self._write(text)
            return
        if self._links and _LINK.search("".join(self._out[-2:])[-_TAIL:]):
            text = text if _OPEN_LINK.match(text.strip()) else "#"
        self._write(self._escape(text))

    def _include(
        self, node: Include, dot: Any, scopes: list[dict[str, Any]], depth: int
    ) -> None:
        body = self._defined.get(node.name)
        if body is None:
            raise Failed(f"there is no template {node.name[:60]!r}")
        data = None if node.pipe is None else self._pipe(node.pipe, dot, scopes, depth)
        self._nodes(body, data, [{"$": data}], depth + 1)

    def _branch(self, node: Branch, dot: Any, scopes: list[dict[str, Any]], depth: int) -> None:
        inner = [*scopes, {}]
        if node.word == "range":
            value = self._pipe(node.pipe._replace(names=()), dot, inner, depth)
            empty = True
            for index, one in self._items(value):
                self._spend(1)
                empty = False
                scope = [*inner, _named(node.pipe.names, index, one)]
                self._nodes(node.body, one, scope, depth + 1)
            if empty:
                self._nodes(node.other, dot, inner, depth + 1)
            return
        value = self._pipe(node.pipe, dot, inner, depth)
        if truth(value):
            self._nodes(node.body, value if node.word == "with" else dot, inner, depth + 1)
        else:
            self._nodes(node.other, dot, inner, depth + 1)

    def _items(self, value: Any) -> Iterable[tuple[Any, Any]]:
        if isinstance(value, Pairs):
            return [(name, value[name]) for name in sorted(value)]
        if isinstance(value, list | tuple):
            return list(enumerate(value))
        if value is None:
            return []
        raise Failed("range needs a list")

    def _pipe(self, pipe: Pipe, dot: Any, scopes: list[dict[str, Any]], depth: int) -> Any:
        value: Any = None
        for number, command in enumerate(pipe.commands):
            final = [value] if number else []
            value = self._command(command, final, dot, scopes, depth)
        for name in pipe.names:
            _assign(scopes, name, value, declares=pipe.declares)
        return value

    def _command(
        self,
        command: tuple[Operand, ...],
        final: list[Any],
        dot: Any,
        scopes: list[dict[str, Any]],
        depth: int,
    ) -> Any:
        self._step(depth)
        head = command[0]
        if head.kind == "function" and head.value in {"and", "or"}:
            return self._early(command, final, dot, scopes, depth)
        arguments = [self._operand(one, dot, scopes, depth) for one in command[1:]] + final
        if head.kind == "function":
            return template_functions.call(str(head.value), arguments, self._spend)
        value = self._operand(head, dot, scopes, depth, bare=True)
        if callable(value):
            return value(*arguments)
        if arguments:
            raise Failed("a value takes no arguments")
        return value

    def _early(
        self,
        command: tuple[Operand, ...],
        final: list[Any],
        dot: Any,
        scopes: list[dict[str, Any]],
        depth: int,
    ) -> Any:
        """`and` and `or`: the first value that decides, else the last."""
        value: Any = None
        for one in command[1:]:
            value = self._operand(one, dot, scopes, depth)
            if truth(value) == (command[0].value == "or"):
                return value
        return final[0] if final else value

    def _operand(
        self,
        operand: Operand,
        dot: Any,
        scopes: list[dict[str, Any]],
        depth: int,
        *,
        bare: bool = False,
    ) -> Any:
        self._step(depth)
        if operand.kind == "constant":
            return operand.value
        if operand.kind == "function":
            return template_functions.call(str(operand.value), [], self._spend)
        if operand.kind == "group":
            assert isinstance(operand.value, Pipe)
            value = self._pipe(operand.value, dot, scopes, depth + 1)
        elif operand.kind == "variable":
            value = _variable(scopes, str(operand.value))
        else:
            value = dot
        for name in operand.chain:
            value = member(value() if callable(value) else value, name)
        return value() if callable(value) and not bare else value


def _named(names: tuple[str, ...], index: Any, value: Any) -> dict[str, Any]:
    if len(names) == 2:
        return {names[0]: index, names[1]: value}
    return {names[0]: value} if names else {}


def _variable(scopes: list[dict[str, Any]], name: str) -> Any:
    for scope in reversed(scopes):
        if name in scope:
            return scope[name]
    raise Failed(f"there is no variable {name[:60]}")


def _assign(scopes: list[dict[str, Any]], name: str, value: Any, *, declares: bool) -> None:
    if declares:
        scopes[-1][name] = value
        return
    for scope in reversed(scopes):
        if name in scope:
            scope[name] = value
            return
    raise Failed(f"there is no variable {name[:60]}")
