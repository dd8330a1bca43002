"""The server side of an unmodified `wandb` client, and the runs that came so.

    POST /graphql                                          who, which run, alerts, where files go
    POST /files/{entity}/{project}/{run}/file_stream       history, system metrics, console, the end
    PUT  /files/{entity}/{project}/{run}/upload/…/{name}   files; few are read
    POST /sdk/otel/v1/metrics|logs|traces                  the client's own telemetry: dropped
    GET  /v1/wandb/runs, /v1/wandb/runs/{uid}              what is known of runs

A stream is answered when it is durable; a client repeats what it got no answer to for hours.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.receive import alert_bodies, json_body, wandb_files, wandb_graphql, wandb_stream
from heliograph.receive.alerts import Posted, Times
from heliograph.receive.wandb_graphql import Asked, RunName
from heliograph.service import params, problem, wandb_answers, wandb_artifacts, wandb_taking
from heliograph.service.alert_posts import AlertPosts
from heliograph.service.auth import Denied
from heliograph.service.backpressure import Backpressure
from heliograph.service.executors import Executors
from heliograph.service.freshness import Reads
from heliograph.service.http import (
    BODY_TIMEOUT_S,
    Endpoint,
    Parameter,
    Surroundings,
    header,
    read_body,
)
from heliograph.service.owners import Owners
from heliograph.service.wandb_taking import PROTOCOL, Taking
from heliograph.service.wandb_uploads import Uploads
from heliograph.store.state import wandb_runs
from heliograph.store.state.state import State
from heliograph.store.state.wandb_runs import WandbRun

JSON = ("application/json",)
LEVELS = {"INFO": "info", "WARN": "warning", "ERROR": "error"}
# What is said of a run in a list, of all that it says of itself.
_SHOWN = (
    *("name", "group", "job_type", "program", "host", "tags", "notes", "exit_code"),
    *("uploaded_files", "dropped_files", "dropped_bytes", "left_out"),
)
_DETAILS = ("config", "summary", "metadata", "packages", "commit", "repo", "sweep")

# (the run's uid, names of files, name → address) → what the client is answered.
SayPlaces = Callable[[str, Sequence[str], Callable[[str], str]], dict[str, Any]]


class Native(NamedTuple):
    """What the endpoints of this module work with."""

    around: Surroundings
    taking: Taking
    uploads: Uploads
    posts: AlertPosts
    owners: Owners
    state: State
    executors: Executors
    reads: Reads
    backpressure: Backpressure
    decoded_bytes_max: int
    list_max: int


def endpoints(native: Native) -> list[Endpoint]:
    """All that a client calls, and the list of runs."""
    bound = _Bound(native)
    run = "/files/{entity}/{project}/{run}"
    otel = "/sdk/otel/v1/{signal}"
    paging = (Parameter("offset", "first item"), Parameter("limit", "items, at most 1000"))
    return [
        Endpoint(
            "POST", "/graphql", "ingest", "What a wandb client asks for, by operation.",
            bound.graphql, request=JSON, returns="the operation's data",
        ),
        Endpoint(
            "POST", f"{run}/file_stream", "ingest",
            "Lines of a wandb run's files: history, system metrics, console.",
            bound.stream, request=JSON, returns="an empty object, once all is durable",
        ),
        Endpoint(
            "PUT", f"{run}/upload/{{signature}}/{{name:path}}", "open",
            "A file of a wandb run; the address is signed.", bound.upload,
            request=("application/octet-stream",),
        ),
        Endpoint(
            "POST", otel, "open", "The wandb client's own telemetry, which is dropped.",
            bound.otel, request=("application/x-protobuf",), returns="nothing",
        ),
        Endpoint(
            "GET", "/v1/wandb/runs", "view", "Wandb runs, newest first.", bound.listed,
            (
                Parameter("project", "only of this project"),
                Parameter("state", "running, finished, failed, preempted, silent"), *paging,
            ),
        ),
        Endpoint(
            "GET", "/v1/wandb/runs/{uid}", "view",
            "One wandb run with its config, summary and metadata.", bound.one,
        ),
    ]  # fmt: skip


class _Bound:
    """The endpoints, bound to what they work with."""

    def __init__(self, native: Native) -> None:
        self._with = native
        self._operations: dict[str, Callable[[Asked, str], dict[str, Any]]] = {
            "Viewer": lambda _, __: wandb_answers.viewer(),
            "ServerInfo": lambda _, __: wandb_answers.server_info(),
            "ServerFeaturesQuery": lambda _, __: wandb_answers.server_info(),
            "UpsertBucket": self._upsert,
            "RunResumeStatus": self._resume,
            "BucketStatus": self._resume,
            "RunStoppedStatus": lambda _, __: wandb_answers.stopped(),
            "CreateRunFiles": self._run_files,
            "RunUploadUrls": self._upload_urls,
            "NotifyScriptableRunAlert": self._alert,
            "CreateArtifact": lambda asked, _: wandb_artifacts.made(asked),
            "ArtifactByID": lambda asked, _: wandb_artifacts.known(asked),
            "ArtifactByIDShort": lambda asked, _: wandb_artifacts.known(asked),
            "UseArtifact": lambda asked, _: wandb_artifacts.known(asked),
        }

    async def graphql(self, request: Request) -> Response:
        """Answer one operation."""
        native = self._with
        native.backpressure.check()
        body = await self._body(request)
        root = _root(request)

        def answered() -> dict[str, Any]:
            asked = wandb_graphql.decode(body)
            known = self._operations.get(asked.operation)
            kind = asked.operation if known is not None else "other_operation"
            native.taking.meters.received.add(1, PROTOCOL, kind)
            return wandb_answers.nothing(asked) if known is None else known(asked, root)

        return problem.answer({"data": await native.executors.runs(self._counted(answered))})

    async def stream(self, request: Request) -> Response:
        """Take lines of a run's files."""
        native = self._with
        name = _name(request)
        native.backpressure.check()
        body = await self._body(request)
        native.taking.meters.received_bytes.add(len(body), PROTOCOL)

        def taken() -> None:
            stream = wandb_stream.decode(body)
            said = None
            if stream.run is not None:
                said = wandb_graphql.settings(
                    {**stream.run, **name._asdict(), "name": name.run}
                )
            with native.taking.runs.held(name.uid):
                wandb_taking.take(native.taking, name, stream, said)

        await native.executors.runs(self._counted(taken))
        return problem.answer({})

    async def upload(self, request: Request) -> Response:
        """Take a file, or count it."""
        native = self._with
        name, file = _name(request), request.path_params["name"]
        signature = request.path_params["signature"]
        if not await native.executors.read(lambda: native.uploads.valid(name, file, signature)):
            raise Denied(403, "this address was not given by this service")
        body, size_bytes = await _drained(
            request, wandb_files.FILE_BYTES_MAX if file in wandb_files.READ else 0
        )
        native.taking.meters.received_bytes.add(size_bytes, PROTOCOL)

        def filed() -> None:
            with native.taking.runs.held(name.uid):
                self._filed(name, file, body, size_bytes)

        await native.executors.runs(filed)
        return problem.answer({})

    async def otel(self, request: Request) -> Response:
        """Drop it."""
        meters = self._with.taking.meters
        _, size_bytes = await _drained(request, 0)
        meters.received.add(1, PROTOCOL, "client_telemetry")
        meters.received_bytes.add(size_bytes, PROTOCOL)
        return Response(b"", media_type="application/x-protobuf")

    async def listed(self, request: Request) -> Response:
        """Runs, without what takes much room."""

        def found() -> Response:
            params.known(request, ("project", "state", "offset", "limit"))
            offset, limit = params.page(request, self._with.list_max)
            chosen = {name: params.text(request, name) or None for name in ("project", "state")}
            runs, total = self._with.state.read(
                lambda tx: wandb_runs.page(tx, **chosen, offset=offset, limit=limit)
            )
            return problem.listing([self._shown(run) for run in runs], total, offset, limit)

        return await self._with.reads.answer(found)

    async def one(self, request: Request) -> Response:
        """Everything of one run."""
        params.known(request, ())
        uid = request.path_params["uid"]

        def found() -> Response:
            run = self._with.taking.runs.read(uid)
            if run is None:
                raise Refused(f"no wandb run {uid[:100]!r}", code="not_found", status=404)
            details = {name: run.document.get(name) for name in _DETAILS}
            return problem.answer({**self._shown(run), **details})

        return await self._with.reads.answer(found)

    async def _body(self, request: Request) -> bytes:
        return json_body.inflated(
            await read_body(request, self._with.around),
            content_encoding=header(request, b"content-encoding"),
            decoded_bytes_max=self._with.decoded_bytes_max,
        )

    def _counted(self, work: Callable[[], Any]) -> Callable[[], Any]:
        meters = self._with.taking.meters

        def counted() -> Any:
            try:
                return work()
            except Refused as error:
                meters.rejected.add(1, PROTOCOL, error.code)
                raise

        return counted

    def _upsert(self, asked: Asked, _: str) -> dict[str, Any]:
        said = wandb_graphql.settings(asked.variables)
        with self._with.taking.runs.held(said.name.uid):
            run, new = self._with.taking.runs.opened(said.name, said)
            if new:
                wandb_taking.announce(self._with.taking, run)
        return wandb_answers.upserted(run, new=new)

    def _resume(self, asked: Asked, _: str) -> dict[str, Any]:
        name = wandb_graphql.run_name(
            asked.variables, entity="entity", project="project", run="name"
        )
        return wandb_answers.resume(self._with.taking.runs.known(name), asked)

    def _run_files(self, asked: Asked, root: str) -> dict[str, Any]:
        return self._places(asked, root, "project", wandb_answers.run_files)

    def _upload_urls(self, asked: Asked, root: str) -> dict[str, Any]:
        return self._places(asked, root, "name", wandb_answers.upload_urls)

    def _places(self, asked: Asked, root: str, project: str, say: SayPlaces) -> dict[str, Any]:
        """Where the files that a run asks for are to be put; *project* is the variable of that."""
        name = wandb_graphql.run_name(
            asked.variables, entity="entity", project=project, run="run"
        )
        files = wandb_graphql.files(asked.variables)
        return say(name.uid, files, lambda file: self._with.uploads.url(root, name, file))

    def _alert(self, asked: Asked, _: str) -> dict[str, Any]:
        alert = wandb_graphql.alert(asked.variables)
        run = self._run(alert.name)
        if alert.at_ns is not None and wandb_taking.is_past(self._with.taking, alert.at_ns):
            # Out of a file: what nobody was told in time is history, and no reason to wake anyone.
            wandb_taking.keep_alert(self._with.taking, run, alert, LEVELS[alert.level])
            return wandb_answers.alerted()
        body = _webhook(alert, run)

        def decoded(times: Times) -> Posted:
            return Posted([alert_bodies.decode(body, "webhook", times)], [0], [])

        self._with.posts.submit(decoded).result()
        return wandb_answers.alerted()

    def _run(self, name: RunName) -> WandbRun:
        """The run *name*, which begins now when it was never heard of."""
        runs = self._with.taking.runs
        with runs.held(name.uid):
            return runs.known(name) or runs.opened(name)[0]

    def _filed(self, name: RunName, file: str, body: bytes | None, size_bytes: int) -> None:
        """What a file says, into the run; the rest is counted."""
        taking = self._with.taking
        run = self._run(name)
        said = dict(run.document)
        read = wandb_files.NOTHING
        if body is not None:
            try:
                read = wandb_files.read(file, body)
            except Refused as error:
                taking.meters.rejected.add(1, PROTOCOL, error.code)
        if body is None:
            taking.meters.received.add(1, PROTOCOL, "files_dropped")
            said["dropped_files"] = int(said.get("dropped_files", 0)) + 1
            said["dropped_bytes"] = int(said.get("dropped_bytes", 0)) + size_bytes
        else:
            taking.meters.received.add(1, PROTOCOL, "files_read")
        # What the client said itself is newer than its files; only what is missing is taken.
        said |= {key: value for key, value in read.said.items() if not said.get(key)}
        run = run._replace(document=said)
        if read.started_ns is not None:
            run = taking.runs.begun(run, read.started_ns)
        taking.runs.saved(run)

    def _shown(self, run: WandbRun) -> dict[str, Any]:
        owner = self._with.owners.directory().owner(run.pod_uid)
        said = run.document
        ended_ns = said.get("ended_ns") if run.state != wandb_runs.RUNNING else None
        return {
            "uid": run.uid,
            "entity": run.entity,
            "project": run.project,
            "run_id": run.run_id,
            "state": run.state,
            "pod_uid": run.pod_uid,
            "workload_uid": None if owner is None else owner.workload_uid,
            "started": instant.text_of(int(said.get("started_ns", run.created_ns))),
            "heard": instant.text_of(run.heard_ns),
            "last_step_arrived": instant.text_of(run.history_ns) if run.history_ns else None,
            "last_step": (said.get("tail") or {}).get("_step"),
            "ended": None if ended_ns is None else instant.text_of(ended_ns),
            "steps": run.history_lines,
            "events": run.event_lines,
            "console_lines": run.console_lines,
            **{name: said.get(name) for name in _SHOWN},
        }


