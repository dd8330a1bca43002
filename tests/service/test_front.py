"""Bodies reach the application in few pieces, whole, and never more of them than the bound."""

import asyncio
import hashlib
import random
import socket
import threading
from contextlib import contextmanager, suppress

import pytest
import uvicorn
from starlette.responses import Response

from heliograph.service import exchange, parting
from heliograph.service.exchange import UNREAD_BYTES_MAX, WAITING_BYTES_MAX
from heliograph.service.front import Front
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
        self.refused = [].append
        self.vital = ()

    async def answered(self, request):
        await asyncio.to_thread(self.may_read.wait, WAIT_S)
        pieces, more = [], True
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                self.pieces.append(None)
                return Response()
            pieces.append(message["body"])
            self.heard.append(len(message["body"]))
            more = message["more_body"]
        self.pieces.append([len(one) for one in pieces])
        return Response(hashlib.sha256(b"".join(pieces)).hexdigest())


class Saying:
    """Answers each request with what *say* gives for it; *tasked*: whether that was in a task, *refusals*:
    what the connection refused by itself."""

    def __init__(self, say):
        self.say, self.tasked, self.refusals = say, [], []
        self.refused = self.refusals.append
        self.vital = {"/healthz"}

    async def answered(self, request):
        self.tasked.append(asyncio.current_task() is not None)
        found = self.say(request)
        return await found if asyncio.iscoroutine(found) else found


@contextmanager
def served(application, **options):
    """*application* behind the protocol: its port, and the connections that are open."""
    config = uvicorn.Config(
        application, port=0, http=Front, ws="none", lifespan="off", interface="asgi3",
        proxy_headers=False, server_header=False, **options,
    )  # fmt: skip
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
    read = [one._read for one in list(connections)]
    return [len(one._body) for one in read if one is not None] or [0]


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
    monkeypatch.setattr(exchange, "TOLD_EVERY_S", -1.0)
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
        until(lambda: max(held(connections)) > UNREAD_BYTES_MAX, "a full buffer")
        application.may_read.set()
        answers(connection, 1)

    (pieces,) = application.pieces
    assert max(pieces) <= UNREAD_BYTES_MAX + READ_BYTES_MAX


def test_what_nobody_read_goes_with_the_answer(application):
    class Unread:
        refused = [].append
        vital = ()

        async def answered(self, request):
            await asyncio.to_thread(application.may_read.wait, WAIT_S)
            return Response()

    application.may_read.clear()
    with sending(Unread(), posted(b"x" * 100_000)) as (connection, connections):
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


GET = b"GET /some%20where?a=1 HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def asking(say, **options):
    """A connection to an application that answers with what *say* gives, and that application."""
    application = Saying(say)
    with (
        served(application, **options) as (port, _),
        socket.create_connection(("127.0.0.1", port)) as one,
    ):
        one.settimeout(WAIT_S)
        yield one, application


def until_closed(connection):
    """All that comes until the connection is closed."""
    pieces = []
    with suppress(ConnectionResetError):
        while more := connection.recv(1024 * 1024):
            pieces.append(more)
    return b"".join(pieces)


def test_what_need_not_wait_is_answered_without_a_task():
    def say(request):
        assert (request.url.path, request.url.query) == ("/some where", "a=1")
        return Response("now")

    with asking(say) as (connection, application):
        for _ in range(3):
            connection.sendall(GET)
            assert connection.recv(65536).endswith(b"\r\n\r\nnow")

    assert application.tasked == [False] * 3


def test_what_must_wait_goes_on_as_a_task():
    async def later():
        first = asyncio.current_task() is not None
        await asyncio.sleep(0)
        async with asyncio.timeout(WAIT_S):
            await asyncio.sleep(0)
        return Response(f"{first} {asyncio.current_task() is not None}")

    with asking(lambda _: later()) as (connection, _):
        connection.sendall(GET)
        assert connection.recv(65536).endswith(b"\r\n\r\nFalse True")


def test_of_many_in_one_read_the_first_alone_is_answered_at_once():
    with asking(lambda _: Response("x" * 64)) as (connection, application):
        connection.sendall(GET * 40)
        assert answers(connection, 40) == ["x" * 64] * 40

    # However the reads fell.
    assert application.tasked.count(False) < 20


