"""One raw payload as it arrives over HTTP, read as the server of spec 000 reads it.

    {"version": "5.3.0", "network": "resnet50", "action": "train", "success": "yes",
     "gpu": ["NVIDIA A100"], "time_lapsed": "60"}
    -> success True, time_lapsed 60

Nothing is required. The five first fields must not be null, all others may be. An unknown field or
a wrong type is refused by name. Fields are those of the registry, by their raw keys.
Source: spec 000's repository: schema of `POST /api/v2/metrics`.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from heliograph.core.errors import Refused
from heliograph.usage import config
from heliograph.usage.types import AttributeType, MetricAttribute

# The field of what is wrong with the body as a whole.
BODY = "body"
BODY_BYTES_MAX = 1024 * 1024
PAYLOADS_MAX = 1000
TEXT_CHARS_MAX = 4096
GPUS_MAX = 4096
# What a float holds; a sum of times must be one that every store can keep.
NUMBER_MAX = 1e300
NOT_NULL = frozenset({"version", "network", "action", "success", "gpu"})

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_TRUE = ("t", "true", "on", "y", "yes", "1")
_FALSE = ("f", "false", "off", "n", "no", "0")
_SPELLINGS = {
    spelling: value
    for words, value in ((_TRUE, True), (_FALSE, False))
    for word in words
    for spelling in (word, word.upper(), word.capitalize())
    # One letter, or whole: "Y" and "YES" and "Yes", and no other mixture.
}


def decode(body: bytes | str | Mapping[str, Any], *, field: str = "") -> dict[str, Any]:
    """The payload in *body*, coerced. *field* stands before the names of fields in errors.

    Raises Refused with the field at fault; `body` is all of it.
    """
    document = body if isinstance(body, Mapping) else loads(body)
    if not isinstance(document, Mapping):
        raise _refused(field or BODY, f"not an object but {_kind(document)}")
    known = config.get_raw_key_map()
    if len(document) > len(known):
        unknown = next(key for key in document if key not in known)
        raise _refused(_joined(field, str(unknown)[:64]), "unknown field")
    payload = {}
    for key, value in document.items():
        attribute = known.get(key)
        place = _joined(field, str(key)[:64])
        if attribute is None:
            raise _refused(place, "unknown field")
        payload[key] = _coerced(attribute, value, place)
    return payload


def decode_all(body: bytes | str) -> list[dict[str, Any]]:
    """One payload, or a list of at most PAYLOADS_MAX. Raises Refused: `[2].gpu` is of the third."""
    document = loads(body)
    if not isinstance(document, list):
        return [decode(document) if isinstance(document, Mapping) else decode(body)]
    if len(document) > PAYLOADS_MAX:
        raise Refused(f"{len(document)} payloads, limit {PAYLOADS_MAX}", field=BODY, status=413)
    found = []
    for at, one in enumerate(document):
        if not isinstance(one, Mapping):
            raise _refused(f"[{at}]", f"not an object but {_kind(one)}")
        found.append(decode(one, field=f"[{at}]"))
    return found


def loads(body: bytes | str) -> Any:
    """The JSON document of *body*. Raises Refused."""
    if len(body) > BODY_BYTES_MAX:
        raise Refused(f"{len(body)} bytes, limit {BODY_BYTES_MAX}", field=BODY, status=413)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}", field=BODY) from error


def _coerced(attribute: MetricAttribute, value: Any, field: str) -> Any:
    if value is None:
        if attribute.raw_key in NOT_NULL:
            raise _refused(field, "must not be null")
        return None
    if attribute.attr_type is AttributeType.STRING:
        return _text(value, field)
    if attribute.attr_type is AttributeType.BOOLEAN:
        return _boolean(value, field)
    if attribute.attr_type is AttributeType.INTEGER:
        number = _number(value, field)
        # Only what is aggregated may have a fraction: a loss, or gigabytes.
        return number if attribute.aggregation else int(number)
    if not isinstance(value, list):
        raise _refused(field, f"not a list but {_kind(value)}")
    if len(value) > GPUS_MAX:
        raise _refused(field, f"{len(value)} entries, limit {GPUS_MAX}")
    return [_text(one, f"{field}[{at}]") for at, one in enumerate(value)]


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise _refused(field, f"not text but {_kind(value)}")
    if len(value) > TEXT_CHARS_MAX:
        raise _refused(field, f"{len(value)} characters, limit {TEXT_CHARS_MAX}")
    if _UNSTORABLE.search(value):
        raise _refused(field, "a NUL or half a surrogate pair, which no store can hold")
    return value


def _boolean(value: object, field: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _SPELLINGS:
        return _SPELLINGS[value]
    if isinstance(value, int | float) and value in {0, 1}:
        return bool(value)
    raise _refused(field, "not a boolean")


def _number(value: object, field: str) -> int | float:
    """A number, or text that is a whole one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _refused(field, f"not a number but {_kind(value)}")
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError as error:
        raise _refused(field, "not a whole number") from error
    if isinstance(number, float) and not math.isfinite(number):
        raise _refused(field, f"{number} is not finite")
    if abs(number) > NUMBER_MAX:
        raise _refused(field, f"greater than {NUMBER_MAX:g}")
    return number


def _kind(value: object) -> str:
    kinds = {"dict": "an object", "list": "a list", "str": "text", "bool": "a boolean"}
    return kinds.get(type(value).__name__, "null" if value is None else "a number")


def _joined(before: str, name: str) -> str:
    return f"{before}.{name}" if before else name


def _refused(field: str, detail: str) -> Refused:
    return Refused(f"{field}: {detail}" if field else detail, field=field)
