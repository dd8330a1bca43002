"""Usage of training tools: payloads in, counts out: `POST /v1/usage`, `GET /v1/usage`, `/usage`."""

from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.service import params, problem
from heliograph.service.executors import Executors
from heliograph.service.freshness import Reads
from heliograph.service.http import (
    Endpoint,
    Parameter,
    Surroundings,
    header,
    read_inflated,
)
from heliograph.service.meters import Meters
from heliograph.service.usages import Counted, Usages
from heliograph.store.state.usage import UsageCount
from heliograph.usage import export, payload
from heliograph.web import usage_page
from heliograph.web.usage_page import UsagePage

USAGE = "usage"
# A post's answer is the whole document while it is small and its sender may read; else, what the
# post changed of it.
ANSWER_COUNTS_MAX = 2000
PAYLOADS_MAX = 100
# Parameters of one form alone.
_FLAT, _STRUCTURED = ("format",), ("builder", "name", "offset", "limit")
_FORMATS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "json": ("application/json", export.to_json),
    "prometheus": ("text/plain; version=0.0.4; charset=utf-8", export.to_prometheus),
    "openmetrics": (
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        export.to_openmetrics,
    ),
    "csv": ("text/csv; charset=utf-8", export.to_csv),
}


class Using(NamedTuple):
    """What the endpoints of this module work with; *page* gives the page's values for a window."""

    around: Surroundings
    usages: Usages
    executors: Executors
    reads: Reads
    meters: Meters
    page: Callable[[str], UsagePage]
    list_max: int


def endpoints(using: Using) -> list[Endpoint]:
    """`/v1/usage`, the two paths that clients of spec 000 post to, and the page."""
    bound = _Bound(using)
    json = ("application/json",)
    return [
        Endpoint(
            "POST", "/v1/usage", "ingest", "Usage of training tools: a payload, or a list.",
            bound.post, request=json, returns="201 with the counts",
        ),
        Endpoint(
            "POST", "/api/v1/metrics", "ingest", "The same, one payload.", bound.post_one,
            request=json, returns="201 with the counts; 400 {}", aliases=("/api/v2/metrics",),
        ),
        Endpoint(
            "GET", "/v1/usage", "view", "Counts.", bound.listed,
            (
                Parameter("form", "flat (by default) or structured"),
                Parameter("format", "of the flat form: json, prometheus, openmetrics or csv"),
                Parameter("builder", "structured: only of this builder"),
                Parameter("name", "structured: only of this name"),
                Parameter("offset", "structured: first item"),
                Parameter("limit", "structured: items, at most 1000"),
            ),
        ),
        Endpoint(
            "GET", "/usage", "view", "Counts by network, version, GPU and status.", bound.page,
            (Parameter("window", "1h, 24h, 7d or 30d"),), returns="HTML",
        ),
    ]  # fmt: skip


class _Bound:
    """The endpoints, bound to what they work with."""

    def __init__(self, using: Using) -> None:
        self._with = using

    async def post(self, request: Request) -> Response:
        """Take one payload or several."""
        return problem.answer(await self._take(request, payload.decode_all), 201)

    async def post_one(self, request: Request) -> Response:
        """Take one payload; what is wrong with it is told as those clients know it: not at all."""
        try:
            flat = await self._take(request, lambda body: [payload.decode(body)])
        except Refused as refused:
            if refused.status == 400:
                return problem.answer({}, 400)
            raise
        return problem.answer(flat, 201)

    async def _take(
        self, request: Request, decode: Callable[[bytes], list[dict[str, Any]]]
    ) -> dict[str, Any]:
        using = self._with

        def take(body: bytes) -> Counted:
            payloads = decode(body)
            if len(payloads) > PAYLOADS_MAX:
                raise Refused(
                    f"{len(payloads)} payloads, limit {PAYLOADS_MAX}", field="body", status=413
                )
            counted = using.usages.take(payloads)
            using.meters.received.add(len(payloads), USAGE, "payloads")
            return counted

        try:
            body = await read_inflated(request, using.around, payload.BODY_BYTES_MAX)
            using.meters.received_bytes.add(len(body), USAGE)
            counted = await using.executors.control(lambda: take(body))
        except Refused as refused:
            using.meters.rejected.add(1, USAGE, refused.code)
            raise
        may_read = using.around.gate.allows(header(request, b"authorization"), "view")
        whole = may_read and using.usages.kept <= ANSWER_COUNTS_MAX
        return await using.executors.read(
            lambda: using.usages.flat(None if whole else counted.ids)
        )

    async def listed(self, request: Request) -> Response:
        """Counts, flat or structured."""

        def found() -> Response:
            params.known(request, ("form", *_FLAT, *_STRUCTURED))
            form = params.text(request, "form") or "flat"
            if form not in {"flat", "structured"}:
                raise Refused(f"{form[:40]!r} is none of flat, structured", field="form")
            structured = form == "structured"
            for name in _FLAT if structured else _STRUCTURED:
                if name in request.query_params:
                    raise Refused(f"{name} is not of the {form} form", field=name)
            if structured:
                return self._structured(request)
            name = params.text(request, "format") or "json"
            if name not in _FORMATS:
                known = ", ".join(_FORMATS)
                raise Refused(f"{name[:40]!r} is none of {known}", field="format")
            flat = self._with.usages.flat()
            if name == "json":
                return problem.answer(flat)
            media, written = _FORMATS[name]
            return Response(written(flat), media_type=media)

        return await self._with.reads.answer(found)

    def _structured(self, request: Request) -> Response:
        offset, limit = params.page(request, self._with.list_max)
        items, total = self._with.usages.page(
            builder=params.text(request, "builder") or None,
            name=params.text(request, "name") or None,
            offset=offset,
            limit=limit,
        )
        return problem.listing([_document(one) for one in items], total, offset, limit)

    async def page(self, request: Request) -> Response:
        """The page."""

        def drawn() -> str:
            params.known(request, ("window",))
            return usage_page.render(self._with.page(params.text(request, "window")))

        html = await self._with.executors.read(drawn)
        headers = {"Content-Security-Policy": usage_page.CONTENT_SECURITY_POLICY}
        return Response(html, headers=headers, media_type="text/html; charset=utf-8")


def _document(one: UsageCount) -> dict[str, Any]:
    return {
        "builder": one.builder,
        "name": one.name,
        "labels": dict(one.labels),
        "key": one.key,
        "strategy": one.strategy,
        "value": one.value,
        "updated_at": instant.text_of(one.updated_ns),
    }
