"""A site's pattern for log lines as it is written, in the configuration and over the API alike.

{"name": "ours", "kind": "performance", "pattern": "it=(?P<current_iteration>\\d+) l=(?P<lm_loss>\\S+)"}
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from heliograph.core.errors import ConfigError, Refused
from heliograph.training.site import Pattern, Site

Document = Mapping[str, Any]


class PatternDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is written of one pattern.

    kind         `performance` (groups are training fields), `event` or `blacklist`
    pattern      RE2 with named groups; it may match anywhere in the line
    priority     the greater is tried first
    event_type   of an event, with its severity
    framework    of a line that matches; "" is what the line itself shows
    """

    name: str
    kind: Literal["performance", "event", "blacklist"]
    pattern: str
    priority: int = 50
    enabled: bool = True
    event_type: str = ""
    severity: str = "info"
    framework: str = ""


def decode(document: Document) -> Pattern:
    """The pattern that *document* writes. Raises Refused, naming the field."""
    try:
        read = msgspec.convert(document, PatternDocument)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        raise Refused(text, field=path.rstrip("`") or _named(text) or "body") from error
    return _checked(read)


def configured(fields: Mapping[str, str], patterns: Sequence[PatternDocument]) -> list[Pattern]:
    """The patterns of the configuration, with its field names. Raises ConfigError, naming the key."""
    made: list[Pattern] = []
    for number, read in enumerate(patterns):
        place = f"logs.patterns[{number}]"
        try:
            made.append(_checked(read))
        except Refused as error:
            raise ConfigError(f"{place}.{error.field}: {error.detail}") from error
        if read.name in {one.name for one in made[:-1]}:
            raise ConfigError(f"{place}.name: {read.name!r} is there twice")
    try:
        Site.of(fields, [])
        Site.of(fields, made)
    except Refused as error:
        raise ConfigError(f"logs.fields: {error.detail}") from error
    except ConfigError as error:
        raise ConfigError(f"logs.fields: {error}") from error
    return made


def _checked(read: PatternDocument) -> Pattern:
    pattern = Pattern(**msgspec.structs.asdict(read))
    try:
        Site.of({}, [pattern])
    except ConfigError as error:
        raise Refused(str(error), field="pattern") from error
    return pattern


def _named(text: str) -> str:
    """The field that a message without a path is about: a missing or an unknown one."""
    parts = text.split("`")
    return parts[1] if len(parts) == 3 else ""
