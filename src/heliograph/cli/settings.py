"""From the command line's options to a checked configuration; errors end the command with status 2."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from heliograph.core.errors import ConfigError
from heliograph.service.config import Config, check

# What the SDK and the commands read themselves, and what Kubernetes sets where services are called
# `heliograph`, `heliograph-db` and so on.
_OTHERS = re.compile(
    "HELIOGRAPH_(LABELS|SPOOL_DIR|STRICT|TOKEN|URL"
    "|([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_[0-9].*)?))"
)


def load(path: Path | None, overrides: Mapping[str, Any], *, insecure: bool = False) -> Config:
    """The configuration of file, environment and flags. Ends the command when it is no good."""
    from heliograph.core import config  # loads YAML, which `--help` can do without

    try:
        loaded = config.load(Config, path=path, environ=os.environ, overrides=overrides)
        if path is not None:
            # Not resolved: where the file is a link, what it names stands beside the link.
            loaded = loaded.beside(path.absolute().parent)
    except ConfigError as error:
        raise Unusable(str(error)) from error
    for told in _unused(loaded):
        click.echo(f"warning: {told}", err=True)
    try:
        check(loaded, insecure=insecure)
    except ConfigError as error:
        raise refused(error, path, overrides) from error
    return loaded


def _unused(loaded: Config) -> Iterator[str]:
    """What was given and does nothing."""
    from heliograph.core import config

    for name, meant in config.passed_over(Config, os.environ):
        if meant or _OTHERS.fullmatch(name) is None:
            hint = f"; write {meant}" if meant else ""
            yield f"{name} is no key of the configuration{hint}"
    samples = loaded.samples
    for key, url in (("write_url", samples.write_url), ("query_url", samples.query_url)):
        if url is not None and samples.backend == "embedded":
            yield f"samples.{key} does nothing: samples.backend is embedded"


def refused(error: ConfigError, path: Path | None, overrides: Mapping[str, Any]) -> "Unusable":
    """*error* of a value, by where that was given: the flag, the variable or the file *path*."""
    from heliograph.core import config

    key = str(error).partition(":")[0]
    place = config.origin(key, os.environ, overrides) or path
    return Unusable(str(error) if place is None else f"{place}: {error}")


class Unusable(click.ClickException):
    """What the user gave cannot be used; nothing was started."""

    exit_code = 2
