"""What the endpoints of Alertmanager's API share: its three paths, and errors as its clients read
them, which is a JSON text."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from heliograph.core.errors import Refused
from heliograph.service import problem

Answer = Callable[[Request], Awaitable[Response]]

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
            return problem.encoded(msgspec.json.encode(f"{at}{words}"), refused.status)

    return answered
