"""Gauges of the service: read from the parts when `/metrics` is asked for."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from heliograph import __version__
from heliograph.core.series import SeriesTable
from heliograph.kernels import remote_write
from heliograph.service.admission import Admission
from heliograph.service.applier import Applier
from heliograph.service.backpressure import Backpressure
from heliograph.service.forward import Forward
from heliograph.service.ingest import Ingest
from heliograph.service.measure import Registry
from heliograph.store.log.catalogue import Tally
from heliograph.store.log.log import Log
from heliograph.store.protocol import SampleStore
from heliograph.store.records.protocol import RecordStore
from heliograph.store.state.state import State

Read = Callable[[], Iterable[tuple[tuple[str, ...], float]]]


def add_flow(
    registry: Registry,
    *,
    ingest: Ingest,
    applier: Applier,
    admission: Admission,
    backpressure: Backpressure,
    forwards: tuple[Forward, ...],
    log: Log,
) -> None:
    """Queues and lags."""
    gauge = registry.gauge
    gauge("heliograph_ingest_queue_requests", "Requests waiting.", _one(lambda: ingest.queued))
    gauge(
        "heliograph_in_flight_bytes", "Request bytes.", _one(lambda: admission.in_flight_bytes)
    )
    gauge("heliograph_applier_lag_seconds", "Lag, at least.", _one(backpressure.lag_s))
    gauge(
        "heliograph_applier_lag_frames",
        "Frames committed and not yet applied.",
        _one(lambda: max(0, log.end - applier.position)),
    )
    gauge("heliograph_log_bytes", "The log on disk.", _one(lambda: log.disk_bytes))
    gauge("heliograph_log_end", "Sequence of the last committed frame.", _one(lambda: log.end))
    gauge(
        "heliograph_log_tally",
        "What happened to the log since the start, by what.",
        lambda: _numbers(log.tally),
        ("what",),
    )
    gauge(
        "heliograph_forward_lag_frames",
        "Frames committed and not yet sent on.",
        lambda: [((one.target.name,), max(0, log.end - one.position)) for one in forwards],
        ("target",),
    )


def add_stores(
    registry: Registry,
    *,
    table: SeriesTable,
    segments: SampleStore | None,
    records: RecordStore,
    state: State,
) -> None:
    """Sizes of the stores."""
    gauge = registry.gauge
    gauge("heliograph_series", "Series in memory.", _one(lambda: len(table)))
    gauge("heliograph_series_limit", "How many may be.", _one(lambda: table.limit))
    gauge("heliograph_records_bytes", "Records on disk.", _one(records.size_bytes))
    gauge(
        "heliograph_records_tally",
        "What happened to record days since the start, by what.",
        lambda: [((name,), float(count)) for name, count in sorted(records.counts.items())],
        ("what",),
    )
    gauge(
        "heliograph_state_waiting_transactions",
        "State transactions that wait for the writer, by lane.",
        lambda: [((lane.name.lower(),), float(n)) for lane, n in state.waiting().items()],
        ("lane",),
    )
    gauge(
        "heliograph_state_slow_transactions",
        "State transactions over 20 ms, by lane.",
        lambda: [((lane.name.lower(),), float(n)) for lane, n in sorted(state.slow.items())],
        ("lane",),
    )
    gauge(
        "heliograph_state_damage",
        "Since the start: damage was seen in state.db, or the start replaced a damaged one.",
        lambda: [
            (("seen",), float(state.damaged)),
            (("replaced",), float(state.mended is not None)),
        ],
        ("what",),
    )
    if segments is not None:
        _add_segments(registry, segments)
    gauge("process_resident_memory_bytes", "Resident memory.", _one(_resident_bytes))
    gauge("process_cpu_seconds", "Processor time used.", _one(lambda: sum(os.times()[:2])))
    compiled = "true" if remote_write.COMPILED else "false"
    gauge(
        "heliograph_build_info",
        "1, labelled with what runs.",
        lambda: [((__version__, compiled), 1.0)],
        ("version", "compiled"),
    )


def _resident_bytes() -> int:
    """Of this process. Source: proc_pid_statm(5)."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        # No Linux: asked of a library that costs a megabyte of what it measures.
        import psutil

        rss: int = psutil.Process().memory_info().rss
        return rss
    return pages * os.sysconf("SC_PAGE_SIZE")


def _add_segments(registry: Registry, segments: SampleStore) -> None:
    def of(kind: str) -> Read:
        return lambda: [
            ((name,), float(value)) for name, value in getattr(segments.stats(), kind).items()
        ]

    gauge = registry.gauge
    gauge(
        "heliograph_head_samples",
        "Samples not yet sealed.",
        _one(lambda: segments.stats().samples_in_head),
    )
    gauge("heliograph_segment_files", "Segments by kind.", of("files"), ("kind",))
    gauge("heliograph_segment_bytes", "Bytes of segments by kind.", of("size_bytes"), ("kind",))
    gauge("heliograph_segment_tally", "What happened to segments.", of("counts"), ("what",))


def _numbers(tally: Tally) -> list[tuple[tuple[str, ...], float]]:
    values = ((name, getattr(tally, name)) for name in tally.__struct_fields__)
    return [
        ((name,), float(sum(value) if isinstance(value, tuple) else value))
        for name, value in values
    ]


def _one(read: Callable[[], float]) -> Read:
    return lambda: [((), float(read()))]
