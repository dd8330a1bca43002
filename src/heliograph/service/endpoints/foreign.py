"""What the endpoints of Alertmanager's API share: its three paths, and errors as its clients read
them, which is a JSON text."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from heliograph.core.errors import Refused
from heliograph.service import problem
from heliograph.service.http import header

Answer = Callable[[Request], Awaitable[Response]]

JSON = "application/json"
# Words that say what they are about.
_THEIRS = (
    "silence invalid: ", "silence not found", "bad matcher format: ", "failed to parse ",
    "start time must be ", "end time can't be ", "alerts in body is ",
)  # fmt: skip
ROOTS = ("/api/v2/", "/v1/api/v2/", "/v1/alerts/metric/api/v2/")


def v2_paths(path: str) -> tuple[str, ...]:
    """*path* (`silences`) under each root, the plain one first."""
    return tuple(root + path for root in ROOTS)


def in_foreign_words(answer: Answer) -> Answer:
    """*answer*, whose refusals are a JSON text: clients of Alertmanager print nothing else."""

    async def answered(request: Request) -> Response:
        try:
            return await answer(request)
        except Refused as refused:
            at = f"{refused.field}: " if refused.field else ""
            # Some name the field in their own words.
            words = refused.detail.removeprefix(at)
            return text(words if words.startswith(_THEIRS) else f"{at}{words}", refused.status)

    return answered


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
