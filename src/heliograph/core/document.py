"""YAML (and so JSON) as operators write it, read within bounds. Server side: needs PyYAML.

    route:
      receiver: oncall
      active: 17:00        # text, as in YAML 1.2; YAML 1.1 would make it 1020

Of YAML 1.1 only what 1.2 kept is read: `true` and `false` are booleans, `yes` and `17:00` and
`2026-01-01` are text. A key that occurs twice in a mapping is an error, and so is a document
that grows beyond its bounds when its aliases are followed. The two halves of a character, as JSON
escapes it (`"\\ud83d\\udd25"`), are that character; half of one alone is left to who asks.
Source of the scalar forms: YAML 1.2.2, chapter 10.3, "Core Schema".
"""

import re
from typing import Any, NoReturn

import yaml

from heliograph.core.errors import ConfigError

DOCUMENT_BYTES_MAX = 4 * 1024 * 1024
DEPTH_MAX = 64
# Counted with every alias followed: what a walk over the document would visit.
NODES_MAX = 500_000

_SCALARS = {
    "tag:yaml.org,2002:null": (re.compile(r"(?:~|null|Null|NULL|)\Z"), "~nN"),
    "tag:yaml.org,2002:bool": (re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), "tTfF"),
    "tag:yaml.org,2002:int": (
        re.compile(r"(?:[-+]?(?:0|[1-9][0-9]{0,18})|0x[0-9a-fA-F]{1,15})\Z"),
        "-+0123456789",
    ),
    "tag:yaml.org,2002:float": (
        re.compile(
            r"""(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?
               |[-+]?[0-9]+[eE][-+]?[0-9]+
               |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z""",
            re.VERBOSE,
        ),
        "-+.0123456789",
    ),
    "tag:yaml.org,2002:merge": (re.compile(r"<<\Z"), "<"),
}


def parse(text: str, *, source: str) -> Any:
    """The one document of *text*: mappings, lists, text, numbers, booleans and None.

    *source* names where it came from. Raises ConfigError that names it, and line and column.
    """
    size_bytes = len(text.encode("utf-8", "surrogatepass"))
    if size_bytes > DOCUMENT_BYTES_MAX:
        raise ConfigError(f"{source}: {size_bytes} bytes, limit {DOCUMENT_BYTES_MAX}")
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: {_where(error)}{_what(error)}") from error
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from error


# A character beyond the first 65,536, which YAML's own escapes never write in halves.
_HALVES = re.compile("[\ud800-\udbff][\udc00-\udfff]")

# The form of what has one, and may be asked for by a tag.
_WRITTEN_OUT = {tag: shape for tag, (shape, _) in _SCALARS.items()} | {
    "tag:yaml.org,2002:timestamp": yaml.SafeLoader.timestamp_regexp
}


class _Loader(yaml.SafeLoader):
    """The safe loader with bounds, without YAML 1.1's surprises and without repeated keys."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        # Of each finished subtree: how many nodes it has, and how many levels.
        self._sizes: dict[yaml.Node, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node, counted; an alias counts as all that it stands for."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        self._depth += 1
        if self._depth > DEPTH_MAX:
            _fail(f"nested more than {DEPTH_MAX} deep", event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None:
            return node
        if isinstance(node, yaml.ScalarNode):
            node.value = _HALVES.sub(_joined, node.value)
        if not isinstance(event, yaml.AliasEvent):
            parts = [self._sizes[child] for child in _children(node)] or [(0, 0)]
            self._sizes[node] = 1 + sum(n for n, _ in parts), 1 + max(d for _, d in parts)
        elif node not in self._sizes:
            _fail("an alias refers to what contains it", event.start_mark)
        nodes, levels = self._sizes[node]
        if nodes > NODES_MAX:
            _fail(f"more than {NODES_MAX} parts with its aliases", event.start_mark)
        if self._depth + levels > DEPTH_MAX:
            _fail(f"nested more than {DEPTH_MAX} deep", event.start_mark)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of *node*; one whose tag was written out (`!!bool maybe`) must be of its form."""
        shape = _WRITTEN_OUT.get(node.tag)
        if shape is not None and not (
            isinstance(node, yaml.ScalarNode) and shape.match(node.value)
        ):
            _fail(f"not of the type {node.tag.rpartition(':')[2]}", node.start_mark)
        return super().construct_object(node, deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of *node*, whose own keys must differ (a merge key's may be repeated)."""
        if not isinstance(node, yaml.MappingNode):
            _fail("not a mapping", node.start_mark)
        seen: set[Any] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                _fail("a key must be text", key.start_mark)
            if key.value in seen:
                _fail(f"key {key.value!r} occurs twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
for _tag, (_shape, _firsts) in _SCALARS.items():
    _Loader.add_implicit_resolver(_tag, _shape, list(_firsts))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", _SCALARS["tag:yaml.org,2002:null"][0], [""]
)


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, 16 if text.startswith("0x") else 10)


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
# What else 1.1 had, but for instants, is no more read under its tag than without one.
for _tag in ("binary", "omap", "pairs", "set"):
    del _Loader.yaml_constructors[f"tag:yaml.org,2002:{_tag}"]


def _joined(halves: re.Match[str]) -> str:
    return halves[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _fail(problem: str, mark: Any) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""


def _what(error: yaml.YAMLError) -> str:
    return getattr(error, "problem", None) or str(error).splitlines()[0]
