"""A remote-write receiver that answers as it is told, and keeps what it took.

sink = Sink()
sink.script += [(503, {"Retry-After": "1"}), RESET, 400]
…                                             # then 204 for ever
assert sink.points()["up"] == [(1000, 1.0), (2000, 1.0)]
"""

import contextlib
import http.server
import socket
import struct
import threading
from collections import deque
from typing import NamedTuple

from heliograph.core import labels as label
from heliograph.core.clock import SystemClock
from heliograph.core.series import SeriesTable
from heliograph.receive.remote_write import Decoder, Limits
from heliograph.wire import snappy

RESET = "reset"
CLOCK = SystemClock()


class Taken(NamedTuple):
    """One request: when it came, what it was answered, its headers and samples in order.

    samples   (labels, ms, value) each
    """

    at_s: float
    status: int | str
    headers: dict[str, str]
    samples: list[tuple[dict[str, str], int, float]]


class Sink:
    """Takes requests from the start on; *hold* lets answers wait until it is set."""

    def __init__(self):
        sink = self
        self.script = deque()
        self.default = 204
        self.taken = []
        self.hold = threading.Event()
        self.hold.set()

        class Answer(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                step = sink.script.popleft() if sink.script else sink.default
                status, headers = step if isinstance(step, tuple) else (step, {})
                sink.taken.append(
                    Taken(CLOCK.monotonic_s(), status, dict(self.headers), samples_of(body))
                )
                sink.hold.wait(20)
                if status == RESET:
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.close_connection = True
                    self.connection.close()
                    return
                words = b"" if status == 204 else b"words of the sink"
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(words)))
                self.end_headers()
                self.wfile.write(words)

            def finish(self):
                with contextlib.suppress(OSError):
                    super().finish()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self._server = Server(("127.0.0.1", 0), Answer)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/write"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def points(self, *, status=204):
        """{name: [(ms, value), …]} of the requests that were answered *status*, in order."""
        found = {}
        for taken in list(self.taken):
            if taken.status == status:
                for labels, ms, value in taken.samples:
                    found.setdefault(labels["__name__"], []).append((ms, value))
        return found

    def close(self):
        self.hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def samples_of(body):
    """(labels, ms, value) of each sample of a request, in its order."""
    table = SeriesTable(1_000_000)
    raw = snappy.decompress(body, decoded_bytes_max=1 << 30)
    batch = Decoder(table, Limits()).decode(raw, arrival_ns=0).batch
    return [
        (dict(table.labels(series)), at_ns // 10**6, value)
        for series, at_ns, value in zip(
            batch.series.tolist(), batch.at_ns.tolist(), batch.value.tolist(), strict=True
        )
    ]


def packed(**labels):
    """Packed labels, for a series table; `name` is the metric's."""
    return label.pack(label.of({"__name__": labels.pop("name"), **labels}))
