"""A `.wandb` file as requests much like its client's, with the times of its console.

    POST /files/…/file_stream    history, system metrics and console lines, some at a time; with the
                                 first the run's settings, with the last its summary and its end
    POST /graphql                alerts, at their own time

What the file says twice, or what is imported twice, is once in the service: steps, samples and lines
have the same identity as when the client itself had sent them. A file without an end, of a run that
still writes, leaves the run running.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from heliograph.core import instant
from heliograph.receive import wandb_stream
from heliograph.receive.wandb_file import Readable, WandbFile
from heliograph.receive.wandb_graphql import ENTITY, PROJECT
from heliograph.receive.wandb_records import (
    Alerted,
    Console,
    Environment,
    Exit,
    History,
    Item,
    Preempting,
    Run,
    System,
    Values,
)

BODY_LINES_MAX = 4000
BODY_BYTES_MAX = 2 * 1024 * 1024
LINE_CHARS_MAX = 64 * 1024
_ALERT = (
    "mutation NotifyScriptableRunAlert($title: String!) "
    "{notifyScriptableRunAlert(input: {title: $title}) {success}}"
)
_FILES = {
    wandb_stream.HISTORY: 0,
    wandb_stream.EVENTS: 1,
    wandb_stream.CONSOLE: 2,
}


class Post(NamedTuple):
    """One request: *items* lines of files are in it."""

    path: str
    body: bytes
    items: int


class Reading:
    """A file being read into requests; the counts grow meanwhile.

    steps, events, lines   of history, system metrics and console, so far
    """

    def __init__(self, file: Readable) -> None:
        self.file = WandbFile(file)
        self.counts = dict.fromkeys(_FILES, 0)
        self._waiting: dict[str, list[str]] = {name: [] for name in _FILES}
        self._waiting_bytes = 0
        self._run: Run | None = None
        self._environment: dict[str, Any] = {}
        self._config: dict[str, str] = {}
        self._summary: dict[str, str] = {}
        self._at_ns = 0
        self._told: tuple[dict[str, str], dict[str, Any]] | None = None
        self._lines = {"stdout": _Line(), "stderr": _Line()}
        self._exit: Exit | None = None
        self._preempting = False

    def posts(self) -> Iterator[Post]:
        """The requests, in order. Raises Refused for what is no such file."""
        for item in self.file.items():
            yield from self._posts(item)
            if self._full():
                yield self._stream()
        if self._run is None:
            return
        for stream, line in self._lines.items():
            self._add_console(stream, *line.rest())
        yield self._end()

    def _posts(self, item: Item) -> Iterator[Post]:
        if isinstance(item, History):
            self._add(wandb_stream.HISTORY, item.line)
        elif isinstance(item, Console):
            self._at_ns = item.at_ns or self._at_ns
            for at_ns, text in self._lines[item.stream].printed(item.at_ns, item.text):
                self._add_console(item.stream, at_ns, text)
        elif isinstance(item, System):
            self._add(wandb_stream.EVENTS, item.line)
        elif isinstance(item, Values):
            values = self._config if item.kind == "config" else self._summary
            values |= item.update
            for name in item.removed:
                values.pop(name, None)
        elif isinstance(item, Run):
            self._run = item
            self._config |= item.config
            self._at_ns = item.started_ns or self._at_ns
        elif isinstance(item, Environment):
            self._environment |= item.said
        elif isinstance(item, Alerted) and self._run is not None:
            yield self._stream()
            yield self._alert(item)
        elif isinstance(item, Exit):
            self._exit = item
        elif isinstance(item, Preempting):
            self._preempting = True

    def _add(self, name: str, line: str) -> None:
        self._waiting[name].append(line)
        self._waiting_bytes += len(line)

    def _add_console(self, stream: str, at_ns: int, text: str) -> None:
        if text:
            mark = "ERROR " if stream == "stderr" else ""
            at = instant.text_of(at_ns).removesuffix("Z")
            self._add(wandb_stream.CONSOLE, f"{mark}{at} {text[:LINE_CHARS_MAX]}")

    def _full(self) -> bool:
        lines = sum(map(len, self._waiting.values()))
        return (
            self._run is not None
            and lines > 0
            and (lines >= BODY_LINES_MAX or self._waiting_bytes >= BODY_BYTES_MAX)
        )

    def _stream(self) -> Post:
        files, lines = self._taken()
        body = {"files": files, **self._news()}
        return Post(self._stream_path(), msgspec.json.encode(body), lines)

    def _taken(self) -> tuple[dict[str, Any], int]:
        """The lines that wait, as a body has them, and how many; they wait no more."""
        files: dict[str, Any] = {}
        lines = 0
        for name, waiting in self._waiting.items():
            if waiting:
                files[name] = {"offset": self.counts[name], "content": waiting}
                self.counts[name] += len(waiting)
                lines += len(waiting)
                self._waiting[name] = []
        self._waiting_bytes = 0
        return files, lines

    def _news(self) -> dict[str, Any]:
        """The run's settings, where they are not what was told last."""
        run = self._run
        assert run is not None
        if self._told == (self._config, self._environment):
            return {}
        self._told = (dict(self._config), dict(self._environment))
        config = {name: {"value": value} for name, value in _values(self._config).items()}
        if self._environment:
            said = dict(self._environment)
            if (started_ns := said.pop("started_ns", None)) is not None:
                said["startedAt"] = instant.text_of(started_ns)
            own = config.get("_wandb", {"value": {}})["value"]
            own = own if isinstance(own, dict) else {}
            config["_wandb"] = {"value": {**own, "e": {"file": said}}}
        variables = {
            "displayName": run.name,
            "notes": run.notes,
            "groupName": run.group,
            "jobType": run.job_type,
            "host": run.host,
            "tags": list(run.tags),
            "program": self._environment.get("program"),
            "config": msgspec.json.encode(config).decode(),
        }
        return {"run": variables}

    def _alert(self, alert: Alerted) -> Post:
        assert self._run is not None
        variables = {
            "entityName": self._entity,
            "projectName": self._project,
            "runName": self._run.run_id,
            "title": alert.title,
            "text": alert.text,
            "severity": alert.level,
            "atNs": self._at_ns or None,
        }
        return _graphql(_ALERT, "NotifyScriptableRunAlert", variables)

    def _end(self) -> Post:
        files, lines = self._taken()
        if self._summary:
            summary = msgspec.json.encode(_values(self._summary)).decode()
            files[wandb_stream.SUMMARY] = {"offset": 0, "content": [summary]}
        body: dict[str, Any] = {"files": files, **self._news()}
        if self._preempting:
            body["preempting"] = True
        if self._exit is not None:
            body |= {"complete": True, "exitcode": self._exit.code}
        return Post(self._stream_path(), msgspec.json.encode(body), lines)

    @property
    def _entity(self) -> str:
        assert self._run is not None
        return self._run.entity or ENTITY

    @property
    def _project(self) -> str:
        assert self._run is not None
        return self._run.project or PROJECT

    def _stream_path(self) -> str:
        assert self._run is not None
        parts = (self._entity, self._project, self._run.run_id)
        return f"/files/{'/'.join(quote(part, safe='') for part in parts)}/file_stream"


