"""What a script asks through `wandb.Api()`: runs, their settings and summaries, and their steps.

    wandb.Api().run("heliograph/llm/r1").history()      Run, then RunFullHistory
    ….scan_history(keys=["loss"])                       RunHistoryKeys, then a page a thousand steps
    wandb.Api().runs("heliograph/llm")                  Runs, a page at a time, newest first

What is not offered is said in words (`NOT_OFFERED`), where null would be taken for something else.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.receive import wandb_graphql, wandb_stream
from heliograph.receive.wandb_graphql import Asked
from heliograph.service import problem, wandb_answers, wandb_history
from heliograph.service.wandb_history import Wanted
from heliograph.service.wandb_runs import WandbRuns
from heliograph.store.state import wandb_runs
from heliograph.store.state.state import State
from heliograph.store.state.wandb_runs import WandbRun

# Runs of one page, each with its settings and summary.
RUNS_MAX = 100
SAMPLES = 500
_ARTIFACTS = "Heliograph does not keep artifacts"
_SWEEPS = "Heliograph does not offer sweeps"
_FILES = "Heliograph does not keep files of runs"
EDITS = "Heliograph does not change or delete runs through wandb.Api()"
_REPORTS = "Heliograph does not offer reports"
_PROJECTS = "Heliograph does not list projects through wandb.Api(): name one, as entity/project"
NOT_OFFERED = {
    "RewindRun": "Heliograph does not offer rewinding: begin a new run",
    **dict.fromkeys(("UpsertSweep", "GetSweep", "GetSweepLegacy", "Sweep"), _SWEEPS),
    **dict.fromkeys(("CreateAgent", "Heartbeat", "AgentHeartbeat"), _SWEEPS),
    **dict.fromkeys(("ArtifactByName", "ArtifactMembershipByName"), _ARTIFACTS),
    **dict.fromkeys(("ProjectArtifactTypes", "ProjectArtifactCollections"), _ARTIFACTS),
    **dict.fromkeys(("RunOutputArtifacts", "RunInputArtifacts", "LinkArtifact"), _ARTIFACTS),
    **dict.fromkeys(("RunFiles", "GetRunFiles"), _FILES),
    **dict.fromkeys(("DeleteRun", "DeleteRuns"), EDITS),
    **dict.fromkeys(("ProjectViews", "CreateReport"), _REPORTS),
    **dict.fromkeys(("Projects", "GetProjects", "Project", "GetProject"), _PROJECTS),
}
_READ = (
    *("Run", "Runs", "RunHistoryKeys", "RunFullHistory", "HistoryPage"),
    *("RunSampledHistory", "SampledHistoryPage", "RunParquetHistory"),
)
# All operations that are known here.
NAMES = frozenset((*_READ, *NOT_OFFERED))
# What others call how a run is.
_STATES = {wandb_runs.SILENT: "crashed"}


class Public:
    """The answers, by operation. They may take long: they are for threads that wait."""

    def __init__(self, state: State, runs: WandbRuns) -> None:
        self._state = state
        self._runs = runs
        self._operations: dict[str, Callable[[Asked], dict[str, Any]]] = {
            "Run": self._one,
            "Runs": self._page,
            "RunHistoryKeys": self._one,
            "RunFullHistory": self._full,
            "HistoryPage": self._full,
            "RunSampledHistory": self._sampled,
            "SampledHistoryPage": self._sampled,
            "RunParquetHistory": self._live,
        }

    def answer(self, asked: Asked) -> dict[str, Any]:
        """The data of *asked*, of NAMES. Refused, in words for a person, where there is none."""
        if (words := NOT_OFFERED.get(asked.operation)) is not None:
            raise Refused(words, code="not_offered")
        return self._operations[asked.operation](asked)

    def _run(self, asked: Asked) -> WandbRun | None:
        given = asked.variables
        key = next((key for key in ("name", "run", "runName") if given.get(key)), "name")
        name = wandb_graphql.run_name(given, entity="entity", project="project", run=key)
        return self._runs.read(name.uid)

    def _one(self, asked: Asked) -> dict[str, Any]:
        run = self._run(asked)
        return _of_project(None if run is None else _shown(run))

    def _page(self, asked: Asked) -> dict[str, Any]:
        """Runs of a project by age; filters are not offered."""
        given = asked.variables
        entity = str(given.get("entity") or wandb_graphql.ENTITY)
        project = str(given.get("project") or wandb_graphql.PROJECT)
        if _object(given.get("filters") or "{}", "filters"):
            raise Refused("Heliograph does not offer filters of runs", field="filters")
        order = str(given.get("order") or "+created_at")
        if order.lstrip("+-") not in {"created_at", "createdAt"}:
            raise Refused("Heliograph orders runs by created_at only", field="order")
        offset, limit = _whole(given.get("cursor"), 0), _whole(given.get("perPage"), 50)
        found, total = self._state.read(
            lambda tx: wandb_runs.page(
                tx, entity=entity, project=project, offset=offset,
                limit=min(limit, RUNS_MAX), oldest_first=not order.startswith("-"),
            )
        )  # fmt: skip
        edges = [
            {"node": _shown(run), "cursor": str(offset + number)}
            for number, run in enumerate(found, 1)
        ]
        end = offset + len(found)
        shown = {
            "internalId": _PROJECT_ID,
            "readOnly": True,
            "runCount": total,
            "runs": {
                "edges": edges,
                "pageInfo": {"endCursor": str(end), "hasNextPage": end < total},
            },
        }
        return {"project": shown if total else None}

    def _full(self, asked: Asked) -> dict[str, Any]:
        """All values of steps, a JSON text each; of a machine's values there are none here."""
        run = self._run(asked)
        if run is None:
            return _of_project(None)
        if "events(" in asked.query:
            raise Refused(
                "system metrics of a run are series: wandb_system_* of GET /v1/query/range"
            )
        given = asked.variables
        end = given.get("maxStep")
        wanted = Wanted(
            _whole(given.get("minStep"), 0),
            None if end is None else _whole(end, 0),
            samples=_whole(given.get("pageSize") or given.get("samples"), SAMPLES),
        )
        found = wandb_history.history(self._state, run, wanted)
        return _of_project({"history": [json.dumps(one) for one in found]})

    def _sampled(self, asked: Asked) -> dict[str, Any]:
        """Steps that have certain values, for each of some questions."""
        run = self._run(asked)
        if run is None:
            return _of_project(None)
        specs = asked.variables.get("specs") or [asked.variables.get("spec")]
        found = [
            problem.plain(wandb_history.history(self._state, run, _wanted(spec)))
            for spec in (specs if isinstance(specs, list) else [])[:_SPECS_MAX]
        ]
        return _of_project({"sampledHistory": found})

    def _live(self, asked: Asked) -> dict[str, Any]:
        """Where the steps are: none in files, so that all are asked for page by page."""
        run = self._run(asked)
        live = {"parquetUrls": [], "liveData": [{"_step": 0}]}
        return _of_project(None if run is None else {"parquetHistory": live})


