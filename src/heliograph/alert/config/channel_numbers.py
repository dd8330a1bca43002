"""Which channel of a route is which, when the route is edited: each has a number that stays its own.

    first({"channels": [webhook A]})                           [0]
    of({"channels": [webhook B, webhook A]}, (that, [0]))      [1, 0]

What a channel was told is remembered under its kind and number. By its place alone, one that is put
in front would be taken for the one that stood there, and be told of ends whose beginning it never
heard.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# Types of channels, as routes name them, and the kinds that they are: the robot of WeCom has two names.
TYPES = {
    "webhook": "webhook",
    "email": "email",
    "dingtalk": "dingtalk",
    "wechat": "wecom",
    "wecom": "wecom",
    "slack": "slack",
    "alertmanager": "alertmanager",
}
# Settings of a channel that may change while it goes to the same people.
_MANNERS = frozenset(
    {"send_resolved", "format", "headers", "max_alerts", "timeout", "http_config", "tls_config"}
    | {"require_tls", "tls", "secret", "username", "password", "auth_username", "auth_password"}
    | {"title", "text", "html", "subject", "markdown", "payload", "message", "color", "fields"}
)


class Numbered(NamedTuple):
    """A document and the number of each of its channels, counted for each kind by itself."""

    document: Mapping[str, Any]
    numbers: Sequence[int]


def of(document: Any, before: Numbered) -> list[int]:
    """The numbers of the channels of *document*: those that go where one of *before* went have its
    number, the others one that none of that kind had there."""
    channels = _channels(document)
    old = list(zip(_channels(before.document), before.numbers, strict=False))
    found: dict[int, int] = {}
    for alike in (_same, _same_place):
        for index, channel in enumerate(channels):
            if index in found:
                continue
            for at, (other, number) in enumerate(old):
                if alike(channel, other):
                    found[index] = number
                    del old[at]
                    break
    used: dict[Any, int] = {}
    for other, number in zip(_channels(before.document), before.numbers, strict=False):
        used[_kind(other)] = max(number, used.get(_kind(other), -1))
    for index, channel in enumerate(channels):
        if index not in found:
            found[index] = used[_kind(channel)] = used.get(_kind(channel), -1) + 1
    return [found[index] for index in range(len(channels))]


def first(document: Any) -> list[int]:
    """The numbers of a route that is new: each channel's place among those of its kind. For what is
    no route, []."""
    counts: dict[Any, int] = {}
    found = []
    for channel in _channels(document):
        counts[_kind(channel)] = counts.get(_kind(channel), -1) + 1
        found.append(counts[_kind(channel)])
    return found


def _channels(document: Any) -> list[Any]:
    given = document.get("channels") if isinstance(document, Mapping) else None
    return given if isinstance(given, list) else []


def _kind(channel: Any) -> str:
    named = str(channel.get("type")) if isinstance(channel, Mapping) else ""
    return TYPES.get(named, named)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other)


def _same_place(one: Any, other: Any) -> bool:
    """Whether both go to the same people."""
    return _kind(one) == _kind(other) and _place(one) == _place(other)


def _place(channel: Any) -> Any:
    config = channel.get("config") if isinstance(channel, Mapping) else None
    if not isinstance(config, Mapping):
        return None
    return {key: value for key, value in config.items() if key not in _MANNERS}
