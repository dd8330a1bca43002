"""From the command line's options to a checked configuration; errors end the command with status 2."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from heliograph.core.errors import ConfigError
from heliograph.service.config import Config, check


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
    try:
        check(loaded, insecure=insecure)
    except ConfigError as error:
        raise Unusable(f"{path}: {error}" if path is not None else str(error)) from error
    return loaded


class Unusable(click.ClickException):
    """What the user gave cannot be used; nothing was started."""

    exit_code = 2
