"""Connections to providers: to checked addresses, and over at a deadline, whatever the peer does.

The client's own time-outs are for one read each; a peer that drips a byte now and then would never
meet them. So every socket knows when the attempt it serves ends.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore2

from heliograph.core.clock import Clock
from heliograph.core.errors import HeliographError
from heliograph.notify.guard import Guard, resolve

# A kernel's answer, as the C library takes it: one of (level, name, value).
_Option = Any


class Deadline(threading.local):
    """When the attempt of this thread ends, monotonic seconds; none outside an attempt."""

    until_s: float | None = None

    @contextlib.contextmanager
    def of(self, until_s: float) -> Iterator[None]:
        """For the body of the `with`."""
        self.until_s = until_s
        try:
            yield
        finally:
            self.until_s = None


class Dialer:
    """Opens TCP connections. *guard* is None for the operator's own receivers. Thread-safe."""

    def __init__(self, guard: Guard | None, clock: Clock) -> None:
        self._guard = guard
        self._clock = clock
        self.deadline = Deadline()

    def left_s(self, wanted_s: float | None) -> float:
        """What remains of the attempt, at most *wanted_s*; never less than a moment."""
        wanted_s = 60.0 if wanted_s is None else wanted_s
        if self.deadline.until_s is None:
            return wanted_s
        return min(wanted_s, max(self.deadline.until_s - self._clock.monotonic_s(), 0.001))

    def over(self) -> bool:
        """Whether the attempt has no time left."""
        until_s = self.deadline.until_s
        return until_s is not None and self._clock.monotonic_s() >= until_s

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """A socket to the first of the addresses of *host* that takes one.

        Raises OSError, and Refused or Unavailable of the guard.
        """
        if self._guard is None:
            addresses = resolve(host.strip("[]"), port)
        else:
            addresses = self._guard.addresses(host, port)
        failure: OSError = OSError("no address")
        for address in addresses:
            if self.over():
                raise TimeoutError("no time left")
            try:
                return socket.create_connection((address, port), self.left_s(timeout_s))
            except OSError as error:
                failure = error
        raise failure


class GuardError(httpcore2.ConnectError):
    """The guard's Refused or Unavailable on its way through the client; *reason* is it."""

    def __init__(self, reason: HeliographError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Backend(httpcore2.NetworkBackend):
    """What the HTTP client connects with."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - the client's signature
        socket_options: Iterable[_Option] | None = None,  # noqa: ARG002 - the same
    ) -> httpcore2.NetworkStream:
        """A stream to *host*, which is a name or an address."""
        try:
            connected = self._dialer.connect(host, port, timeout or 60.0)
        except HeliographError as error:
            raise GuardError(error) from error
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(str(error)) from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(str(error)) from error
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Stream(connected, self._dialer)


class _Stream(httpcore2.NetworkStream):
    """A socket whose every operation ends with the attempt."""

    def __init__(self, connected: socket.socket, dialer: Dialer) -> None:
        self._socket = connected
        self._dialer = dialer

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._dialer.over():
            raise httpcore2.ReadTimeout("the answer takes too long")
        try:
            self._socket.settimeout(self._dialer.left_s(timeout))
            return self._socket.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore2.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore2.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(buffer)
        try:
            while view:
                if self._dialer.over():
                    raise httpcore2.WriteTimeout("the request takes too long")
                self._socket.settimeout(self._dialer.left_s(timeout))
                view = view[self._socket.send(view) :]
        except TimeoutError as error:
            raise httpcore2.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore2.WriteError(str(error)) from error

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            self._socket.settimeout(self._dialer.left_s(timeout))
            wrapped = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except TimeoutError as error:
            self.close()
            raise httpcore2.ConnectTimeout(str(error)) from error
        except (OSError, ValueError) as error:
            self.close()
            raise httpcore2.ConnectError(str(error)) from error
        return _Stream(wrapped, self._dialer)

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object" and isinstance(self._socket, ssl.SSLSocket):
            return self._socket
        if info == "socket":
            return self._socket
        return None
