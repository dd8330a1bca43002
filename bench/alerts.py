"""Alert intake, beside Debian's Alertmanager: alerts per CPU second, latency, memory, lists.

    python bench/alerts.py [--alerts 100000] [--rounds 4] [--connections 4] [--only heliograph]

Both are processes with the same routes, sent the same bodies by turns: ours keeps every new alert on
disk before it answers, theirs keeps them in memory. Alerts are shaped as Prometheus posts them: 9
labels, 3 annotations, both times and a URL, about 760 bytes. A repeat is the same with a later end.

    new, batch 100     alerts that nobody has seen; until *alerts* are active
    repeat, batch 100  all of them again, with a later end
    … batch 1          one alert a request, over all connections
    notified           from the post of an alert to its webhook, group_wait 0

CPU seconds are those of the server, user and system, until it is at rest again, so that what it
does after its answers counts. Groups of the load wait longer than this runs: telling is no part of
intake. Goals (ratios): issue 7.9.
"""

import argparse
import contextlib
import http.server
import json
import selectors
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from _shared import CLOCK, Server, fetch, free_port, heliograph, machine, ms, peer, running
from heliograph.core import instant

PATH = "/api/v2/alerts"
FILTER = PATH + "?filter=job%3D%22train-017%22"
BATCH = 100
SINGLES = 4000
TEMPLATES = "prometheus/alertmanager/default.tmpl"
START = '"2026-11-22T00:43:18.518764605Z"'
# A server is at rest when it took less than this of a CPU over a while.
REST_CPU = 0.03
REST_S = 0.4
REST_S_MAX = 60


class Named(NamedTuple):
    """One of the two."""

    name: str
    server: Server


class Told(NamedTuple):
    """What one phase of one server came to."""

    alerts: int
    cpu_s: float
    wall_s: float
    latency_s: list[float]


class Hook:
    """A webhook that notes when each probe was told."""

    def __init__(self) -> None:
        self.seen: dict[str, float] = {}
        self.came = threading.Condition()
        hook = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at_s = time.perf_counter()
                document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                with hook.came:
                    for alert in document["alerts"]:
                        hook.seen.setdefault(alert["labels"]["probe"], at_s)
                    hook.came.notify_all()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, probe: str) -> float:
        """When *probe* was told. Ends the run when that takes too long."""
        with self.came:
            if not self.came.wait_for(lambda: probe in self.seen, timeout=20):
                sys.exit(f"{probe} was never told")
            return self.seen[probe]


def routes(hook: Hook) -> dict[str, Any]:
    """An alertmanager.yml: probes are told *hook* at once, the load nobody."""
    probes = {
        "receiver": "hook",
        "matchers": ['probe=~".+"'],
        "group_by": ["probe"],
        "group_wait": "0s",
    }
    return {
        "route": {
            "receiver": "nobody",
            "group_by": ["alertname", "job"],
            "group_wait": "1h",
            "group_interval": "1h",
            "repeat_interval": "4h",
            "routes": [probes],
        },
        "receivers": [
            {"name": "nobody"},
            {"name": "hook", "webhook_configs": [{"url": hook.url}]},
        ],
    }


@contextlib.contextmanager
def alertmanager(folder: Path, config: dict[str, Any]) -> Iterator[Server | None]:
    """Debian's Alertmanager, or None where it is not here (`make peers` fetches it)."""
    program, env = peer("alertmanager")
    shared = Path(__file__).parents[1] / ".cache" / "peers" / "usr" / "share"
    before: list[str] = []
    if not Path("/usr/share", TEMPLATES).exists() and (unshare := shutil.which("unshare")):
        # Unpacked, not installed: it is shown its templates in a mount namespace of its own.
        mount = 'mount --bind "$0" /usr/share && exec "$@"'
        before = [unshare, "-rm", "sh", "-c", mount, str(shared)]
    if program is None:
        yield None
        return
    file, port = folder / "alertmanager.yml", free_port()
    file.write_text(json.dumps(config))
    command = [
        *before, str(program), f"--config.file={file}", f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
        "--log.level=error",
    ]  # fmt: skip
    with running(command, port, "/-/ready", env=env) as server:
        yield server


