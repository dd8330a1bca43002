"""Senders of alerts and of log lines that fire rules, which write down what was acknowledged.

    alarms = Alarms(life, hook).prepare().come()
    ... kills ...
    alarms.leave(); alarms.finish(); alarms.check(kills)

Some alerts stay, some end after they were told, some end at once, some are silenced, some come back
after their end. Each sender insists until it is answered 2xx; what was sent and not answered may be
told or not.
"""

from collections import Counter

from heliograph.core import instant
from tests.service.clients import Clients
from tests.service.lives import CLOCK

ANSWER_S_MAX = 20
RULE = {
    "name": "Broken",
    "source": "log",
    "rule_type": "pattern",
    "rule_config": {"pattern": "it broke", "threshold": {"count": 1, "by": ["pod_name"]}},
    "severity": "warning",
}
THRICE = {
    "name": "BrokenThrice",
    "source": "log",
    "rule_type": "pattern",
    "rule_config": {
        "pattern": "it cracked",
        "threshold": {"count": 3, "window": "1h", "by": ["pod_name"]},
    },
    "severity": "warning",
}


def alerting(hook, *paths, **more):
    """An alertmanager.yml that tells *paths* of *hook* of everything, soon."""
    return {
        "global": {"resolve_timeout": "1h"},
        "resolve_after": "1h",
        "builtin_rules": False,
        "route": {
            "receiver": "hook",
            "group_by": ["alertname"],
            "group_wait": "100ms",
            "group_interval": "300ms",
            "repeat_interval": "6h",
        },
        "receivers": [
            {
                "name": "hook",
                "webhook_configs": [
                    {"url": hook.url + path, "timeout": "1s"} for path in paths or ("/hook",)
                ],
            }
        ],
        **more,
    }


