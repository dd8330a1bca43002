"""How a connection ends: what was asked is answered, what came after is not done, and nothing that comes
without an end is kept."""

import asyncio
from types import SimpleNamespace

import pytest
from starlette.responses import Response
from uvicorn.server import ServerState

from heliograph.service.front import HEAD_BYTES_MAX, Front
from tests import looped
from tests.service.test_front_cuts import ROUNDS, Wire

CHUNKED = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"1\r\nx\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: "


class Paths:
    """Answers with the path of a request, where that is `/wait` after a while, and with a status that is
    none for `?odd`; *asked*: all paths, *headers*: those of the last."""

    def __init__(self):
        self.asked, self.headers = [], []
        self.refused = [].append
        self.vital = ()

    async def answered(self, request):
        path = request.scope["path"]
        self.asked.append(path)
        self.headers = [name for name, _ in request.scope["headers"]]
        if path == "/wait":
            for _ in range(3):
                await asyncio.sleep(0)
        return Response(path, 999 if request.scope["query_string"] == b"odd" else 200)


def after(*reads, ended=False, idle_s=9):
    """What is written, what was asked, and whether it is closed, after *reads* on a connection, which
    its sender has *ended* then; *idle_s* is how long it may be idle."""

    async def fed():
        application = Paths()
        config = SimpleNamespace(
            loaded_app=application, timeout_keep_alive=idle_s, limit_concurrency=None
        )
        front, wire = Front(config, ServerState(), {}), Wire()
        front.connection_made(wire)
        for read in reads:
            if not wire.closed:
                front.data_received(read)
        if ended and not front.eof_received():
            wire.close()
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        front.connection_lost(None)
        return wire.written, application, wire.closed

    return looped.run(fed())


def get(path, *, version="1.1", headers=""):
    """A question for *path*."""
    return f"GET {path} HTTP/{version}\r\n{headers}\r\n".encode()


def told(path, *, last=False):
    """The answer to it."""
    close = b"connection: close\r\n" if last else b""
    return OK + b"%d\r\n%b\r\n%b" % (len(path), close, path.encode())


def test_nothing_is_done_after_the_last_request():
    """HTTP/1.0 is closed whatever it asks for."""
    old = get("/a", version="1.0", headers="Connection: keep-alive\r\n")

    written, application, closed = after(old + get("/b") + get("/c"))

    assert (written, application.asked, closed) == (told("/a", last=True), ["/a"], True)


@pytest.mark.parametrize("asked", [["/a"], ["/wait"], ["/a", "/b"], ["/wait", "/b", "/wait"]])
@pytest.mark.parametrize("rest", [b"", b"GET /hal"])
def test_who_sends_no_more_is_answered(asked, rest):
    read = b"".join(map(get, asked)) + rest

    written, application, closed = after(read, ended=True)

    # What is answered at once was so before the end.
    last = asked != ["/a"]
    answers = [told(one) for one in asked[:-1]] + [told(asked[-1], last=last)]
    assert (written, application.asked, closed) == (b"".join(answers), asked, True)


@pytest.mark.parametrize("between", [b"", get("/b")])
@pytest.mark.parametrize("rest", [CHUNKED, CHUNKED + CHUNK, CHUNKED + b"zz\r\n"])
def test_of_a_body_that_is_none_those_before_do_not_suffer(between, rest):
    written, application, closed = after(get("/wait") + between + rest, ended=True)

    last = [told("/wait"), told("/b", last=True)] if between else [told("/wait", last=True)]
    assert (written, application.asked) == (b"".join(last), ["/wait", "/b"][: len(last)])
    assert closed


def test_who_ends_within_a_body_is_not_answered():
    written, _, closed = after(CHUNKED.replace(b"/a", b"/wait") + CHUNK, ended=True)

    assert (written, closed) == (b"", True)


def test_what_is_no_request_is_no_answer_to_those_before():
    read = get("/wait") + get("/b") + b"\x00\r\n\r\n" + get("/c")

    written, application, closed = after(read, get("/d"))

    assert (written, application.asked) == (
        told("/wait") + told("/b", last=True),
        ["/wait", "/b"],
    )
    assert closed


def test_a_head_without_an_end_is_no_answer_to_those_before():
    written, application, closed = after(
        get("/wait"), get("/b")[:9], *[b"x" * HEAD_BYTES_MAX] * 3
    )

    assert (written, application.asked, closed) == (told("/wait", last=True), ["/wait"], True)


@pytest.mark.parametrize("path", ["/a", "/wait"])
def test_an_answer_that_is_none_is_told_as_such(path):
    """At once, and after a while."""
    written, application, closed = after(get(f"{path}?odd") + get("/b"))

    assert written.startswith(b"HTTP/1.1 500 ")
    assert (written.count(b"HTTP/1.1"), application.asked, closed) == (1, [path], True)


def test_what_is_no_request_is_said_where_nothing_else_waits():
    written, application, closed = after(get("/a") + b"\x00\r\n\r\n" + get("/c"))

    assert written.startswith(told("/a") + b"HTTP/1.1 400 ")
    assert (application.asked, closed) == (["/a"], True)


@pytest.mark.parametrize("size", [HEAD_BYTES_MAX // 2, 3 * HEAD_BYTES_MAX])
def test_a_head_is_not_too_long_for_what_came_before_it(size):
    """However much came in the same read."""
    body = b"x" * size
    posted = b"POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size + body

    written, _, closed = after(posted + get("/b")[:9], get("/b")[9:])

    assert (written, closed) == (told("/a") + told("/b"), False)


def test_a_trailer_is_no_header():
    trailers = b"0\r\nAuthorization: Bearer x\r\nHost: y\r\n\r\n"

    written, application, _ = after(CHUNKED + CHUNK + trailers)

    assert (written, application.headers) == (told("/a"), [b"transfer-encoding"])


@pytest.mark.parametrize("trailer", [b"X: y\r\n", b"y" * 100], ids=["many", "long"])
def test_trailers_without_an_end_are_not_read_on(trailer):
    some = trailer * (HEAD_BYTES_MAX // 300)
    reads = [CHUNKED + CHUNK + b"0\r\nX: ", *[some] * 200]

    written, _, closed = after(*reads)

    assert b"HTTP/1.1 431 " in written
    assert closed


def test_one_that_is_busy_is_not_idle():
    """Though what came in the same read was answered before it."""
    written, _, _ = after(get("/a") + get("/wait"), idle_s=0)

    assert written == told("/a") + told("/wait")


@pytest.mark.parametrize("begun", [b"", b"\r\n", get("/a")[:-1], get("/a") + get("/b")[:9]])
def test_one_on_which_no_whole_head_comes_is_idle(begun):
    written, _, closed = after(begun, idle_s=0)

    assert written == (told("/a") if get("/a") in begun else b"")
    assert closed
    assert not after(begun)[2]