class Alerts:
    """*count* alerts as JSON, whose ends may be said anew."""

    def __init__(self, count: int, *, tag: str = "") -> None:
        self._alerts = [_alert(n, tag) for n in range(count)]

    def bodies(self, size: int, *, minutes: float = 30, begin: int = 0, end: int | None = None):
        """Requests of *size* alerts each, from number *begin* to *end*, firing for *minutes*."""
        ends = instant.text_of(CLOCK.now_ns() + round(minutes * 60e9))
        some = self._alerts[begin:end]
        texts = [f'{head}"endsAt":"{ends}",{tail}' for head, tail in some]
        return [
            request(f"[{','.join(texts[n : n + size])}]".encode())
            for n in range(0, len(texts), size)
        ]


def _alert(n: int, tag: str) -> tuple[str, str]:
    """What stands before and after the end of alert *n*, as Go writes it: keys in order."""
    node, job = f"gpu-node-{n // 8 % 2000:04}", f"train-{n // 64 % 200:03}"
    name = f"GPUAlert{n % 23}"
    labels = {
        "alertname": name,
        "cluster": "east-1",
        "gpu": str(n % 8),
        "instance": f"{node}:9400",
        "job": job,
        "namespace": "training",
        "pod": f"{job}-worker-{n}{tag}",
        "rule": f"r{n % 7}",
        "severity": ("critical", "warning", "info")[n % 3],
    }
    annotations = {
        "description": f"GPU {n % 8} of {node} has been above its limit for five minutes",
        "runbook_url": f"https://runbooks.example.com/gpu/{name}",
        "summary": f"{name} on {node}",
    }
    url = f"http://prometheus.example.com:9090/graph?g0.expr=gpu_temp+%3E+{n % 23}&g0.tab=1"
    head = f'{{"annotations":{json.dumps(annotations, separators=(",", ":"))},'
    tail = (
        f'"startsAt":{START},"generatorURL":"{url}",'
        f'"labels":{json.dumps(labels, separators=(",", ":"))}}}'
    )
    return head, tail


def request(body: bytes) -> bytes:
    """A POST of *body*."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection:
    """One keep-alive connection that has at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.sent_s = 0.0
        self._left = memoryview(b"")
        self._got = b""

    def send(self, request: bytes) -> None:
        self.sent_s = time.perf_counter()
        self._left, self._got = memoryview(request), b""
        self.push()

    def push(self) -> bool:
        """Send on; whether all is sent."""
        with contextlib.suppress(BlockingIOError):
            while self._left:
                self._left = self._left[self.socket.send(self._left) :]
        return not self._left

    def pull(self) -> bool:
        """Read on; whether the answer is here. Ends the run when it is not 200."""
        got = self.socket.recv(65536)
        self._got += got
        head, blank, body = self._got.partition(b"\r\n\r\n")
        if not got or (blank and not head.startswith(b"HTTP/1.1 200")):
            sys.exit(f"refused: {self._got[:500]!r}")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        return bool(blank) and len(body) >= int(length or 0)


def send_all(port: int, requests: Sequence[bytes], connections: int) -> list[float]:
    """Send *requests* over so many connections, each when the one before it was answered; the
    seconds that each took. One thread: the sender must not be what is measured."""
    took_s: list[float] = []
    waiting = iter(requests)
    opened = [_Connection(port) for _ in range(connections)]
    with selectors.DefaultSelector() as selector:
        both = selectors.EVENT_READ | selectors.EVENT_WRITE
        for each in opened:
            if (first := next(waiting, None)) is not None:
                selector.register(each.socket, both, each)
                each.send(first)
        while selector.get_map():
            for key, ready in selector.select():
                each = key.data
                if ready & selectors.EVENT_WRITE:
                    if each.push():
                        selector.modify(each.socket, selectors.EVENT_READ, each)
                elif each.pull():
                    took_s.append(time.perf_counter() - each.sent_s)
                    if (more := next(waiting, None)) is None:
                        selector.unregister(each.socket)
                    else:
                        each.send(more)
                        if not each.push():
                            selector.modify(each.socket, both, each)
    for each in opened:
        each.socket.close()
    return took_s