def _name(request: Request) -> RunName:
    given = request.path_params
    return wandb_graphql.name_of(given["entity"], given["project"], given["run"])


def _root(request: Request) -> str:
    """Where the client reaches us: it is told to come there again."""
    scheme = header(request, b"x-forwarded-proto") or request.url.scheme
    host = header(request, b"host") or request.url.netloc
    return f"{'https' if scheme == 'https' else 'http'}://{host}"


async def _drained(request: Request, keep_bytes: int) -> tuple[bytes | None, int]:
    """The body, or None where it is larger than *keep_bytes*; and how large it is. However large,
    no more than that is held."""
    chunks: list[bytes] | None = [] if keep_bytes else None
    size_bytes = 0
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                chunk = await anext(stream, None)
            if chunk is None:
                break
            size_bytes += len(chunk)
            if chunks is not None:
                chunks.append(chunk)
                chunks = chunks if size_bytes <= keep_bytes else None
    except ClientDisconnect as error:
        raise Refused("the body ended early", field="body", code="cut_short") from error
    except TimeoutError as error:
        raise Refused(
            f"nothing came for {BODY_TIMEOUT_S} s", field="body", code="slow", status=408
        ) from error
    return (None if chunks is None else b"".join(chunks)), size_bytes


def _webhook(alert: wandb_graphql.RunAlert, run: WandbRun) -> bytes:
    """The alert as our own webhook takes it."""
    labels = {"run_id": run.run_id, "project": run.project, "entity": run.entity}
    document = {
        "alert_name": alert.title,
        "severity": LEVELS[alert.level],
        "message": alert.text,
        "labels": {**labels, "severity": LEVELS[alert.level]},
        "pod_id": run.pod_uid,
    }
    return msgspec.json.encode(document)
