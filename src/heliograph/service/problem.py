"""Answers: JSON with our rules for numbers and times, and every error as application/problem+json.

    {"type": "about:blank", "title": "Bad Request", "status": 400, "code": "invalid",
     "detail": "…", "errors": [{"field": "pods[2].devices[0].type", "message": "…"}]}

NaN and infinities are the strings "NaN", "+Inf", "-Inf" in every JSON we write.
Source: RFC 9457.
"""

import http
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from heliograph.core.errors import HeliographError, Refused, Unavailable
from heliograph.service.auth import Denied

# A browser asks its user for a token only when Basic is offered.
CHALLENGES = ('Bearer realm="heliograph"', 'Basic realm="heliograph", charset="UTF-8"')

_encoder = msgspec.json.Encoder()


def number(value: float) -> float | str:
    """*value* as JSON can carry it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def plain(value: Any) -> Any:
    """*value* with every float inside made JSON-safe."""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if isinstance(value, Mapping):
        return {str(key): plain(nested) for key, nested in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(item) for item in value]
    return value


def answer(
    content: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer of *content* (dicts, lists, numbers, text)."""
    return encoded(_encoder.encode(plain(content)), status, headers)


def wordy(content: Any) -> Response:
    """The same, much faster, of *content* without fractions: a list of 10,000 alerts."""
    return encoded(worded(content))


def worded(content: Any) -> bytes:
    """The JSON of *content* without fractions."""
    try:
        return _encoder.encode(content)
    except UnicodeEncodeError:
        return _encoder.encode(plain(content))


def encoded(
    body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer whose *body* is already encoded."""
    return Response(body, status, dict(headers or {}), media_type="application/json")


def listing(items: Sequence[Any], total: int, offset: int, limit: int) -> Response:
    """The answer of every list."""
    return answer({"items": items, "total": total, "offset": offset, "limit": limit})


def problem(
    status: int,
    detail: str,
    *,
    code: str,
    errors: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Response:
    """One error answer; *extra* are members beside the standard ones."""
    document = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "errors": list(errors),
        **(extra or {}),
    }
    body = _encoder.encode(plain(document))
    return Response(body, status, dict(headers or {}), media_type="application/problem+json")


def of_error(error: HeliographError, *, busy_status: int = 503) -> Response:
    """The answer to *error*; *busy_status* is 429 where the protocol's senders expect that."""
    if isinstance(error, Refused):
        errors = [{"field": error.field, "message": error.detail}] if error.field else []
        return problem(error.status, error.detail, code=error.code, errors=errors)
    if isinstance(error, Unavailable):
        headers = {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
        return problem(busy_status, error.detail, code=error.code, headers=headers)
    if isinstance(error, Denied):
        response = problem(error.status, error.detail, code=error.code)
        if error.status == 401:
            # A header each: not every client takes a list of challenges apart.
            for challenge in CHALLENGES:
                response.headers.append("WWW-Authenticate", challenge)
        return response
    return problem(500, "an error without an answer", code="internal")
