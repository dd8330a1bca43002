"""The composition root: builds the graph of one service from its configuration, and takes it down.

The only module that names a backend. Built sinks first, closed receivers first: nothing is ever
handed to a part that is already closed.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from heliograph.core.clock import Clock
from heliograph.core.errors import ConfigError
from heliograph.core.matcher import parse as parse_matcher
from heliograph.core.series import SeriesTable
from heliograph.enrich.records import whose
from heliograph.recorder.store import Source
from heliograph.recorder.wiring.reading import StoredPoints
from heliograph.service import alert_wiring, application, http, memory, recorder_queries
from heliograph.service import config as settings
from heliograph.service.alert_archive import AlertArchive
from heliograph.service.applier import Applier, RuleApplying, Stores
from heliograph.service.attributing import Attributing
from heliograph.service.backpressure import Backpressure
from heliograph.service.believed_time import BelievedTime
from heliograph.service.config import MIB, Config, ForwardConfig, span_ns
from heliograph.service.derived import Derived
from heliograph.service.embedded_query import EmbeddedQueries
from heliograph.service.executors import Executors
from heliograph.service.forward import CURSOR as FORWARD
from heliograph.service.forward import Forward, Sources, Target
from heliograph.service.forward import names_of as forward_names
from heliograph.service.forward_requests import Selection
from heliograph.service.freshness import Freshness
from heliograph.service.ingest import Ingest
from heliograph.service.line_reading import Owned
from heliograph.service.log_patterns import PatternBook
from heliograph.service.log_upkeep import LogUpkeep
from heliograph.service.maintenance import Keep, Maintenance, Upkeep
from heliograph.service.meters import Meters
from heliograph.service.owners import Owners
from heliograph.service.parts import Core, Flow
from heliograph.service.placement_watch import PlacementWatch
from heliograph.service.recorder_queries import QueriedPoints
from heliograph.service.sealing import Sealing, fills
from heliograph.service.supervisor import Supervisor
from heliograph.store.log.log import Log, LogLimits
from heliograph.store.protocol import SampleQueries
from heliograph.store.records.folder import RecordFolder
from heliograph.store.records.protocol import RecordStore
from heliograph.store.records.table import RecordTable
from heliograph.store.segments.floors import Retention
from heliograph.store.segments.store import SegmentStore
from heliograph.store.state import cursors, lock
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State, upgrade

log = logging.getLogger(__name__)

# Of a full log, for nothing but whole files of it is ever let go.
LOG_FILES_MIN = 8
# Lanes as self-metrics have them.
_LANES = {lane: lane.name.lower() for lane in Lane}


class Site(NamedTuple):
    """A running service: its application, and how it is taken down."""

    app: http.Application
    core: Core
    flow: Flow
    close: Callable[[], None]


def build(config: Config, clock: Clock) -> Site:
    """Open the stores of *config* and start the threads. Raises ConfigError."""
    with ExitStack() as opened:
        core = _core(config, clock, opened)
        queries = _queries(config, core, opened)
        flow = _flow(config, core, queries, opened)
        app = application.build(config, core, flow, queries, _recorded(core, queries))
        closing = opened.pop_all()
    return Site(app, core, flow, closing.close)


def _core(config: Config, clock: Clock, opened: ExitStack) -> Core:
    meters = Meters()
    data_dir = Path(config.data_dir)
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"data_dir: {data_dir}: {error.strerror}") from error
    if config.state.url is not None:
        # SQLite's state holds the folder by itself.
        opened.callback(lock.hold(data_dir).release)
    state = State.open(
        config.state.url,
        data_dir,
        clock,
        observe=lambda lane, spent_s: meters.transaction_seconds.observe(spent_s, _LANES[lane]),
    )
    opened.callback(state.close)
    table = SeriesTable(config.limits.series)
    kept = _records(config, data_dir, clock)
    opened.callback(kept.close)
    segments = None
    if config.samples.backend == "embedded":
        segments = SegmentStore(
            data_dir / "segments",
            table,
            _retention(config),
            clock,
            seal_after_s=span_ns(config.samples.seal, "samples.seal") / 1e9,
            believed_ns=BelievedTime(clock).now_ns,
        )
        opened.callback(segments.close)
    durable = _log(config, table, state, segments, clock)
    opened.callback(durable.close)
    owners = Owners(state, clock, pods_max=config.limits.pods)
    return Core(
        clock=clock,
        meters=meters,
        supervisor=Supervisor(meters.registry),
        state=state,
        log=durable,
        table=table,
        records=kept,
        segments=segments,
        owners=owners,
        attributing=Attributing(owners, table, clock, meters),
    )


def _log(
    config: Config,
    table: SeriesTable,
    state: State,
    segments: SegmentStore | None,
    clock: Clock,
) -> Log:
    folder = Path(config.data_dir) / "log"
    # Only whole files leave it, and never the one that is written.
    file_bytes = min(LogLimits().file_bytes_max, config.limits.log_mb * MIB // LOG_FILES_MIN)
    durable = Log(folder, table, clock, limits=LogLimits(file_bytes_max=file_bytes))
    known = [0, *state.read(cursors.get_all).values()]
    if segments is not None:
        known.append(segments.sealed_seq)
    try:
        durable.open(floor=max(known))
    except OSError as error:
        raise ConfigError(f"data_dir: {folder}: {error.strerror}") from error
    return durable


def _records(config: Config, data_dir: Path, clock: Clock) -> RecordStore:
    if config.state.url is None:
        return RecordFolder.open(data_dir / "records", clock)
    return RecordTable.open(config.state.url, clock)


def _retention(config: Config) -> Retention:
    keep = config.samples.retention
    return Retention(
        raw_ns=span_ns(keep.raw, "samples.retention.raw"),
        minute_ns=span_ns(keep.minute, "samples.retention.1m"),
        hour_ns=span_ns(keep.hour, "samples.retention.1h"),
    )


def _flow(config: Config, core: Core, queries: SampleQueries, opened: ExitStack) -> Flow:
    executors = Executors()
    targets = _targets(config)
    names = forward_names([(one.url, one.match) for one in targets])
    forwards = [
        _forward(config, core, one, name) for one, name in zip(targets, names, strict=True)
    ]
    for forward in forwards:
        opened.callback(forward.close)
    _forget_cursors(core.state, {forward.cursor for forward in forwards})
    side = alert_wiring.build(
        alert_wiring.Around(
            config, core.clock, core.state, core.supervisor, core.meters, core.owners, queries
        ),
        opened,
    )
    patterns = _patterns(config, core)
    ingest = Ingest(core.log, core.supervisor, core.clock)
    derived = Derived(core.log, core.table, core.meters, core.clock, patterns, ingest)
    applier = _applier(config, core, side.applying, derived, patterns, forwards)
    opened.callback(applier.close)
    upkeep = LogUpkeep(
        core.log, core.state, core.table, applier, forwards, core.segments, ingest
    )
    maintenance = _maintenance(config, core, upkeep)
    opened.callback(maintenance.close)
    # Before the applier: what that has derived since is derived again.
    opened.callback(ingest.close)
    opened.callback(executors.close)
    watch = _watch(config, core)
    if watch is not None:
        opened.callback(watch.close)
    applier.start()
    for forward in forwards:
        forward.start()
    maintenance.start()
    if watch is not None:
        watch.start()
    return Flow(
        ingest=ingest,
        applier=applier,
        forwards=forwards,
        maintenance=maintenance,
        watch=watch,
        executors=executors,
        fresh=Freshness(lambda: core.log.end, lambda: applier.position, applier.wait_for),
        backpressure=Backpressure(
            core.clock,
            end=lambda: core.log.end,
            applied=lambda: applier.position,
            away=lambda: applier.waits_for is not None,
            log_bytes=lambda: core.log.disk_bytes,
            log_bytes_max=config.limits.log_mb * MIB,
        ),
        alerts=side,
        patterns=patterns,
    )


def _forget_cursors(state: State, known: set[str]) -> None:
    """A forward that is no longer configured must not be gone on with, if it ever comes back, from
    where the log has long been trimmed."""
    for name in state.read(cursors.get_all):
        if name.startswith(FORWARD) and name not in known:
            state.write(
                lambda tx, name=name: cursors.forget(tx, name),  # type: ignore[misc]
                lane=Lane.CONTROL,
            ).result()


def _applier(
    config: Config,
    core: Core,
    rules: RuleApplying,
    derived: Derived,
    patterns: PatternBook,
    forwards: Sequence[Forward],
) -> Applier:
    sealing = None
    if core.segments is not None:
        sealing = Sealing(
            core.segments,
            core.meters,
            core.clock,
            every_s=span_ns(config.samples.seal, "samples.seal") / 1e9,
            is_wanted=partial(
                fills, core.log, core.segments, forwards, config.limits.log_mb * MIB
            ),
        )

    def pod_named(namespace: str, name: str, at_ns: int) -> str:
        directory = core.owners.directory()
        span = whose(directory, pod_name=name, namespace=namespace, at_ns=at_ns)
        return span.pod_uid

    def workload_of(pod_uid: str) -> str | None:
        pod = core.owners.directory().pods.get(pod_uid)
        return None if pod is None else pod.workload_uid or ""

    return Applier(
        Stores(core.log, core.state, sealing, core.records),
        core.supervisor,
        core.meters,
        core.clock,
        aside=Path(config.data_dir) / "aside",
        keep_lines=config.logs.keep_lines,
        attributed=core.attributing.count,
        owned=Owned(core.meters, pod_named=pod_named, workload_of=workload_of),
        derived=derived,
        patterns=patterns,
        rules=rules,
    )


def _patterns(config: Config, core: Core) -> PatternBook:
    return PatternBook(
        core.state,
        core.clock,
        core.meters,
        fields=config.logs.fields,
        configured=settings.log_patterns(config),
    )


def _targets(config: Config) -> list[ForwardConfig]:
    targets = list(config.forward)
    if config.samples.backend == "prometheus":
        assert config.samples.write_url is not None
        targets.insert(0, ForwardConfig(url=config.samples.write_url, hold=config.samples.hold))
    return targets


def _forward(config: Config, core: Core, one: ForwardConfig, name: str) -> Forward:
    try:
        matchers = tuple(parse_matcher(text) for text in one.match)
    except ValueError as error:
        raise ConfigError(f"forward: {error}") from error
    target = Target(
        name=name,
        selection=Selection(matchers, config.metrics.keep_original, config.metrics.prefix),
        hold_ns=span_ns(one.hold, "forward.hold"),
        queue_bytes=config.samples.queue_mb * MIB,
    )
    # Late, as in `_queries`: who keeps all to himself does without an HTTP client, of 4 MB.
    from heliograph.store.prometheus.sender import Sender

    sources = Sources(core.log, core.state, core.table, core.attributing.spans)
    return Forward(
        target, Sender(one.url, core.clock), sources, core.supervisor, core.meters, core.clock
    )


def _maintenance(config: Config, core: Core, upkeep: LogUpkeep) -> Maintenance:
    keep = Keep(
        records_ns=span_ns(config.retention.records, "retention.records"),
        records_bytes=config.retention.records_mb * MIB,
        training_ns=span_ns(config.retention.training, "retention.training"),
        alerts_ns=span_ns(config.retention.alerts, "retention.alerts"),
        statistics_ns=span_ns(config.retention.alert_statistics, "retention.alert_statistics"),
        owners_ns=span_ns(config.samples.retention.hour, "samples.retention.1h"),
    )
    tended = Upkeep(
        state=core.state,
        owners=core.owners,
        records=core.records,
        segments=core.segments,
        table=core.table,
        spans=core.attributing.spans,
        trim=upkeep.trim,
        forget=upkeep.forget,
        replayed=upkeep.replayed,
        archive=AlertArchive(Path(config.data_dir), config.retention.alert_archive_mb * MIB),
    )
    maintenance = Maintenance(tended, keep, core.supervisor, core.meters, core.clock)
    maintenance.also("memory", memory.give_back)
    return maintenance


def _watch(config: Config, core: Core) -> PlacementWatch | None:
    if config.workloads.placement_file is None:
        return None
    return PlacementWatch(
        Path(config.workloads.placement_file),
        core.owners,
        core.state,
        core.supervisor,
        core.meters,
        every_s=span_ns(config.workloads.refresh, "workloads.refresh") / 1e9,
        list_max=config.limits.list * 100,
    )


def _recorded(core: Core, queries: SampleQueries) -> Source:
    """What `GET /v1/metrics` reads: our own store by its columns, another one by questions."""
    if isinstance(core.segments, SegmentStore):
        return StoredPoints(
            core.segments, core.records, samples_max=recorder_queries.POINTS_MAX
        )
    return QueriedPoints(queries, core.records)


def _queries(config: Config, core: Core, opened: ExitStack) -> SampleQueries:
    if core.segments is None:
        assert config.samples.query_url is not None
        from heliograph.store.prometheus.queries import PrometheusQueries

        remote = PrometheusQueries(config.samples.query_url, core.clock)
        opened.callback(remote.close)
        return remote
    assert isinstance(core.segments, SegmentStore)
    return EmbeddedQueries(core.segments, core.attributing.spans, config.metrics.prefix)


def describe(config: Config) -> dict[str, Any]:
    """What a start says about itself, for one line of the log."""
    host, port = settings.host_and_port(config.listen)
    return {
        "address": f"http://{host}:{port}",
        "data_dir": config.data_dir,
        "state": "sqlite" if config.state.url is None else "postgresql",
        "samples": config.samples.backend,
    }


def upgrade_state(config: Config, clock: Clock) -> str:
    """Bring the state database to this version's schema; what was done, in words."""
    done = upgrade(config.state.url, Path(config.data_dir), clock)
    return f"schema {done.before or 'none'} → {done.after}"
