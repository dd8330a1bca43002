"""A service has little in memory that it has no use for."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from heliograph.service import memory

PAGES = Path("/proc/self/statm")
PIECE_BYTES = 3 * 4096
PIECES = 3000


def resident_bytes():
    return int(PAGES.read_text().split()[1]) * 4096


def test_holes_between_what_is_in_use_are_given_back():
    if not PAGES.exists() or not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("needs Linux and the GNU C library")
    pieces = [bytes([n & 0xFF]) * PIECE_BYTES for n in range(PIECES)]
    # What is left keeps the heap from becoming shorter.
    left = pieces[::100]
    pieces.clear()
    before = resident_bytes()

    memory.give_back()

    assert before - resident_bytes() > PIECES * PIECE_BYTES // 2
    assert left[1] == bytes([100]) * PIECE_BYTES


def test_what_nobody_configured_is_not_loaded():
    code = "import sys, heliograph.service.run; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())

    assert "heliograph.service.wiring" in loaded
    assert not loaded & {
        *("alembic", "mako", "sqlalchemy.orm", "sqlalchemy.dialects.postgresql", "psycopg"),
        *("httpx2", "httpcore2", "aiosmtplib", "jinja2", "psutil", "rich"),
        *("heliograph.notify.kit", "heliograph.store.prometheus.sender"),
    }
