"""Real peers for tests: Debian's programs, a browser, and processes that end with the test.

    def test_it(start, tmp_path):
        port = free_port()
        prometheus = start("prometheus", f"--web.listen-address=127.0.0.1:{port}")
        prometheus.wait_for(answers(f"http://127.0.0.1:{port}/-/ready"))

A peer that is not there skips the test by its name; in CI (`CI=true`) that is a failure.
`make peers` fetches them.
"""

import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from heliograph.core.clock import SystemClock
from tools import peers

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_S = 30.0
_clock = SystemClock()


def skip(reason):
    """Skip the test by name on a user's machine; fail it in CI, which has all peers."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have every peer: {reason}")
    pytest.skip(reason)


def peer(name):
    """The path of *name* (`prometheus`, `promtool`, `alertmanager`, `amtool`, `vmagent`, …)."""
    path = peers.found().get(name)
    if path is None:
        skip(f"no {name} here (make peers)")
    return path


def chromium():
    """The path of Debian's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        skip("no chromium here (apt-get install chromium)")
    return path


def free_port():
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(url: str) -> Callable[[], bool]:
    """A condition: a GET of *url* is answered with 2xx."""

    def ready() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return 200 <= response.status < 300
        except (urllib.error.URLError, OSError):
            return False

    return ready


class Program:
    """A running process whose output goes to a file; `stop` may be called twice."""

    def __init__(self, command, *, log: Path, cwd: Path, environ=None):
        self.log = log
        self.command = [str(part) for part in command]
        libraries = {"LD_LIBRARY_PATH": peers.library_path()}
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                self.command,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=cwd,
                env={**os.environ, **libraries, **(environ or {})},
            )

    def wait_for(self, ready, *, timeout_s=WAIT_S):
        """Return once *ready()*; fail with the end of the log when it dies or takes too long."""
        until_s = _clock.monotonic_s() + timeout_s
        while not ready():
            if self.process.poll() is not None:
                pytest.fail(
                    f"{self.command[0]} ended with {self.process.returncode}\n{self.tail()}"
                )
            if _clock.monotonic_s() > until_s:
                pytest.fail(f"{self.command[0]} not ready in {timeout_s} s\n{self.tail()}")
            _clock.sleep(0.05)

    def tail(self, lines=40):
        """The last *lines* of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def kill(self):
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Ask it to end, and end it when it does not; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode


@pytest.fixture
def start(tmp_path):
    """start(peer or path, *arguments, environ=None) → Program, stopped when the test ends."""
    running = []

    def run(program, *arguments, environ=None):
        path = program if isinstance(program, Path) else peer(program)
        log = tmp_path / f"{path.name}-{len(running)}.log"
        running.append(Program([path, *arguments], log=log, cwd=tmp_path, environ=environ))
        return running[-1]

    yield run
    for program in reversed(running):
        program.stop()


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium under playwright, with a profile of its own; shared by a file's tests, for
    while playwright is there no other may run an event loop in this process."""
    executable = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser):
    """A blank page in a context of its own; the test fails on any script error."""
    context = browser.new_context()
    opened = context.new_page()
    faults = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on(
        "console", lambda line: faults.append(line.text) if line.type == "error" else None
    )
    yield opened
    context.close()
    assert faults == []
