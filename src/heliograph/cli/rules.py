"""`heliograph rules`: list, add, test and delete alert rules.

heliograph rules add nccl.yaml          # a rule, a list of them, or several documents
heliograph rules test nccl.yaml < job.log
"""

import json
import re
from collections import deque
from pathlib import Path
from typing import Any

import click

from heliograph.cli.answer import NOTHING
from heliograph.cli.client import as_json, ask, get_all, inert, segment, service_url
from heliograph.cli.each import try_all
from heliograph.cli.sendable import unsendable
from heliograph.cli.table import table

_file = click.Path(exists=True, dir_okay=False, path_type=Path)

# Of rules; alerts have others.
_SOURCES = ("log", "metric", "trace", "event")
# In the order of their columns.
_RULE = {
    "name": str, "source": str, "rule_type": str, "severity": str, "enabled": bool, "rule_id": str,
}  # fmt: skip
_TRIED = {"alerts": [dict], "warnings": [str]}

# What the service tries a rule on at once.
LINES_MAX = 10_000
# Where a document begins: at the start of a line it is nothing else.
_BORDER = re.compile(r"(?m)^(?=---(?:\s|\Z))")
# `%YAML 1.2`, which belongs to the document after it.
_DIRECTIVE = re.compile(r"(?m)^%")


@click.group()
def rules() -> None:
    """Alert rules of a running service."""


@rules.command("list")
@service_url
@click.option("--source", type=click.Choice(_SOURCES), help="Only of this source.")
@as_json
def list_(url: str, source: str | None, as_json: bool) -> None:
    """List rules."""
    answer = get_all(url, "/v1/alert-rules", {"source": source}, _RULE)
    if as_json:
        click.echo(json.dumps(answer))
        return
    table(
        ("name", "source", "type", "severity", "enabled", "id"),
        ([item[key] for key in _RULE] for item in answer["items"]),
    )
    click.echo(f"{len(answer['items'])} of {answer['total']}")


@rules.command()
@service_url
@click.argument("path", type=_file)
def add(url: str, path: Path) -> None:
    """Create the rules of PATH (YAML or JSON): one, a list, or several documents between `---`.

    All are checked first, and nothing is made where one is wrong. What the service then refuses all
    the same (a name that is there) is named, and the rest is made.
    """
    documents = _documents(path)
    _check(url, path, documents)

    def make(document: dict[str, Any]) -> str:
        answer = ask("POST", url, "/v1/alert-rules", {"rule_id": str}, document=document)
        return f"{answer['rule_id']}  {inert(str(document.get('name', '')))}"

    try_all(_named(documents), make, "made")


@rules.command()
@service_url
@click.argument("path", type=_file)
@click.argument("lines", type=click.File("r", errors="replace"), default="-")
@as_json
def test(url: str, path: Path, lines: Any, as_json: bool) -> None:
    """Say what the rules of PATH make of the log LINES (standard input); nothing is stored.

    Of more than 10,000 lines the last 10,000 are tried, and a warning says so.
    """
    documents = _documents(path)
    count = 0
    given: deque[str] = deque(maxlen=LINES_MAX)
    for line in lines:
        count += 1
        given.append(line.rstrip("\n"))
    if count > LINES_MAX:
        click.echo(f"warning: {count} lines, of which the last {LINES_MAX} are tried", err=True)
    for name, document in _named(documents):
        tried = {"rule": document, "lines": list(given)}
        try:
            answer = ask("POST", url, "/v1/alert-rules/test", _TRIED, document=tried)
        except click.ClickException as error:
            raise click.ClickException(f"{inert(name)}: {error.message}") from error
        if as_json:
            click.echo(json.dumps(answer))
            continue
        for warning in answer["warnings"]:
            click.echo(f"warning: {inert(name)}: {inert(warning)}", err=True)
        fired = answer["alerts"]
        click.echo(f"{inert(str(document.get('name', '')))}: {len(fired)} alerts")
        for one in fired[:20]:
            click.echo(f"  {inert(json.dumps(one.get('labels', {})))}")


@rules.command()
@service_url
@click.argument("rule_ids", nargs=-1, required=True)
def delete(url: str, rule_ids: tuple[str, ...]) -> None:
    """Delete rules; those that cannot be are named, and the rest is deleted."""

    def remove(rule_id: str) -> str:
        ask("DELETE", url, f"/v1/alert-rules/{segment(rule_id)}", NOTHING)
        return f"deleted {inert(rule_id)}"

    try_all(zip(rule_ids, rule_ids, strict=True), remove, "deleted")


def _check(url: str, path: Path, documents: list[dict[str, Any]]) -> None:
    """Have the service read *documents*, of which nothing is made, and end the command with what is
    wrong with each."""
    wrong = []
    for name, document in _named(documents):
        try:
            ask("POST", url, "/v1/alert-rules/test", _TRIED, document={"rule": document})
        except click.ClickException as error:
            wrong.append(f"{inert(name)}: {error.message}")
    if wrong:
        none = "" if len(documents) == 1 else f"{path}: none is made, for these are wrong\n"
        raise click.ClickException(none + "\n".join(wrong))


def _named(documents: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """*documents* by what their reader finds them by: place, and name where there is one."""
    return [
        (f"rule {place} ({document.get('name') or 'without a name'})", document)
        for place, document in enumerate(documents, 1)
    ]


def _documents(path: Path) -> list[dict[str, Any]]:
    from heliograph.core.document import parse
    from heliograph.core.errors import ConfigError

    try:
        texts = _texts(path.read_text(encoding="utf-8"))
        read = [parse(text, source=str(path)) for text in texts]
    except (ConfigError, OSError, UnicodeDecodeError) as error:
        raise click.ClickException(str(error)) from error
    found: list[Any] = []
    # A border at the top or the end is no document.
    for document in [one for one in read if one is not None] or [None]:
        found += document if isinstance(document, list) else [document]
    for place, one in enumerate(found, 1):
        wrong = unsendable(one) if isinstance(one, dict) else "not a rule, nor a list of rules"
        if wrong:
            where = "" if len(found) == 1 else f"rule {place}: "
            raise click.ClickException(f"{path}: {where}{wrong}")
    return found


def _texts(text: str) -> list[str]:
    """The YAML documents of *text*, each on its own lines, so that an error names the right one."""
    parts = _BORDER.split(text)
    if len(parts) > 1 and _DIRECTIVE.search(parts[0]):
        parts[:2] = ["".join(parts[:2])]
    above = 0
    texts = []
    for part in parts:
        texts.append("\n" * above + part)
        above += part.count("\n")
    return texts
