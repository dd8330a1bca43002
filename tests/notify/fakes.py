"""Messages to tell, and providers that are strict: real HTTP servers on the loopback.

with Provider(strict_robot(limit=4096, field=…)) as robot:
    robot.url, robot.requests
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from heliograph.alert.model import Alert, Context, Integration, Message, Reason
from heliograph.core import labels as labels_of
from heliograph.core.clock import ManualClock
from heliograph.notify.channels import open_channels
from heliograph.notify.guard import Guard

NEW_YEAR_NS = 1_767_225_600_000_000_000
SECOND_NS = 1_000_000_000


def alert(
    name="GPUHot", *, severity="warning", ends_s=None, annotations=None, context=None, **labels
):
    """One episode, five minutes old; resolved *ends_s* seconds ago when given."""
    own = labels_of.of({"alertname": name, "severity": severity, **labels})
    fingerprint = labels_of.fingerprint(own)
    return Alert(
        id=f"{NEW_YEAR_NS:016x}{fingerprint[:12]}",
        fingerprint=fingerprint,
        source="metric",
        labels=own,
        annotations=labels_of.of(annotations or {}),
        starts_ns=NEW_YEAR_NS - 300 * SECOND_NS,
        ends_ns=None if ends_s is None else NEW_YEAR_NS - ends_s * SECOND_NS,
        timed_out=False,
        created_ns=NEW_YEAR_NS - 300 * SECOND_NS,
        updated_ns=NEW_YEAR_NS,
        context=context or Context(),
        severity=severity,
    )


def message(
    *alerts, key="key-1", message_id="", truncated=0, group=("alertname",), reason=Reason.FIRST
):
    """A message of *alerts* as the engine makes it."""
    shared = set(alerts[0].labels).intersection(*(set(one.labels) for one in alerts))
    said = set(alerts[0].annotations).intersection(*(set(one.annotations) for one in alerts))
    return Message(
        key=key,
        receiver="team",
        group_key='file/0:{alertname="x"}',
        group_labels=tuple(sorted(pair for pair in shared if pair[0] in group)),
        reason=reason,
        alerts=alerts,
        now_ns=NEW_YEAR_NS,
        external_url="http://heliograph.example:8989",
        common_labels=tuple(sorted(shared)),
        common_annotations=tuple(sorted(said)),
        truncated=truncated,
        message_id=message_id,
    )


def integration(kind, *, guarded=False, **settings):
    return Integration(f"team/{kind}[0]", "team", kind, settings, guarded=guarded)


def channels(clock=None, *, templates=None, limits=None, guard=None):
    return open_channels(guard or Guard(), clock or ManualClock(NEW_YEAR_NS), templates, limits)


class Request(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self):
        return json.loads(self.body)


class Reply(NamedTuple):
    status: int = 200
    body: bytes | str | dict = b""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def raw(self):
        if isinstance(self.body, dict):
            return json.dumps(self.body).encode()
        return self.body.encode() if isinstance(self.body, str) else self.body


class Provider:
    """An HTTP server that answers with *answer(request)*; keeps what it was asked."""

    def __init__(self, answer, *, tls=None):
        self.requests = []
        outer, lock = self, threading.Lock()

        class Asked(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                size = int(self.headers.get("Content-Length", 0))
                asked = Request(self.path, dict(self.headers.items()), self.rfile.read(size))
                with lock:
                    outer.requests.append(asked)
                    reply = answer(asked)
                self.send_response(reply.status)
                for name, value in reply.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.raw)))
                self.end_headers()
                self.wfile.write(reply.raw)

            def do_GET(self):
                outer.requests.append(Request(self.path, dict(self.headers.items()), b""))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def in_turn(*replies):
    """Answers one after the other; the last for ever."""
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


class StrictRobot:
    """Enforces a body limit, UTF-8, a sliding minute of 20, and shuts out for ten minutes."""

    def __init__(self, clock, *, check, too_long, too_fast):
        self.clock = clock
        self.check = check
        self.too_long = too_long
        self.too_fast = too_fast
        self.rejections = []
        self.texts = []
        self.times_s = []
        self.banned_until_s = -1.0

    def __call__(self, request):
        now_s = self.clock.monotonic_s()
        if now_s < self.banned_until_s:
            return self._no(self.too_fast)
        self.times_s = [at_s for at_s in self.times_s if at_s > now_s - 60.0]
        if len(self.times_s) >= 20:
            self.banned_until_s = now_s + 600
            return self._no(self.too_fast)
        self.times_s.append(now_s)
        text = self.check(request)
        if text is None:
            return self._no(self.too_long)
        self.texts.append(text)
        return Reply(200, {"errcode": 0, "errmsg": "ok"})

    def _no(self, code):
        self.rejections.append(code)
        return Reply(200, {"errcode": code, "errmsg": "no"})
