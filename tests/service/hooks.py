"""A receiver of webhooks that keeps what it was told; it answers as it is scripted to.

hook = Hook()
hook.script += [503, (429, {"Retry-After": "1"})]        # then 200 for ever
assert hook.alerts()[0]["labels"]["alertname"] == "GPUHot"
"""

import http.server
import json
import threading
from collections import deque
from typing import NamedTuple

from heliograph.core.clock import SystemClock

CLOCK = SystemClock()


class Told(NamedTuple):
    """One request: when, path, headers, document and what it was answered."""

    at_s: float
    path: str
    headers: dict[str, str]
    document: dict
    status: int


class Hook:
    """Listens from the start on, on a port of its own."""

    def __init__(self):
        hook = self
        self.script = deque()
        self.told = []
        self.hold = threading.Event()
        self.hold.set()

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                step = hook.script.popleft() if hook.script else 200
                status, headers = step if isinstance(step, tuple) else (step, {})
                hook.hold.wait(20)
                hook.told.append(
                    Told(
                        CLOCK.monotonic_s(),
                        self.path,
                        dict(self.headers),
                        json.loads(body),
                        status,
                    )
                )
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def delivered(self):
        """Documents that were answered 2xx, in order."""
        return [one.document for one in self.told if one.status < 300]

    def alerts(self, status=None):
        """The alerts of all delivered messages, of *status* where it is given."""
        return [
            alert
            for document in self.delivered()
            for alert in document["alerts"]
            if status in {None, alert["status"]}
        ]

    def close(self):
        self.hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
