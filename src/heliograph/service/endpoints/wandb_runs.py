"""The wandb runs that are known.

    GET /v1/wandb/runs         newest first, by when they were first heard of
    GET /v1/wandb/runs/{uid}   one, with its config, summary and metadata

A run is shown in the pod that it is in now, or was in last, and with that one's workload; `pods` are
all that it was in, and since when.
"""

from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.service import params, problem, wandb_places
from heliograph.service.freshness import Reads
from heliograph.service.http import Endpoint, Parameter
from heliograph.service.owners import Owners
from heliograph.service.wandb_runs import WandbRuns
from heliograph.store.state import wandb_runs
from heliograph.store.state.state import State
from heliograph.store.state.wandb_runs import WandbRun

# What is said of a run in a list, of all that it says of itself.
_SHOWN = (
    *("name", "group", "job_type", "program", "host", "tags", "notes", "exit_code"),
    *("uploaded_files", "dropped_files", "dropped_bytes", "dropped_values", "left_out"),
)
_FILTERS = ("project", "state")
_DETAILS = ("config", "summary", "metadata", "packages", "commit", "repo", "sweep")


class Listing(NamedTuple):
    """What the endpoints of this module work with."""

    runs: WandbRuns
    owners: Owners
    state: State
    reads: Reads
    list_max: int


def endpoints(listing: Listing) -> list[Endpoint]:
    """The list of runs, and one of them."""
    bound = _Bound(listing)
    paging = (Parameter("offset", "first item"), Parameter("limit", "items, at most 1000"))
    return [
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

    def __init__(self, listing: Listing) -> None:
        self._of = listing

    async def listed(self, request: Request) -> Response:
        """Runs, without what takes much room."""

        def found() -> Response:
            params.known(request, (*_FILTERS, "offset", "limit"))
            offset, limit = params.page(request, self._of.list_max)
            project = params.text(request, "project") or None
            state = params.choice(request, "state", ("", *wandb_runs.STATES), "") or None
            runs, total = self._of.state.read(
                lambda tx: wandb_runs.page(
                    tx, project=project, state=state, offset=offset, limit=limit
                )
            )
            return problem.listing([self._shown(run) for run in runs], total, offset, limit)

        return await self._of.reads.answer(found)

    async def one(self, request: Request) -> Response:
        """Everything of one run."""
        params.known(request, ())
        uid = request.path_params["uid"]

        def found() -> Response:
            run = self._of.runs.read(uid)
            if run is None:
                raise Refused(f"no wandb run {uid[:100]!r}", code="not_found", status=404)
            details = {name: run.document.get(name) for name in _DETAILS}
            return problem.answer({**self._shown(run), **details})

        return await self._of.reads.answer(found)

    def _shown(self, run: WandbRun) -> dict[str, Any]:
        owner = self._of.owners.directory().owner(run.pod_uid)
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
            "pods": [
                {"uid": uid, "since": instant.text_of(since_ns) if since_ns else None}
                for since_ns, uid in wandb_places.pods(run)
            ],
            "started": instant.text_of(wandb_places.started_ns(run)),
            "heard": instant.text_of(run.heard_ns),
            "last_step_arrived": instant.text_of(run.history_ns) if run.history_ns else None,
            "last_step": (said.get("tail") or {}).get("_step"),
            "ended": None if ended_ns is None else instant.text_of(ended_ns),
            "steps": run.history_lines,
            "events": run.event_lines,
            "console_lines": run.console_lines,
            **{name: said.get(name) for name in _SHOWN},
        }
