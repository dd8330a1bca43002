"""`heliograph records [FILE]`: what happened, newest first, and memory over time; of a running service,
or of a file of memory events without one."""

import json
from pathlib import Path
from typing import Any

import click

from heliograph.cli.client import as_json, get, inert, service_url
from heliograph.cli.memory_lines import BYTES_END, COUNTERS, Chart

# The service counts no further.
TOTAL_MAX = 10_000
TERMINAL = "-"
# What samples, which a service draws, do not tell.
_OF_RECORDS = {"source_kind": "--kind", "event_type": "--type", "severity": "--severity"}
_LEFT_OUT = "2^63 bytes or more, or of one rank and device too many"
_RECORD = {
    "timestamp": str, "severity": str | None, "event_type": str, "session_id": str,
    "body": str | None, "attributes": dict, "resource": dict, "stage": str | None,
}  # fmt: skip


@click.command()
@click.argument("file", required=False, metavar="[FILE]", type=click.Path(exists=True))
@service_url
@click.option("--session", "session_id", help="Only of this session (a pod's uid, a run's id).")
@click.option("--kind", "source_kind", help="Only of this kind of source: cuda, cpu, log, …")
@click.option("--type", "event_type", help="Only of this event type.")
@click.option("--severity", help="Only of this severity.")
@click.option("--start", help="Only from this instant on.")
@click.option("--end", help="Only before this instant.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@as_json
@click.option(
    "--plot",
    is_flag=False,
    flag_value=TERMINAL,
    metavar="[PNG]",
    help="Draw memory over time, a line a rank: here, or as a picture.",
)
@click.option(
    "--counter",
    default="allocated",
    show_default=True,
    type=click.Choice(list(COUNTERS)),
    help="What is drawn.",
)
def records(
    file: str | None,
    url: str,
    limit: int,
    as_json: bool,
    plot: str | None,
    counter: str,
    **filters: Any,
) -> None:
    """List records of a running service, or memory events of a FILE; newest first."""
    if plot not in {None, TERMINAL} and not str(plot).lower().endswith(".png"):
        raise click.UsageError(f"--plot draws here, or into a .png; not into {plot}")
    if plot is not None and as_json:
        raise click.UsageError("--plot draws, --json prints: one of them")
    if file is not None:
        from heliograph.cli import memory_file

        read = memory_file.read(Path(file), filters, limit, COUNTERS[counter])
        if plot is None:
            _show(read.answer, as_json=as_json)
            return
        if read.left_out:
            click.echo(f"{read.left_out:,} readings are left out: {_LEFT_OUT}", err=True)
        _draw(plot, read.chart, counter)
    elif plot is None:
        _show(get(url, "/v1/records", {**filters, "limit": limit}, _RECORD), as_json=as_json)
    else:
        from heliograph.cli import memory_lines

        if given := [option for name, option in _OF_RECORDS.items() if filters.get(name)]:
            raise click.UsageError(
                f"{', '.join(given)}: a service draws samples, which do not tell it; "
                "choose by --session, --start and --end"
            )
        _draw(plot, memory_lines.asked_of(url, COUNTERS[counter], filters), counter)


def _show(answer: Any, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer))
    else:
        _list(answer)


def _list(answer: Any) -> None:
    for item in answer["items"]:
        line = (
            f"{item['timestamp']}  {item['severity'] or '-':8}  {item['event_type']:24}  "
            f"{item['session_id']}  {(item['body'] or _memory(item))[:120]}"
        )
        click.echo(inert(line))
    total = f"{answer['total']:,}" if answer["total"] < TOTAL_MAX else f"{TOTAL_MAX:,} and more"
    click.echo(f"{len(answer['items'])} of {answer.get('counted', total)}")


def _memory(item: Any) -> str:
    """What an event of memory says that has no words."""
    from heliograph.cli.memory_lines import amount

    allocated = item["attributes"].get("memory.allocator.allocated_bytes")
    if not isinstance(allocated, int) or abs(allocated) >= BYTES_END:
        return ""
    stage = f" in {item['stage']}" if item["stage"] else ""
    rank = item["resource"].get("rank")
    return f"rank {rank}: {amount(allocated)} allocated{stage}"


def _draw(plot: str, chart: Chart, counter: str) -> None:
    if not chart.lines:
        click.echo("nothing to draw: no memory events match")
        return
    title = f"memory {counter}"
    if plot == TERMINAL:
        from heliograph.cli.memory_lines import shown

        shown(title, chart)
        return
    from heliograph.cli import picture

    try:
        Path(plot).write_bytes(picture.drawn(title, chart.lines))
    except OSError as error:
        raise click.ClickException(f"{plot}: {error.strerror or error}") from error
    click.echo(f"{plot}: {chart.told()}")
