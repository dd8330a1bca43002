"""`heliograph import PATH…`: files of others' measurements into a running service.

Each kind of file has a module (IMPORTERS) with `recognizes(path)` and `load(path, to, skip=, tell=)`.
Bodies are bounded, whatever the file's size, and what is sent again changes nothing: an import that
was broken off is gone on with, or begun anew.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from heliograph.cli.client import inert, service_url

# The first that recognises a path takes it; events of memory are what anything else is taken for.
IMPORTERS: tuple[str, ...] = ("heliograph.cli.import_wandb", "heliograph.cli.import_events")


class Loaded(NamedTuple):
    """What became of one path: items *read*, *accepted* by the service, and *notes* for people."""

    read: int
    accepted: int
    notes: list[str]


class Stopped(click.ClickException):
    """The service took *read* items and then no more."""

    def __init__(self, why: str, read: int) -> None:
        super().__init__(why)
        self.read = read


Tell = Callable[[int, int], None]


@click.command("import")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=click.Path(exists=True))
@service_url
@click.option(
    "--skip",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Items of the first PATH that are in already.",
)
def import_files(paths: tuple[str, ...], url: str, skip: int) -> None:
    """Load files of memory events or records (JSON, JSON lines, .gz too, a sink's folder), and
    folders of wandb runs."""
    from heliograph.cli.upload import Upload

    failed = False
    with Upload(url, waiting=lambda why: click.echo(f"waiting: {why}", err=True)) as to:
        for path in map(Path, paths):
            module = _importer(path)
            try:
                loaded = _shown(module, path, to, skip)
            except Stopped as stopped:
                words = f"{path}: {stopped.read:,} are in; --skip {stopped.read} goes on"
                raise click.ClickException(f"{stopped.message}\n{words}") from stopped
            skip = 0
            click.echo(f"{path}: {loaded.read:,} read, {loaded.accepted:,} taken")
            for note in loaded.notes:
                click.echo(inert(f"  {note}"))
            failed = failed or (loaded.read > 0 and not loaded.accepted)
    if failed:
        raise click.exceptions.Exit(1)


def _importer(path: Path) -> Any:
    for name in IMPORTERS[:-1]:
        module = importlib.import_module(name)
        if module.recognizes(path):
            return module
    return importlib.import_module(IMPORTERS[-1])


def _shown(module: Any, path: Path, to: Any, skip: int) -> Loaded:
    """Load *path* under a progress bar, where there is a terminal to draw it on."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn(path.name),
        BarColumn(),
        TextColumn("{task.fields[items]:,}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=_size(path), items=0)
        loaded = module.load(
            path,
            to,
            skip=skip,
            tell=lambda done, items: progress.update(task, completed=done, items=items),
        )
    assert isinstance(loaded, Loaded)
    return loaded


def _size(path: Path) -> int:
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    return sum(one.stat().st_size for one in files)
