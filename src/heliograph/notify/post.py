"""POST to a provider: one attempt, with an answer of bounded size and time, errors as values.

    answer = poster.post(url, body, headers={…}, http_config={…}, guarded=False, timeout_s=10)
    answer.status == 200, answer.body == b"ok"      or      answer.failure == "ConnectError: …"

No redirect is followed, no cookie kept, no proxy taken from the environment, no connection kept:
one that went stale would make it unknown whether the message arrived.
"""

import contextlib
import logging
import ssl
import threading
from base64 import b64encode
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple

import httpcore2
import httpx2
from msgspec import Struct

from heliograph import __version__
from heliograph.core.clock import Clock
from heliograph.core.errors import ConfigError, Refused
from heliograph.notify import outcome
from heliograph.notify.dialing import Backend, Deadline, Dialer, GuardError
from heliograph.notify.guard import Guard, parts
from heliograph.notify.protocol import Limits
from heliograph.notify.tls import Contexts

CONNECT_S = 5.0
# Clients by what distinguishes them (guard, TLS, proxy); more than these and the oldest goes.
CLIENTS_MAX = 64
USER_AGENT = f"heliograph/{__version__}"
# They log URLs and headers, and tokens with them.
_TALKATIVE = ("httpx2", "httpcore2", "aiosmtplib")
# Nothing of the request was sent.
_NOT_OUT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
)
# What is behind it may have taken the request.
_BY_A_GATEWAY = frozenset({502, 504})
# Set by the client alone: another value would say something else than what is sent.
_OF_THE_CONNECTION = frozenset(
    {
        *("content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer"),
        *("upgrade", "expect", "accept-encoding", "proxy-authorization", "proxy-connection"),
    }
)


class Answer(Struct, frozen=True):
    """What came back.

    status         0: nothing; then *failure* says why, and *refused* whether it always will
    retry_after_s  of the header, 0 without one
    unsure         nothing came, or only from a gateway, but the request was out
    """

    status: int = 0
    body: bytes = b""
    retry_after_s: float = 0.0
    failure: str = ""
    refused: bool = False
    unsure: bool = False


class _Kept(NamedTuple):
    context: ssl.SSLContext
    client: httpx2.Client


class Poster:
    """Sends requests. Thread-safe. *tls* has the contexts, for those that are not HTTP too."""

    def __init__(self, guard: Guard, clock: Clock, limits: Limits) -> None:
        self._guard = guard
        self._clock = clock
        self._limits = limits
        self._dialers = {True: Dialer(guard, clock), False: Dialer(None, clock)}
        self.tls = Contexts()
        self._clients: dict[tuple[Any, ...], _Kept] = {}
        self._lock = threading.Lock()
        for name in _TALKATIVE:
            logger = logging.getLogger(name)
            logger.setLevel(max(logging.WARNING, logger.level))

    def lends(self, mail_host: str) -> bool:
        """Whether *mail_host* is the operator's own, which nobody is guarded from."""
        return mail_host in self._guard.mail_hosts

    def dialer(self, *, guarded: bool) -> Dialer:
        """What connections are opened with, for those that are not HTTP."""
        return self._dialers[guarded]

    def post(
        self,
        url: str,
        body: bytes,
        *,
        headers: Mapping[str, str],
        http_config: Mapping[str, Any] | None = None,
        guarded: bool = False,
        timeout_s: float,
    ) -> Answer:
        """The answer to *body*, within *timeout_s*.

        Raises nothing: a URL, a file or a network that is wrong is a failure in the answer.
        """
        dialer = self._dialers[guarded]
        try:
            parts(url)
            config = http_config or {}
            client = self._client(config, dialer, guarded=guarded)
            wanted = _headers(config, headers)
            server_name = (config.get("tls_config") or {}).get("server_name")
            asked = {"sni_hostname": server_name} if server_name else None
            with dialer.deadline.of(self._clock.monotonic_s() + timeout_s):
                request = client.build_request(
                    "POST", url, content=body, headers=wanted, extensions=asked
                )
                return self._ask(client, request, dialer.deadline)
        except (Refused, ConfigError) as error:
            return Answer(failure=str(error), refused=True)
        except httpx2.HTTPError as error:
            return _failed(error)
        except (httpx2.InvalidURL, httpx2.StreamError, OSError, ValueError) as error:
            return Answer(failure=f"{type(error).__name__}: {error}", unsure=True)

    def close(self) -> None:
        """Forget the clients. Connections belong to attempts, which end by their deadlines."""
        with self._lock:
            self._clients.clear()

    def _ask(
        self, client: httpx2.Client, request: httpx2.Request, deadline: Deadline
    ) -> Answer:
        with contextlib.closing(client.send(request, stream=True)) as response:
            status = response.status_code
            asked_s = outcome.retry_after_s(
                response.headers.get("retry-after"),
                self._clock.now_ns(),
                most_s=self._limits.retry_after_s_max,
            )
            read = bytearray()
            try:
                for chunk in response.iter_raw():
                    read += chunk[: self._limits.answer_bytes_max - len(read)]
                    late = self._clock.monotonic_s() > (deadline.until_s or 0.0)
                    if late or len(read) >= self._limits.answer_bytes_max:
                        break
            except httpx2.HTTPError:
                # The status is an answer, though its words were cut off.
                pass
        return Answer(status, bytes(read), asked_s, unsure=status in _BY_A_GATEWAY)

    def _client(
        self, config: Mapping[str, Any], dialer: Dialer, *, guarded: bool
    ) -> httpx2.Client:
        tls = config.get("tls_config") or {}
        proxy = str(config.get("proxy_url") or "")
        key = (guarded, proxy, *sorted((str(k), str(v)) for k, v in tls.items()))
        context = self.tls.of(tls)
        with self._lock:
            kept = self._clients.get(key)
            if kept is None or kept.context is not context:
                if kept is None and len(self._clients) >= CLIENTS_MAX:
                    # Not closed: it may be at work, and keeps no connection.
                    del self._clients[next(iter(self._clients))]
                kept = self._clients[key] = _Kept(context, _open(context, proxy, dialer))
            return kept.client