# Clients want a number, and show it to nobody.
_PROJECT_ID = "0"
_SPECS_MAX = 20


def _of_project(run: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"project": {"internalId": _PROJECT_ID, "run": run}}


def _shown(run: WandbRun) -> dict[str, Any]:
    """A run as a script wants it."""
    said = run.document
    bucket = wandb_answers.bucket(run)
    last_step = (said.get("tail") or {}).get("_step", -1)
    names = said.get("names") or {}
    return {
        **bucket,
        "state": _STATES.get(run.state, run.state),
        "group": said.get("group"),
        "jobType": said.get("job_type"),
        "commit": said.get("commit"),
        "readOnly": True,
        "createdAt": _second(run.created_ns),
        "heartbeatAt": _second(run.heard_ns),
        "systemMetrics": "{}",
        "user": {"name": run.entity, "username": run.entity},
        "historyKeys": {"lastStep": last_step, "keys": {name: {} for name in names.values()}},
        "projectId": _PROJECT_ID,
    }


def _second(at_ns: int) -> str:
    # Scripts parse it by a pattern without fractions.
    return instant.text_of(at_ns - at_ns % 10**9)


def _wanted(spec: Any) -> Wanted:
    told = _object(spec, "specs")
    keys = told.get("keys")
    start, samples = _whole(told.get("minStep"), 0), _whole(told.get("samples"), SAMPLES)
    end = None if told.get("maxStep") is None else _whole(told.get("maxStep"), 0)
    if end is not None and samples == end - start + 1:
        # Clients since 0.2x name the last step of a page, earlier ones the first of the next.
        end += 1
    chosen = tuple(dict.fromkeys(str(key) for key in keys)) if isinstance(keys, list) else ()
    return Wanted(start, end, chosen, samples)


def _object(text: Any, field: str) -> dict[str, Any]:
    try:
        told = wandb_stream.loads(text) if isinstance(text, str) else None
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise Refused(f"{field}: the JSON text of an object is wanted", field=field)
    return told


def _whole(given: Any, usual: int) -> int:
    """A number that is not negative, as text too."""
    try:
        number = usual if given is None else int(given)
    except (TypeError, ValueError, OverflowError):
        return usual
    return min(max(0, number), 2**62)
