"""`heliograph parse-log FILE`: training performance out of any log file, without a server."""

import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from heliograph.cli.client import inert

if TYPE_CHECKING:
    from heliograph.cli.log_file import LogFile
    from heliograph.core.training import TrainingRow
    from heliograph.training.events import Event
    from heliograph.training.runs import Run

# The bar of a smaller file would be gone before it is seen.
PROGRESS_BYTES_MIN = 4 << 20
LINES_PER_UPDATE = 20_000
TABLE_ROWS_DEFAULT = 40
EVENTS_SHOWN_MAX = 20
RUNS_SHOWN_MAX = 20
PLOT_HEIGHT = 14
PLOT_POINTS_MAX = 5000
# The latest runs only: more lines cannot be told apart.
PLOT_RUNS_MAX = 12

# column → (field, heading, format); only those that the log has are shown
_COLUMNS = (
    ("lm_loss", "lm loss", ".4f"),
    ("total_loss", "loss", ".4f"),
    ("elapsed_time_per_iteration_ms", "step ms", ",.1f"),
    ("steps_per_second", "steps/s", ",.2f"),
    ("tflops", "TFLOP/s/GPU", ",.1f"),
    ("tokens_per_gpu", "tokens/s/GPU", ",.0f"),
    ("tokens_per_second", "tokens/s", ",.0f"),
    ("samples_per_second", "samples/s", ",.2f"),
    ("mfu", "MFU %", ".2f"),
    ("learning_rate", "lr", ".3e"),
    ("grad_norm", "grad norm", ".3f"),
    ("loss_scale", "loss scale", ".6g"),
    ("mem_usage_gb", "mem GB", ".2f"),
    ("mem_usage_ratio", "mem %", ".1f"),
    ("skipped_iterations", "skipped", "d"),
    ("nan_iterations", "nan", "d"),
)
_UNITS = {
    "tokens_per_gpu": "tokens/s/GPU",
    "tokens_per_second": "tokens/s",
    "tflops": "TFLOP/s/GPU",
    "samples_per_second": "samples/s",
}


class _Happened(NamedTuple):
    """An event and where it stands."""

    line: int
    at_ns: int | None
    framework: str
    event: "Event"


class _Found(NamedTuple):
    """What a log held; *rows* and *marks* keep the order of the file."""

    framework: str
    lines: int
    rows: list[tuple[int, int | None, "TrainingRow"]]
    events: list[_Happened]
    runs: list["Run"]
    serials: list[int]


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per row and event.")
@click.option("--plot", is_flag=True, help="Draw loss, step time and throughput.")
@click.option("--framework", help="What printed the log, where you know it.")
@click.option(
    "--rows",
    "rows_shown",
    default=TABLE_ROWS_DEFAULT,
    show_default=True,
    type=click.IntRange(min=0),
    help="Rows of the table, evenly chosen; 0 for all.",
)
def parse_log(
    file: str, as_json: bool, plot: bool, framework: str | None, rows_shown: int
) -> None:
    """Training performance out of any log FILE (- is standard input; .gz is read too)."""
    from heliograph.cli.log_file import LogFile

    log = LogFile(file)
    try:
        found = _read(log, framework)
    finally:
        log.close()
    if not found.rows and not found.events:
        click.echo(f"{file}: no training lines in {found.lines:,} lines", err=as_json)
        return
    if as_json:
        _print_json(found)
        return
    _print_table(found, rows_shown)
    _print_summary(found)
    if plot:
        _print_plot(found)


