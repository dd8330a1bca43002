"""`heliograph config check F` and `config show`: with the decoder that `serve` uses."""

import re
from pathlib import Path
from typing import Any

import click

from heliograph.cli.settings import load


@click.group()
def config() -> None:
    """Check or show a configuration."""


@config.command("check")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--insecure", is_flag=True, help="As `serve --insecure` would read it.")
def check_file(path: Path, insecure: bool) -> None:
    """Say whether PATH can be served; the error names the key."""
    load(path, {}, insecure=insecure)
    click.echo(f"{path}: ok")


@config.command("show")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--insecure", is_flag=True, help="As `serve --insecure` would read it.")
def show(path: Path | None, insecure: bool) -> None:
    """Print what PATH, the environment and the defaults come to, as YAML."""
    import msgspec
    import yaml

    loaded = load(path, {}, insecure=insecure)
    shown = _masked(msgspec.to_builtins(loaded))
    click.echo(yaml.safe_dump(shown, sort_keys=False), nl=False)


def _masked(value: Any) -> Any:
    """*value* without the passwords of its URLs."""
    if isinstance(value, dict):
        return {key: _masked(nested) for key, nested in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"(://[^/@\s:]*):[^/@\s]*@", r"\1:***@", value)
    return value
