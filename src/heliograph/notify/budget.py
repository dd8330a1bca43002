"""How often a provider may be called: a bounded number of messages in any span of time.

    budget = Budget(Rate(messages=20, span_s=61.0, kept=2))
    budget.take("robot", now_s, parts=2)   0.0: go, both are booked      else: wait so many seconds

A bucket that refills evenly would allow nearly twice the number in the first minute, and DingTalk
shuts a robot out for ten minutes at the first message too many; so the times of the last messages
are kept, and any span holds at most *messages* of them. Times are monotonic seconds.
"""

import threading
from bisect import insort
from collections import deque

from msgspec import Struct

# Robots that are remembered; beyond, one that is idle is forgotten.
KEYS_MAX = 10_000
# DingTalk's ban; what a provider asks for itself may be longer.
CLOSED_S_MAX = 600.0


class Rate(Struct, frozen=True):
    """At most *messages* in any *span_s*; the last *kept* of them for what is urgent."""

    messages: int
    span_s: float
    kept: int = 0

    def most(self, *, urgent: bool) -> int:
        """How many messages may go at once."""
        return self.messages if urgent else self.messages - self.kept


class _Robot:
    def __init__(self) -> None:
        self.sent_s: deque[float] = deque()
        self.closed_until_s = 0.0
        self.throttled = 0


class Budget:
    """The budgets of all robots of a kind. Thread-safe."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._robots: dict[str, _Robot] = {}
        self._lock = threading.Lock()

    def wait_s(self, key: str, now_s: float, *, parts: int = 1, urgent: bool = True) -> float:
        """How long until *parts* messages may go, without booking them."""
        with self._lock:
            robot = self._robots.get(key)
            return 0.0 if robot is None else self._wait_s(robot, now_s, parts, urgent=urgent)

    def take(self, key: str, now_s: float, *, parts: int = 1, urgent: bool = True) -> float:
        """0.0 and *parts* messages are booked, all of them; else the seconds to wait."""
        with self._lock:
            robot = self._robot(key, now_s)
            wait_s = self._wait_s(robot, now_s, parts, urgent=urgent)
            if wait_s <= 0:
                robot.sent_s.extend([now_s] * parts)
            return max(wait_s, 0.0)

    def close(self, key: str, now_s: float, span_s: float) -> float:
        """The provider says that it is too much: nothing goes for *span_s*, and for longer each
        time it says so again; what it says to those that were under way is the same once more. The
        seconds."""
        with self._lock:
            robot = self._robot(key, now_s)
            if robot.throttled == 0 or robot.closed_until_s <= now_s:
                robot.throttled += 1
            longer_s = span_s * 2.0 ** min(robot.throttled - 1, 10)
            wait_s = min(longer_s, max(span_s, CLOSED_S_MAX))
            robot.closed_until_s = max(robot.closed_until_s, now_s + wait_s)
            return wait_s

    def recall(self, key: str, at_s: float, *, parts: int) -> None:
        """*parts* messages went at *at_s*, before we began to count."""
        with self._lock:
            robot = self._robot(key, at_s)
            for _ in range(parts):
                insort(robot.sent_s, at_s)

    def accepted(self, key: str) -> None:
        """The provider took a message: what it said of too much is over."""
        with self._lock:
            if key in self._robots:
                self._robots[key].throttled = 0

    def _robot(self, key: str, now_s: float) -> _Robot:
        robot = self._robots.get(key)
        if robot is None:
            if len(self._robots) >= KEYS_MAX:
                self._forget(now_s)
            robot = self._robots[key] = _Robot()
        return robot

    def _forget(self, now_s: float) -> None:
        since_s = now_s - self.rate.span_s
        idle = [
            key
            for key, robot in self._robots.items()
            if robot.closed_until_s <= now_s
            and not any(at_s > since_s for at_s in robot.sent_s)
        ]
        for key in idle or list(self._robots)[:1]:
            del self._robots[key]

    def _wait_s(self, robot: _Robot, now_s: float, parts: int, *, urgent: bool) -> float:
        span_s = self.rate.span_s
        while robot.sent_s and robot.sent_s[0] <= now_s - span_s:
            robot.sent_s.popleft()
        may = self.rate.most(urgent=urgent)
        over = len(robot.sent_s) + min(parts, may) - may
        wait_s = robot.closed_until_s - now_s
        if over > 0:
            wait_s = max(wait_s, robot.sent_s[over - 1] + span_s - now_s)
        return max(wait_s, 0.0)
