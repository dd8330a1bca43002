"""The parts of one service, as `wiring` builds them and `application` uses them."""

from collections.abc import Sequence
from typing import NamedTuple

from heliograph.core.clock import Clock
from heliograph.core.series import SeriesTable
from heliograph.service.alert_wiring import AlertSide
from heliograph.service.applier import Applier
from heliograph.service.attributing import Attributing
from heliograph.service.backpressure import Backpressure
from heliograph.service.executors import Executors
from heliograph.service.forward import Forward
from heliograph.service.freshness import Freshness
from heliograph.service.ingest import Ingest
from heliograph.service.log_patterns import PatternBook
from heliograph.service.maintenance import Maintenance
from heliograph.service.meters import Meters
from heliograph.service.owners import Owners
from heliograph.service.placement_watch import PlacementWatch
from heliograph.service.supervisor import Supervisor
from heliograph.store.log.log import Log
from heliograph.store.protocol import SampleStore
from heliograph.store.records.protocol import RecordStore
from heliograph.store.state.state import State


class Core(NamedTuple):
    """What holds data and time, before anything moves."""

    clock: Clock
    meters: Meters
    supervisor: Supervisor
    state: State
    log: Log
    table: SeriesTable
    records: RecordStore
    segments: SampleStore | None
    owners: Owners
    attributing: Attributing


class Flow(NamedTuple):
    """What moves data: the threads, and what requests go through."""

    ingest: Ingest
    applier: Applier
    forwards: Sequence[Forward]
    maintenance: Maintenance
    watch: PlacementWatch | None
    executors: Executors
    fresh: Freshness
    backpressure: Backpressure
    alerts: AlertSide
    patterns: PatternBook
