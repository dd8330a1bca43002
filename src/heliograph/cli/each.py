"""One request for each of several things: all of them are tried, and what failed is said of each."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import click

from heliograph.cli.client import inert

One = TypeVar("One")


def try_all(named: Iterable[tuple[str, One]], act: Callable[[One], str], failed: str) -> None:
    """Print what *act* says of each of *named*, and its error under the name on standard error. Ends
    the command with an error that counts them, in which *failed* says what they are not."""
    errors = count = 0
    for name, one in named:
        count += 1
        try:
            click.echo(act(one))
        except click.ClickException as error:
            errors += 1
            click.echo(f"{inert(name)}: {error.message}", err=True)
    if errors:
        raise click.ClickException(f"{errors} of {count} not {failed}")
