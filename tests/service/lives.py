"""A service in a process of its own, which tests kill, stop and start again on one folder.

    life = Life(folder).start()
    assert life.ask("GET", "/readyz").status == 200
    life.kill()

The process is `heliograph serve`; FAST makes its maintenance come round more often, before it.
"""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from typing import NamedTuple
from urllib.parse import urlencode

import yaml

from heliograph.core.clock import SystemClock
from heliograph.wire import remote_write
from tests.service.running import write_body

START_S_MAX = 30
CLOCK = SystemClock()
# No hook in the product: the test's own process sets the pace before it runs the same command.
FAST = "import heliograph.service.maintenance as m; m.ROUND_S = 0.2\n"
SERVE = "from heliograph.cli.main import main\nmain(prog_name='heliograph')\n"


class Answer(NamedTuple):
    """What came back; *status* 0 when nothing did."""

    status: int
    headers: dict
    body: bytes

    def json(self):
        return json.loads(self.body)


class Life:
    """Processes on *folder*, one after another, on one port; *config* are its sections."""

    def __init__(self, folder, *, prelude=None, listen=None, **config):
        self.folder = folder
        self.port = free_port()
        self.prelude = prelude
        self.said = folder.parent / f"{folder.name}.said"
        self.config = folder.parent / f"{folder.name}.yaml"
        self.config.write_text(
            yaml.safe_dump(
                {
                    "listen": listen or f"127.0.0.1:{self.port}",
                    "data_dir": str(folder),
                    **config,
                }
            )
        )
        self.process = None

    def spawn(self):
        """Start without waiting."""
        arguments = ["serve", "--config", str(self.config)]
        command = (
            [sys.executable, "-m", "heliograph.cli", *arguments]
            if self.prelude is None
            else [sys.executable, "-c", self.prelude + SERVE, *arguments]
        )
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(command, stdout=said, stderr=said)
        return self

    def start(self, *, ready=True):
        """Start and wait until it answers; until it is ready, unless told otherwise."""
        self.spawn()
        started_s = CLOCK.monotonic_s()
        while CLOCK.monotonic_s() - started_s < START_S_MAX:
            answer = self.ask("GET", "/readyz", timeout_s=5)
            if answer.status == 200 or (answer.status and not ready):
                return self
            assert self.process.poll() is None, self.words()
            CLOCK.sleep(0.02)
        raise AssertionError(f"not ready: {answer} {self.words()}")

    def kill(self):
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self, timeout_s=10):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def end(self):
        """Leave nothing running, whatever the test did."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def words(self):
        """What the processes wrote, its end."""
        return self.said.read_text()[-4000:]

    def ask(self, method, path, body=None, headers=(), timeout_s=30):
        """One request on a connection of its own; status 0 when the connection died."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())
        except (OSError, http.client.HTTPException):
            return Answer(0, {}, b"")
        finally:
            connection.close()

    def get(self, path, **query):
        """The JSON at *path*; it must be there."""
        answer = self.ask("GET", f"{path}?{urlencode(query, doseq=True)}" if query else path)
        assert answer.status == 200, (path, answer, self.words())
        return answer.json()

    def post(self, path, document, **more):
        """POST *document* as JSON."""
        headers = {"Content-Type": "application/json"}
        return self.ask("POST", path, json.dumps(document).encode(), headers, **more)

    def write(self, series, **more):
        """Remote write *series*: (labels, [(ms, value), …]) each."""
        body = write_body(series)
        return self.ask("POST", "/v1/prometheus", body, remote_write.HEADERS, **more)

    def points(self, metric, **query):
        """{labels as items: points} of *metric*, every page."""
        found = {}
        query = {
            "start": CLOCK.now_ns() / 1e9 - 7000,
            "end": CLOCK.now_ns() / 1e9 + 7000,
            **query,
        }
        while True:
            answer = self.get("/v1/query/range", metric=metric, **query)
            for one in answer["series"]:
                key = tuple(sorted(one["labels"].items()))
                found.setdefault(key, []).extend(one["points"])
            if not answer["truncated"]:
                return found
            query["start"] = answer["next"]

    def items(self, path, **query):
        """All items of a list, every page."""
        found = []
        while True:
            page = self.get(path, offset=len(found), limit=1000, **query)
            found += page["items"]
            if not page["items"] or len(found) >= page["total"]:
                return found

    def measured(self, name):
        """{label text: value} of one metric of `/metrics`."""
        text = self.ask("GET", "/metrics").body.decode()
        lines = [line for line in text.splitlines() if re.match(rf"{name}(\{{| )", line)]
        return {
            key.removeprefix(name): float(value)
            for key, value in (line.rpartition(" ")[::2] for line in lines)
        }

    def settled(self, timeout_s=20):
        """Wait until all that was committed is applied."""
        started_s = CLOCK.monotonic_s()
        while sum(self.measured("heliograph_applier_lag_frames").values()):
            assert CLOCK.monotonic_s() - started_s < timeout_s, self.words()
            CLOCK.sleep(0.05)
        return self

    def checks(self):
        """{name: (state, detail)} of `/readyz`."""
        listed = self.ask("GET", "/readyz").json()["checks"]
        return {one["name"]: (one["state"], one["detail"]) for one in listed}


def free_port():
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_root():
    """Whether this process may mount."""
    return os.geteuid() == 0