def rest(server: Server) -> None:
    """Return as soon as *server* does nothing more."""
    until = CLOCK.monotonic_s() + REST_S_MAX
    while CLOCK.monotonic_s() < until:
        before = server.cpu_s()
        CLOCK.sleep(REST_S)
        if server.cpu_s() - before < REST_CPU * REST_S:
            return


def phase(server: Server, requests: Sequence[bytes], alerts: int, connections: int) -> Told:
    """Send *requests*, which hold *alerts*, and wait until the server is at rest."""
    cpu_s = server.cpu_s()
    began = time.perf_counter()
    latency_s = send_all(server.port, requests, connections)
    wall_s = time.perf_counter() - began
    rest(server)
    return Told(alerts, server.cpu_s() - cpu_s, wall_s, latency_s)


def notified(server: Server, hook: Hook, name: str, count: int) -> list[float]:
    """Seconds from the post of each of *count* alerts to its webhook."""
    took = []
    ends = instant.text_of(CLOCK.now_ns() + 30 * 60 * 10**9)
    for n in range(count):
        probe = f"{name}-{n}"
        labels = {"alertname": "Probe", "probe": probe}
        body = json.dumps([{"labels": labels, "endsAt": ends}]).encode()
        began = time.perf_counter()
        send_all(server.port, [request(body)], 1)
        took.append(hook.wait(probe) - began)
    return took


