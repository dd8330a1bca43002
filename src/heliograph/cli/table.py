"""Lists for people: a line each where the terminal is wide enough, else a few lines each.

    id: 440b4420-b639-4836-9679-40af5bea1c81  state: active
      matchers: alertname="GPUHot"  ends: 2026-11-22T03:00:00Z

Nothing is ever cut: an id is copied from the screen, and half of one names nothing.
"""

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from heliograph.cli.client import inert

_GAP = "  "


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print *rows* under *columns*; on a terminal that is too narrow, each cell after its name."""
    from rich.cells import cell_len

    cells = [["" if cell is None else inert(str(cell)) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
    # A pipe has no width: what reads it wants the lines whole.
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if cells and room is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > room:
        for row in cells:
            for line in _flowing(columns, row, room):
                click.echo(line)
        return
    for row in [list(columns), *cells]:
        padded = (
            cell + " " * (width - cell_len(cell))
            for cell, width in zip(row, widths, strict=True)
        )
        click.echo(_GAP.join(padded).rstrip())


def _flowing(columns: Sequence[str], row: Sequence[str], room: int) -> list[str]:
    """The cells of *row* that say something, as many a line as fit, those after the first indented."""
    from rich.cells import cell_len

    lines: list[str] = []
    for name, cell in zip(columns, row, strict=True):
        if not cell:
            continue
        part = f"{name}: {cell}"
        if lines and cell_len(lines[-1]) + len(_GAP) + cell_len(part) <= room:
            lines[-1] += _GAP + part
        else:
            lines.append(_GAP + part if lines else part)
    return lines