class Alarms(Clients):
    """Clients of the service *life*, on threads, until `leave`; *hook* is who is told."""

    def __init__(self, life, hook, *, pause_s=0.02, path="/hook", clients=4):
        super().__init__()
        self.life = life
        self.hook = hook
        self.path = path
        self.pause_s = pause_s
        self.clients = clients
        self.statuses = Counter()
        # Names of alerts by what was acknowledged of them.
        self.stays, self.ended, self.muted, self.again = set(), set(), set(), set()
        self.sent = set()
        self.lines, self.cracked = set(), set()
        self.slowest_s = 0.0

    def prepare(self):
        """Rules, and a silence."""
        for rule in (RULE, THRICE):
            assert self.life.post("/v1/alert-rules", rule).status == 201
        silence = {
            "matchers": [{"name": "muted", "value": "yes", "isRegex": False, "isEqual": True}],
            "startsAt": instant.text_of(CLOCK.now_ns()),
            "endsAt": instant.text_of(CLOCK.now_ns() + 3600 * 10**9),
            "createdBy": "a",
            "comment": "b",
        }
        assert self.life.post("/api/v2/silences", silence).status == 200
        return self

    def works(self):
        return [self._alerts] * self.clients + [self._lines, self._lines]

    def _insist(self, send):
        """Send until it is acknowledged; whether it was."""
        end_s = CLOCK.monotonic_s() + 60
        while CLOCK.monotonic_s() < end_s:
            started_s = CLOCK.monotonic_s()
            answer = send()
            self.statuses[answer.status] += 1
            if answer.status in (200, 201):
                self.slowest_s = max(self.slowest_s, CLOCK.monotonic_s() - started_s)
                return
            assert answer.status in (0, 429, 503), answer
            if answer.status:
                assert 0 < int(answer.headers["retry-after"]) <= 60, answer
            CLOCK.sleep(0.02)
        raise AssertionError("never acknowledged")

    def post(self, *alerts):
        """Have the service take *alerts* of the v2 API."""
        self._insist(lambda: self.life.post("/api/v2/alerts", list(alerts)))

    def _alerts(self, number, rng):
        seq = 0
        mine, waiting = [], []
        while not self.leaving.is_set():
            seq += 1
            kind = rng.choice(["stay", "burst", "end", "end", "short", "mute", "again"])
            names = [f"{number}-{seq}-{n}" for n in range(20 if kind == "burst" else 1)]
            alerts = [{"alertname": f"A{number}-{seq % 3}", "n": name} for name in names]
            self.sent |= set(names)
            if kind == "mute":
                self.post({"labels": {**alerts[0], "muted": "yes"}})
                self.muted.add(names[0])
            else:
                self.post(*({"labels": labels} for labels in alerts))
                if kind == "short":
                    self._end(alerts[0])
                elif kind in ("end", "again"):
                    waiting.append((alerts[0], kind))
                else:
                    self.stays |= set(names)
                    mine += alerts
            waiting = [left for one in waiting if (left := self._next(*one)) is not None]
            if mine and rng.random() < 0.5:
                self.post(*({"labels": one} for one in rng.sample(mine, min(9, len(mine)))))
            CLOCK.sleep(self.pause_s)
        self.stays |= {labels["n"] for labels, kind in waiting if kind in ("end", "again")}
        self.ended |= {labels["n"] for labels, kind in waiting if kind == "back"}

    def _end(self, labels):
        ended = instant.text_of(CLOCK.now_ns())
        self.post({"labels": labels, "endsAt": ended, "startsAt": ended})

    def _next(self, labels, kind):
        """What is left to do for an alert that is to end once it is told, and perhaps to come back
        once its end is."""
        name = labels["n"]
        if kind == "back":
            if name not in self.episodes("resolved"):
                return labels, kind
            self.post({"labels": labels})
            self.again.add(name)
            return None
        if name not in self.episodes("firing"):
            return labels, kind
        self._end(labels)
        if kind == "again":
            return labels, "back"
        self.ended.add(name)
        return None

    def _lines(self, number, rng):
        seq = 0
        while not self.leaving.is_set():
            seq += 1
            pod = f"pod-{number}-{seq}"
            self._log(pod, "it broke", seq, 0)
            self.lines.add(pod)
            if rng.random() < 0.4:
                for place in range(3):
                    self._log(pod, "it cracked", seq, place)
                    CLOCK.sleep(rng.uniform(0, 0.1))
                self.cracked.add(pod)
            CLOCK.sleep(self.pause_s * 5)

    def _log(self, pod, text, seq, place):
        at_s = round(CLOCK.now_ns() / 1e9, 3)
        entry = {
            "log": f"{text} {seq}/{place}",
            "date": at_s,
            "kubernetes": {"pod_name": pod, "namespace_name": "train", "container_name": "c"},
        }
        self._insist(lambda: self.life.post("/v1/logs", [entry]))

    def episodes(self, status):
        """{n, or pod of a rule: episodes of it that were taken as *status*}."""
        found = {}
        for told in self.hook.taken(self.path):
            for alert in told.document["alerts"]:
                if alert["status"] == status:
                    labels = alert["labels"]
                    name = labels.get("n") or (labels["alertname"], labels.get("pod_name"))
                    found.setdefault(name, set()).add(alert["startsAt"])
        return found

    def missing(self):
        """What is owed to the receiver and not told yet, in words."""
        firing, resolved = self.episodes("firing"), self.episodes("resolved")
        owed = [f"{name} fires" for name in self.stays | self.ended if name not in firing]
        owed += [f"{name} again" for name in self.again if len(firing.get(name, ())) < 2]
        owed += [f"{name} ended" for name in self.ended if name not in resolved]
        for rule, pods in (("Broken", self.lines), ("BrokenThrice", self.cracked)):
            owed += [f"{rule} {pod}" for pod in pods if (rule, pod) not in firing]
        # Whatever was told as firing and has ended by what we know is owed an end.
        known = self.stays | self.again
        owed += [
            f"{name} not told its end"
            for name, starts in firing.items()
            if isinstance(name, str) and name not in known and name not in resolved
        ]
        return owed

    def finish(self, timeout_s=20):
        """Wait until nothing is owed any more."""
        self.hook.well()
        end_s = CLOCK.monotonic_s() + timeout_s
        while owed := self.missing():
            assert CLOCK.monotonic_s() < end_s, (len(owed), owed[:10], self.life.words())
            CLOCK.sleep(0.1)
        # Nothing more comes after it.
        CLOCK.sleep(0.8)

    def check(self, kills):
        """What was told is true, and no more often than kills and time-outs excuse."""
        firing = self.episodes("firing")
        assert not self.missing()
        assert not self.muted & firing.keys(), "a silenced alert was told"
        unknown = {name for name in firing if isinstance(name, str)} - self.sent
        assert not unknown
        for rule in ("Broken", "BrokenThrice"):
            pods = {name[1] for name in firing if name[0] == rule and isinstance(name, tuple)}
            twice = {pod for pod in pods if len(firing[rule, pod]) > 1}
            assert not twice, f"{rule} fired twice for {twice}"
        copies, strange = self.hook.doubles()
        assert not strange, strange[:3]
        ambiguous = self.hook.ambiguous()
        for line, count in copies.items():
            assert count <= kills + ambiguous[line], (line, count, kills, ambiguous[line])
        return copies
