"""`heliograph rules`: list, add, test and delete alert rules.

heliograph rules add nccl.yaml          # one document, or a list of them
heliograph rules test nccl.yaml < job.log
"""

import json
from pathlib import Path
from typing import Any

import click

from heliograph.cli.client import URL_VARIABLE, ask, get, inert, segment, table

_url = click.option(
    "--url", envvar=URL_VARIABLE, default="http://127.0.0.1:8989", show_default=True
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print the service's answer.")
_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def rules() -> None:
    """Alert rules of a running service."""


@rules.command("list")
@_url
@click.option("--source", help="log, metric, trace or event.")
@_as_json
def list_(url: str, source: str | None, as_json: bool) -> None:
    """List rules."""
    answer = get(url, "/v1/alert-rules", {"source": source, "limit": 1000})
    if as_json:
        click.echo(json.dumps(answer))
        return
    table(
        ("name", "source", "type", "severity", "enabled", "id"),
        (
            [
                item[key]
                for key in ("name", "source", "rule_type", "severity", "enabled", "rule_id")
            ]
            for item in answer["items"]
        ),
    )
    click.echo(f"{len(answer['items'])} of {answer['total']}")


@rules.command()
@_url
@click.argument("path", type=_file)
def add(url: str, path: Path) -> None:
    """Create the rules of PATH (YAML or JSON)."""
    for document in _documents(path):
        answer = ask("POST", url, "/v1/alert-rules", document=document)
        click.echo(f"{answer['rule_id']}  {inert(str(document.get('name', '')))}")


@rules.command()
@_url
@click.argument("path", type=_file)
@click.argument("lines", type=click.File("r", errors="replace"), default="-")
@_as_json
def test(url: str, path: Path, lines: Any, as_json: bool) -> None:
    """Say what the rules of PATH make of the log LINES (standard input); nothing is stored."""
    given = [line.rstrip("\n") for line in lines]
    for document in _documents(path):
        answer = ask(
            "POST", url, "/v1/alert-rules/test", document={"rule": document, "lines": given}
        )
        if as_json:
            click.echo(json.dumps(answer))
            continue
        fired = answer["alerts"]
        click.echo(f"{inert(str(document.get('name', '')))}: {len(fired)} alerts")
        for one in fired[:20]:
            click.echo(f"  {inert(json.dumps(one.get('labels', {})))}")


@rules.command()
@_url
@click.argument("rule_ids", nargs=-1, required=True)
def delete(url: str, rule_ids: tuple[str, ...]) -> None:
    """Delete rules."""
    for rule_id in rule_ids:
        ask("DELETE", url, f"/v1/alert-rules/{segment(rule_id)}")
        click.echo(f"deleted {rule_id}")


def _documents(path: Path) -> list[dict[str, Any]]:
    from heliograph.core.document import parse
    from heliograph.core.errors import ConfigError

    try:
        document = parse(path.read_text(encoding="utf-8"), source=str(path))
    except (ConfigError, OSError, UnicodeDecodeError) as error:
        raise click.ClickException(str(error)) from error
    found = document if isinstance(document, list) else [document]
    if not all(isinstance(one, dict) for one in found):
        raise click.ClickException(f"{path}: not a rule, nor a list of rules")
    return found
