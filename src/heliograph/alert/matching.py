"""What matchers see of an alert, and matchers as they come in: Alertmanager's text and API, /v1's.

    {"name": "workload_id", "value": "test-job-*"}                    a glob: * any text, ? any one
    {"name": "pod", "value": "llm-[0-9]+", "is_regex": true}          RE2 over the whole value
    {"name": "severity", "value": "info", "is_equal": false}          not

On /v1 a value with `*` or `?` is a glob, which `"is_glob": false` prevents and `\\*` does for one
star. A pattern (`is_regex`) whose only special character is `*` was meant as a glob, and is taken
as one, with a warning. On Alertmanager's paths nothing is a glob.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from heliograph.alert import grammar
from heliograph.alert.model import NOBODY, Context
from heliograph.core.errors import Refused
from heliograph.core.labels import Labels
from heliograph.core.matcher import Matcher
from heliograph.kernels.alert_columns import CONTEXT_NAMES

MATCHERS_MAX = 64
_KEYS = {"name", "value", "is_regex", "is_equal", "is_glob", "op", "operator"}
_SPECIAL = re.compile(r"[\\.+?()|\[\]{}^$]")
_GLOB = re.compile(r"\\(.)|([*?])|(.)", re.DOTALL)
_OPERATORS = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}


def seen(labels: Labels | Mapping[str, str], context: Context, source: str) -> dict[str, str]:
    """What matchers match on: *labels*, and where those lack the name, *source* and *context*."""
    values = dict(labels)
    if source and "source" not in values:
        values["source"] = source
    if context is not NOBODY:
        for name, value in zip(
            CONTEXT_NAMES,
            (
                *(context.workload_id, context.workload_name, context.workload_uid),
                *(context.pod_name, context.node_name, context.cluster_name),
            ),
            strict=True,
        ):
            if value and name not in values:
                values[name] = value
    return values


def all_match(matchers: Iterable[Matcher], values: Mapping[str, str]) -> bool:
    """Whether *values* (label name → value) fulfil every one of *matchers*."""
    # A loop, not all(): this runs for every new alert, and a generator doubles its cost.
    for matcher in matchers:  # noqa: SIM110
        if not matcher.matches(values.get(matcher.name, "")):
            return False
    return True


def from_documents(
    documents: Any, *, field: str = "matchers"
) -> tuple[tuple[Matcher, ...], list[str]]:
    """The matchers of a /v1 list, and warnings for who wrote it.

    Raises Refused that names the part at fault below *field*.
    """
    if not isinstance(documents, Sequence) or isinstance(documents, str | bytes):
        raise _refused(field, "expected a list of matchers")
    if len(documents) > MATCHERS_MAX:
        raise _refused(field, f"{len(documents)} matchers, limit {MATCHERS_MAX}")
    matchers: list[Matcher] = []
    warnings: list[str] = []
    for index, document in enumerate(documents):
        matcher, more = from_document(document, field=f"{field}[{index}]")
        matchers.append(matcher)
        warnings += more
    return tuple(matchers), warnings


def from_document(document: Any, *, field: str = "matcher") -> tuple[Matcher, list[str]]:
    """The matcher of one /v1 document, and warnings. Text is read as Alertmanager's.

    Raises Refused that names the part at fault below *field*.
    """
    if isinstance(document, str):
        try:
            return grammar.one(document, grammar.matchers(document)), []
        except ValueError as error:
            raise _refused(field, str(error)) from error
    if not isinstance(document, Mapping):
        raise _refused(field, "expected an object with name and value")
    for key in document:
        if key not in _KEYS:
            raise _refused(f"{field}.{key}", f"unknown key (known: {', '.join(sorted(_KEYS))})")
    name, value = _name_and_value(document, field)
    is_regex, is_equal = _operator(document, field)
    is_glob = _flag(document, "is_glob", None, field)
    if is_glob is None:
        is_glob = is_meant_as_glob(value) if is_regex else "*" in value or "?" in value
        warned = is_glob and is_regex
    else:
        warned = False
    pattern = glob_pattern(value) if is_glob else value
    matcher = _made(name, _OPERATORS[is_regex or is_glob, is_equal], pattern, field)
    if not warned:
        return matcher, []
    meant = (
        f"{field}: {value!r} is not much of a regular expression, and was taken as a glob; "
        f"as a pattern it is written {pattern!r}"
    )
    return matcher, [meant]


def from_v2(document: Any, *, field: str = "matchers") -> Matcher:
    """The matcher of an Alertmanager API document (`isRegex`, `isEqual`).

    Raises Refused: 400 for a value of the wrong type, 422 where one is missing, 400 for a bad name or
    pattern.
    """
    check_types_v2(document, field=field)
    for key in ("name", "value", "isRegex"):
        if document.get(key) is None:
            raise _refused(f"{field}.{key}", f"{key} in body is required", status=422)
    op = _OPERATORS[document["isRegex"], document.get("isEqual") is not False]
    return _made(document["name"], op, document["value"], field)


def check_types_v2(document: Any, *, field: str) -> None:
    """Raises Refused where *document* is no matcher of Alertmanager's API by its types alone."""
    if not isinstance(document, Mapping):
        raise _refused(field, "expected an object")
    for key, kind in (("name", str), ("value", str), ("isRegex", bool), ("isEqual", bool)):
        if not isinstance(document.get(key), kind | None):
            raise _refused(f"{field}.{key}", f"{key} in body must be of type {kind.__name__}")