def test_while_one_is_answered_others_are_not_read_without_end(application):
    requests = posted(b"x") * 60_000
    application.may_read.clear()
    with sending(application, requests) as (connection, connections):
        until(lambda: any(one._paused for one in connections), "it to stop reading")
        (front,) = connections
        assert len(front._waiting) <= READ_BYTES_MAX // len(posted(b"x")) + 1
        connection.shutdown(socket.SHUT_RD)
        connection.close()
        application.may_read.set()


def test_an_idle_connection_is_closed_and_a_busy_one_is_not():
    async def later():
        await asyncio.sleep(0.01)
        return Response("x")

    with asking(lambda _: later(), timeout_keep_alive=0.2) as (connection, _):
        connection.sendall(GET * 3)
        assert until_closed(connection).count(b"HTTP/1.1 200") == 3


def test_a_last_request_closes_the_connection():
    last = GET.replace(b"Host: x", b"Host: x\r\nConnection: close")
    with asking(lambda _: Response("x")) as (connection, _):
        connection.sendall(GET + last + GET)
        got = until_closed(connection)

    assert got.count(b"HTTP/1.1 200") == 2
    assert got.count(b"\r\nconnection: close\r\n") == 1


def test_a_question_about_the_head_is_answered_without_a_body():
    with asking(lambda _: Response("12345")) as (connection, _):
        connection.sendall(
            GET.replace(b"GET", b"HEAD", 1).replace(b"Host: x", b"Host: x\r\nConnection: close")
        )
        got = until_closed(connection)

    assert b"\r\ncontent-length: 5\r\n" in got
    assert got.endswith(b"\r\n\r\n")


def test_a_header_cannot_begin_another():
    def say(_):
        return Response("x", headers={"Location": "here\r\nSet-Cookie: hgcanary"})

    with asking(say) as (connection, _):
        connection.sendall(GET)
        got = until_closed(connection)

    assert got.startswith(b"HTTP/1.1 500")
    assert b"hgcanary" not in got


def test_who_waits_for_a_word_is_told_to_go_on(connection):
    head, _, body = posted(b"12345").partition(b"\r\n\r\n")
    connection.sendall(head + b"\r\nExpect: 100-Continue\r\n\r\n")
    assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(body)

    assert answers(connection, 1) == [digest(b"12345")]


def test_who_is_not_told_to_go_on_asks_no_more_on_that_connection():
    """What it sent next would be taken for the body."""
    with asking(lambda _: Response("no", 413)) as (connection, _):
        connection.sendall(posted(b"12345").partition(b"\r\n\r\n")[0])
        connection.sendall(b"\r\nExpect: 100-continue\r\n\r\n")
        got = connection.recv(65536)
        connection.shutdown(socket.SHUT_WR)

    assert got.startswith(b"HTTP/1.1 413")
    assert b"\r\nconnection: close\r\n" in got


def test_a_head_without_an_end_is_not_read_on(monkeypatch):
    monkeypatch.setattr(parting, "LINGER_S", 0.2)
    head = GET[:-2] + b"X-Some: "
    with asking(lambda _: Response("x")) as (connection, application):
        sender = threading.Thread(target=sent_until_refused, args=(connection, head))
        sender.start()
        got = until_closed(connection)
        sender.join(WAIT_S)

    assert got.startswith(b"HTTP/1.1 431")
    assert (application.tasked, application.refusals) == ([], [431])


def sent_until_refused(connection, head):
    """Send *head*, and on, until nobody reads it."""
    with suppress(OSError):
        connection.sendall(head)
        while True:
            connection.sendall(b"x" * 65536)


@pytest.mark.parametrize("before", [b"", GET], ids=["first", "later"])
@pytest.mark.parametrize(
    ("begun", "status"),
    [(GET.replace(b"Host", b"Content-Length: z\r\nHost"), b"400"), (GET[:-2] + b"X: ", b"431")],
)
def test_what_cannot_be_read_is_told_so_though_more_of_it_comes(before, begun, status):
    """Also where others were answered before it."""
    with asking(lambda _: Response("x")) as (connection, _):
        if before:
            connection.sendall(before)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(begun)
        connection.sendall(b"x" * (8 * 1024 * 1024))
        got = until_closed(connection)

    assert got.startswith(b"HTTP/1.1 " + status)


