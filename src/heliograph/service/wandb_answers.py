"""Answers to a wandb client's GraphQL, by the operation's name, as its generated code decodes them.

Fields that a version does not ask for are ignored by it, and one that it misses is null to it, so
that one answer serves all versions. An operation that is not here gets null for whatever it asks
for, which clients take for "this server has none of it".
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from heliograph.receive import wandb_graphql
from heliograph.receive.wandb_graphql import ENTITY, Asked
from heliograph.service import problem
from heliograph.store.state.wandb_runs import WandbRun

# Above any version there is: no client asks its user to upgrade for our sake.
CLI_VERSION = "99.0.0"
# Of the types that clients ask about, by the names they are answered under: through these a client
# of 0.18 learns that it need not wait for what it uploads.
_TYPES = {"QueryType": ("serverInfo",), "ServerInfoType": ("cliVersionInfo",)}
# Where a file goes, of its name.
UploadUrl = Callable[[str], str]


def viewer() -> dict[str, Any]:
    """Who the key is: one user, who has no teams."""
    user = {
        "id": node_id("User", ENTITY),
        "entity": ENTITY,
        "username": ENTITY,
        "name": ENTITY,
        "email": "",
        "admin": False,
        "flags": "{}",
        "teams": {"edges": []},
    }
    return {"viewer": user, **server_info()}


def server_info() -> dict[str, Any]:
    """What the server is, without a feature that a client would use."""
    return {
        "serverInfo": {
            "cliVersionInfo": {"max_cli_version": CLI_VERSION},
            "latestLocalVersionInfo": None,
            "features": [],
        }
    }


def upserted(run: WandbRun, *, new: bool) -> dict[str, Any]:
    """After `UpsertBucket`. Config is not said back: a client takes it for a sweep's."""
    return {"upsertBucket": {"bucket": {**bucket(run), "config": "{}"}, "inserted": new}}


def resume(run: WandbRun | None, asked: Asked) -> dict[str, Any]:
    """`RunResumeStatus`: how far a run has come, so that its client goes on from there; a run that
    we do not know is null."""
    project, entity = asked.variables.get("project"), asked.variables.get("entity")
    return {
        "model": {
            "id": node_id("Project", str(project)),
            "name": project,
            "entity": {
                "id": node_id("Entity", str(entity or ENTITY)),
                "name": entity or ENTITY,
            },
            "bucket": None if run is None else bucket(run),
        }
    }


def bucket(run: WandbRun) -> dict[str, Any]:
    """A run as clients know it; lines, tails, config and summary are what a resumed one needs."""
    said = run.document
    config = {name: {"value": value} for name, value in (said.get("config") or {}).items()}
    tail, events_tail = said.get("tail") or {}, said.get("events_tail") or {}
    return {
        "id": node_id("Run", run.uid),
        "name": run.run_id,
        "displayName": said.get("name") or run.run_id,
        "description": said.get("notes", ""),
        "notes": said.get("notes", ""),
        "config": _text(config),
        "summaryMetrics": _text(said.get("summary") or {}),
        "wandbConfig": _text({"t": _telemetry(said)}),
        "sweepName": said.get("sweep") or None,
        "tags": list(said.get("tags") or ()),
        "state": run.state,
        "stopped": False,
        "historyLineCount": run.history_lines,
        "eventsLineCount": run.event_lines,
        "logLineCount": run.console_lines,
        "historyTail": _text([_text(tail)] if tail else []),
        "eventsTail": _text([_text(events_tail)] if events_tail else []),
        "project": {
            "id": node_id("Project", run.project),
            "name": run.project,
            "entity": {"id": node_id("Entity", run.entity), "name": run.entity},
        },
    }


def _telemetry(said: Mapping[str, Any]) -> Any:
    own = (said.get("config") or {}).get("_wandb")
    return own.get("t", {}) if isinstance(own, dict) else {}


def stopped() -> dict[str, Any]:
    """`RunStoppedStatus`: nobody stops a run from here."""
    return {"project": {"run": {"stopped": False}}}


def run_files(uid: str, names: Sequence[str], url: UploadUrl) -> dict[str, Any]:
    """`CreateRunFiles`: where to put each file."""
    files = [{"name": name, "uploadUrl": url(name)} for name in names]
    return {
        "createRunFiles": {
            "runID": node_id("Run", uid),
            "uploadHeaders": [],
            "files": files,
        }
    }


def upload_urls(uid: str, names: Sequence[str], url: UploadUrl) -> dict[str, Any]:
    """The same for `RunUploadUrls`, of older clients."""
    edges = [
        {"node": {"name": name, "url": url(name), "uploadUrl": url(name), "updatedAt": None}}
        for name in names
    ]
    files = {"uploadHeaders": [], "edges": edges}
    return {"model": {"bucket": {"id": node_id("Run", uid), "files": files}}}


def alerted() -> dict[str, Any]:
    """After `NotifyScriptableRunAlert`."""
    return {"notifyScriptableRunAlert": {"success": True}}


def error(words: str) -> dict[str, Any]:
    """A whole answer that says only what is wrong: clients show it, and do not ask again."""
    return {"data": None, "errors": [{"message": words}]}


def nothing(asked: Asked) -> dict[str, Any]:
    """To what is not known: null for each field of the top, and of types the fields that older
    clients shall use."""
    return {
        name: _type(name) if field == "__type" else None
        for name, field in wandb_graphql.fields(asked.query).items()
    }


def _type(name: str) -> dict[str, Any]:
    fields = [{"name": field} for field in _TYPES.get(name, ())]
    return {"name": name, "fields": fields, "inputFields": []}


def node_id(kind: str, name: str) -> str:
    """An opaque id, as GraphQL servers make them."""
    return base64.b64encode(f"{kind}:{name}".encode("utf-8", "replace")).decode()


def _text(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """JSON within JSON. NaN becomes text, which the clients' own decoder needs."""
    return msgspec.json.encode(problem.plain(value)).decode()
