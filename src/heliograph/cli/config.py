"""`heliograph config check F` and `config show`: with the decoder that `serve` uses."""

from pathlib import Path

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
    click.echo(yaml.safe_dump(msgspec.to_builtins(loaded), sort_keys=False), nl=False)
