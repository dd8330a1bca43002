"""A receiver of webhooks that is as bad as they come, and what it may be said to have been told.

    hook = Flaky(random.Random(1), badness=0.4)
    hook.well()                                   # from here on it answers 200
    hook.firing(), hook.resolved()                # {(fingerprint, startsAt)} that were taken
    hook.doubles()                                # {(path, group): copies of messages taken}

It takes a message when it has read all of it and answers 200; what it read and then did not answer,
or answered through a gateway, it may have taken: ambiguous, for the sender cannot know.
"""

import contextlib
import http.server
import json
import socket
import struct
import threading
from collections import Counter
from typing import NamedTuple

from heliograph.core.clock import SystemClock

CLOCK = SystemClock()
# How it answers when it is not well; `late` is after the sender's time-out.
BAD = ("503", "429", "502", "reset_before", "reset_after", "late", "500")
AMBIGUOUS = frozenset({"502", "reset_after", "late"})
LATE_S = 1.3


class Told(NamedTuple):
    """One request: when, to which path, its key, document and how it was met."""

    at_s: float
    path: str
    key: str
    document: dict
    how: str

    @property
    def line(self):
        """(path, group): what is told in order."""
        return self.path, self.document["groupKey"]

    def episodes(self, status):
        """(fingerprint, startsAt) of its alerts of *status*."""
        return {
            (one["fingerprint"], one["startsAt"])
            for one in self.document["alerts"]
            if one["status"] == status
        }


class Flaky:
    """Listens from the start on; *badness* of its answers are bad ones."""

    def __init__(self, rng, *, badness=0.0, path_badness=None):
        hook = self
        self._rng = rng
        self.badness = badness
        self.path_badness = path_badness or {}
        self.told = []
        self.hang = threading.Event()
        self.hang.set()
        self._lock = threading.Lock()

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                how = hook._how(self.path)
                if how == "reset_before":
                    self.rfile.read1(1)
                    self._reset()
                    return
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook._note(self.path, self.headers["Idempotency-Key"], json.loads(body), how)
                if self.path.startswith("/hang"):
                    hook.hang.wait(30)
                if how == "reset_after":
                    self._reset()
                    return
                if how == "late":
                    CLOCK.sleep(LATE_S)
                self.send_response(200 if how in {"200", "late"} else int(how))
                if how == "429":
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _reset(self):
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
                self.connection.close()

            def finish(self):
                with contextlib.suppress(OSError, ValueError):
                    super().finish()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass

        self._server = Server(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def _how(self, path):
        with self._lock:
            badness = self.path_badness.get(path, self.badness)
            return self._rng.choice(BAD) if self._rng.random() < badness else "200"

    def _note(self, path, key, document, how):
        with self._lock:
            self.told.append(Told(CLOCK.monotonic_s(), path, key, document, how))

    def well(self):
        """Answer 200 to everything from now on."""
        self.badness, self.path_badness = 0.0, {}

    def taken(self, path=None, *, maybe=False):
        """What was answered 200, in order, to *path* or to all; *maybe*: and what is ambiguous."""
        with self._lock:
            return [
                one
                for one in self.told
                if (one.how == "200" or (maybe and one.how in AMBIGUOUS))
                and path in {None, one.path}
            ]

    def firing(self, path=None):
        """Episodes whose firing was taken."""
        return {one for told in self.taken(path) for one in told.episodes("firing")}

    def resolved(self, path=None):
        """Episodes whose end was taken."""
        return {one for told in self.taken(path) for one in told.episodes("resolved")}

    def doubles(self):
        """{line: messages that it may have taken more than once}, and what came twice in a row
        under different keys, which must never be."""
        copies, strange, last, keys = Counter(), [], {}, Counter()
        for one in self.taken(maybe=True):
            keys[one.line, one.key] += 1
            if keys[one.line, one.key] > 1:
                copies[one.line] += 1
            said = one.episodes("firing"), one.episodes("resolved")
            before = last.get(one.line)
            if before is not None and before[0] == said and before[1] != one.key:
                strange.append((one.line, before[1], one.key, said))
            last[one.line] = said, one.key
        return copies, strange

    def ambiguous(self):
        """{line: attempts of which the sender cannot know}."""
        with self._lock:
            return Counter(one.line for one in self.told if one.how in AMBIGUOUS)

    def close(self):
        """Give the port back."""
        self.hang.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
