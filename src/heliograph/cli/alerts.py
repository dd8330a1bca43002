"""`heliograph alerts`: what fires, what became of one alert, and how often."""

import json
from typing import Any

import click

from heliograph.cli.client import as_json, ask, get, get_all, inert, segment, service_url
from heliograph.cli.table import table

SOURCES = ("metric", "log", "trace", "webhook", "event")

_ALERT = {
    "id": str, "status": str, "severity": str, "alert_name": str, "starts_at": str,
    "ends_at": str | None, "suppressed_by": dict, "workload_name": str, "workload_id": str,
    "pod_name": str, "node_name": str,
}  # fmt: skip
_ENTRY = {
    "at": str, "receiver": str, "channel": str, "kind": str, "stage": str, "cause": str,
    "answer": str,
}  # fmt: skip
_ONE = {**_ALERT, "labels": dict, "annotations": dict, "notifications": [_ENTRY]}
_RELATED = {
    "correlation_type": str, "correlation_score": float | int, "reason": str,
    "alerts": [{"alert_name": str}],
}  # fmt: skip
_COUNTS = ("firing_count", "resolved_count", "avg_duration_seconds")
_GROUP = {"group": dict, **dict.fromkeys(_COUNTS, float | int)}


@click.group()
def alerts() -> None:
    """Alerts of a running service."""


@alerts.command("list")
@service_url
@click.option(
    "--status", type=click.Choice(["firing", "resolved"]), help="Only of this status."
)
@click.option("--severity", help="Only of this severity.")
@click.option("--source", type=click.Choice(SOURCES), help="Only of this source.")
@click.option("--name", "alert_name", help="Only of this name.")
@click.option("--workload", "workload_id", help="Only of this workload.")
@click.option("--pod", "pod_name", help="Only of this pod.")
@click.option("--node", "node_name", help="Only of this node.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@as_json
def list_(url: str, limit: int, as_json: bool, **filters: str | None) -> None:
    """List alerts, newest first."""
    answer = get(url, "/v1/alerts", {**filters, "limit": limit}, _ALERT)
    if as_json:
        click.echo(json.dumps(answer))
        return
    table(
        ("starts", "status", "severity", "alert", "workload", "pod", "node", "id"),
        (
            (
                item["starts_at"][:19], _status(item), item["severity"], item["alert_name"],
                item["workload_name"] or item["workload_id"], item["pod_name"],
                item["node_name"], item["id"],
            )
            for item in answer["items"]
        ),
    )  # fmt: skip
    click.echo(f"{len(answer['items'])} of {answer['total']}")


@alerts.command()
@service_url
@click.argument("alert_id")
@as_json
def show(url: str, alert_id: str, as_json: bool) -> None:
    """Show one alert: whose it is, who was told, and why not."""
    path = f"/v1/alerts/{segment(alert_id)}"
    alert = ask("GET", url, path, _ONE)
    related = ask("GET", url, f"{path}/correlations", {"items": [_RELATED]})["items"]
    if as_json:
        click.echo(json.dumps({**alert, "correlations": related}))
        return
    click.echo(f"{inert(alert['alert_name'])}  {_status(alert)}  {inert(alert['severity'])}")
    click.echo(f"from {alert['starts_at']} to {alert['ends_at'] or 'now'}")
    for name in ("labels", "annotations"):
        for key, value in alert[name].items():
            click.echo(f"  {name[:-1]} {inert(key)}: {inert(value)}")
    for one in related:
        names = ", ".join(inert(member["alert_name"]) for member in one["alerts"])
        click.echo(
            f"  related ({one['correlation_type']}, {one['correlation_score']:.2f}): {names}"
        )
        click.echo(f"    {inert(one['reason'])}")
    table(
        ("at", "receiver", "channel", "what", "because"),
        (
            (
                one["at"], one["receiver"], one["channel"],
                " ".join(filter(None, (one["kind"], one["stage"]))),
                ": ".join(filter(None, (one["cause"], one["answer"]))),
            )
            for one in alert["notifications"]
        ),
    )  # fmt: skip


@alerts.command()
@service_url
@click.option("--from", "date_from", help="A date or an instant.")
@click.option("--to", "date_to", help="A date or an instant.")
@click.option("--group-by", default="day", show_default=True, help="Names, by commas.")
@as_json
def statistics(url: str, as_json: bool, **parameters: str | None) -> None:
    """Count alerts, by day unless told otherwise."""
    answer = get_all(url, "/v1/alerts/statistics", parameters, _GROUP)
    if as_json:
        click.echo(json.dumps(answer))
        return
    names = list(dict.fromkeys(name for item in answer["items"] for name in item["group"]))
    table(
        (*names, "firing", "resolved", "mean seconds"),
        (
            (
                *(item["group"].get(name) for name in names),
                # Nobody reads beyond a millisecond.
                *(round(item[name], 3) for name in _COUNTS),
            )
            for item in answer["items"]
        ),
    )
    click.echo(f"{len(answer['items'])} of {answer['total']}")


def _status(item: dict[str, Any]) -> str:
    held = [name for name, ids in item["suppressed_by"].items() if ids]
    return f"{item['status']} ({', '.join(held)})" if held else str(item["status"])
