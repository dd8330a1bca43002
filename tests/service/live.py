"""Real processes around a real service: an exporter to scrape, `heliograph serve`, and patience.

exporter = Exporter(lambda scrape: f"ticks_total {scrape}\\n")
service = Served(start, tmp_path, workloads={"placement_file": …})
points = until(lambda: service.raw("ticks_total"), "a sample")
"""

import http.server
import json
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from heliograph.core import labels as label
from heliograph.core.clock import SystemClock
from heliograph.core.samples import STALE
from heliograph.wire import remote_write, snappy
from tests.peers import answers, free_port

PATIENCE_S = 30.0
CLOCK = SystemClock()
COMMAND = Path(sys.executable).with_name("heliograph")


def until(condition, what, *, timeout_s=PATIENCE_S):
    """The first truthy answer of *condition*; the test fails when there is none in time."""
    end_s = CLOCK.monotonic_s() + timeout_s
    while not (found := condition()):
        if CLOCK.monotonic_s() > end_s:
            pytest.fail(f"not within {timeout_s} s: {what}")
        CLOCK.sleep(0.05)
    return found


def fetch(url, *, body=None, headers=()):
    """(status, headers, body) of one request; an error status is an answer like any other."""
    request = urllib.request.Request(url, data=body, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def metric_of(exposition, name):
    """{label text: value} of the samples of *name* in a page of metrics."""
    found = {}
    for line in exposition.splitlines():
        if line.startswith((name + "{", name + " ")):
            key, _, value = line.rpartition(" ")
            found[key.removeprefix(name)] = float(value)
    return found


def write_body(series):
    """A remote write of (labels, [(ms, value), …]) each; None is the stale marker."""
    columns = [
        (
            label.of(labels),
            np.array([ms for ms, _ in samples], np.int64),
            np.array([STALE if value is None else value for _, value in samples], np.float64),
        )
        for labels, samples in series
    ]
    return snappy.compress(remote_write.encode(columns))


class Exporter:
    """An HTTP server to scrape; *page*(n, open_metrics) is what the n-th scrape reads."""

    def __init__(self, page):
        exporter = self
        self.scrapes = 0

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                open_metrics = "openmetrics" in self.headers.get("Accept", "")
                exporter.scrapes += 1
                body = page(exporter.scrapes, open_metrics).encode()
                kind = (
                    "application/openmetrics-text; version=1.0.0; charset=utf-8"
                    if open_metrics
                    else "text/plain; version=0.0.4"
                )
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Served:
    """`heliograph serve` on a data folder and a port that stay the same over restarts."""

    def __init__(self, start, folder, **sections):
        self._start = start
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = folder / f"data-{self.port}"
        self._config = folder / f"heliograph-{self.port}.yaml"
        self.configure(**sections)
        self.begin()

    def configure(self, **sections):
        """What the next start reads; YAML is JSON."""
        fixed = {"listen": f"127.0.0.1:{self.port}", "data_dir": str(self.data_dir)}
        self._config.write_text(json.dumps({**fixed, **sections}))

    def begin(self):
        self.program = self._start(COMMAND, "serve", "--config", str(self._config))
        self.program.wait_for(answers(f"{self.url}/healthz"))

    def kill(self):
        self.program.kill()

    def get(self, path, **query):
        """(status, document) of a GET."""
        text = urllib.parse.urlencode(query, doseq=True)
        status, _, body = fetch(f"{self.url}{path}?{text}")
        return status, json.loads(body)

    def post(self, path, document):
        status, _, body = fetch(
            self.url + path,
            body=json.dumps(document).encode(),
            headers={"Content-Type": "application/json"},
        )
        return status, json.loads(body)

    def write(self, series):
        """The status of a remote write."""
        headers = dict(remote_write.HEADERS)
        return fetch(f"{self.url}/v1/prometheus", body=write_body(series), headers=headers)[0]

    def raw(self, metric, *match, **query):
        """The series of *metric*, raw samples of the last hour unless *query* says else."""
        status, found = self.get(
            "/v1/query/range", metric=metric, **{"match[]": list(match)}, **query
        )
        assert (status, found.get("truncated")) == (200, False), found
        return found["series"]

    def ready(self):
        """{check: (state, text)} of /readyz."""
        _, found = self.get("/readyz")
        return found

    def metrics(self):
        return fetch(f"{self.url}/metrics")[2].decode()

    def metric(self, name):
        return metric_of(self.metrics(), name)

    def assert_never_failed(self):
        """No request was refused or met a bug, and nothing was given up."""
        answered = self.metric("http_requests_total")
        assert [key for key in answered if 'status="2' not in key] == []
        assert self.metric("heliograph_bugs_total") == {}
        assert sum(self.metric("heliograph_rejected_total").values()) == 0
        assert sum(self.metric("heliograph_dropped_total").values()) == 0
