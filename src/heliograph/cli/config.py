"""`heliograph config check F` and `config show`: with the decoder and the checks that `serve` uses."""

import re
from pathlib import Path
from typing import Any

import click

from heliograph.cli.settings import load, refused
from heliograph.core.errors import ConfigError

_SECRET = "<secret>"  # noqa: S105 - what stands in for one
# A password may have any of the characters that end one elsewhere; without a name it is one, too.
_PASSWORD = re.compile(r"(://(?:[^/@\s:]*:)?)\S+@")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(://[^/?#\s]*)([^?#\s]*)(\S*)")
# Of a key that is a URL all of it is one, spaces too; any other text may have one somewhere.
_WHOLE_PASSWORD = re.compile(r"(://(?:[^/@:]*:)?).+@", re.DOTALL)
_WHOLE_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(://[^/?#]*)([^?#]*)(.*)", re.DOTALL)
# Of a query: what follows a name, and what has none. Names are nothing to go by.
_VALUE = re.compile(r"([?#&;][^=?#&;]*=|[?#&;])[^#&;]+")
# Robots and gateways have their tokens in the path; a part that is shorter is a word.
_TOKEN = re.compile(r"(?<=/)[^/]{8,}")
# Everybody who is told of an alert has it, and so its path.
_PUBLIC = "external_url"


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
        raise refused(error, path, {}) from error
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


def _masked(value: Any, key: str = "") -> Any:
    """*value* of *key* without what is secret in its URLs."""
    if isinstance(value, dict):
        return {name: _masked(nested, name) for name, nested in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item, key) for item in value]
    if not isinstance(value, str):
        return value

    def url(found: re.Match[str]) -> str:
        scheme, host, path, query = found.groups()
        # The path of a database is its name, or a file.
        if scheme.lower() in {"http", "https"} and key != _PUBLIC:
            path = _TOKEN.sub(_SECRET, path)
        return scheme + host + path + _VALUE.sub(rf"\1{_SECRET}", query)

    whole = key == "url" or key.endswith("_url")
    form, password = (_WHOLE_URL, _WHOLE_PASSWORD) if whole else (_URL, _PASSWORD)
    return form.sub(url, password.sub(rf"\1{_SECRET}@", value))
