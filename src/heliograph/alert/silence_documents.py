"""Silences as somebody asks for them: /v1's documents, and those of Alertmanager's API (v2).

{"matchers": [{"name": "workload_id", "value": "test-job-*"}], "ends_at": "2026-01-01T02:00:00Z",
 "comment": "new fans", "schedule": {"cron": "0 2 * * 6", "duration": "4h"}}
{"matchers": [{"name": "a", "value": "b", "isRegex": false}], "startsAt": "…", "endsAt": "…",
 "createdBy": "me", "comment": "…"}
"""

from collections.abc import Callable, Mapping
from typing import Any

from heliograph.alert import matching, schedule
from heliograph.alert.silences import Wanted
from heliograph.core import instant
from heliograph.core.errors import Refused

_DOCUMENT_KEYS = {
    "id", "matchers", "starts_at", "ends_at", "comment", "created_by", "schedule",
}  # fmt: skip
# What a silence is shown with besides; a document that was shown is taken back.
_SHOWN = {"silence_id", "state", "created_at", "updated_at"}
_V2_TEXTS = ("startsAt", "endsAt", "createdBy", "comment")
_ZERO_TIMES = ("", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z")


def from_document(document: Any) -> tuple[Wanted, list[str]]:
    """What a /v1 body asks for, and warnings for who asks. Raises Refused that names the field."""
    if not isinstance(document, Mapping):
        raise _refused("", "expected an object")
    for key in document:
        if key not in _DOCUMENT_KEYS | _SHOWN:
            raise _refused(str(key), "unknown key")
    if not document.get("matchers"):
        raise _refused("matchers", "matchers are required")
    matchers, warnings = matching.from_documents(document["matchers"])
    return (
        Wanted(
            matchers=matchers,
            starts_ns=_instant(document, "starts_at"),
            ends_ns=_instant(document, "ends_at", required=True),
            created_by=_text(document, "created_by"),
            comment=_text(document, "comment"),
            schedule=schedule.checked(document.get("schedule")),
            id=_text(document, "id"),
            begun=True,
        ),
        warnings,
    )


def from_v2(document: Any) -> Wanted:
    """What a body of Alertmanager's API asks for.

    Raises Refused, and in Alertmanager's order: 400 for a value of the wrong type, 422 where one is
    missing, 400 where only its meaning is wrong.
    """
    if not isinstance(document, Mapping):
        raise _refused("", "expected an object")
    for key in (*_V2_TEXTS, "id"):
        if not isinstance(document.get(key), str | None):
            raise _refused(key, f"{key} in body must be of type string")
    starts_ns = _v2_instant(document, "startsAt", instant.parse)
    ends_ns = _v2_instant(document, "endsAt", instant.parse_end)
    matchers = document.get("matchers")
    if not isinstance(matchers, list | None):
        raise _refused("matchers", "matchers in body must be of type array")
    for index, one in enumerate(matchers or ()):
        matching.check_types_v2(one, field=f"matchers[{index}]")
    for key in ("matchers", *_V2_TEXTS):
        if document.get(key) is None:
            raise _refused(key, f"{key} in body is required", status=422)
    if not matchers:
        raise _refused("matchers", "matchers in body should have at least 1 items", status=422)
    if len(matchers) > matching.MATCHERS_MAX:
        raise _refused("matchers", f"{len(matchers)} matchers, limit {matching.MATCHERS_MAX}")
    return Wanted(
        matchers=tuple(
            matching.from_v2(one, field=f"matchers[{i}]") for i, one in enumerate(matchers)
        ),
        starts_ns=starts_ns,
        ends_ns=ends_ns,
        created_by=document["createdBy"],
        comment=document["comment"],
        id=document.get("id") or "",
    )


def _instant(document: Mapping[str, Any], key: str, *, required: bool = False) -> int | None:
    value = document.get(key)
    if value is None:
        if required:
            raise _refused(key, "required")
        return None
    try:
        if isinstance(value, str):
            return instant.parse(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return instant.of_written(value)
    except ValueError as error:
        raise _refused(key, str(error)) from error
    raise _refused(key, "expected an instant, e.g. 2026-01-01T00:00:00Z")


def _v2_instant(
    document: Mapping[str, Any], key: str, parse: Callable[[str], int]
) -> int | None:
    value = document.get(key)
    if value is None or value in _ZERO_TIMES:
        return None
    try:
        return parse(value)
    except ValueError as error:
        raise _refused(key, str(error)) from error


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _refused(key, "expected text")
    return value


def _refused(field: str, detail: str, *, status: int = 400) -> Refused:
    return Refused(f"{field}: {detail}" if field else detail, field=field, status=status)
