"""`heliograph config check F` and `config show`: with the decoder and the checks that `serve` uses."""

import re
from pathlib import Path
from typing import Any

import click

from heliograph.cli.settings import Unusable, load
from heliograph.core.errors import ConfigError

# A password may have any of the characters that end one elsewhere; without a name it is one, too.
_PASSWORD = re.compile(r"(://(?:[^/@\s:]*:)?)\S+@")
_QUERY = re.compile(r"(?i)([?&][^=&\s]*(?:password|secret|token|key|sig|auth)[^=&\s]*=)[^&\s]+")


@click.group()
def config() -> None:
    """Check or show a configuration."""


@config.command("check")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--insecure", is_flag=True, help="As `serve --insecure` would read it.")
def check_file(path: Path, insecure: bool) -> None:
    """Say whether PATH can be served; the error names the key."""
    loaded = load(path, {}, insecure=insecure)
    # Late: it is the whole alert side, which `--help` can do without.
    from heliograph.service import alert_wiring

    try:
        prepared = alert_wiring.prepared(loaded)
    except ConfigError as error:
        raise Unusable(f"{path}: {error}") from error
    for told in prepared.warnings:
        click.echo(f"{path}: warning: {told}", err=True)
    click.echo(f"{path}: ok")


@config.command("show")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--insecure", is_flag=True, help="As `serve --insecure` would read it.")
def show(path: Path | None, insecure: bool) -> None:
    """Print what PATH, the environment and the defaults come to, as YAML without secrets."""
    import yaml

    from heliograph.service import config as settings

    document = _masked(settings.shown(load(path, {}, insecure=insecure)))
    click.echo(yaml.safe_dump(document, sort_keys=False), nl=False)


def _masked(value: Any) -> Any:
    """*value* without what is secret in its URLs."""
    if isinstance(value, dict):
        return {key: _masked(nested) for key, nested in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    if isinstance(value, str):
        return _QUERY.sub(r"\1<secret>", _PASSWORD.sub(r"\1<secret>@", value))
    return value
