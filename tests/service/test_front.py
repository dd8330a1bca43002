"""Bodies reach the application in few pieces, whole, and never more of them than the bound."""

import asyncio
import hashlib
import random
import socket
import threading
from contextlib import contextmanager

import pytest
import uvicorn

from heliograph.service.front import WAITING_BYTES_MAX, Front

# What one read of a socket may bring beyond the bound.
READ_BYTES_MAX = 256 * 1024
WAIT_S = 20


class Application:
    """Answers each request with how many pieces its body came in, and the SHA-256 of it."""

    def __init__(self):
        self.pieces = []
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
    """The port of *application* behind the protocol."""
    config = uvicorn.Config(application, port=0, http=Front, ws="none", lifespan="off")
    server = uvicorn.Server(config)
    started = threading.Event()
    startup = server.startup

    async def announced(sockets=None):
        await startup(sockets)
        started.set()

    server.startup = announced
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        assert started.wait(WAIT_S)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        application.may_read.set()
        server.should_exit = True
        thread.join(WAIT_S)


@pytest.fixture
def application():
    return Application()


@pytest.fixture
def connection(application):
    with served(application) as port, socket.create_connection(("127.0.0.1", port)) as one:
        one.settimeout(WAIT_S)
        yield one


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


def test_what_waits_for_its_task_is_bounded(connection, application):
    body = random.Random(2).randbytes(6 * WAITING_BYTES_MAX)
    application.may_read.clear()
    sender = threading.Thread(target=connection.sendall, args=(posted(body),))
    sender.start()
    # Long enough to read all of it.
    sender.join(0.5)

    application.may_read.set()

    assert answers(connection, 1) == [digest(body)]
    sender.join(WAIT_S)
    (pieces,) = application.pieces
    assert WAITING_BYTES_MAX < max(pieces) <= WAITING_BYTES_MAX + READ_BYTES_MAX


def test_a_body_that_ends_early_is_no_body(connection, application):
    connection.sendall(posted(b"x" * 100_000)[:-1])
    connection.close()

    for _ in range(200):
        if application.pieces:
            break
        threading.Event().wait(0.02)
    assert application.pieces == [None]
