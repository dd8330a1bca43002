"""Runs one service under uvicorn until a signal, or a dead thread, ends it."""

import logging
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, cast

import uvicorn

from heliograph.core.clock import Clock, SystemClock
from heliograph.core.errors import ConfigError, Unavailable
from heliograph.service import http, memory, wiring
from heliograph.service.ballast import Ballast
from heliograph.service.config import Config, host_and_port, is_open
from heliograph.service.front import Front
from heliograph.service.logs import configure

log = logging.getLogger(__name__)

# One busy thread costs a request the interpreter's switch interval, 5 ms unless told otherwise.
SWITCH_INTERVAL_S = 0.0005
GRACE_S = 8
KEEP_ALIVE_S = 75


class _Server(uvicorn.Server):
    """Says when it listens, which is when others may be sent to it, and why it stops.

    stops_since_s   since when it stops, None while it serves
    """

    def __init__(
        self, config: uvicorn.Config, clock: Clock, listening: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._clock = clock
        self._listening = listening
        self._signal = ""
        self.stops_since_s: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Bind. Raises ConfigError when the address cannot be had."""
        try:
            await super().startup(sockets)
        except SystemExit as error:
            # It has logged why; who started us by hand reads the last line.
            where = f"{self.config.host}:{self.config.port}"
            raise ConfigError(f"listen: {where} cannot be had; is it in use?") from error
        if self.started:
            self._listening()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the signal; what it does to the log is said outside of its handler."""
        self._signal = signal.Signals(sig).name
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is in flight."""
        self.stops_since_s = self._clock.monotonic_s()
        log.info("stopping", extra={"why": self._signal or "a thread has died"})
        await super().shutdown(sockets)


def serve(
    config: Config, *, log_level: str = "info", listening: Callable[[], None] = lambda: None
) -> int:
    """Serve *config*; the exit status. Raises ConfigError when it can never start so.

    *listening* is called once the address is ours.
    """
    configure(log_level)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    memory.return_large_blocks()
    clock = SystemClock()
    started_s = clock.monotonic_s()
    if is_open(config):
        log.warning("open to other machines without a token", extra={"listen": config.listen})
    ballast = Ballast(Path(config.data_dir))
    ballast.drop()
    try:
        site = _built(config, clock)
    except Unavailable as error:
        log.error("cannot start now", extra={"why": error.detail})  # noqa: TRY400 - words suffice
        return 1
    ballast.take()
    memory.collect_rarely()
    # The server raises the signal that stopped it once more when it is done; that one must not
    # end the process before the stores are closed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _seen)
    # Others read their configuration again, so supervisors send it; to end for it would be worse.
    signal.signal(signal.SIGHUP, _not_heeded)
    server = None
    try:

        def told() -> None:
            ready_s = round(clock.monotonic_s() - started_s, 3)
            facts = {**wiring.describe(config), "ready_s": ready_s}
            log.info("heliograph serves", extra=facts)
            listening()

        server = _Server(_options(config, site), clock, told)
        site.core.supervisor.on_failure(lambda: setattr(server, "should_exit", True))
        server.run()
    finally:
        site.close()
        if server is not None and server.stops_since_s is not None:
            took_s = round(clock.monotonic_s() - server.stops_since_s, 3)
            log.info("stopped", extra={"took_s": took_s})
        # The stores' own files beside them are gone: the next start will need that room.
        ballast.take(free_bytes_min=0)
    return 1 if site.core.supervisor.failed.is_set() or not server.started else 0


def _built(config: Config, clock: Clock) -> wiring.Site:
    try:
        return wiring.build(config, clock)
    except Unavailable as error:
        # Damage met at a start is mended at the next: that is now.
        log.warning("starting once more", extra={"why": error.detail})
        return wiring.build(config, clock)


def _seen(number: int, _: FrameType | None) -> None:
    log.debug("stopped by signal", extra={"number": number})


def _not_heeded(_: int, __: FrameType | None) -> None:
    log.warning("SIGHUP: the configuration is read at the start only; restart to change it")


def _options(config: Config, site: wiring.Site) -> uvicorn.Config:
    host, port = host_and_port(config.listen)
    return uvicorn.Config(
        cast("Any", site.app),
        interface="asgi3",
        host=host,
        port=port,
        http=Front,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        headers=[*http.HEADERS.items()],
        lifespan="off",
        proxy_headers=False,
        limit_concurrency=config.limits.connections,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
