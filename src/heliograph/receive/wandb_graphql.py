"""What a wandb client asks over GraphQL: the operation's name, its variables, and runs and alerts in
them.

    {"query": "mutation UpsertBucket($name: String, …) {upsertBucket(input: {…}) {bucket {id}}}",
     "variables": {"name": "j760aa3o", "project": "proj", "entity": null, "host": "vm",
                   "config": "{\\"lr\\":{\\"value\\":0.1}}", "summaryMetrics": null}}

Queries are never executed: an operation is known by its name, and of an unknown one `fields` says
what it asks for at the top. Config and summary are JSON within JSON. Names become parts of paths
and of uids, so what is no name is refused. Source: wandb, core/api/graphql.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from heliograph.core.errors import Refused
from heliograph.receive import json_body, wandb_stream

NAME_CHARS_MAX = 128
TEXT_CHARS_MAX = 1024
# Names of one operation that are looked at.
LIST_MAX = 10_000
FIELDS_MAX = 50
QUERY_CHARS_MAX = 64 * 1024
ENTITY = "heliograph"
PROJECT = "uncategorized"

_OPERATION = re.compile(r"\b(?:query|mutation|subscription)\s+([A-Za-z_]\w{0,127})")
# Braces, brackets and names, and what must not be taken for any of them: strings, remarks.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|#[^\n]*|[{}()]|\.\.\.|[A-Za-z_]\w*|:')
_UNFIT = re.compile(r"[\x00-\x1f\x7f/\\#?%:]")


class Asked(NamedTuple):
    """One operation; *variables* as sent."""

    operation: str
    query: str
    variables: Mapping[str, Any]


class RunName(NamedTuple):
    """Which run: each part a name, without slashes or colons."""

    entity: str
    project: str
    run: str

    @property
    def uid(self) -> str:
        """`wandb:entity:project:run`, our uid of the run and of its workload."""
        return f"wandb:{self.entity}:{self.project}:{self.run}"


class RunSettings(NamedTuple):
    """What `UpsertBucket` says of a run; "" and None is what it does not say. *resumed* where a client
    begins to go on with a run that it knows of."""

    name: RunName
    display_name: str
    notes: str
    group: str
    job_type: str
    program: str
    host: str
    commit: str
    repo: str
    sweep: str
    tags: tuple[str, ...] | None
    config: dict[str, Any] | None
    summary: dict[str, Any] | None
    resumed: bool = False


class RunAlert(NamedTuple):
    """What `run.alert()` says. *level* is INFO, WARN or ERROR; *at_ns* is when, which only our own
    import of a file tells; else it is now."""

    name: RunName
    title: str
    text: str
    level: str
    at_ns: int | None = None


class _Body(msgspec.Struct):
    query: Any = ""
    variables: Any = None
    operationName: Any = None  # noqa: N815 - the name on the wire


_BODY = msgspec.json.Decoder(_Body)


def decode(raw: bytes) -> Asked:
    """The operation of *raw*. Raises Refused for what is no GraphQL request."""
    text, _ = json_body.as_utf8(raw)
    body = json_body.document(text, _BODY)
    query = body.query if isinstance(body.query, str) else ""
    named = body.operationName if isinstance(body.operationName, str) else ""
    if not query and not named:
        raise Refused("a GraphQL request has a query", field="query")
    match = _OPERATION.search(query[: 16 * 1024])
    variables = body.variables if isinstance(body.variables, dict) else {}
    return Asked((named or (match[1] if match else ""))[:NAME_CHARS_MAX], query, variables)


def fields(query: str) -> dict[str, str]:
    """What an operation asks for at its top, by the name it is answered under, at most FIELDS_MAX:

    {viewer {id} Types: __type(name: "Query") {name}}     {"viewer": "viewer", "Types": "__type"}
    """
    found: dict[str, str] = {}
    braces = brackets = 0
    alias = before = ""
    for token in _TOKEN.finditer(query[:QUERY_CHARS_MAX]):
        text = token.group()
        if text in "{}":
            braces += 1 if text == "{" else -1
            if braces == 0 and found:
                break
        elif text in "()":
            brackets += 1 if text == "(" else -1
        elif braces == 1 and brackets == 0 and len(found) < FIELDS_MAX:
            if text == ":":
                alias = next(reversed(found), "")
            elif before != "..." and text[0] not in '"#.':
                found[alias or text] = text
                alias = ""
        before = text
    return found


def is_edit(asked: Asked) -> bool:
    """Whether *asked* changes a run from outside, as `wandb.Api()` does: it names it otherwise than
    the run itself, or by its id alone."""
    given = asked.variables
    by_id = given.get("id") and not given.get("name")
    return asked.operation == "UpsertBucket" and ("display_name" in given or bool(by_id))


def run_name(variables: Mapping[str, Any], *, entity: str, project: str, run: str) -> RunName:
    """The run that *variables* name under the given keys; absent entity and project are ours.
    Raises Refused for a name that cannot be one."""
    return name_of(
        variables.get(entity) or ENTITY,
        variables.get(project) or PROJECT,
        variables.get(run),
    )


def name_of(entity: Any, project: Any, run: Any) -> RunName:
    """A checked name. Raises Refused naming the part."""
    parts = {"entity": entity, "project": project, "run": run}
    for field, part in parts.items():
        if not isinstance(part, str) or not part.strip():
            raise Refused(f"{field} is missing", field=field)
        if len(part) > NAME_CHARS_MAX:
            raise Refused(f"{len(part)} characters, limit {NAME_CHARS_MAX}", field=field)
        if _UNFIT.search(part) or not part.isprintable():
            raise Refused(f"{part[:40]!r} cannot be a {field}", field=field)
    return RunName(entity, project, run)


def settings(variables: Mapping[str, Any]) -> RunSettings:
    """The run of an `UpsertBucket`. Raises Refused for a name that cannot be one."""
    tags = variables.get("tags")
    return RunSettings(
        run_name(variables, entity="entity", project="project", run="name"),
        _text(variables, "displayName"),
        _text(variables, "notes"),
        _text(variables, "groupName"),
        _text(variables, "jobType"),
        _text(variables, "program"),
        _text(variables, "host"),
        _text(variables, "commit"),
        _text(variables, "repo"),
        _text(variables, "sweep"),
        tuple(str(tag)[:TEXT_CHARS_MAX] for tag in tags[:100])
        if isinstance(tags, list)
        else None,
        config(variables.get("config")),
        _document(variables.get("summaryMetrics")),
        bool(variables.get("id") and variables.get("host")),
    )


def config(text: Any) -> dict[str, Any] | None:
    """The settings of `{"lr": {"value": 0.1}}`, each without its wrapping; None for what is none."""
    document = _document(text)
    if document is None:
        return None
    return {
        str(name): value["value"] if isinstance(value, dict) and "value" in value else value
        for name, value in list(document.items())[:LIST_MAX]
    }


def alert(variables: Mapping[str, Any]) -> RunAlert:
    """The alert of a `NotifyScriptableRunAlert`."""
    name = run_name(variables, entity="entityName", project="projectName", run="runName")
    level = _text(variables, "severity").upper()
    at_ns = variables.get("atNs")
    return RunAlert(
        name,
        _text(variables, "title") or "wandb alert",
        _text(variables, "text", 16 * TEXT_CHARS_MAX),
        level if level in {"INFO", "WARN", "ERROR"} else "INFO",
        at_ns if isinstance(at_ns, int) and 0 < at_ns < 2**63 else None,
    )


def files(variables: Mapping[str, Any]) -> list[str]:
    """The names under `files`, at most LIST_MAX."""
    given = variables.get("files")
    names = given if isinstance(given, list) else []
    return [name for name in names[:LIST_MAX] if isinstance(name, str)]


def _document(text: Any) -> dict[str, Any] | None:
    if not isinstance(text, str):
        return None
    try:
        document = wandb_stream.loads(text)
    except ValueError:
        return None
    return wandb_stream.bounded(document) if isinstance(document, dict) else None


def _text(variables: Mapping[str, Any], key: str, chars_max: int = TEXT_CHARS_MAX) -> str:
    value = variables.get(key)
    return value[:chars_max] if isinstance(value, str) else ""