def to_v2(matcher: tuple[str, str, str]) -> dict[str, Any]:
    """The Alertmanager API document of (name, operator, value)."""
    name, op, value = matcher
    return {
        "name": name,
        "value": value,
        "isRegex": op.endswith("~"),
        "isEqual": not op.startswith("!"),
    }


def to_document(matcher: tuple[str, str, str]) -> dict[str, Any]:
    """The /v1 document of (name, operator, value); what was a glob comes back as the pattern."""
    name, op, value = matcher
    is_regex = op.endswith("~")
    document: dict[str, Any] = {
        "name": name,
        "value": value,
        "is_regex": is_regex,
        "is_equal": not op.startswith("!"),
    }
    if not is_regex and ("*" in value or "?" in value):
        document["is_glob"] = False
    return document


def triple(matcher: Matcher) -> tuple[str, str, str]:
    """(name, operator, value): what silences keep of a matcher."""
    return matcher.name, matcher.op, matcher.value


def is_meant_as_glob(pattern: str) -> bool:
    """Whether the only special character of *pattern* is `*`."""
    return "*" in pattern and _SPECIAL.search(pattern) is None


def glob_pattern(glob: str) -> str:
    """The RE2 of *glob*: `*` is any text, `?` any one character, `\\*` a star.

    `test-job-*` → `test-job-.*`
    """
    parts: list[str] = []
    for match in _GLOB.finditer(glob):
        escaped, wild, plain = match.groups()
        if wild is not None:
            parts.append(".*" if wild == "*" else ".")
        elif escaped is not None:
            # A backslash counts as itself but before what it is there for.
            text = escaped if escaped in "*?\\" else f"\\{escaped}"
            parts.append(_literal(text))
        else:
            parts.append(_literal(plain))
    return "".join(parts)


def valid_name(name: str) -> bool:
    """Whether *name* may be a label's name: not empty, and not beginning with a digit."""
    return bool(name) and not name[0].isdecimal() and "\0" not in name


def _literal(text: str) -> str:
    return re.sub(r"[\\.+*?()|\[\]{}^$]", r"\\\g<0>", text)


def _name_and_value(document: Mapping[str, Any], field: str) -> tuple[str, str]:
    for key in ("name", "value"):
        if key not in document:
            raise _refused(f"{field}.{key}", "missing")
        if not isinstance(document[key], str):
            raise _refused(f"{field}.{key}", "expected text")
    return document["name"], document["value"]


def _operator(document: Mapping[str, Any], field: str) -> tuple[bool, bool]:
    """(is_regex, is_equal), which may also be said by an operator."""
    for key in ("op", "operator"):
        if key in document:
            for flags, op in _OPERATORS.items():
                if document[key] == op:
                    return flags
            raise _refused(f"{field}.{key}", "expected one of =, !=, =~, !~")
    is_regex = _flag(document, "is_regex", False, field)
    return bool(is_regex), _flag(document, "is_equal", True, field) is not False


def _flag(
    document: Mapping[str, Any], key: str, default: bool | None, field: str
) -> bool | None:
    value = document.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _refused(f"{field}.{key}", "expected true or false")
    return value


def _made(name: str, op: str, value: str, field: str) -> Matcher:
    if not valid_name(name):
        raise _refused(f"{field}.name", f"invalid label matcher: no label is named {name!r}")
    try:
        return Matcher(name, op, value)
    except ValueError as error:
        raise _refused(f"{field}.value", f"invalid label matcher: {error}") from error


def _refused(field: str, detail: str, *, status: int = 400) -> Refused:
    return Refused(f"{field}: {detail}", field=field, status=status)
