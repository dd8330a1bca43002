"""`heliograph db upgrade`: bring the state database to this version's schema, with a backup first."""

from pathlib import Path

import click

from heliograph.cli.settings import Unusable, load
from heliograph.core.errors import ConfigError, Unavailable


@click.group()
def db() -> None:
    """Look after the state database."""


@db.command()
@click.option("--config", "path", type=click.Path(path_type=Path), help="YAML file.")
@click.option("--data-dir", metavar="DIR", help="Where data is kept [./heliograph-data].")
def upgrade(path: Path | None, data_dir: str | None) -> None:
    """Upgrade the schema; `serve` does the same when it starts."""
    config = load(path, {} if data_dir is None else {"data_dir": data_dir}, insecure=True)

    if config.state.url is None and not Path(config.data_dir).is_dir():
        # A misspelt one would be made, and be told to be upgraded.
        raise Unusable(f"data_dir: {config.data_dir}: there is no such folder")

    from heliograph.core.clock import SystemClock
    from heliograph.service import wiring

    try:
        done = wiring.upgrade_state(config, SystemClock())
    except (ConfigError, Unavailable) as error:
        raise Unusable(str(error)) from error
    click.echo(done)
