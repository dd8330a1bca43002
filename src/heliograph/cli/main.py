"""The group of all commands. Modules load on use: `heliograph --help` must not import the server."""

import errno
import importlib
import os
import sys
from typing import Any

import click

from heliograph import __version__

COMMANDS = {
    "serve": "Run the service.",
    "demo": "Run the service with a simulated training cluster.",
    "config": "Check or show a configuration.",
    "parse-log": "Training performance out of any log file.",
    "workloads": "List workloads of a running service.",
    "alerts": "Alerts of a running service: what fires, who was told, how often.",
    "silence": "Make, list and end silences of a running service.",
    "rules": "List, add, test and delete alert rules of a running service.",
    "records": "List records of a running service or a file, and draw memory over time.",
    "import": "Load files of memory events or records, and wandb runs, into a running service.",
    "token": "Make access tokens.",
    "db": "Look after the state database.",
    "info": "Say what is installed and how fast it can be.",
}

# Where the command's name is none for a module.
MODULES = {"import": "import_files"}

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


class _Commands(click.Group):
    """Looks commands up by the table above."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command; output that cannot be written, to a full disk, is an error in words."""
        try:
            return super().main(*args, **extra)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            # What waits in the buffer would fail again at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            click.echo(f"Error: cannot write: {error.strerror}", err=True)
            sys.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        name = MODULES.get(cmd_name, cmd_name.replace("-", "_"))
        command = getattr(importlib.import_module(f"heliograph.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="heliograph")
def main() -> None:
    """Telemetry for AI training."""
