"""Lists on terminals of any width: what one copies from them is whole."""

import os

import pytest

from heliograph.cli import table as tables

SILENCE = {
    "id": "440b4420-b639-4836-9679-40af5bea1c81",
    "state": "active",
    "matchers": 'alertname="GPUMemoryHigh" node=~"gpu-.*"',
    "ends": "2026-11-22T03:00:00Z",
    "by": "admin@example.com",
    "comment": "Maintenance window for test workloads",
}
WIDTHS = (20, 40, 80, 100, 120)


def printed(capsys, monkeypatch, columns, rows, width):
    if width is not None:
        monkeypatch.setattr(tables.sys.stdout, "isatty", lambda: True, raising=False)
        size = os.terminal_size((width, 40))
        monkeypatch.setattr(tables.shutil, "get_terminal_size", lambda: size)
    tables.table(columns, rows)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", WIDTHS)
def test_on_a_narrow_terminal_every_cell_is_whole_and_has_its_name(capsys, monkeypatch, width):
    said = printed(capsys, monkeypatch, SILENCE, [SILENCE.values(), SILENCE.values()], width)

    assert said[0].startswith(f"id: {SILENCE['id']}")
    assert [line[:1] != " " for line in said].count(True) == 2
    text = "  ".join(line.strip() for line in said)
    for name, cell in SILENCE.items():
        assert text.count(f"{name}: {cell}") == 2
    too_long = [line for line in said if len(line) > width]
    # Only what is longer by itself, which the terminal wraps.
    assert all("  " not in line.strip() for line in too_long)


def test_eighty_columns_begin_with_what_one_looks_for(capsys, monkeypatch):
    said = printed(capsys, monkeypatch, SILENCE, [SILENCE.values()], 80)
    assert said[0] == f"id: {SILENCE['id']}  state: active"


@pytest.mark.parametrize("width", [None, 200])
def test_with_room_each_is_a_line_under_the_columns(capsys, monkeypatch, width):
    said = printed(capsys, monkeypatch, SILENCE, [SILENCE.values()], width)
    assert len(said) == 2
    assert said[0].split() == list(SILENCE)
    assert said[1].split("  ")[0] == SILENCE["id"]
    assert said[1].index("active") == said[0].index("state")


def test_cells_of_nothing_are_left_out_and_wide_ones_take_their_room(capsys, monkeypatch):
    rows = [("训练", None, "x"), ("a", 7, "")]
    assert printed(capsys, monkeypatch, ("name", "n", "z"), rows, 80) == [
        "name  n  z", "训练     x", "a     7",
    ]  # fmt: skip
    assert printed(capsys, monkeypatch, ("name", "n", "z"), rows, 9) == [
        "name: 训练", "  z: x", "name: a", "  n: 7",
    ]  # fmt: skip


def test_what_could_move_the_cursor_is_inert(capsys, monkeypatch):
    said = printed(capsys, monkeypatch, ("a",), [("x\x1b[2J\n[bold]",)], None)
    assert said == ["a", "x?[2J?[bold]"]
