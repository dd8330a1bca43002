"""Bodies reach the application in few pieces, whole, and never more of them than the bound."""

import asyncio
import hashlib
import random
import socket
import threading
from contextlib import contextmanager

import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from heliograph.service import front
from heliograph.service.front import WAITING_BYTES_MAX, Front
from tests.service.live import until
from tests.service.running import port_of, serving

# What one read of a socket may bring beyond the bound.
READ_BYTES_MAX = 256 * 1024
WAIT_S = 20


class Application:
    """Answers each request with the SHA-256 of its body; *pieces* are those that each body came in,
    *heard* those of all so far."""

    def __init__(self):
        self.pieces, self.heard = [], []
        self.may_read = threading.Event()
        self.may_read.set()

    async def __call__(self, scope, receive, send):
        await asyncio.to_thread(self.may_read.wait, WAIT_S)
        pieces, more = [], True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.pieces.append(None)
                return
            pieces.append(message["body"])
            self.heard.append(len(message["body"]))
            more = message["more_body"]
        self.pieces.append([len(one) for one in pieces])
        told = hashlib.sha256(b"".join(pieces)).hexdigest().encode()
        length = str(len(told)).encode()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", length)],
            }
        )
        await send({"type": "http.response.body", "body": told})


@contextmanager
def served(application):
    """*application* behind the protocol: its port, and the connections that are open."""
    config = uvicorn.Config(application, port=0, http=Front, ws="none", lifespan="off")
    with serving(config) as server:
        yield port_of(server), server.server_state.connections


@pytest.fixture
def application():
    made = Application()
    yield made
    made.may_read.set()


@pytest.fixture
def connection(application):
    with (
        served(application) as (port, _),
        socket.create_connection(("127.0.0.1", port)) as one,
    ):
        one.settimeout(WAIT_S)
        yield one
        application.may_read.set()


@contextmanager
def sending(application, request):
    """A connection to *application* on which *request* is being sent, and all that are open."""
    with (
        served(application) as (port, connections),
        socket.create_connection(("127.0.0.1", port)) as connection,
    ):
        connection.settimeout(WAIT_S)
        sender = threading.Thread(target=connection.sendall, args=(request,))
        sender.start()
        yield connection, connections
        sender.join(WAIT_S)


def held(connections):
    """The bytes that wait for the task of each of *connections*."""
    return [len(one.cycle.body) for one in list(connections) if one.cycle is not None] or [0]


def posted(body, *, chunk_bytes=None):
    """A request that sends *body*, chunked where it says of how much."""
    if chunk_bytes is None:
        return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    chunks = (body[at : at + chunk_bytes] for at in range(0, len(body), chunk_bytes))
    framed = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + framed + b"0\r\n\r\n"


def answers(connection, count):
    """The bodies of *count* answers."""
    got = b""
    while got.count(b"\r\n\r\n") < count or len(got.rpartition(b"\r\n\r\n")[2]) < 64:
        more = connection.recv(65536)
        assert more, got
        got += more
    return [one[:64].decode() for one in got.split(b"\r\n\r\n")[1:]]


def digest(body):
    """What is answered to *body*."""
    return hashlib.sha256(body).hexdigest()


def test_a_body_of_many_reads_comes_in_one_piece(connection, application):
    body = random.Random(1).randbytes(900_000)

    connection.sendall(posted(body))

    assert answers(connection, 1) == [digest(body)]
    assert application.pieces == [[900_000]]


@pytest.mark.parametrize("chunk_bytes", [1, 4096, None])
@pytest.mark.parametrize("size_bytes", [0, 1, 20_000])
def test_each_request_of_a_connection_has_its_own_body(connection, size_bytes, chunk_bytes):
    source = random.Random(size_bytes)
    bodies = [source.randbytes(size_bytes) for _ in range(3)]

    for body in bodies:
        connection.sendall(posted(body, chunk_bytes=chunk_bytes))
        assert answers(connection, 1) == [digest(body)]


def test_requests_sent_at_once_have_their_own_bodies(connection, application):
    bodies = [b"a" * 300, b"", b"c" * 30_000, b"d"]

    connection.sendall(b"".join(map(posted, bodies)))

    assert answers(connection, 4) == [digest(body) for body in bodies]
    assert [sum(one) for one in application.pieces] == [len(body) for body in bodies]


def test_what_waits_for_its_task_is_bounded(application):
    body = random.Random(2).randbytes(6 * WAITING_BYTES_MAX)
    application.may_read.clear()
    with sending(application, posted(body)) as (connection, connections):
        until(lambda: max(held(connections)) > WAITING_BYTES_MAX, "a full buffer")
        application.may_read.set()
        assert answers(connection, 1) == [digest(body)]

    (pieces,) = application.pieces
    assert WAITING_BYTES_MAX < max(pieces) <= WAITING_BYTES_MAX + READ_BYTES_MAX


def test_a_slow_sender_is_noticed_while_it_sends(connection, application, monkeypatch):
    """Who waits for a body may give up on one that is silent: a slow one is not."""
    monkeypatch.setattr(front, "TOLD_EVERY_S", -1.0)
    request = posted(b"0123456789")
    connection.sendall(request[:-5])
    until(lambda: application.heard == [5], "the first half")
    connection.sendall(request[-5:])

    assert answers(connection, 1) == [digest(b"0123456789")]
    assert application.pieces == [[5, 5]]


def test_of_a_question_no_large_body_waits(application):
    application.may_read.clear()
    request = posted(b"x" * WAITING_BYTES_MAX).replace(b"POST", b"GET", 1)
    with sending(application, request) as (connection, connections):
        until(lambda: max(held(connections)) > HIGH_WATER_LIMIT, "a full buffer")
        application.may_read.set()
        answers(connection, 1)

    (pieces,) = application.pieces
    assert max(pieces) <= HIGH_WATER_LIMIT + READ_BYTES_MAX


def test_what_nobody_read_goes_with_the_answer(application):
    async def unread(scope, receive, send):
        await asyncio.to_thread(application.may_read.wait, WAIT_S)
        head = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b""})

    application.may_read.clear()
    with sending(unread, posted(b"x" * 100_000)) as (connection, connections):
        until(lambda: held(connections) == [100_000], "the body")
        application.may_read.set()
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        until(lambda: held(connections) == [0], "its end")


def test_a_body_that_ends_early_is_no_body(connection, application):
    connection.sendall(posted(b"x" * 100_000)[:-1])
    connection.close()

    for _ in range(200):
        if application.pieces:
            break
        threading.Event().wait(0.02)
    assert application.pieces == [None]
