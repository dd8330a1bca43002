"""`heliograph silence`: make, list and end silences.

heliograph silence add 'alertname="GPUHot"' 'node=~"gpu-0.*"' --for 2h --comment "new fans"
"""

import getpass
import json

import click

from heliograph.cli.answer import NOTHING
from heliograph.cli.client import as_json, ask, get_all, inert, segment, service_url
from heliograph.cli.each import try_all
from heliograph.cli.table import table

_MADE = {"silence_id": str, "matches_now": int, "warnings": [str]}
_SILENCE = {
    "id": str, "state": str, "matchers": [{"name": str, "value": str}], "ends_at": str,
    "created_by": str, "comment": str,
}  # fmt: skip


@click.group()
def silence() -> None:
    """Silences of a running service."""


@silence.command()
@service_url
@click.argument("matchers", nargs=-1, required=True)
@click.option("--for", "span", default="1h", show_default=True, help="How long, as 2h or 30m.")
@click.option("--comment", required=True, help="Why.")
@click.option("--by", "created_by", help="Who; the user's name unless told otherwise.")
@as_json
def add(
    url: str,
    matchers: tuple[str, ...],
    span: str,
    comment: str,
    created_by: str | None,
    as_json: bool,
) -> None:
    """Silence the alerts that all MATCHERS match (`name="value"`, also != =~ !~)."""
    from heliograph.core import duration, instant
    from heliograph.core.clock import SystemClock
    from heliograph.core.matcher import parse

    try:
        read = [parse(text) for text in matchers]
        ends_ns = SystemClock().now_ns() + duration.parse(span)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    document = {
        "matchers": [
            {
                "name": one.name,
                "value": one.value,
                "is_regex": one.op.endswith("~"),
                "is_equal": not one.op.startswith("!"),
            }
            for one in read
        ],
        "ends_at": instant.text_of(ends_ns),
        "comment": comment,
        "created_by": created_by or getpass.getuser(),
    }
    answer = ask("POST", url, "/v1/silences", _MADE, document=document)
    if as_json:
        click.echo(json.dumps(answer))
        return
    click.echo(f"{answer['silence_id']}  matches {answer['matches_now']} alerts now")
    for warning in answer["warnings"]:
        click.echo(f"warning: {inert(warning)}", err=True)


@silence.command("list")
@service_url
@click.option(
    "--state",
    default="active",
    show_default=True,
    type=click.Choice(["pending", "active", "expired", "all"]),
)
@as_json
def list_(url: str, state: str, as_json: bool) -> None:
    """List silences."""
    answer = get_all(url, "/v1/silences", {"state": state}, _SILENCE)
    if as_json:
        click.echo(json.dumps(answer))
        return
    table(
        ("id", "state", "matchers", "ends", "by", "comment"),
        (
            (
                item["id"], item["state"],
                " ".join(_text(matcher) for matcher in item["matchers"]),
                item["ends_at"], item["created_by"], item["comment"],
            )
            for item in answer["items"]
        ),
    )  # fmt: skip
    click.echo(f"{len(answer['items'])} of {answer['total']}")


@silence.command()
@service_url
@click.argument("silence_ids", nargs=-1, required=True)
def expire(url: str, silence_ids: tuple[str, ...]) -> None:
    """End silences now; those that are unknown are named, and the rest is ended."""

    def end(silence_id: str) -> str:
        ask("DELETE", url, f"/v1/silences/{segment(silence_id)}", NOTHING)
        return f"expired {inert(silence_id)}"

    try_all(zip(silence_ids, silence_ids, strict=True), end, "expired")


def _text(matcher: dict[str, object]) -> str:
    op = ("=" if matcher.get("is_equal", True) else "!") + (
        "~" if matcher.get("is_regex") else ""
    )
    op = {"!": "!="}.get(op, op)
    return f'{matcher["name"]}{op}"{matcher["value"]}"'
