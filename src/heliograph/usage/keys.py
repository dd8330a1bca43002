"""Flat keys, read: plain names, and names with labels as Prometheus writes them.

    tao_job_gpu_total{tao_gpu_type="A100"}  ->  Key("tao_job_gpu_total", (("tao_gpu_type", "A100"),))
    total_action_train_pass                 ->  Key("total_action_train_pass", ())

Keys that the system of spec 000 wrote without escaping are read as they were meant, where that can
be told. Source: Prometheus exposition format 0.0.4.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple, TypeGuard

Pairs = tuple[tuple[str, str], ...]

_STRICT = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|\Z)', re.ASCII)
_MEANT = re.compile(r'([a-zA-Z_]\w*)="(.*?)"(?:\Z|,(?=[a-zA-Z_]\w*="))', re.ASCII | re.DOTALL)
_UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_ESCAPE = re.compile(r'\\[\\"n]')
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Key(NamedTuple):
    """A key, taken apart."""

    name: str
    labels: Pairs

    def get(self, label: str) -> str | None:
        """The value of *label*, or None."""
        return next((value for name, value in self.labels if name == label), None)

    def without(self, label: str) -> Pairs:
        """The other labels."""
        return tuple(pair for pair in self.labels if pair[0] != label)


def parsed(key: str) -> Key | None:
    """The key, or None for text that is neither a name nor a name with labels."""
    name, brace, rest = key.partition("{")
    if not brace:
        return Key(key, ()) if key else None
    if not name or not rest.endswith("}"):
        return None
    text = rest[:-1]
    for pattern, is_escaped in ((_STRICT, True), (_MEANT, False)):
        if (pairs := _pairs(pattern, text, is_escaped)) is not None:
            return Key(name, pairs)
    return None


def written(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    """The key of *name* and *pairs*, values escaped; without braces where there are none."""
    text = ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in pairs)
    return f"{name}{{{text}}}" if text else name


def is_number(value: object) -> TypeGuard[float]:
    """Whether *value* counts something: a number, and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _pairs(pattern: re.Pattern[str], text: str, is_escaped: bool) -> Pairs | None:
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = pattern.match(text, at)
        if match is None:
            return None
        value = match[2]
        if is_escaped and "\\" in value:
            value = _ESCAPE.sub(lambda escape: _UNESCAPED[escape[0]], value)
        found.append((match[1], value))
        at = match.end()
    return tuple(found)