def test_as_many_connections_as_may_be_are_answered():
    with asking(lambda _: Response("x"), limit_concurrency=1) as (connection, application):
        connection.sendall(GET.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        assert until_closed(connection).startswith(b"HTTP/1.1 200")

    assert application.refusals == []


def test_one_connection_too_many_is_told_so():
    with asking(lambda _: Response("x"), limit_concurrency=0) as (connection, application):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
        got = until_closed(connection)

    ours, _, theirs = got.partition(b"HTTP/1.1 503")
    assert ours.startswith(b"HTTP/1.1 200")
    assert b"retry-after: 5\r\n" in theirs
    assert len(application.tasked) == 1
    assert application.refusals == [503]


@pytest.mark.parametrize("ending", [b"Connection: close\r\n", b""])
def test_an_answer_before_the_end_of_a_body_arrives(ending):
    """Also where the connection is closed after it: what was not read would have it reset."""
    size = 48 * 1024 * 1024
    with asking(lambda _: Response("too much", 413)) as (connection, _):
        head = b"POST / HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n"
        connection.sendall(head % (ending, size))
        for _ in range(48):
            connection.sendall(bytes(1024 * 1024))
        if not ending:
            connection.sendall(GET.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        got = until_closed(connection)

    assert got.count(b"HTTP/1.1 413") == (1 if ending else 2)
    assert got.endswith(b"too much")


def test_who_sends_on_after_the_last_answer_is_left(monkeypatch):
    monkeypatch.setattr(parting, "LINGER_S", 0.2)
    with (
        asking(lambda _: Response("no", 413)) as (connection, _),
        pytest.raises(ConnectionError),
    ):
        sent_for_ever(connection)


def sent_for_ever(connection):
    """A body without an end."""
    connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
    connection.sendall(b"Content-Length: 999999999999\r\n\r\n")
    while True:
        connection.sendall(bytes(65536))


def test_who_reads_nothing_at_all_is_left(monkeypatch):
    monkeypatch.setattr(parting, "UNREAD_S_MAX", 0.2)
    with (
        served(Saying(lambda _: Response(bytes(4 * WAITING_BYTES_MAX)))) as (port, open_),
        socket.create_connection(("127.0.0.1", port)) as one,
    ):
        one.sendall(GET * 8)
        until(lambda: open_, "the connection")
        until(lambda: not open_, "its end")


def test_who_reads_slowly_is_waited_for(monkeypatch):
    monkeypatch.setattr(parting, "UNREAD_S_MAX", 0.2)
    said = bytes(16 * WAITING_BYTES_MAX)
    with asking(lambda _: Response(said)) as (connection, _):
        connection.sendall(GET.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        got = 0
        while more := len(connection.recv(256 * 1024)):
            got += more
            # Slower than a look, all in all, while some goes out between two.
            threading.Event().wait(0.01)

    assert got > len(said)


def test_what_is_being_answered_at_the_end_is_told_to_come_again():
    async def never():
        await asyncio.Event().wait()

    application = Saying(lambda _: never())
    with socket.socket() as connection:
        with served(application, timeout_graceful_shutdown=0) as (port, _):
            connection.connect(("127.0.0.1", port))
            connection.sendall(GET)
            until(lambda: application.tasked, "the question")
        assert until_closed(connection).startswith(b"HTTP/1.1 503")


def test_answers_wait_for_one_who_does_not_read():
    said = bytes(4 * WAITING_BYTES_MAX)
    with asking(lambda _: Response(said)) as (connection, application):
        for _ in range(3):
            connection.sendall(GET)
        until(lambda: len(application.tasked) >= 2, "the second question")
        last = GET.replace(b"Host: x", b"Host: x\r\nConnection: close")
        connection.sendall(last)
        got = until_closed(connection)

    assert got.count(b"HTTP/1.1 200") == 4
    assert got.count(b"\0") == 4 * len(said)
