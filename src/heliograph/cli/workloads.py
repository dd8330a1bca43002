"""`heliograph workloads`: what runs, how far it is."""

import click

from heliograph.cli.client import as_json, get, service_url
from heliograph.cli.table import table

_WORKLOAD = dict.fromkeys(("uid", "name", "namespace", "kind", "status"), str)

# Whoever has sent lines and samples, and nothing else, looks here first.
NONE = """\
No workload is known yet: whose lines and samples are is told by what runs where. Post it to
/v1/placements, name a file of it (`workloads.placement_file`), or let an agent send container
events."""


@click.command()
@service_url
@click.option("--namespace", help="Only of this namespace.")
@click.option("--status", help="Only of this status.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@as_json
def workloads(
    url: str, namespace: str | None, status: str | None, limit: int, as_json: bool
) -> None:
    """List workloads of a running service."""
    answer = get(
        url,
        "/v1/workloads",
        {"namespace": namespace, "status": status, "limit": limit},
        _WORKLOAD,
    )
    if as_json:
        import json

        click.echo(json.dumps(answer))
        return
    rows = []
    for item in answer["items"]:
        state = item.get("current") or {}
        fields = state.get("fields") or {}
        loss = fields.get("lm_loss", fields.get("total_loss"))
        rows.append(
            (
                item["name"], item["namespace"], item["kind"], item["status"],
                state.get("run"), fields.get("current_iteration"), loss, item["uid"],
            )
        )  # fmt: skip
    table(("name", "namespace", "kind", "status", "run", "iteration", "loss", "uid"), rows)
    click.echo(f"{len(answer['items'])} of {answer['total']}")
    if not answer["total"] and not namespace and not status:
        click.echo(NONE, err=True)
