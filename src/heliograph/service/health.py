"""Health: one line a part, for `/readyz` and the first page. `bad` means: send traffic elsewhere."""

import shutil
from pathlib import Path
from typing import NamedTuple

from heliograph.service.applier import Applier
from heliograph.service.backpressure import LAG_S_MAX, Backpressure
from heliograph.service.forward import Forward
from heliograph.service.placement_watch import PlacementWatch
from heliograph.service.supervisor import Supervisor
from heliograph.store.log.log import Log
from heliograph.store.records.protocol import RecordStore
from heliograph.store.state.state import State
from heliograph.web.first_page import Check

DISK_FREE_BYTES_MIN = 100 * 1024 * 1024
LAG_S_NOTED = 2.0
MIB = 1024 * 1024


class Parts(NamedTuple):
    """What is looked at."""

    supervisor: Supervisor
    applier: Applier
    backpressure: Backpressure
    log: Log
    log_bytes_max: int
    forwards: tuple[Forward, ...]
    watch: PlacementWatch | None
    data_dir: Path
    state: State
    records: RecordStore


def checks(parts: Parts) -> list[Check]:
    """The state of every part, worst things named in words."""
    return [
        _threads(parts),
        _lag(parts),
        _log(parts),
        _disk(parts.data_dir),
        *(_forward(one) for one in parts.forwards),
        *_placements(parts.watch),
        *_state(parts.state),
        *_records(parts.records),
    ]


def _threads(parts: Parts) -> Check:
    failed = parts.supervisor.failed.is_set()
    return Check("threads", "bad" if failed else "ok", "one has died" if failed else "all run")


def _lag(parts: Parts) -> Check:
    late_s = parts.backpressure.late_s()
    state = "bad" if late_s > LAG_S_MAX else "warn" if late_s > LAG_S_NOTED else "ok"
    if parts.applier.waits_for is not None:
        return Check("applier", "warn", f"waits: {parts.applier.waits_for}")
    aside = parts.applier.set_aside
    if aside:
        return Check("applier", "warn" if state == "ok" else state, f"{aside} frames set aside")
    return Check("applier", state, f"{late_s:.1f} s behind")


def _log(parts: Parts) -> Check:
    used = parts.log.disk_bytes
    full = used > parts.log_bytes_max
    damaged = parts.log.tally.damaged_frames
    text = f"{used / MIB:,.0f} of {parts.log_bytes_max / MIB:,.0f} MiB"
    if damaged:
        text += f", {damaged} damaged frames skipped"
    return Check("log", "bad" if full else "warn" if damaged else "ok", text)


def _disk(data_dir: Path) -> Check:
    try:
        free = shutil.disk_usage(data_dir).free
    except OSError as error:
        return Check("disk", "bad", str(error.strerror))
    low = free < DISK_FREE_BYTES_MIN
    return Check("disk", "bad" if low else "ok", f"{free / MIB:,.0f} MiB free")


def _forward(one: Forward) -> Check:
    failing = bool(one.last_error)
    text = one.last_error[:200] if failing else "sends"
    return Check(f"forward to {one.target.name}", "warn" if failing else "ok", text)


def _placements(watch: PlacementWatch | None) -> list[Check]:
    if watch is None:
        return []
    text = "read" if watch.error is None else watch.error[:200]
    return [Check("placement file", "ok" if watch.error is None else "warn", text)]


def _state(state: State) -> list[Check]:
    if state.damaged:
        text = "damage was seen in it: a restart sets it aside and puts the hourly copy in its place"
        return [Check("state", "bad", text)]
    if state.failing is not None:
        # Logs and samples are taken still, and nobody else would reach it either.
        return [Check("state", "warn", state.failing[:200])]
    return [] if state.mended is None else [Check("state", "warn", state.mended)]


def _records(records: RecordStore) -> list[Check]:
    aside = records.counts["days_corrupt"]
    text = f"{aside} damaged days set aside since the start"
    return [Check("records", "warn", text)] if aside else []
