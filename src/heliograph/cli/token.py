"""`heliograph token new`: a secret for a sender or a reader, and the line of configuration for it."""

import re

import click


@click.group()
def token() -> None:
    """Make access tokens."""


@token.command()
@click.option(
    "--role", required=True, type=click.Choice(["ingest", "viewer", "editor", "admin"])
)
@click.option(
    "--id", "token_id", default=None, help="Name in logs and in the audit; default ROLE-1."
)
@click.option(
    "--wandb",
    "is_key",
    is_flag=True,
    help="Of 40 characters: older wandb clients take no other.",
)
def new(role: str, token_id: str | None, *, is_key: bool) -> None:
    """Print a new token once, and what to put into the configuration."""
    from heliograph.service import auth

    token_id = token_id or f"{role}-1"
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,64}", token_id):
        raise click.BadParameter("letters, digits, dots and dashes", param_hint="--id")
    secret, digest = auth.new_key() if is_key else auth.new_token(role, token_id)
    click.echo("the token, shown once:")
    click.echo(f"  {secret}")
    click.echo("for the configuration file:")
    click.echo(f"  auth: {{tokens: [{{id: {token_id}, role: {role}, sha256: {digest}}}]}}")
