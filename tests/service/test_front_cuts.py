"""However the bytes of many requests are cut into reads, each is answered, in order, and as a whole."""

import asyncio
import gc
import weakref
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response
from uvicorn.server import ServerState

from heliograph.service.front import Front
from tests import looped

READS_MAX = 10_000
# Of the loop: after so many nothing is left to do.
ROUNDS = 40


class Wire(asyncio.Transport):
    """What a connection writes on, and whether it reads."""

    def __init__(self):
        super().__init__()
        self.written, self.reads, self.closed = b"", True, False

    def get_extra_info(self, name, default=None):
        return ("127.0.0.1", 9)

    def write(self, data):
        assert not self.closed
        self.written += data

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def write_eof(self):
        # Nothing more is said, and what comes is dropped.
        self.closed = True

    def get_write_buffer_size(self):
        return 0

    def pause_reading(self):
        assert self.reads
        self.reads = False

    def resume_reading(self):
        assert not self.reads
        self.reads = True


class Echo:
    """Answers with the path and the body of a request, after as many rounds of the loop as its path
    says; without having read the body where that is `/none`."""

    refused = [].append
    vital = ()

    async def answered(self, request):
        path, body = request.url.path, b""
        if path.startswith("/wait"):
            for _ in range(int(path[5:])):
                await asyncio.sleep(0)
        more = path != "/none"
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                break
            body += message["body"]
            more = message["more_body"]
        return Response(path.encode() + b"|" + body)


ASKED = st.tuples(
    st.sampled_from(["GET", "HEAD", "POST", "PUT"]),
    st.sampled_from(["/", "/none", "/wait0", "/wait1", "/wait4"]),
    st.binary(max_size=30),
    st.booleans(),
)


def sent(method, path, body, chunked):
    """A request as it goes over the wire."""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n".encode()
    if method in {"GET", "HEAD"}:
        return head + b"\r\n"
    if chunked:
        some = (body[at : at + 7] for at in range(0, len(body), 7))
        framed = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in some)
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def told(method, path, body, _):
    """What comes back."""
    body = b"" if method in {"GET", "HEAD"} or path == "/none" else body
    text = path.encode() + b"|" + body
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(text)
    return head if method == "HEAD" else head + text


@given(asked=st.lists(ASKED, max_size=8), sizes=st.lists(st.integers(1, 90), min_size=1))
def test_each_is_answered_however_the_reads_fall(asked, sizes):
    stream = b"".join(sent(*one) for one in asked)
    expected = b"".join(told(*one) for one in asked)

    async def fed():
        state, wire = ServerState(), Wire()
        config = SimpleNamespace(
            loaded_app=Echo(), timeout_keep_alive=9, limit_concurrency=None
        )
        front = Front(config, state, {})
        front.connection_made(wire)
        at = 0
        for n in range(READS_MAX):
            if wire.reads and at < len(stream):
                size = sizes[n % len(sizes)]
                front.data_received(stream[at : at + size])
                at += size
            if wire.written == expected and at >= len(stream) and not state.tasks:
                break
            await asyncio.sleep(0)
        idle = front._idle_since_s is not None
        front.connection_lost(None)
        return wire.written, wire.reads, state.total_requests, idle

    assert looped.run(fed()) == (expected, True, len(asked), True)


def test_a_connection_that_is_over_is_not_held():
    """Garbage whose parts name each other is collected rarely."""

    async def left(stream, rounds):
        config = SimpleNamespace(
            loaded_app=Echo(), timeout_keep_alive=9, limit_concurrency=None
        )
        front, wire = Front(config, ServerState(), {}), Wire()
        front.connection_made(wire)
        front.data_received(stream)
        for _ in range(rounds):
            await asyncio.sleep(0)
        wire.closed = True
        front.connection_lost(None)
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        kept = weakref.ref(front)
        del front, wire
        return kept() is not None

    async def all_left():
        plain, slow = sent("POST", "/", b"x", False), sent("POST", "/wait3", b"x", False)
        cases = [
            (plain, ROUNDS),
            (slow * 3, ROUNDS),
            (slow * 3, 0),
            (plain[:-1], 0),
            (b"x\r\n", 0),
        ]
        return [await left(*case) for case in cases]

    gc.collect()
    gc.disable()
    try:
        assert looped.run(all_left()) == [False] * 5
    finally:
        gc.enable()
