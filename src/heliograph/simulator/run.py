"""The simulated cluster at work: ten minutes of history at once, then live.

Every tick the model moves on; what happened is posted in the order in which a real cluster
would be heard: placements, container events, logs, metrics, what jobs report, alerts.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

from heliograph.core.clock import Clock
from heliograph.simulator import alerts, events, logs, reports
from heliograph.simulator.cluster import SECOND_NS, Cluster, Happening
from heliograph.simulator.metrics import Exporters, Series
from heliograph.simulator.sender import Sender, Stopped
from heliograph.wire import remote_write, snappy

HISTORY_S = 600
TICK_S = 5
# Log entries of one body, as a shipper's chunk would hold.
ENTRIES_MAX = 2000

PLACEMENTS = "/v1/placements"
CONTAINER_EVENTS = "/v1/container-events"
LOGS = "/v1/logs"
METRICS = "/v1/prometheus"
ALERTS = "/api/v2/alerts"
DETECTION = "/v1/wandb/detection"
STEPS = "/v1/wandb/logs"
USAGE = "/v1/usage"

_JSON = {"Content-Type": "application/json"}
_REMOTE_WRITE = dict(remote_write.HEADERS)


class Post(NamedTuple):
    """One request to be made."""

    path: str
    body: bytes
    headers: dict[str, str]


def run(
    base_url: str,
    *,
    clock: Clock,
    seconds: float | None,
    seed: int,
    speed: float,
    token: str | None,
    report: Callable[[str], None],
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Simulate a cluster towards the service at *base_url* until it is over; the requests delivered.

    It is over after *seconds* of live time (None: never), when *stopped* says so, or on
    SIGINT; all three end it the same way, by returning. *speed* makes training and its mishaps
    that much quicker; the clock of what is sent stays real. *report* gets one line for whatever
    a user should know. An absent or busy service is waited for. Raises ValueError for a
    *base_url* or *speed* that cannot be.
    """
    if not speed > 0:
        raise ValueError(f"speed must be above 0, not {speed}")
    ends_s = None if seconds is None else clock.monotonic_s() + seconds
    sender = Sender(
        base_url,
        clock=clock,
        token=token,
        report=report,
        over=lambda: stopped() or (ends_s is not None and clock.monotonic_s() >= ends_s),
    )
    try:
        _live(sender, clock, seed=seed, speed=speed, report=report)
    except (Stopped, KeyboardInterrupt):
        delivered = sum(sender.delivered.values())
        refused = sum(sender.refused.values())
        report(f"stopped: {delivered} requests delivered, {refused} refused")
    finally:
        sender.close()
    return sum(sender.delivered.values())


def _live(
    sender: Sender, clock: Clock, *, seed: int, speed: float, report: Callable[[str], None]
) -> None:
    """History, then one tick after another; ends by `Stopped` alone."""
    now_ns = clock.now_ns()
    tick_ns = TICK_S * SECOND_NS
    # Aligned, so that samples fall on the same seconds whenever it was started.
    at_ns = (now_ns - HISTORY_S * SECOND_NS) // tick_ns * tick_ns
    simulated = Simulation(seed=seed, start_ns=at_ns, speed=speed)
    report(f"sending {HISTORY_S // 60} minutes of history")
    live = False
    while True:
        for post in simulated.tick(at_ns):
            sender.post(*post)
        at_ns += tick_ns
        ahead_ns = at_ns - clock.now_ns()
        if ahead_ns > 0:
            if not live:
                live = True
                report("live")
            sender.wait(ahead_ns / SECOND_NS)


class Simulation:
    """The cluster and its exporters; the same requests for the same seed and ticks."""

    def __init__(self, *, seed: int, start_ns: int, speed: float) -> None:
        self.cluster = Cluster(seed=seed, start_ns=start_ns, speed=speed)
        self._seed = seed
        self._exporters = Exporters()
        self._alerted_ns = start_ns

    def tick(self, at_ns: int) -> list[Post]:
        """The requests about everything up to *at_ns*, in the order to be made."""
        happened = self.cluster.advance(at_ns)
        posts = self._control(happened)
        entries = logs.entries(happened, seed=self._seed)
        for start in range(0, len(entries), ENTRIES_MAX):
            posts.append(_json(LOGS, entries[start : start + ENTRIES_MAX]))
        posts.append(write(self._exporters.scrape(self.cluster, at_ns)))
        posts += [_json(DETECTION, one) for one in reports.detections(happened)]
        posts += [_json(STEPS, one) for one in reports.steps(happened, seed=self._seed)]
        posts += [_json(USAGE, one) for one in reports.usage(happened)]
        if firing := alerts.alerts(self._alerted_ns, at_ns):
            posts.append(_json(ALERTS, firing))
        self._alerted_ns = at_ns
        return posts

    def _control(self, happened: list[Happening]) -> list[Post]:
        placements = events.placements(happened)
        posts = [] if placements is None else [_json(PLACEMENTS, placements)]
        posts += [_json(CONTAINER_EVENTS, event) for event in events.container_events(happened)]
        return posts


def _json(path: str, document: object) -> Post:
    return Post(path, json.dumps(document, separators=(",", ":")).encode(), _JSON)


def write(series: list[Series]) -> Post:
    """The remote write request of *series*."""
    return Post(METRICS, snappy.compress(remote_write.encode(series)), _REMOTE_WRITE)
