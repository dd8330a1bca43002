"""How an answer begins on the wire: its status, and the headers that every answer has."""

import http

Headers = list[tuple[bytes, bytes]]

# Of a 503 that has no other.
RETRY_AFTER_S = 5

_STATUS = {
    one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n".encode() for one in http.HTTPStatus
}


class Heads:
    """Beginnings of answers; the common headers change once a second, for the date is one."""

    def __init__(self) -> None:
        self._of: Headers | None = None
        self._text = b""

    def __call__(self, status: int, common: Headers) -> bytes:
        """That of one with *status*, with the *common* headers. KeyError: there is no such status."""
        if common is not self._of:
            self._text = b"".join(b"%b: %b\r\n" % one for one in common)
            self._of = common
        return _STATUS[status] + self._text


head = Heads()


def refusal(status: int, common: Headers, text: bytes) -> bytes:
    """The whole of an answer that says *text*, after which the connection is closed."""
    told = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n" % len(text)
    if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        told += b"retry-after: %d\r\n" % RETRY_AFTER_S
    return b"".join((head(status, common), told, b"connection: close\r\n\r\n", text))
