"""The application of one service: every endpoint with what it works with, health and gauges."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from heliograph.receive.logs import LogLimits
from heliograph.receive.recorder import RecorderLimits
from heliograph.receive.records import RecordLimits
from heliograph.receive.remote_write import Decoder, Limits
from heliograph.recorder.store import Source
from heliograph.service import (
    alert_gauges,
    alert_traces,
    gauges,
    health,
    http,
    overview,
    usage_overview,
)
from heliograph.service.admission import Admission
from heliograph.service.auth import Gate
from heliograph.service.config import MIB, Config, answered_hosts, span_ns
from heliograph.service.endpoints import (
    alert_intake,
    alert_routes,
    alert_rules,
    alert_v2,
    alerts,
    foreign,
    log_patterns,
    operations,
    ownership,
    recorder,
    records,
    samples,
    silences,
    telemetry,
    usage,
    wandb_native,
    wandb_reports,
    wandb_runs,
    workloads,
)
from heliograph.service.executors import Executors
from heliograph.service.frameworks import Frameworks
from heliograph.service.freshness import Reads
from heliograph.service.http import Endpoint, Surroundings
from heliograph.service.line_intake import LineIntake
from heliograph.service.line_parses import LineParses
from heliograph.service.negatives import Negatives
from heliograph.service.parts import Core, Flow
from heliograph.service.recorder_taking import Taking as RecorderTaking
from heliograph.service.timeline import Timeline
from heliograph.service.trainings import Trainings
from heliograph.service.usages import Usages
from heliograph.service.wandb_public import Public
from heliograph.service.wandb_reporting import Reporting
from heliograph.service.wandb_runs import RunLimits, WandbRuns
from heliograph.service.wandb_taking import Taking
from heliograph.service.wandb_uploads import Uploads
from heliograph.store.protocol import SampleQueries
from heliograph.web.first_page import Check


def build(
    config: Config, core: Core, flow: Flow, queries: SampleQueries, recorded: Source
) -> http.Application:
    """The application over *core* and *flow*; *queries* reads samples, *recorded* for spec 002."""
    limits = config.limits
    admission = Admission(limits.in_flight_mb * MIB, limits.reserved_mb * MIB)
    around = _around(config, core, flow.executors, admission)
    trainings = Trainings(
        core.state, core.owners, core.clock, stored=lambda: core.meters.stored.value("rows")
    )
    reads = Reads(flow.executors, flow.fresh)
    known = Frameworks(core.state, core.meters, present=trainings.present)
    alerts_read = alerts.Reading(core.state, flow.alerts.alerting, reads, limits.list)
    listing = workloads.Workloads(
        core.owners, trainings, core.records, core.state, reads, core.clock, limits.list,
        Timeline(core.state, core.records, alerts.shown(alerts_read)), known,
    )  # fmt: skip
    endpoints: list[Endpoint] = [
        *telemetry.endpoints(_intake(config, core, flow, around)),
        *ownership.endpoints(
            ownership.Registry(
                around, core.owners, flow.executors, flow.ingest, core.log, core.clock,
                core.meters, limits.list,
            )
        ),
        *samples.endpoints(samples.Reading(queries, reads, core.clock, limits.list)),
        *workloads.endpoints(listing),
        *records.endpoints(
            records.Reading(
                around, core.records, flow.executors, reads, limits.list,
                _taking(config, core, flow), flow.patterns,
            )
        ),
    ]  # fmt: skip
    endpoints += log_patterns.endpoints(_patterning(config, flow, around, reads))
    endpoints += _alert_endpoints(config, core, flow, around, alerts_read)
    endpoints += _of_jobs(config, core, flow, around, reads, known)
    endpoints += usage.endpoints(_using(config, core, flow, around, reads, queries))
    endpoints += recorder.endpoints(_recording(config, core, flow, around, reads, recorded))
    checks = _checks(config, core, flow)
    _add_gauges(core, flow, admission)
    _add_alert_gauges(core, flow)
    seen = overview.Overview(
        meters=core.meters,
        clock=core.clock,
        checks=checks,
        listed=workloads.newest(listing),
        attributing=core.attributing,
        alerts=alerts.newest(alerts_read),
        started_ns=core.clock.now_ns(),
    )
    own = operations.endpoints(
        operations.Operations(
            checks, around.gate, lambda: overview.page(seen), endpoints, flow.executors,
            core.meters,
        )
    )  # fmt: skip
    theirs = dict.fromkeys(foreign.ROOTS, foreign.of_error)
    return http.application([*endpoints, *own], around, theirs)


def _patterning(
    config: Config, flow: Flow, around: Surroundings, reads: Reads
) -> log_patterns.Patterning:
    return log_patterns.Patterning(
        around, flow.patterns, flow.applier.tally, flow.executors, reads, config.limits.list
    )


def _around(
    config: Config, core: Core, executors: Executors, admission: Admission
) -> Surroundings:
    return Surroundings(
        gate=Gate(config.auth.tokens),
        admission=admission,
        meters=core.meters,
        clock=core.clock,
        body_bytes_max=config.limits.body_mb * MIB,
        hosts=answered_hosts(config),
        guarded=partial(core.supervisor.guarded, where="request"),
        executors=executors,
    )


def _of_jobs(
    config: Config,
    core: Core,
    flow: Flow,
    around: Surroundings,
    reads: Reads,
    known: Frameworks,
) -> list[Endpoint]:
    """What jobs, and agents in them, tell of themselves."""
    reports = wandb_reports.Reports(
        around,
        Reporting(core.owners, flow.ingest, core.log, core.clock),
        known,
        flow.executors,
        flow.backpressure,
        core.meters,
        core.clock,
        config.limits.decoded_mb * MIB,
    )
    return [
        *wandb_reports.endpoints(reports),
        *_wandb(config, core, flow, around, reads),
    ]


def _using(
    config: Config,
    core: Core,
    flow: Flow,
    around: Surroundings,
    reads: Reads,
    queries: SampleQueries,
) -> usage.Using:
    usages = Usages(core.state, flow.ingest, core.log, core.table, core.meters, core.clock)
    seen = usage_overview.Overview(usages, queries, core.clock)
    return usage.Using(
        around,
        usages,
        flow.executors,
        reads,
        core.meters,
        lambda window: usage_overview.page(seen, window),
        config.limits.list,
    )


def _recording(
    config: Config,
    core: Core,
    flow: Flow,
    around: Surroundings,
    reads: Reads,
    recorded: Source,
) -> recorder.Recording:
    limits = RecorderLimits(decoded_bytes=config.limits.decoded_mb * MIB)
    return recorder.Recording(
        around=around,
        taking=RecorderTaking(
            flow.ingest, core.log, core.table, core.clock, core.meters, limits
        ),
        source=recorded,
        executors=flow.executors,
        reads=reads,
        backpressure=flow.backpressure,
        meters=core.meters,
        clock=core.clock,
    )


def _alert_endpoints(
    config: Config, core: Core, flow: Flow, around: Surroundings, reading: alerts.Reading
) -> list[Endpoint]:
    side, limits, clock = flow.alerts, config.limits, core.clock
    return [
        *alert_intake.endpoints(
            alert_intake.Intake(
                around,
                side.posts,
                side.bodies,
                side.meters,
                clock,
                limits.decoded_mb * MIB,
                alert_traces.noting(flow.ingest, core.log),
            )
        ),
        *alerts.endpoints(reading),
        *alert_v2.endpoints(alert_v2.Reading(side.alerting, clock.now_ns())),
        *silences.endpoints(silences.Silencing(around, side.alerting, limits.list)),
        *alert_rules.endpoints(
            alert_rules.Ruling(
                around,
                side.rules,
                flow.executors,
                clock,
                limits.list,
                core.owners,
                flow.patterns,
            )
        ),
        *alert_routes.endpoints(
            alert_routes.Routing(
                around, side.alerting, side.routes, flow.executors, limits.list
            )
        ),
    ]


def _wandb(
    config: Config, core: Core, flow: Flow, around: Surroundings, reads: Reads
) -> list[Endpoint]:
    limits = config.limits
    runs = WandbRuns(
        core.state,
        core.owners,
        core.clock,
        core.meters,
        RunLimits(limits.wandb_runs, limits.wandb_run_kb * 1024, limits.wandb_console_lines),
    )
    flow.maintenance.also("wandb", runs.sweep)
    native = wandb_native.Native(
        around=around,
        taking=Taking(runs, flow.ingest, core.log, core.table, core.clock, core.meters),
        uploads=Uploads(core.state),
        posts=flow.alerts.posts,
        public=Public(core.state, runs),
        executors=flow.executors,
        reads=reads,
        backpressure=flow.backpressure,
        decoded_bytes_max=limits.decoded_mb * MIB,
    )
    listing = wandb_runs.Listing(runs, core.owners, core.state, reads, limits.list)
    return [*wandb_native.endpoints(native), *wandb_runs.endpoints(listing)]


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
        state=core.state,
        records=core.records,
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


def _add_alert_gauges(core: Core, flow: Flow) -> None:
    side = flow.alerts
    alert_gauges.add(
        core.meters.registry,
        side.alerting,
        side.deliveries,
        side.channels,
        side.correlator,
        [side.applying.feed, side.ticker],
    )


def _taking(config: Config, core: Core, flow: Flow) -> records.Taking:
    return records.Taking(
        ingest=flow.ingest,
        log=core.log,
        table=core.table,
        backpressure=flow.backpressure,
        clock=core.clock,
        meters=core.meters,
        limits=RecordLimits(decoded_bytes=config.limits.decoded_mb * MIB),
        keep_ns=span_ns(config.retention.records, "retention.records"),
    )


def _intake(config: Config, core: Core, flow: Flow, around: Surroundings) -> telemetry.Intake:
    limits = config.limits
    decoder = Decoder(
        core.table, Limits(labels=limits.labels, label_value_bytes=limits.label_value_bytes)
    )
    return telemetry.Intake(
        around=around,
        ingest=flow.ingest,
        lines=LineIntake(
            flow.ingest,
            core.log,
            flow.executors,
            core.supervisor,
            core.meters,
            core.clock,
            limits=LogLimits(decoded_bytes=limits.decoded_mb * MIB),
            parses=LineParses(flow.patterns, core.meters),
            handover=flow.applier.handover,
        ),
        log=core.log,
        decoder=decoder,
        decoded_bytes_max=limits.decoded_mb * MIB,
        negatives=Negatives(config.metrics.drop_negative, core.table),
        backpressure=flow.backpressure,
        clock=core.clock,
        meters=core.meters,
    )