def _read(log: "LogFile", given: str | None) -> _Found:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    size_bytes = log.size_bytes
    worth_it = size_bytes is None or size_bytes >= PROGRESS_BYTES_MIN
    console = Console(stderr=True)
    with Progress(
        TextColumn("reading"),
        BarColumn(),
        TextColumn("{task.fields[lines]:,} lines"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (worth_it and console.is_terminal),
    ) as progress:
        task = progress.add_task("", total=size_bytes, lines=0)

        def tell(lines: int) -> None:
            progress.update(task, completed=log.read_bytes(), lines=lines)

        return _gathered(log, given, tell)


def _gathered(log: "LogFile", given: str | None, tell: Any) -> _Found:
    from heliograph.training import framework as frameworks
    from heliograph.training.parse import parse_line
    from heliograph.training.rows import rows as rows_of
    from heliograph.training.runs import assign, runs

    name = frameworks.UNKNOWN
    kept: list[tuple[int, int | None, TrainingRow]] = []
    marks: list[TrainingRow] = []
    events: list[_Happened] = []
    pod_names: dict[str, tuple[str, str]] = {}
    number = at_ns = 0
    for line in log.lines():
        number = line.number
        if number % LINES_PER_UPDATE == 0:
            tell(number)
        parsed = parse_line(line.text, given)
        if parsed.kind == "none":
            continue
        # Lines without a time of their own follow one another.
        at_ns = at_ns + 1 if line.at_ns is None else line.at_ns
        name = frameworks.combined(name, parsed.framework)
        if line.pod is not None:
            pod_names[line.pod_uid] = line.pod
        for row in rows_of(parsed, pod_uid=line.pod_uid, source="log", at_ns=at_ns):
            if row.marker is None:
                kept.append((number, line.at_ns, row))
            else:
                marks.append(row)
        events += [
            _Happened(number, line.at_ns, parsed.framework, event) for event in parsed.events
        ]
    rows = [row for _, _, row in kept]
    return _Found(
        given or name,
        number,
        kept,
        events,
        runs([*rows, *marks], pod_names=pod_names),
        assign([*rows, *marks], pod_names=pod_names)[: len(rows)],
    )


def _print_json(found: _Found) -> None:
    import json

    documents: list[tuple[int, dict[str, Any]]] = [
        (
            line,
            {
                "kind": "performance",
                "line": line,
                "at": _time(at_ns),
                "run": serial,
                "framework": found.framework,
                "fields": _plain(row.fields),
            },
        )
        for (line, at_ns, row), serial in zip(found.rows, found.serials, strict=True)
    ]
    documents += [
        (
            happened.line,
            {
                "kind": "event",
                "line": happened.line,
                "at": _time(happened.at_ns),
                "framework": found.framework,
                "event_type": happened.event.event_type,
                "severity": happened.event.severity,
                "attributes": _plain(happened.event.attributes),
            },
        )
        for happened in found.events
    ]
    documents.sort(key=lambda item: item[0])
    for _, document in documents:
        click.echo(json.dumps({k: v for k, v in document.items() if v is not None}))


def _time(at_ns: int | None) -> str | None:
    from heliograph.core import instant

    return None if at_ns is None else instant.text_of(at_ns)


def _plain(value: Any) -> Any:
    """*value* as strict JSON: NaN and infinities are strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return value


def _print_table(found: _Found, rows_shown: int) -> None:
    from rich.console import Console
    from rich.table import Table

    if not found.rows:
        return
    rows = [row for _, _, row in found.rows]
    columns = [column for column in _COLUMNS if any(column[0] in row.fields for row in rows)]
    several_runs = len(found.runs) > 1
    several_ranks = len({(row.pod_uid, row.rank_group) for row in rows}) > 1
    table = Table(box=None, pad_edge=False, header_style="bold")
    if several_runs:
        table.add_column("run", justify="right")
    if several_ranks:
        table.add_column("rank", justify="right")
    for heading in ("iteration", *(heading for _, heading, _ in columns)):
        table.add_column(heading, justify="right", no_wrap=True)
    for place in _chosen(len(rows), rows_shown):
        row, cells = rows[place], []
        if several_runs:
            cells.append(str(found.serials[place]))
        if several_ranks:
            cells.append(row.rank_group or "-")
        cells.append(_iteration(row))
        cells += [_cell(row.fields.get(name), shape) for name, _, shape in columns]
        table.add_row(*cells)
    # Without a terminal nothing limits the width, and no column may be cut.
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    if 0 < rows_shown < len(rows):
        console.print(f"{rows_shown} of {len(rows):,} rows, evenly chosen; --rows 0 shows all")


def _chosen(count: int, most: int) -> Sequence[int]:
    """Places of at most *most* of *count* rows, evenly spread, with the first and the last."""
    if most == 0 or count <= most:
        return range(count)
    if most == 1:
        return (count - 1,)
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def _iteration(row: "TrainingRow") -> str:
    # Of a bar that names no epoch: what it counts, which may be no iteration of the run.
    step = row.fields.get("current_iteration") if row.iteration is None else row.iteration
    if step is None:
        return "-"
    target = row.fields.get("target_iteration")
    return f"{step}/{target}" if target is not None else str(step)


def _cell(value: Any, shape: str) -> str:
    return "-" if value is None else format(value, shape)


def _print_summary(found: _Found) -> None:
    from heliograph.training.summary import summary

    told = summary([row for _, _, row in found.rows], [one.event for one in found.events])
    click.echo(f"\nframework    {found.framework}")
    if told.iterations is not None:
        target = f" of {told.target_iteration:,}" if told.target_iteration is not None else ""
        first, last = told.iterations
        click.echo(f"iterations   {first:,} → {last:,}{target}, {told.rows:,} rows")
    click.echo(f"runs         {len(found.runs)}")
    if len(found.runs) > 1:
        if len(found.runs) > RUNS_SHOWN_MAX:
            click.echo(f"  the last {RUNS_SHOWN_MAX}:")
        for run in found.runs[-RUNS_SHOWN_MAX:]:
            click.echo(
                f"  {run.serial:>3}  {run.first_iteration} → {run.last_iteration}, "
                f"{run.rows:,} rows: {'; '.join(run.evidence)}"
            )
    if told.loss is not None:
        name, first_loss, last_loss = told.loss
        click.echo(
            f"{'lm loss' if name == 'lm_loss' else 'loss':<13}{first_loss:.4f} → {last_loss:.4f}"
        )
    if told.step_ms is not None:
        click.echo(f"step time    {told.step_ms:,.1f} ms, median")
    for name, middle in told.throughput:
        click.echo(f"throughput   {middle:,.1f} {_UNITS[name]}, median")
    if told.checkpoints:
        click.echo(f"checkpoints  {told.checkpoints} saved")
    if told.events:
        counted = ", ".join(f"{count}× {kind}" for kind, count in told.events)
        click.echo(f"events       {counted}")
        _print_events(found.events)


def _print_events(events: Sequence[_Happened]) -> None:
    for happened in events[:EVENTS_SHOWN_MAX]:
        attributes = happened.event.attributes.items()
        said = inert(" ".join(f"{name}={value}" for name, value in attributes))
        click.echo(f"  line {happened.line:<8} {happened.event.event_type:<22} {said}")
    if len(events) > EVENTS_SHOWN_MAX:
        click.echo(f"  and {len(events) - EVENTS_SHOWN_MAX:,} more; --json shows all")


def _print_plot(found: _Found) -> None:
    import shutil

    import plotext

    colored = sys.stdout.isatty()
    rows = [row for _, _, row in found.rows if row.iteration is not None]
    throughput = next(
        (name for name in _UNITS if any(name in row.fields for row in rows)), None
    )
    loss = "lm_loss" if any("lm_loss" in row.fields for row in rows) else "total_loss"
    wanted = [(loss, "loss"), ("elapsed_time_per_iteration_ms", "step time, ms")]
    if throughput is not None:
        wanted.append((throughput, _UNITS[throughput]))
    # A line a run: iterations begin again with each.
    by_run: dict[int, list[TrainingRow]] = {}
    for (_, _, row), serial in zip(found.rows, found.serials, strict=True):
        by_run.setdefault(serial, []).append(row)
    numbers = sorted(by_run)[-PLOT_RUNS_MAX:]
    drawn = False
    for name, title in wanted:
        lines = [
            points for run in numbers if len((points := _points(by_run[run], name))[0]) > 1
        ]
        if not lines:
            continue
        drawn = True
        figure = plotext.figure
        figure.clear()
        figure.theme("default" if colored else "colorless")
        figure.plot_size(shutil.get_terminal_size((100, 24)).columns, PLOT_HEIGHT)
        figure.title(f"{title} over iteration")
        for x, y in lines:
            figure.draw(figure.signal(x, y).lines())
        click.echo()
        click.echo(figure.build().string(not colored).rstrip("\n"))
    if not drawn:
        click.echo("nothing to draw: no field has two finite values")


def _points(rows: Iterable["TrainingRow"], name: str) -> tuple[list[int], list[float]]:
    """Iterations and finite values of *name*, at most PLOT_POINTS_MAX, evenly chosen."""
    points = [
        (row.iteration, row.fields[name])
        for row in rows
        if row.iteration is not None and name in row.fields and math.isfinite(row.fields[name])
    ]
    points = [points[place] for place in _chosen(len(points), PLOT_POINTS_MAX)]
    return [x for x, _ in points], [y for _, y in points]
