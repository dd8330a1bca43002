"""A whole service in this process, asked over real HTTP: what the tests of the service work with.

    with running(data_dir, limits={"body_mb": 1}) as site:
        site.write([({"__name__": "up"}, [(NOW_MS, 1.0)])])
        assert site.get("/v1/query/metrics").json()["items"] == ["up"]

uvicorn and the sockets are real, because framing, odd paths and odd headers are the point.
"""

import asyncio
import base64
import gc
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec
import numpy as np
import psutil
import uvicorn

from heliograph.core import labels as label
from heliograph.core.clock import SystemClock
from heliograph.service import auth, memory, run, wiring
from heliograph.service.config import Config
from heliograph.wire import remote_write, snappy

# 2026-11-22T01:35:05Z: near the recorded bodies, so that retention never makes them too old.
NOW_MS = 1_795_311_305_000
NOW_NS = NOW_MS * 10**6
REQUEST_S_MAX = 60
# A problem says what is wrong; it does not send the body back.
PROBLEM_BYTES_MAX = 16 * 1024
# In everything that must be refused.
CANARY = "canary"
ROLES = ("ingest", "viewer", "editor", "admin")


class WallAt:
    """A clock that begins at *now_ns* and goes on as the machine's does."""

    def __init__(self, now_ns=NOW_NS):
        self._machine = SystemClock()
        self._ahead_ns = now_ns - self._machine.now_ns()

    def now_ns(self):
        return self._machine.now_ns() + self._ahead_ns

    def monotonic_s(self):
        return self._machine.monotonic_s()

    def sleep(self, seconds):
        self._machine.sleep(seconds)


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        return json.loads(self.body)


class Running:
    """A service that is being asked; *port* is on 127.0.0.1, *tokens* are by role."""

    def __init__(self, site, port, tokens):
        self.site = site
        self.port = port
        self.tokens = tokens

    def ask(self, method, path, body=None, headers=()):
        """The answer to one request on a connection of its own; *body* may be chunks."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_S_MAX)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def raw(self, sent, *, half_close=False, wait_s=5.0):
        """What comes back, as bytes, when *sent* is put on a connection, until it closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait_s) as connection:
            connection.sendall(sent)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            got = b""
            try:
                while more := connection.recv(65536):
                    got += more
            except (TimeoutError, ConnectionResetError):
                pass
        return got

    def get(self, path, headers=(), **query):
        """GET *path* with *query*; a list is a repeated parameter."""
        asked = f"{path}?{urlencode(query, doseq=True)}" if query else path
        return self.ask("GET", asked, headers=headers)

    def post(self, path, document, headers=()):
        """POST *document* as JSON."""
        body = json.dumps(document).encode()
        return self.ask(
            "POST", path, body, {"Content-Type": "application/json", **dict(headers)}
        )

    def write(self, series, headers=()):
        """Remote write *series*: (labels, [(ms, value), …]) each."""
        return self.ask(
            "POST",
            "/v1/prometheus",
            write_body(series),
            {**remote_write.HEADERS, **dict(headers)},
        )

    def log(self, *entries, headers=()):
        """POST log *entries*, each text or a mapping."""
        listed = [{"log": one} if isinstance(one, str) else one for one in entries]
        return self.post("/v1/logs", listed, headers)

    def place(self, *, uid="w-1", pod="p-1", **more):
        """A workload *uid* with one pod; *more* are keys of the pod."""
        return self.post(
            "/v1/placements",
            {
                "workloads": [{"uid": uid, "name": uid}],
                "pods": [{"uid": pod, "name": pod, "workload_uid": uid, **more}],
            },
        )

    def points(self, metric, **query):
        """{labels as items: points} of raw samples of *metric*, of all time that is kept."""
        span = {"start": NOW_MS / 1000 - 6 * 86400, "end": NOW_MS / 1000 + 86400, **query}
        found = self.get("/v1/query/range", metric=metric, **span).json()["series"]
        return {tuple(sorted(one["labels"].items())): one["points"] for one in found}

    def label_sets(self):
        """All labels of stored series."""
        return self.get("/v1/query/labels", limit=1000).json()["items"]

    def records(self, **query):
        """Stored records."""
        return self.get("/v1/records", limit=1000, **query).json()["items"]

    def measured(self, name):
        """{label text: value} of one of the service's own metrics."""
        registry = self.site.core.meters.registry
        lines = [line for line in registry.exposition().splitlines() if line.startswith(name)]
        pairs = (line.rpartition(" ")[::2] for line in lines)
        return {key.removeprefix(name): float(value) for key, value in pairs}

    def canaries(self):
        """What is stored anywhere and has `canary` in it: what was refused must not be."""
        places = {
            "labels": self.label_sets(),
            "records": self.records(),
            "workloads": self.get("/v1/workloads", limit=1000).json()["items"],
            "devices": self.get("/v1/pods/cache").json(),
        }
        return [name for name, found in places.items() if CANARY in json.dumps(found)]

    def assert_sound(self):
        """Nothing died, and no request met a bug."""
        assert self.measured("heliograph_bugs_total") == {}
        assert sum(self.measured("heliograph_dropped_total").values()) == 0
        assert not self.site.core.supervisor.failed.is_set()
        ready = self.get("/readyz")
        assert (ready.status, ready.json()["status"]) == (200, "ready"), ready.body


