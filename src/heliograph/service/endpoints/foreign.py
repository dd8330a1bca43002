"""What the endpoints of Alertmanager's API share: its three paths, and errors as its clients read
them, which is a JSON text."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from heliograph.core.errors import HeliographError, Refused
from heliograph.service import problem
from heliograph.service.auth import Permission
from heliograph.service.http import Answer, Endpoint, header

JSON = "application/json"
# Words that say what they are about.
_THEIRS = (
    "silence invalid: ", "silence not found", "bad matcher format: ", "failed to parse ",
    "start time must be ", "end time can't be ", "alerts in body is ",
)  # fmt: skip
# Refused before an endpoint is asked.
_UNREACHED = {"not_found", "method_not_allowed"}
ROOTS = ("/api/v2/", "/v1/api/v2/", "/v1/alerts/metric/api/v2/")


def endpoint(
    method: str, path: str, permission: Permission, summary: str, answer: Answer, **rest: Any
) -> Endpoint:
    """The row of *path* (`silences`) under each root, the plain one first; *rest* as `Endpoint` has
    it."""
    first, *aliases = (root + path for root in ROOTS)
    return Endpoint(
        *(method, first, permission, summary, answer),
        aliases=tuple(aliases),
        of_error=of_error,
        **rest,
    )


def of_error(error: HeliographError, *, busy_status: int = 503) -> Response:
    """The answer to *error*: a JSON text where an endpoint refuses, for clients of Alertmanager print
    nothing else; a code and a message where there is none. Of the rest it knows nothing, so that is
    told as everywhere."""
    if not isinstance(error, Refused):
        return problem.of_error(error, busy_status=busy_status)
    if not error.field and error.code in _UNREACHED:
        return problem.answer({"code": error.status, "message": error.detail}, error.status)
    at = f"{error.field}: " if error.field else ""
    # Some name the field in their own words.
    words = error.detail.removeprefix(at)
    return text(words if words.startswith(_THEIRS) else f"{at}{words}", error.status)


def text(words: str, status: int) -> Response:
    """An error in such *words*."""
    return problem.encoded(msgspec.json.encode(problem.plain(words)), status)


def require_json(request: Request) -> None:
    """Refuse (415) a body that is not said to be JSON, as Alertmanager does: a page of another site
    can make a browser post only what is said to be something else."""
    given = header(request, b"content-type")
    if given == JSON:
        return
    media = (given or "application/octet-stream").partition(";")[0].strip().lower()
    if media != JSON:
        raise Refused(
            f"unsupported media type {media[:60]!r}, only [{JSON}] are allowed",
            field="Content-Type",
            code="content_type",
            status=415,
        )