def listed(server: Server, rounds: int) -> list[float]:
    """Seconds of each list of one job's alerts."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        body = fetch(server.port, FILTER)
        took.append(time.perf_counter() - began)
        assert json.loads(body), "the filter finds nothing"
    return took


class Figures:
    """What was measured, by what and whom."""

    def __init__(self) -> None:
        self.phases: dict[str, dict[str, list[Told]]] = {}
        self.seconds: dict[str, dict[str, list[float]]] = {}
        self.mib: dict[str, float] = {}

    def add(self, what: str, name: str, told: Told) -> None:
        """Note one round."""
        self.phases.setdefault(what, {}).setdefault(name, []).append(told)
        rate = told.alerts / max(told.cpu_s, 1e-3)
        print(
            f"    {what:<18}{name:<13}{rate / 1e3:8.1f} k/CPU-s {told.alerts / told.wall_s / 1e3:8.1f} k/s  {ms(told.latency_s, 50, 99)}",
            flush=True,
        )

    def per_cpu_s(self, what: str, name: str) -> float:
        """Alerts per CPU second: the median of the rounds."""
        return statistics.median(t.alerts / max(t.cpu_s, 1e-3) for t in self.phases[what][name])

    def p_ms(self, what: str, name: str, percentile: int) -> float:
        """A percentile of the latency of all rounds, in milliseconds."""
        all_s = [s for told in self.phases[what][name] for s in told.latency_s]
        return 1e3 * statistics.quantiles(all_s, n=100)[percentile - 1]


GOALS: dict[str, float] = {
    "repeat, batch 100": 8,
    "new, batch 100": 2,
    "repeat, batch 1": 1,
    "new, batch 1": 1,
}


def table(figures: Figures) -> None:
    """Print ours, theirs, their ratio and the goal."""
    ours, theirs = "heliograph", "alertmanager"

    def row(
        what: str, unit: str, of: Callable[[str], float], *, goal: float, more: bool
    ) -> None:
        mine = of(ours)
        try:
            other = of(theirs)
        except (KeyError, statistics.StatisticsError):
            print(f"{what:<28}{mine:>12.1f}  {unit}")
            return
        ratio = mine / other if more else other / mine
        goal_ = f"{goal:g}x {'reached' if ratio >= goal else 'MISSED'}" if goal else ""
        print(f"{what:<28}{mine:>12.1f}{other:>12.1f}  {unit:<10}{ratio:>7.2f}x  {goal_}")

    print(f"\n{'':<28}{ours:>12}{theirs:>12}  {'unit':<10}{'better':>8}  goal")
    for what in figures.phases:
        row(
            what,
            "k/CPU-s",
            lambda n, w=what: figures.per_cpu_s(w, n) / 1e3,
            goal=GOALS[what],
            more=True,
        )
    for what in figures.phases:
        row(f"{what} p50", "ms", lambda n, w=what: figures.p_ms(w, n, 50), goal=0, more=False)
        row(f"{what} p99", "ms", lambda n, w=what: figures.p_ms(w, n, 99), goal=3, more=False)
    row("RSS, all active", "MiB", lambda n: figures.mib[n], goal=2, more=False)
    for what, goal in (("filtered list", 50), ("notified", 0)):
        row(
            f"{what} median",
            "ms",
            lambda n, w=what: 1e3 * statistics.median(figures.seconds[w][n]),
            goal=goal,
            more=False,
        )


def measure(servers: Sequence[Named], hook: Hook, args: argparse.Namespace) -> Figures:
    """All phases, by turns."""
    figures = Figures()
    load = Alerts(args.alerts)
    step = args.alerts // args.rounds
    for n in range(args.rounds):
        bodies = load.bodies(BATCH, begin=n * step, end=(n + 1) * step)
        for name, server in servers:
            figures.add("new, batch 100", name, phase(server, bodies, step, args.connections))
    for name, server in servers:
        figures.mib[name] = server.rss_mib()
    for n in range(args.rounds):
        bodies = load.bodies(BATCH, minutes=31 + n)
        for name, server in servers:
            figures.add(
                "repeat, batch 100", name, phase(server, bodies, args.alerts, args.connections)
            )
    singles = min(SINGLES, args.alerts)
    for n in range(args.rounds):
        bodies = load.bodies(1, minutes=40 + n, end=singles)
        for name, server in servers:
            figures.add(
                "repeat, batch 1", name, phase(server, bodies, singles, args.connections)
            )
    for n in range(args.rounds):
        bodies = Alerts(singles, tag=f"-{n}").bodies(1)
        for name, server in servers:
            figures.add("new, batch 1", name, phase(server, bodies, singles, args.connections))
    for name, server in servers:
        figures.seconds.setdefault("filtered list", {})[name] = listed(server, args.rounds * 3)
    for name, server in servers:
        figures.seconds.setdefault("notified", {})[name] = notified(server, hook, name, 30)
        figures.mib[f"{name}, at the end"] = server.rss_mib()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--alerts", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--only", choices=("heliograph", "alertmanager"))
    args = parser.parse_args()
    print(machine())
    hook = Hook()
    config = routes(hook)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running_:
        servers = []
        if args.only != "alertmanager":
            ours = running_.enter_context(
                heliograph(Path(folder, "ours"), {"alerting": config})
            )
            servers.append(Named("heliograph", ours))
        if args.only != "heliograph":
            theirs = running_.enter_context(alertmanager(Path(folder), config))
            if theirs is not None:
                servers.append(Named("alertmanager", theirs))
                version = json.loads(fetch(theirs.port, "/api/v2/status"))["versionInfo"][
                    "version"
                ]
                print(f"Alertmanager {version}")
            else:
                print("Alertmanager is not here: `make peers` fetches it")
        table(measure(servers, hook, args))


if __name__ == "__main__":
    main()