class _Transport(httpx2.HTTPTransport):
    """The client's transport over our own connections, none of them kept."""

    def __init__(self, context: ssl.SSLContext, proxy: str, dialer: Dialer) -> None:
        super().__init__(verify=context, trust_env=False)
        ways: dict[str, Any] = {
            "ssl_context": context,
            "max_connections": None,
            "max_keepalive_connections": 0,
            "network_backend": Backend(dialer),
        }
        if proxy:
            through = httpx2.Proxy(proxy)
            self._pool = httpcore2.HTTPProxy(
                proxy_url=str(through.url), proxy_auth=through.raw_auth, **ways
            )
        else:
            self._pool = httpcore2.ConnectionPool(**ways)


def _open(context: ssl.SSLContext, proxy: str, dialer: Dialer) -> httpx2.Client:
    return httpx2.Client(
        transport=_Transport(context, proxy, dialer),
        timeout=httpx2.Timeout(60.0, connect=CONNECT_S),
        follow_redirects=False,
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )


def _failed(error: httpx2.HTTPError) -> Answer:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, GuardError):
            return Answer(failure=str(cause), refused=isinstance(cause.reason, Refused))
        cause = cause.__cause__
    words = f"{type(error).__name__}: {error}".rstrip(": ")
    # What we may not say will be no better next time.
    never = isinstance(error, httpx2.LocalProtocolError | httpx2.UnsupportedProtocol)
    return Answer(failure=words, refused=never, unsure=not isinstance(error, _NOT_OUT))


def _headers(config: Mapping[str, Any], headers: Mapping[str, str]) -> httpx2.Headers:
    """Ours, then those of *config*, then *headers*; each name once, however it is written."""
    wanted = httpx2.Headers({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
    for given in (_authorization(config), _named(config.get("http_headers")), headers):
        for name, value in given.items():
            if name.lower() not in _OF_THE_CONNECTION:
                wanted[name] = value
    return wanted


def _authorization(config: Mapping[str, Any]) -> dict[str, str]:
    basic = config.get("basic_auth")
    if isinstance(basic, Mapping):
        pair = f"{basic.get('username', '')}:{basic.get('password', '')}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    stated = config.get("authorization")
    if isinstance(stated, Mapping):
        kind = str(stated.get("type") or "Bearer")
        return {"Authorization": f"{kind} {stated.get('credentials', '')}".strip()}
    bearer = config.get("bearer_token")
    return {"Authorization": f"Bearer {bearer}"} if bearer else {}


def _named(stated: Any) -> dict[str, str]:
    """Alertmanager's `http_headers`: name → values and secrets; or plain texts."""
    if not isinstance(stated, Mapping):
        return {}
    headers: dict[str, str] = {}
    for name, given in stated.items():
        if isinstance(given, Mapping):
            texts = [str(one) for key in ("values", "secrets") for one in given.get(key) or []]
        else:
            texts = [str(given)]
        headers[str(name)] = ", ".join(texts)
    return headers
