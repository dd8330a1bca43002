"""`heliograph serve`: the service, until it is told to stop."""

from pathlib import Path
from typing import Any

import click

from heliograph.cli.settings import Unusable, load
from heliograph.core.errors import ConfigError


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), help="YAML file.")
@click.option("--listen", metavar="HOST:PORT", help="Address to serve on [127.0.0.1:8989].")
@click.option("--data-dir", metavar="DIR", help="Where data is kept [./heliograph-data].")
@click.option("--insecure", is_flag=True, help="Allow other machines in without any token.")
@click.option(
    "--log-level", default="info", type=click.Choice(["debug", "info", "warning", "error"])
)
def serve(
    path: Path | None,
    listen: str | None,
    data_dir: str | None,
    insecure: bool,
    log_level: str,
) -> None:
    """Run the service. With no option and no file it serves an embedded store on loopback."""
    overrides: dict[str, Any] = {}
    if listen is not None:
        overrides["listen"] = listen
    if data_dir is not None:
        overrides["data_dir"] = data_dir
    config = load(path, overrides, insecure=insecure)

    from heliograph.service import run

    try:
        status = run.serve(config, log_level=log_level)
    except ConfigError as error:
        raise Unusable(str(error)) from error
    raise SystemExit(status)
