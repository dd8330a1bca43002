"""A PostgreSQL that is silent: stopped, or behind a network that lost its way."""

import socket
import threading
from pathlib import Path

import pytest
from sqlalchemy import make_url

from heliograph.core.errors import Unavailable
from heliograph.store.state import cursors
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State


class Proxy:
    """A port before a server; while `open` is not set it takes what comes, and passes nothing on."""

    def __init__(self, target):
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.open = threading.Event()
        self.open.set()
        self._sockets = [self._listener]
        self._go(self._accept)

    def _go(self, work, *args):
        threading.Thread(target=work, args=args, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(
                socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET
            )
            far.connect(self._target)
            self._sockets += [near, far]
            self._go(self._pass_on, near, far)
            self._go(self._pass_on, far, near)

    def _pass_on(self, source, target):
        try:
            while data := source.recv(65536):
                self.open.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.open.set()
        for one in self._sockets:
            one.close()


@pytest.fixture
def proxy(pg_server):
    """A proxy before `pg_server`."""
    host = pg_server.host or pg_server.query.get("host") or "127.0.0.1"
    port = pg_server.port or 5432
    one = Proxy(str(Path(host) / f".s.PGSQL.{port}") if host.startswith("/") else (host, port))
    yield one
    one.close()


@pytest.fixture
def silent_s(monkeypatch):
    """How long a server may be silent, short."""
    patience = pytest.importorskip("heliograph.store.state.patience")
    monkeypatch.setattr(patience, "SILENT_S_MAX", 0.5)


def test_a_silent_server_is_one_that_is_away(proxy, pg_url, silent_s, tmp_path, clock):
    url = make_url(pg_url).difference_update_query(["host"])
    url = url.set(host="127.0.0.1", port=proxy.port)
    url = url.update_query_dict({"sslmode": "disable", "gssencmode": "disable"})
    state = State.open(url.render_as_string(hide_password=False), tmp_path, clock)
    try:
        for n in (1, 2):
            state.run(lambda tx, n=n: cursors.advance(tx, "a", n), lane=Lane.ALERTS)
        assert state.read(cursors.get_all) == {"a": 2}
        proxy.open.clear()
        with pytest.raises(Unavailable, match="no answer"):
            state.run(lambda tx: cursors.advance(tx, "a", 3), lane=Lane.ALERTS)
        with pytest.raises(Unavailable, match="no answer"):
            state.read(cursors.get_all)
        assert "no answer" in state.failing
        proxy.open.set()
        state.run(lambda tx: cursors.advance(tx, "a", 4), lane=Lane.ALERTS)
        assert state.read(cursors.get_all) == {"a": 4}
    finally:
        # In time, though nothing answers.
        proxy.open.clear()
        state.close()
