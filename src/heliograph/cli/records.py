"""`heliograph records [FILE]`: what happened, newest first, and memory over time; of a running service,
or of a file of memory events without one."""

import json
from pathlib import Path
from typing import Any

import click

from heliograph.cli.client import URL_VARIABLE, get, inert
from heliograph.cli.memory_lines import COUNTERS, Line

# The service counts no further.
TOTAL_MAX = 10_000
TERMINAL = "-"
_RECORD = {
    "timestamp": str, "severity": str | None, "event_type": str, "session_id": str,
    "body": str | None, "attributes": dict, "resource": dict, "stage": str | None,
}  # fmt: skip


@click.command()
@click.argument("file", required=False, metavar="[FILE]", type=click.Path(exists=True))
@click.option("--url", envvar=URL_VARIABLE, default="http://127.0.0.1:8989", show_default=True)
@click.option("--session", "session_id", help="Only of this session (a pod's uid, a run's id).")
@click.option("--kind", "source_kind", help="Only of this kind of source: cuda, cpu, log, …")
@click.option("--type", "event_type", help="Only of this event type.")
@click.option("--severity", help="Only of this severity.")
@click.option("--start", help="Only from this instant on.")
@click.option("--end", help="Only before this instant.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@click.option("--json", "as_json", is_flag=True, help="Print the service's answer.")
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
    if file is not None:
        from heliograph.cli import memory_file

        read = memory_file.read(Path(file), filters, limit, COUNTERS[counter])
        _show(read.answer, as_json=as_json, plot=plot, lines=read.lines, counter=counter)
        return
    lines: list[Line] = []
    if plot is None:
        answer = get(url, "/v1/records", {**filters, "limit": limit}, _RECORD)
    else:
        from heliograph.cli import memory_lines

        answer = None
        lines = memory_lines.asked_of(url, COUNTERS[counter], filters)
    _show(answer, as_json=as_json, plot=plot, lines=lines, counter=counter)


def _show(
    answer: Any, *, as_json: bool, plot: str | None, lines: list[Line], counter: str
) -> None:
    if plot is not None:
        _draw(plot, lines, counter)
    elif as_json:
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
    if not isinstance(allocated, int):
        return ""
    stage = f" in {item['stage']}" if item["stage"] else ""
    rank = item["resource"].get("rank")
    return f"rank {rank}: {amount(allocated)} allocated{stage}"


def _draw(plot: str, lines: list[Line], counter: str) -> None:
    if not lines:
        click.echo("nothing to draw: no memory events match")
        return
    title = f"memory {counter}"
    if plot == TERMINAL:
        from heliograph.cli.memory_lines import shown

        shown(title, lines)
        return
    from heliograph.cli import picture

    try:
        Path(plot).write_bytes(picture.drawn(title, lines))
    except OSError as error:
        raise click.ClickException(f"{plot}: {error.strerror or error}") from error
    click.echo(f"{plot}: {len(lines)} lines")
