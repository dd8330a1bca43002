"""Config or summary of a run as a `.wandb` file tells them, change by change.

    (("deep", "x"), "29") then (("deep", "y"), "[1]")     {"deep": {"x": 29, "y": [1]}}
    (("deep",), '{"q": 1}') after that                    {"deep": {"q": 1}}

Values are JSON texts until they are asked for: most are changed at each step.
"""

from collections.abc import Iterable
from typing import Any

from heliograph.receive import wandb_stream

Path = tuple[str, ...]
Node = dict[str, Any]


class Tree:
    """Values by their path. A name in a path may have dots in it."""

    def __init__(self) -> None:
        self._top: Node = {}

    def __bool__(self) -> bool:
        return bool(self._top)

    def change(self, update: Iterable[tuple[Path, str]], removed: Iterable[Path] = ()) -> None:
        """Put the JSON text of each path of *update* there, and take away those *removed*."""
        for path, text in update:
            self._above(path)[path[-1]] = text
        for path in removed:
            self._above(path).pop(path[-1], None)

    def values(self) -> dict[str, Any]:
        """All of it; NaN and infinities are floats."""
        return {name: _value(one) for name, one in self._top.items()}

    def _above(self, path: Path) -> Node:
        node = self._top
        for name in path[:-1]:
            below = node.get(name)
            if not isinstance(below, dict):
                found = _value(below)
                # What is parsed already stands in a list of its own, and so is told from texts.
                below = (
                    {key: [one] for key, one in found.items()}
                    if isinstance(found, dict)
                    else {}
                )
                node[name] = below
            node = below
        return node


def _value(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _value(one) for name, one in node.items()}
    if isinstance(node, list):
        return node[0]
    if not isinstance(node, str):
        return None
    try:
        return wandb_stream.loads(node)
    except ValueError:
        return node