class _Line:
    """What was printed of a line so far: pieces come as they were written, seldom whole lines."""

    def __init__(self) -> None:
        self._at_ns = 0
        self._text = ""
        self._over = False

    def printed(self, at_ns: int, text: str) -> Iterator[tuple[int, str]]:
        """The lines that *text* completes, each with the time of its first piece; of a line that
        was written over, the last version, and its time."""
        first, *more = text.split("\n")
        self._put(at_ns, first)
        for part in more:
            yield self.rest()
            self._put(at_ns, part)

    def _put(self, at_ns: int, part: str) -> None:
        for number, piece in enumerate(part.split("\r")):
            # A return only puts the cursor back; what comes then writes over the line.
            self._over = self._over or number > 0
            if piece and (self._over or not self._text):
                self._at_ns, self._text, self._over = at_ns, piece, False
            elif piece and len(self._text) < LINE_CHARS_MAX:
                self._text += piece

    def rest(self) -> tuple[int, str]:
        """What is there, which then is no more."""
        found = self._at_ns, self._text
        self._at_ns, self._text, self._over = 0, "", False
        return found


def _values(texts: dict[str, str]) -> dict[str, Any]:
    """JSON texts by flat name, as values; NaN is text, as the stream may carry it."""
    found: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            found[name] = _plain(wandb_stream.loads(text))
        except ValueError:
            found[name] = text
    return found


def _plain(value: Any) -> Any:
    """*value* without NaN and infinities, which JSON has not."""
    if isinstance(value, float) and (value != value or value in {float("inf"), -float("inf")}):  # noqa: PLR0124
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124
    if isinstance(value, dict):
        return {name: _plain(nested) for name, nested in value.items()}
    if isinstance(value, list):
        return [_plain(nested) for nested in value]
    return value


def _graphql(query: str, operation: str, variables: dict[str, Any]) -> Post:
    body = {"query": query, "operationName": operation, "variables": variables}
    return Post("/graphql", msgspec.json.encode(body), 0)
