"""Who runs where: placements and container events in, caches and attribution out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from heliograph.core import instant
from heliograph.core import labels as label
from heliograph.core.clock import Clock
from heliograph.core.errors import Refused, Rejected
from heliograph.core.placement import ContainerEvent
from heliograph.core.record import Record, record_id
from heliograph.enrich.explain import explain
from heliograph.receive import container_events, placements
from heliograph.service import params, problem
from heliograph.service.executors import Executors
from heliograph.service.http import Endpoint, Parameter, Surroundings, read_body
from heliograph.service.ingest import Ingest
from heliograph.service.meters import Meters
from heliograph.service.owners import Owners
from heliograph.store.log.log import Log
from heliograph.wire import records as wire_records

CONTAINER_EVENTS = "container_events"
PLACEMENTS = "placements"
LABELS_BYTES_MAX = 64 * 1024
# Two seconds' work on the control thread, at worst.
YAML_BYTES_MAX = 256 * 1024
# Characters of a container's name that a record keeps; Kubernetes allows 253.
NAME_MAX = 253
# 128 + 9: what a shell reports for a process that was killed.
EXIT_KILLED = 137


class Registry(NamedTuple):
    """What the endpoints of this module work with."""

    around: Surroundings
    owners: Owners
    executors: Executors
    ingest: Ingest
    log: Log
    clock: Clock
    meters: Meters
    list_max: int


def endpoints(registry: Registry) -> list[Endpoint]:
    """Placements, container events, `/v1/pods/…`, `/v1/attribution`."""
    at = Parameter("at", "instant, now by default")
    bound = _Bound(registry)
    return [
        Endpoint(
            "POST", "/v1/placements", "edit", "What runs where.", bound.post_placements,
            request=("application/json", "application/yaml"), control=True,
            returns="how many workloads and pods changed",
        ),
        Endpoint(
            "POST", "/v1/container-events", "ingest", "One container event.", bound.post_event,
            request=("application/json",), control=True,
        ),
        Endpoint(
            "POST", "/v1/container-events/batch", "ingest", "Container events, each on its own.",
            bound.post_events, request=("application/json",), control=True,
            returns="200 all taken, 206 some refused, with a result each",
        ),
        Endpoint(
            "GET", "/v1/pods/cache", "view", "Devices and the pods that hold them.",
            bound.pods_cache, (at,), returns="{node: {device label: {device: [pod, uid]}}}",
        ),
        Endpoint(
            "GET", "/v1/pods/workload/cache", "view", "Pods and their workloads.",
            bound.workload_cache, (at,), returns="{pod: [[workload, uid], …]}",
        ),
        Endpoint(
            "GET", "/v1/attribution", "view", "Whose a label set is, and why not.",
            bound.attribution, (Parameter("labels", "labels as JSON", required=True), at),
        ),
    ]  # fmt: skip


class _Bound:
    """The endpoints, bound to what they work with."""

    def __init__(self, registry: Registry) -> None:
        self._with = registry

    async def post_placements(self, request: Request) -> Response:
        """Take a placement document."""
        registry = self._with
        body = await read_body(request, registry.around)
        media = request.headers.get("content-type", "")

        def take() -> dict[str, Any]:
            document = placements.decode(
                body,
                content_type=media,
                list_max=registry.list_max * 100,
                yaml_bytes_max=YAML_BYTES_MAX,
            )
            change = registry.owners.place(document)
            registry.meters.received.add(len(document.pods), PLACEMENTS, "pods")
            return {
                "workloads": len(document.workloads),
                "pods": len(document.pods),
                "changed_workloads": len(change.workloads),
                "changed_pods": len({pod.uid for pod in change.pods} | change.holds.keys()),
            }

        try:
            return problem.answer(await registry.executors.control(take))
        except Refused as error:
            registry.meters.rejected.add(1, PLACEMENTS, error.code)
            raise

    async def post_event(self, request: Request) -> Response:
        """Take one container event."""
        registry = self._with
        body = await read_body(request, registry.around)

        def take() -> ContainerEvent:
            event = container_events.decode_body(body, arrived_ns=registry.clock.now_ns())
            self._observe([event])
            return event

        try:
            event = await registry.executors.control(take)
        except Refused as error:
            registry.meters.rejected.add(1, CONTAINER_EVENTS, error.code)
            registry.meters.container_event_errors.add(1, "", "", error.code)
            raise
        return problem.answer(
            {"message": "container event kept", "container_id": event.container_id}
        )

    async def post_events(self, request: Request) -> Response:
        """Take a batch; each bad event is refused by itself."""
        registry = self._with
        body = await read_body(request, registry.around)

        def take() -> list[ContainerEvent | Rejected]:
            decoded = container_events.decode_batch(
                body, arrived_ns=registry.clock.now_ns(), list_max=registry.list_max
            )
            good = [one for one in decoded if isinstance(one, ContainerEvent)]
            if good:
                self._observe(good)
            return decoded

        try:
            taken = await registry.executors.control(take)
        except Refused as error:
            registry.meters.rejected.add(1, CONTAINER_EVENTS, error.code)
            raise
        bad = [one for one in taken if isinstance(one, Rejected)]
        for one in bad:
            registry.meters.rejected.add(1, CONTAINER_EVENTS, one.reason)
            registry.meters.container_event_errors.add(1, "", "", one.reason)
        registry.meters.container_event_batch.observe(len(taken))
        content = {
            "total": len(taken),
            "success": len(taken) - len(bad),
            "error": len(bad),
            "results": [_result(index, one) for index, one in enumerate(taken)],
        }
        return problem.answer(content, 206 if bad else 200)

    def _observe(self, events: Sequence[ContainerEvent]) -> None:
        """Owners in state, records in the log; both durable before this returns."""
        registry = self._with
        started_s = registry.clock.monotonic_s()
        now_ns = registry.clock.now_ns()
        records = [_record(event, now_ns) for event in events]
        payload = wire_records.encode(records)
        kept = registry.ingest.submit(
            lambda: registry.log.append_records(payload, len(records)), urgent=True
        )
        registry.owners.observe(events)
        kept.result()
        spent_s = (registry.clock.monotonic_s() - started_s) / len(events)
        for event in events:
            registry.meters.received.add(1, CONTAINER_EVENTS, "events")
            registry.meters.container_events.add(1, event.source, event.node)
            registry.meters.container_event_seconds.observe(spent_s, event.source, event.node)

    async def pods_cache(self, request: Request) -> Response:
        """Devices and the pods that hold them."""
        params.known(request, ("at",))
        at_ns = params.instant_ns(request, "at", self._with.clock.now_ns())
        owners = self._with.owners
        return await self._with.executors.read(
            lambda: problem.answer(owners.directory().pods_cache(at_ns))
        )

    async def workload_cache(self, request: Request) -> Response:
        """Pods and their workloads."""
        params.known(request, ("at",))
        at_ns = params.instant_ns(request, "at", self._with.clock.now_ns())
        owners = self._with.owners
        return await self._with.executors.read(
            lambda: problem.answer(owners.directory().workload_cache(at_ns))
        )

    async def attribution(self, request: Request) -> Response:
        """Whose a label set is, with the steps that led there."""
        params.known(request, ("labels", "at"))
        at_ns = params.instant_ns(request, "at", self._with.clock.now_ns())
        labels = _labels(params.text(request, "labels"))
        owners = self._with.owners
        return await self._with.executors.read(
            lambda: problem.answer(explain(labels, at_ns, owners.directory()))
        )


def _labels(text: str) -> label.Labels:
    if len(text) > LABELS_BYTES_MAX:
        raise Refused(f"over {LABELS_BYTES_MAX} characters", field="labels")
    try:
        return label.of(
            msgspec.json.decode(text.encode("utf-8", "replace"), type=dict[str, str])
        )
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Refused(f"labels as a JSON object of texts: {error}", field="labels") from error


def _result(index: int, one: ContainerEvent | Rejected) -> dict[str, Any]:
    if isinstance(one, Rejected):
        return {
            "index": index,
            "status": "rejected",
            "reason": one.reason,
            "detail": one.detail,
        }
    return {"index": index, "status": "ok", "container_id": one.container_id}


def _record(event: ContainerEvent, now_ns: int) -> Record:
    """The event as a record: an exit code or an OOM kill is never thrown away."""
    oom = event.oom_killed
    failed = oom or event.exit_code not in {None, 0}
    return Record(
        record_id=record_id(
            "container", event.source, event.node, event.container_id, event.type, event.at_ns
        ),
        timestamp_ns=event.at_ns,
        observed_timestamp_ns=now_ns,
        session_id=event.pod_uid or event.container_id,
        source_kind="container",
        event_type="container_oom_killed" if oom else f"container_{event.type}",
        severity="critical" if oom else "error" if failed else "info",
        body=_sentence(event),
        resource={
            "node": event.node,
            "container_id": event.container_id,
            "container_name": _name(event.raw.get("name")),
            "pod_uid": event.pod_uid,
            "pod_name": event.pod_name,
            "namespace": event.namespace,
        },
        attributes={
            "type": event.type,
            "source": event.source,
            "status": event.status,
            "exit_code": event.exit_code,
            "oom_killed": event.oom_killed,
            "exit_time": None if event.exited_ns is None else instant.text_of(event.exited_ns),
            "devices": [device.id for device in event.devices],
        },
    )


def _name(value: object) -> str:
    """The container's, as far as names go: the event must not be lost to it."""
    return value[:NAME_MAX] if isinstance(value, str) else ""


def _sentence(event: ContainerEvent) -> str:
    """One line for the timeline."""
    who = event.pod_name or event.container_id
    ended = "" if event.exit_code is None else f", exit code {event.exit_code}"
    killed = ", killed for lack of memory" if event.oom_killed else ""
    if event.exit_code == EXIT_KILLED and not killed:
        killed = ", killed by signal 9"
    return f"{event.type} of {who} on {event.node}{ended}{killed}"
