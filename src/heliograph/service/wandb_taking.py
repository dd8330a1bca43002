"""What a wandb run sends, made durable: steps, system metrics, console lines, and how it ended.

    history line     → record `training_step`, which the applier turns into a training row
    event line       → samples `wandb_system_*`
    console line     → record `console_line`; of a run that is its own workload a log line too,
                       which is read as any other: findings, training values
    end, preemption  → records `wandb_run_end`, `wandb_preempted`

All of one body goes into the log with one commit, then the run's own row says how far it has come;
only then the client is answered. A body that comes again, as after a crash, makes the same records
and rows under the same ids: nothing is lost and nothing happens twice. The run is held meanwhile.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

from heliograph.core import labels as label
from heliograph.core.clock import Clock
from heliograph.core.record import Record, record_id
from heliograph.core.series import SeriesTable
from heliograph.receive import wandb_system
from heliograph.receive.lines import Line, encode_lines
from heliograph.receive.wandb_graphql import RunAlert, RunName, RunSettings
from heliograph.receive.wandb_stream import ConsoleLine, Point, Stream
from heliograph.service import record_frames
from heliograph.service.ingest import Ingest
from heliograph.service.meters import Meters
from heliograph.service.series_batch import Sample, batch_of
from heliograph.service.wandb_console import Console
from heliograph.service.wandb_names import Names, Step
from heliograph.service.wandb_places import pod_at, started_ns
from heliograph.service.wandb_progress import Stepped, moved_on, tail_ns
from heliograph.service.wandb_runs import WandbRuns
from heliograph.store.log.log import Log
from heliograph.store.state import batches, wandb_runs
from heliograph.store.state.wandb_runs import WandbRun
from heliograph.training import steps

PROTOCOL = "wandb"
CONTAINER = "wandb"
LINES_PER_FRAME = 2000
# A run whose last word is older than this ended then, and not when we heard of it.
LATE_NS = 60 * 10**9
_FRAMEWORK = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")


class Taking(NamedTuple):
    """What streams are taken with."""

    runs: WandbRuns
    ingest: Ingest
    log: Log
    table: SeriesTable
    clock: Clock
    meters: Meters


class _Found(NamedTuple):
    records: list[Record]
    samples: list[Sample]
    lines: list[Line]


def take(
    taking: Taking, name: RunName, stream: Stream, said: RunSettings | None = None
) -> WandbRun:
    """Keep all of *stream*, which is run *name*'s, and what it says of itself; the run as it is then.
    The run is held."""
    runs, now_ns = taking.runs, taking.clock.now_ns()
    found = _Found([], [], [])
    before = runs.known(name)
    silent = before is not None and before.state == wandb_runs.SILENT and not stream.complete
    if before is None or said is not None or silent:
        # Settings come along with what our own import reads from a file.
        run, new = runs.described(name, said, live=said is None)
        found.records.extend([_began(run)] if new else [])
    else:
        told_ns = max(_told_ns(stream), default=now_ns)
        run = runs.looked(before, live=now_ns - told_ns <= LATE_NS)
    run = runs.begun(run, min(_times(stream), default=now_ns))
    # What others know of it is where and since when it runs.
    untold = run if before is None or _shown(run) != _shown(before) else None
    told = _add_steps(taking, run, stream, now_ns, found)
    _add_samples(run, stream.events, now_ns, found)
    run = _add_console(taking, run, stream, now_ns, found)
    run = moved_on(run, stream, told, now_ns, taking.meters)
    run, state, ended_ns = _ended(run, stream, now_ns, found)
    appended = _append(taking, found)
    if state:
        run = runs.ended(run, state, ended_ns)
    elif untold is not None:
        runs.placed(run)
    appended.result()
    _count(taking.meters, stream)
    return runs.saved(run)


def _shown(run: WandbRun) -> tuple[object, ...]:
    said = run.document
    return run.state, said.get("name"), said.get("host"), said.get("started_ns")


def announce(taking: Taking, run: WandbRun) -> None:
    """Keep that *run* began."""
    _append(taking, _Found([_began(run)], [], [])).result()


def _began(run: WandbRun) -> Record:
    said = run.document
    shown = ("name", "group", "job_type", "program", "host", "tags", "notes")
    what = {name: said[name] for name in shown if said.get(name)}
    name = said.get("name") or run.run_id
    return _record(
        run, "wandb_run_start", "info", run.created_ns, run.created_ns,
        f"wandb run {name} of project {run.project} began", what, ("start", run.created_ns),
    )  # fmt: skip


def is_past(taking: Taking, at_ns: int) -> bool:
    """Whether *at_ns* is so long ago that nobody needs to be told."""
    return taking.clock.now_ns() - at_ns > LATE_NS


def keep_alert(taking: Taking, run: WandbRun, alert: RunAlert, severity: str) -> None:
    """Keep *alert* as a record at its own time."""
    at_ns = alert.at_ns or taking.clock.now_ns()
    record = _record(
        run, "wandb_alert", severity, at_ns, taking.clock.now_ns(),
        f"{alert.title}: {alert.text}", {"title": alert.title, "level": alert.level},
        ("alert", at_ns, alert.title, alert.text),
    )  # fmt: skip
    _append(taking, _Found([record], [], [])).result()


def _times(stream: Stream) -> Iterator[int]:
    for points in (stream.history, stream.events):
        yield from (point.at_ns for point in points[:1] if point.at_ns is not None)
    yield from (line.at_ns for line in stream.console[:1] if line.at_ns is not None)


def _add_steps(
    taking: Taking, run: WandbRun, stream: Stream, now_ns: int, found: _Found
) -> Stepped:
    said = (run.document.get("config") or {}).get("framework")
    known = isinstance(said, str) and _FRAMEWORK.fullmatch(said.lower())
    framework = str(said).lower() if known else "unknown"
    names = Names(run.document.get("names") or {})
    left_out: Counter[str] = Counter()
    for point in stream.history:
        at_ns = _at_ns(run, point, now_ns)
        number = point.number if point.step is None else point.step
        step = Step(pod_at(run, at_ns), run.run_id, number, at_ns, framework)
        told = names.told(point.values, step)
        left_out.update(point.left_out)
        left_out["too_many_names"] += told.left_out
        found.records.append(steps.record_of(told.row, observed_ns=now_ns))
    for why, count in left_out.items():
        taking.meters.dropped.add(count, "wandb_values", why)
    return Stepped(names.name_at, +left_out)


def _at_ns(run: WandbRun, point: Point, now_ns: int) -> int:
    if point.at_ns is not None:
        return point.at_ns
    if point.runtime_s is None or not 0 <= point.runtime_s < 1e9:
        return now_ns
    return started_ns(run) + round(point.runtime_s * 1e9)


def _add_samples(run: WandbRun, events: Sequence[Point], now_ns: int, found: _Found) -> None:
    fixed = {
        "run_id": run.run_id,
        "project": run.project,
        "host": str(run.document.get("host", ""))[:256],
    }
    packed: dict[tuple[str, str], bytes] = {}
    for point in events:
        at_ns = _at_ns(run, point, now_ns)
        pod_uid = pod_at(run, at_ns)
        for name, value in point.values.items():
            identity = packed.get((pod_uid, name))
            if identity is None:
                system = wandb_system.named(name)
                pairs = {**fixed, "pod_uid": pod_uid, **dict(system.labels)}
                identity = label.pack(label.of({**pairs, label.NAME: system.metric}))
                packed[pod_uid, name] = identity
            found.samples.append((identity, at_ns, value))


def _add_console(
    taking: Taking, run: WandbRun, stream: Stream, now_ns: int, found: _Found
) -> WandbRun:
    """Add what is new of the console, and what was written over, as far as the run may have any;
    the run as it is then."""
    if not stream.console:
        return run
    limit = taking.runs.limits.console_lines
    console = Console(run.document, run.console_lines)
    known, over, dropped = console.kept, run.console_kept, 0
    for place in console.placed(stream.console, stream.read):
        line = place.line
        at_ns = now_ns if line.at_ns is None else line.at_ns
        # Lines of a pod come from its node as well.
        if place.new and pod_at(run, at_ns) == run.uid:
            found.lines.append(_log_line(run, line, at_ns))
        if (known if place.new else over) >= limit:
            dropped += 1
            continue
        known, over = known + place.new, over + (not place.new)
        attributes = {"line": place.place, "stream": line.stream}
        found.records.append(
            _record(
                run, "console_line", None, at_ns, now_ns, line.text, attributes, place.identity,
            )
        )  # fmt: skip
    taking.meters.dropped.add(dropped, "console_lines", "too_many")
    document = {**run.document, "console": console.document(), "resumed": False}
    return run._replace(console_kept=over, document=document)


def _log_line(run: WandbRun, line: ConsoleLine, at_ns: int) -> Line:
    return Line(
        at_ns,
        run.uid,
        run.project,
        run.run_id,
        str(run.document.get("host", "")),
        CONTAINER,
        line.stream,
        line.text,
        at_known=line.at_ns is not None,
    )


def _ended(
    run: WandbRun, stream: Stream, now_ns: int, found: _Found
) -> tuple[WandbRun, str, int]:
    """*run* after what *stream* says of its end: as which state it ended, "" where it goes on, and
    when."""
    if stream.preempting:
        found.records.append(
            _record(
                run, "wandb_preempted", "warning", now_ns, now_ns,
                f"wandb run {run.run_id} is about to be preempted", {},
                ("preempted", run.history_lines),
            )
        )  # fmt: skip
        if not stream.complete:
            said = {**run.document, "preempted_ns": now_ns}
            return run._replace(document=said), "", 0
    if not stream.complete:
        return run, "", 0
    code = stream.exit_code or 0
    state = wandb_runs.FINISHED if code == 0 else wandb_runs.FAILED
    if stream.preempting or (code and run.document.get("preempted_ns")):
        state = wandb_runs.PREEMPTED
    last_ns = max((*_last(stream), tail_ns(run))) or now_ns
    ended_ns = last_ns if now_ns - last_ns > LATE_NS else now_ns
    after = [code, run.history_lines]
    if run.document.get("ended_after") == after:
        # Told again, by a client that got no answer or by a later sync: it ended when it ended.
        ended_ns = int(run.document.get("ended_ns", ended_ns))
    run = run._replace(document={**run.document, "exit_code": code, "ended_after": after})
    found.records.append(
        _record(
            run, "wandb_run_end", "error" if code else "info", ended_ns, now_ns,
            f"wandb run {run.run_id} ended, exit code {code}",
            {"exit_code": code, "steps": run.history_lines},
            ("end", *after),
        )
    )  # fmt: skip
    return run, state, ended_ns


def _told_ns(stream: Stream) -> Iterator[int]:
    for points in (stream.history, stream.events):
        yield from (point.at_ns for point in points[-1:] if point.at_ns is not None)


def _last(stream: Stream) -> Iterator[int]:
    yield from _told_ns(stream)
    yield from (line.at_ns for line in stream.console[-1:] if line.at_ns is not None)


def _record(
    run: WandbRun, event_type: str, severity: str | None, at_ns: int, now_ns: int, body: str,
    attributes: dict[str, Any], identity: tuple[str | int, ...],
) -> Record:  # fmt: skip
    pod_uid = pod_at(run, at_ns)
    return Record(
        record_id=record_id(PROTOCOL, run.uid, *identity),
        timestamp_ns=at_ns,
        observed_timestamp_ns=now_ns,
        session_id=pod_uid,
        source_kind=PROTOCOL,
        event_type=event_type,
        severity=severity,
        body=body,
        resource={"pod_uid": pod_uid, "node": run.document.get("host", "")},
        attributes={"run_id": run.run_id, "project": run.project, **attributes},
        correlation={"wandb_run": run.uid},
    )


def _append(taking: Taking, found: _Found) -> "Future[None]":
    """Everything *found* into the log, with one commit; durable when the future is done."""
    log = taking.log
    frames: list[Callable[[], object]] = [
        partial(log.append_records, payload, count)
        for payload, count in record_frames.payloads(found.records)
    ]
    frames.extend(
        partial(log.append_lines, encode_lines(lines), len(lines))
        for lines in batches.cut(found.lines, LINES_PER_FRAME)
    )

    def append() -> None:
        if found.samples:
            # The ids are found here, where the table forgets none before the commit.
            batch, refused = batch_of(found.samples, taking.table, now_ns=taking.clock.now_ns())
            taking.meters.rejected.add(refused, PROTOCOL, "series_limit")
            if batch.count:
                log.append_samples(batch)
        for frame in frames:
            frame()

    return taking.ingest.submit(append)


def _count(meters: Meters, stream: Stream) -> None:
    meters.received.add(len(stream.history), PROTOCOL, "steps")
    meters.received.add(len(stream.events), PROTOCOL, "events")
    meters.received.add(len(stream.console), PROTOCOL, "console_lines")
    skipped = sum(point.skipped for point in stream.history)
    meters.received.add(skipped, PROTOCOL, "values_not_numbers")
    meters.rejected.add(stream.malformed, PROTOCOL, "malformed_line")
