"""The application of one service: every endpoint with what it works with, health and gauges."""

from collections.abc import Callable, Sequence
from pathlib import Path

from starlette.applications import Starlette

from heliograph.receive.logs import LogLimits
from heliograph.receive.remote_write import Decoder, Limits
from heliograph.service import gauges, health, http, overview
from heliograph.service.admission import Admission
from heliograph.service.auth import Gate
from heliograph.service.config import MIB, Config, answered_hosts
from heliograph.service.endpoints import (
    operations,
    ownership,
    records,
    samples,
    telemetry,
    workloads,
)
from heliograph.service.freshness import Reads
from heliograph.service.http import Endpoint, Surroundings
from heliograph.service.negatives import Negatives
from heliograph.service.parts import Core, Flow
from heliograph.service.trainings import Trainings
from heliograph.store.protocol import SampleQueries
from heliograph.web.first_page import Check


def build(config: Config, core: Core, flow: Flow, queries: SampleQueries) -> Starlette:
    """The ASGI application over *core* and *flow*; *queries* reads samples."""
    limits = config.limits
    admission = Admission(limits.in_flight_mb * MIB, limits.reserved_mb * MIB)
    around = Surroundings(
        gate=Gate(config.auth.tokens),
        admission=admission,
        meters=core.meters,
        clock=core.clock,
        body_bytes_max=limits.body_mb * MIB,
        hosts=answered_hosts(config),
        bug=core.supervisor.note,
    )
    trainings = Trainings(
        core.state, core.owners, core.clock, stored=lambda: core.meters.stored.value("rows")
    )
    reads = Reads(flow.executors, flow.fresh)
    listing = workloads.Workloads(
        core.owners, trainings, core.records, core.state, reads, core.clock, limits.list
    )
    endpoints: list[Endpoint] = [
        *telemetry.endpoints(_intake(config, core, flow, around)),
        *ownership.endpoints(
            ownership.Registry(
                around, core.owners, flow.executors, flow.ingest, core.log, core.clock,
                core.meters, limits.list,
            )
        ),
        *samples.endpoints(
            samples.Reading(queries, reads, core.clock, limits.list)
        ),
        *workloads.endpoints(listing),
        *records.endpoints(
            records.Reading(around, core.records, flow.executors, reads, limits.list)
        ),
    ]  # fmt: skip
    checks = _checks(config, core, flow)
    _add_gauges(core, flow, admission)
    seen = overview.Overview(
        meters=core.meters,
        clock=core.clock,
        checks=checks,
        listed=workloads.newest(listing),
        attributing=core.attributing,
        started_ns=core.clock.now_ns(),
    )
    own = operations.endpoints(
        operations.Operations(
            checks,
            around.gate,
            lambda: overview.page(seen),
            endpoints,
            flow.executors,
            core.meters,
        )
    )
    return http.application([*endpoints, *own], around)


def _checks(config: Config, core: Core, flow: Flow) -> Callable[[], Sequence[Check]]:
    parts = health.Parts(
        supervisor=core.supervisor,
        applier=flow.applier,
        backpressure=flow.backpressure,
        log=core.log,
        log_bytes_max=config.limits.log_mb * MIB,
        forwards=tuple(flow.forwards),
        watch=flow.watch,
        data_dir=Path(config.data_dir),
        mended=core.state.mended,
    )
    return lambda: health.checks(parts)


def _add_gauges(core: Core, flow: Flow, admission: Admission) -> None:
    gauges.add_flow(
        core.meters.registry,
        ingest=flow.ingest,
        applier=flow.applier,
        admission=admission,
        backpressure=flow.backpressure,
        forwards=tuple(flow.forwards),
        log=core.log,
    )
    gauges.add_stores(
        core.meters.registry,
        table=core.table,
        segments=core.segments,
        records=core.records,
        state=core.state,
    )


def _intake(config: Config, core: Core, flow: Flow, around: Surroundings) -> telemetry.Intake:
    limits = config.limits
    decoder = Decoder(
        core.table, Limits(labels=limits.labels, label_value_bytes=limits.label_value_bytes)
    )
    return telemetry.Intake(
        around=around,
        executors=flow.executors,
        ingest=flow.ingest,
        log=core.log,
        decoder=decoder,
        log_limits=LogLimits(decoded_bytes=limits.decoded_mb * MIB),
        decoded_bytes_max=limits.decoded_mb * MIB,
        negatives=Negatives(config.metrics.drop_negative, core.table),
        handover=flow.applier.handover,
        backpressure=flow.backpressure,
        clock=core.clock,
        meters=core.meters,
    )
