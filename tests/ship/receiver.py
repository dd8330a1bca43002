"""A receiver that answers as it is told, and what it was sent, read by protobuf and cramjam.

with Receiver() as receiver:
    receiver.script = [(503, {"Retry-After": "1"}), (204, {})]     # then 204 for ever
    …
    receiver.samples()["steps_total"]      # [(labels, ms, value), …] in the order of arrival
"""

import http.server
import ssl
import struct
import threading

import cramjam

from tests.protobuf import DOUBLE, INT64, ONE, REPEATED, STRING, message_class

STALE_BITS = 0x7FF0_0000_0000_0002
SCHEMA = {
    "Label": [("name", 1, ONE, STRING), ("value", 2, ONE, STRING)],
    "Sample": [("value", 1, ONE, DOUBLE), ("timestamp", 2, ONE, INT64)],
    "Exemplar": [
        ("labels", 1, REPEATED, ".Label"),
        ("value", 2, ONE, DOUBLE),
        ("timestamp", 3, ONE, INT64),
    ],
    "TimeSeries": [
        ("labels", 1, REPEATED, ".Label"),
        ("samples", 2, REPEATED, ".Sample"),
        ("exemplars", 3, REPEATED, ".Exemplar"),
    ],
    "WriteRequest": [("timeseries", 1, REPEATED, ".TimeSeries")],
}


WriteRequest = message_class(SCHEMA, "WriteRequest")


def decoded(body):
    """The WriteRequest of a body in snappy."""
    return WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(body)))


def is_stale(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0] == STALE_BITS


def series_of(requests):
    """[(name, labels without it, ms, value, exemplars), …] of *requests*, as they came."""
    found = []
    for request in requests:
        for series in request.timeseries:
            labels = {label.name: label.value for label in series.labels}
            assert [label.name for label in series.labels] == sorted(labels), "sorted, unique"
            [sample] = series.samples
            name = labels.pop("__name__")
            found.append((name, labels, sample.timestamp, sample.value, list(series.exemplars)))
    return found


class Receiver:
    """An HTTP server on 127.0.0.1; 2xx answers keep what they answer to."""

    def __init__(self, port=0, tls=None):
        receiver = self
        self.script = []
        self.hold = threading.Event()
        self.hold.set()
        self.kept, self.refused, self.headers, self.paths = [], [], [], []
        self.asked = 0
        self._sockets = []

        class Answer(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                receiver._sockets.append(self.connection)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.asked += 1
                receiver.hold.wait(30)
                status, headers = receiver.script.pop(0) if receiver.script else (204, {})
                receiver.headers.append(dict(self.headers))
                receiver.paths.append(self.path)
                (receiver.kept if 200 <= status < 300 else receiver.refused).append(body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", "5")
                self.end_headers()
                if status != 204:
                    self.wfile.write(b"words")

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self._server = Server(("127.0.0.1", port), Answer)
        self.port = self._server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def series(self):
        """All that was kept, as `series_of`."""
        return series_of(decoded(body) for body in self.kept)

    def samples(self, *, own=False):
        """{name: [(labels, ms, value), …]}, without the shipper's own unless asked for."""
        found = {}
        for name, labels, ms, value, _ in self.series():
            if own or not name.startswith("heliograph_ship_"):
                found.setdefault(name, []).append((labels, ms, value))
        return found

    def values(self, name):
        return [value for _, _, value in self.samples(own=True).get(name, [])]

    def cut(self):
        """Close every connection, as a receiver that restarts does."""
        for connection in self._sockets:
            connection.close()
        self._sockets.clear()

    def close(self):
        self.hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
