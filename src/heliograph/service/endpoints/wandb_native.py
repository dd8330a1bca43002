"""The server side of an unmodified `wandb` client.

    POST /graphql                                          who, which run, alerts, where files go
    POST /files/{entity}/{project}/{run}/file_stream       history, system metrics, console, the end
    PUT  /files/{entity}/{project}/{run}/upload/…/{name}   files; few are read
    POST /sdk/otel/v1/metrics|logs|traces                  the client's own telemetry: dropped

A stream is answered when it is durable; a client repeats what it got no answer to for hours.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from heliograph.core.errors import Refused
from heliograph.receive import alert_bodies, wandb_files, wandb_graphql, wandb_stream
from heliograph.receive.alerts import Posted, Times
from heliograph.receive.wandb_graphql import Asked, RunName
from heliograph.service import (
    at_once,
    problem,
    wandb_answers,
    wandb_artifacts,
    wandb_public,
    wandb_taking,
)
from heliograph.service.alert_posts import AlertPosts
from heliograph.service.auth import Denied
from heliograph.service.backpressure import Backpressure
from heliograph.service.executors import Executors
from heliograph.service.freshness import Reads
from heliograph.service.http import (
    BODY_TIMEOUT_S,
    Endpoint,
    Surroundings,
    header,
    read_encoded,
)
from heliograph.service.wandb_public import Public
from heliograph.service.wandb_taking import PROTOCOL, Taking
from heliograph.service.wandb_uploads import Uploads
from heliograph.store.state.wandb_runs import WandbRun

JSON = ("application/json",)
LEVELS = {"INFO": "info", "WARN": "warning", "ERROR": "error"}
# What both who sends and who reads asks first.
_WHO = frozenset({"Viewer", "GetDefaultEntity", "ServerInfo", "ServerFeaturesQuery"})
# (the run's uid, names of files, name → address) → what the client is answered.
SayPlaces = Callable[[str, Sequence[str], Callable[[str], str]], dict[str, Any]]


class Native(NamedTuple):
    """What the endpoints of this module work with."""

    around: Surroundings
    taking: Taking
    uploads: Uploads
    posts: AlertPosts
    public: Public
    executors: Executors
    reads: Reads
    backpressure: Backpressure
    decoded_bytes_max: int


def endpoints(native: Native) -> list[Endpoint]:
    """All that a client calls."""
    bound = _Bound(native)
    run = "/files/{entity}/{project}/{run}"
    otel = "/sdk/otel/v1/{signal}"
    return [
        Endpoint(
            "POST", "/graphql", "known", "What a wandb client asks for, by operation.",
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
    ]  # fmt: skip


class _Bound:
    """The endpoints, bound to what they work with."""

    def __init__(self, native: Native) -> None:
        self._with = native
        self._operations: dict[str, Callable[[Asked, str], dict[str, Any]]] = {
            "Viewer": lambda _, __: wandb_answers.viewer(),
            "GetDefaultEntity": lambda _, __: wandb_answers.viewer(),
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
        inflated = await self._body(request)
        root, authorization = _root(request), header(request, b"authorization")

        def answered() -> dict[str, Any] | Asked:
            asked = wandb_graphql.decode(inflated())
            known = self._operations.get(asked.operation)
            said = known is not None or asked.operation in wandb_public.NAMES
            if asked.operation not in _WHO | wandb_public.NAMES:
                native.around.gate.check(authorization, "ingest")
            kind = asked.operation if said else "other_operation"
            native.taking.meters.received.add(1, PROTOCOL, kind)
            if wandb_graphql.is_edit(asked):
                return wandb_answers.error(wandb_public.EDITS)
            if known is not None:
                return {"data": known(asked, root)}
            return asked if said else {"data": wandb_answers.nothing(asked)}

        try:
            answer = await native.executors.runs(self._counted(answered))
        except Denied as denied:
            # Of a problem document clients show nothing but its status.
            return problem.answer(wandb_answers.error(denied.detail), denied.status)
        if not isinstance(answer, Asked):
            return problem.answer(answer)
        asked = answer

        def read() -> Response:
            return problem.answer(self._public(asked, authorization))

        return await native.reads.answer(read)

    def _public(self, asked: Asked, authorization: str | None) -> dict[str, Any]:
        """What a script reads, or why it cannot, in the words that its client shows."""
        try:
            if asked.operation not in wandb_public.NOT_OFFERED:
                self._with.around.gate.check(authorization, "view")
            return {"data": self._with.public.answer(asked)}
        except (Refused, Denied) as error:
            return wandb_answers.error(error.detail)

    async def stream(self, request: Request) -> Response:
        """Take lines of a run's files."""
        native = self._with
        name = _name(request)
        native.backpressure.check()
        inflated = await self._body(request)

        def taken() -> None:
            body = inflated()
            native.taking.meters.received_bytes.add(len(body), PROTOCOL)
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

    async def _body(self, request: Request) -> Callable[[], bytes]:
        """What gives the body without its encoding: not here, where all other requests wait."""
        native = self._with
        return await read_encoded(request, native.around, native.decoded_bytes_max)

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
        with self._with.taking.runs.held(name.uid):
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
        run = taking.runs.known(name)
        if run is None:
            # One that `resume="must"` refused: 0.18 puts its empty console there all the same.
            taking.meters.received.add(1, PROTOCOL, "files_of_no_run")
            return
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
            chunk = await at_once.within(anext(stream, None), limit_s=BODY_TIMEOUT_S)
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