def write_body(series):
    """The body of a remote write of *series*: (labels, [(ms, value), …]) each."""
    return snappy.compress(
        remote_write.encode(
            (
                label.of(labels),
                np.array([ms for ms, _ in samples], np.int64),
                np.array([value for _, value in samples], np.float64),
            )
            for labels, samples in series
        )
    )


def bearer(token):
    """Headers that carry *token*."""
    return {"Authorization": f"Bearer {token}"}


def basic(token, user="api"):
    """Headers that carry *token* as the password of Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()}


def resident_bytes():
    """What this process holds in memory."""
    gc.collect()
    return psutil.Process().memory_info().rss


def assert_problem(answer, status, *, code=None, field=None):
    """*answer* is the problem document that it should be."""
    assert answer.status == status, answer.body[:500]
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["title"]
    assert document["type"]
    assert document["detail"]
    assert document["code"]
    assert len(answer.body) < PROBLEM_BYTES_MAX
    if code is not None:
        assert document["code"] == code
    if field is not None:
        assert [error["field"] for error in document["errors"]] == [field]
        assert all(error["message"] for error in document["errors"])


def new_tokens():
    """({role: token}, the configuration that knows them)."""
    made = {role: auth.new_token(role, f"the-{role}") for role in ROLES}
    listed = [
        {"id": f"the-{role}", "role": role, "sha256": digest}
        for role, (_, digest) in made.items()
    ]
    return {role: token for role, (token, _) in made.items()}, {"tokens": listed}


@contextmanager
def serving(config) -> Iterator[uvicorn.Server]:
    """A server of *config*, an uvicorn one, that listens until the block ends; see `port_of`."""
    server = uvicorn.Server(config)
    started = threading.Event()
    startup = server.startup
    end = []

    async def announced(sockets=None):
        await startup(sockets)
        over = asyncio.Event()
        end.append(partial(asyncio.get_running_loop().call_soon_threadsafe, over.set))
        server.main_loop = partial(ticking, over)
        started.set()

    async def ticking(over):
        # uvicorn looks each tenth of a second whether it is over; hundreds of tests wait for that.
        ticks = 0
        while not await server.on_tick(ticks):
            ticks += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 0.1)

    server.startup = announced
    thread = threading.Thread(target=server.run, name="server", daemon=True)
    thread.start()
    try:
        assert started.wait(20)
        yield server
    finally:
        server.should_exit = True
        for now in end:
            now()
        thread.join(20)


def port_of(server):
    """Where *server* listens."""
    return server.servers[0].sockets[0].getsockname()[1]


@contextmanager
def running(data_dir, *, clock=None, with_tokens=False, **sections) -> Iterator[Running]:
    """A service on *data_dir* with the configuration *sections*, until the block ends."""
    tokens, auth_section = new_tokens() if with_tokens else ({}, {})
    config = msgspec.convert(
        {"listen": "127.0.0.1:0", "data_dir": str(data_dir), "auth": auth_section, **sections},
        Config,
    )
    # As `run.serve` does.
    memory.return_large_blocks()
    site = wiring.build(config, clock or WallAt())
    try:
        with serving(run._options(config, site)) as server:
            yield Running(site, port_of(server), tokens)
    finally:
        site.close()
