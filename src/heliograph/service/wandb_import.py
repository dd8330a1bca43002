"""A `.wandb` file as requests much like its client's, with the times of its console.

    POST /files/…/file_stream    history, system metrics and console lines, some at a time; with the
                                 first the run's settings, with the last its summary and its end
    POST /graphql                alerts, at their own time

What the file says twice, or what is imported twice, is once in the service: steps, samples and lines
have the same identity as when the client itself had sent them. A file without an end, of a run that
still writes, leaves the run running.
"""

import json
from collections.abc import Iterable, Iterator
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
from heliograph.receive.wandb_terminal import Line, Terminal
from heliograph.receive.wandb_values import Tree
from heliograph.service.wandb_console import STREAMS

BODY_LINES_MAX = 4000
BODY_BYTES_MAX = 2 * 1024 * 1024
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
    """A file being read into requests. `counts` says how many lines of history, system metrics and
    console are in them so far, by the name of the client's file."""

    def __init__(self, file: Readable) -> None:
        self.file = WandbFile(file)
        self.counts = dict.fromkeys(_FILES, 0)
        self._waiting: dict[str, list[str]] = {name: [] for name in _FILES}
        self._waiting_bytes = 0
        self._run: Run | None = None
        self._environment: dict[str, Any] = {}
        self._config = Tree()
        self._summary = Tree()
        self._at_ns = 0
        self._told: dict[str, Any] = {}
        self._terminals = {stream: Terminal() for stream in STREAMS}
        # Console lines that say something, of each stream: in bodies so far, and of those waiting.
        self._before = dict.fromkeys(STREAMS, 0)
        self._printed = dict.fromkeys(STREAMS, 0)
        self._printed_ns = 0
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
        for stream, terminal in self._terminals.items():
            self._add_console(stream, terminal.rest())
        yield self._end()

    def _posts(self, item: Item) -> Iterator[Post]:
        if isinstance(item, History):
            self._add(wandb_stream.HISTORY, item.line)
        elif isinstance(item, Console):
            self._at_ns = item.at_ns or self._at_ns
            self._printed_ns = self._printed_ns or item.at_ns
            terminal = self._terminals[item.stream]
            self._add_console(item.stream, terminal.written(item.at_ns, item.text))
        elif isinstance(item, System):
            self._add(wandb_stream.EVENTS, item.line)
        elif isinstance(item, Values):
            values = self._config if item.kind == "config" else self._summary
            values.change(item.update.items(), item.removed)
        elif isinstance(item, Run):
            self._run = item
            self._config.change(item.config.items())
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

    def _add_console(self, stream: str, lines: Iterable[Line]) -> None:
        mark = "ERROR " if stream == "stderr" else ""
        for line in lines:
            at = instant.text_of(line.at_ns).removesuffix("Z")
            self._add(wandb_stream.CONSOLE, f"{mark}{at} {line.text}")
            self._printed[stream] += bool(line.text)

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
        if wandb_stream.CONSOLE in files:
            files[wandb_stream.CONSOLE]["read"] = [*self._before.values(), self._printed_ns]
            self._before = dict(self._printed)
        self._waiting_bytes = 0
        return files, lines

    def _news(self) -> dict[str, Any]:
        """The run's settings, where they are not what was told last."""
        run = self._run
        assert run is not None
        config = {name: {"value": value} for name, value in self._config.values().items()}
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
            "config": json.dumps(config),
        }
        told, self._told = self._told, variables
        return {"run": variables} if variables != told else {}

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
            # With NaN in it, as the stream may carry it.
            summary = json.dumps(self._summary.values())
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


def _graphql(query: str, operation: str, variables: dict[str, Any]) -> Post:
    body = {"query": query, "operationName": operation, "variables": variables}
    return Post("/graphql", msgspec.json.encode(body), 0)
