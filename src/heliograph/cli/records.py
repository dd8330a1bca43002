"""`heliograph records`: the newest things that happened."""

import click

from heliograph.cli.client import URL_VARIABLE, get, inert


@click.command()
@click.option("--url", envvar=URL_VARIABLE, default="http://127.0.0.1:8989", show_default=True)
@click.option("--session", "session_id", help="Only of this session (a pod's uid, a run's id).")
@click.option("--type", "event_type", help="Only of this event type.")
@click.option("--severity", help="Only of this severity.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@click.option("--json", "as_json", is_flag=True, help="Print the service's answer.")
def records(
    url: str,
    session_id: str | None,
    event_type: str | None,
    severity: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List records of a running service, newest first."""
    answer = get(
        url,
        "/v1/records",
        {
            "session_id": session_id,
            "event_type": event_type,
            "severity": severity,
            "limit": limit,
        },
    )
    if as_json:
        import json

        click.echo(json.dumps(answer))
        return
    for item in answer["items"]:
        line = (
            f"{item['timestamp']}  {item['severity'] or '-':8}  {item['event_type']:24}  "
            f"{item['session_id']}  {(item['body'] or '')[:120]}"
        )
        click.echo(inert(line))
    click.echo(f"{len(answer['items'])} of {answer['total']}")
