"""A runner of the engine on a virtual clock, with a store in memory that can crash anywhere.

run = Runner(setup)
run.at(1.0).post(alertname="OOM")
run.until(60.0)
run.sent == [(at_s, integration id, message), …]
"""

import msgspec

from heliograph.alert.changes import Kept
from heliograph.alert.engine.engine import EVERYTHING, Engine
from heliograph.alert.engine.limits import Limits
from heliograph.alert.model import NOBODY, Context, Delivery, Enriched, Post, Silence, Status
from heliograph.core import labels as label_sets
from heliograph.core.duration import MINUTE_NS, SECOND_NS

NEW_YEAR_NS = 1_767_225_600_000_000_000
HOUR_NS = 60 * MINUTE_NS
SENT = Delivery("sent", "ok", 200)


def ns(seconds):
    return NEW_YEAR_NS + round(seconds * 1_000_000) * 1000


def seconds(at_ns):
    return None if at_ns is None else (at_ns - NEW_YEAR_NS) / SECOND_NS


def post(labels, *, at_ns, starts_ns=None, ends_ns=None, annotations=(), **more):
    pairs = label_sets.of(labels)
    return Post(
        source=more.pop("source", "metric"),
        labels=pairs,
        fingerprint=label_sets.fingerprint(pairs),
        annotations=label_sets.of(annotations),
        received_ns=at_ns,
        at_ns=at_ns,
        resolve_after_ns=more.pop("resolve_after_ns", 5 * MINUTE_NS),
        starts_ns=starts_ns,
        ends_ns=ends_ns,
        severity=more.pop("severity", dict(pairs).get("severity", "")),
        **more,
    )


class Store:
    """What a database would hold: written by changes, read by `kept`."""

    def __init__(self):
        self.alerts = {}
        # Whether an episode fired when it was first written.
        self.fired = {}
        self.groups = {}
        self.told = {}
        self.outbox = {}
        self.silences = {}
        self.correlations = {}
        self.statistics = {}
        self.entries = []
        self.alive_ns = 0
        self.commits = 0

    def write(self, changes):
        self.commits += 1
        for key in changes.groups_gone:
            del self.groups[key]
        for key in changes.told_gone:
            del self.told[key]
        for key in changes.outbox_gone:
            del self.outbox[key]
        for alert in changes.alerts:
            old = self.alerts.get(alert.id, alert)
            over = alert.ends_ns is not None and alert.ends_ns <= alert.created_ns
            self.fired.setdefault(alert.id, not over)
            self.alerts[alert.id] = msgspec.structs.replace(
                alert, raw=alert.raw or old.raw, enriched=alert.enriched or old.enriched
            )
        for alert_id, ends_ns, updated_ns, count in changes.moved:
            self.alerts[alert_id] = msgspec.structs.replace(
                self.alerts[alert_id], ends_ns=ends_ns, updated_ns=updated_ns, count=count
            )
        for group in changes.groups:
            self.groups[group.key] = group
        for told in changes.told:
            self.told[told.group_key, told.integration] = told
        for row in changes.outbox:
            self.outbox[row.group_key, row.integration] = row
        for silence in changes.silences:
            self.silences[silence.id] = silence
        for delta in changes.statistics:
            *key, firing, resolved, duration_ns = msgspec.structs.astuple(delta)
            sums = self.statistics.setdefault(tuple(key), [0, 0, 0])
            for place, number in enumerate((firing, resolved, duration_ns)):
                sums[place] += number
        self.entries += changes.entries
        self.alive_ns = max(self.alive_ns, changes.alive_ns)

    def kept(self):
        needed = set()
        for told in self.told.values():
            needed |= told.firing | told.maybe
        for row in self.outbox.values():
            needed |= row.firing | row.resolved
        alerts = [
            msgspec.structs.replace(alert, raw=b"", enriched=b"")
            for alert in self.alerts.values()
            if alert.ends_ns is None
            or max(alert.ends_ns, alert.created_ns) > self.alive_ns - HOUR_NS
            or alert.id in needed
        ]
        return Kept(
            alerts=alerts,
            groups=list(self.groups.values()),
            told=list(self.told.values()),
            outbox=list(self.outbox.values()),
            silences=list(self.silences.values()),
            alive_ns=self.alive_ns,
        )


class Crashed(Exception):
    """The process died."""


class Runner:
    """Calls the engine as the service does. *deliver* is a receiver: (message, integration id, at
    seconds) → Delivery, the default takes everything."""

    def __init__(self, setup, *, deliver=None, limits=None, start_s=0.0, correlator=None):
        self.setup = setup
        self.limits = limits or Limits()
        self.deliver = deliver or (lambda message, integration, at_s: SENT)
        self.correlator = correlator
        self.store = Store()
        self.now_ns = ns(start_s)
        self.engine = Engine(setup, self.limits, self.now_ns, correlator=self._correlator())
        self.sent = []
        self.attempts = []
        # Called with a name at every point where the process may die.
        self.die = lambda point: None

    def _correlator(self):
        return self.correlator() if self.correlator is not None else None

    @property
    def now_s(self):
        return seconds(self.now_ns)

    def commit(self, *, checkpoint=EVERYTHING):
        changes = self.engine.changes(checkpoint=checkpoint)
        self.die("before commit")
        self.store.write(changes)
        self.die("after commit")
        self.engine.commit()
        return changes

    def at(self, at_s):
        """Let time pass until *at_s*."""
        self.until(at_s)
        return self

    def until(self, at_s):
        end_ns = ns(at_s)
        while True:
            due_ns = self.engine.due_ns()
            if due_ns is None or due_ns > end_ns:
                break
            self.now_ns = max(self.now_ns, due_ns)
            self.turn()
        self.now_ns = max(self.now_ns, end_ns)
        return self

    def turn(self):
        """Do what is due now."""
        self.engine.step(self.now_ns)
        self.commit()
        for outgoing in self.engine.ready(self.now_ns):
            message = self.engine.begin(outgoing, self.now_ns)
            self.commit()
            if message is None:
                continue
            self.attempts.append((self.now_s, outgoing.integration, message))
            delivery = self.deliver(message, outgoing.integration, self.now_s)
            if delivery.outcome == "sent":
                self.sent.append((self.now_s, outgoing.integration, message))
            self.die("after delivery")
            self.engine.settle(outgoing, delivery, self.now_ns)
            self.commit()

    def post(self, labels=None, *, starts_s=None, ends_s=None, context=NOBODY, **more):
        """Post one alert now; labels may be keywords."""
        known = {
            "annotations",
            "source",
            "status",
            "severity",
            "resolve_after_ns",
            "seq",
            "raw",
        }
        given = {key: more.pop(key) for key in list(more) if key in known}
        taken = self.take(
            [
                post(
                    labels or more,
                    at_ns=self.now_ns,
                    starts_ns=None if starts_s is None else ns(starts_s),
                    ends_ns=None if ends_s is None else ns(ends_s),
                    **given,
                )
            ],
            context=context,
        )
        return taken[0]

    def take(self, posts, *, context=NOBODY):
        enriched = Enriched(context=context, document=b'{"node":"n1"}')
        taken = [self.engine.take(one, enriched, self.now_ns) for one in posts]
        self.commit()
        return taken

    def silence(self, matchers, start_s, end_s, silence_id="s1"):
        self.engine.put_silence(
            Silence(
                silence_id,
                tuple(matchers),
                ns(start_s),
                ns(end_s),
                "ann",
                "",
                self.now_ns,
                self.now_ns,
            )
        )
        self.commit()

    def restart(self, at_s=None, setup=None):
        """The process dies and comes back at *at_s*, with what is stored."""
        self.now_ns = self.now_ns if at_s is None else max(self.now_ns, ns(at_s))
        self.setup = setup or self.setup
        self.engine = Engine.load(
            self.setup, self.store.kept(), self.now_ns, self.limits,
            correlator=self._correlator(),
        )  # fmt: skip
        self.commit()
        return self

    def told(self, integration=None):
        """[(at, firing label values, resolved label values)] of what was delivered."""
        return [
            (at_s, *shown(message))
            for at_s, one, message in self.sent
            if integration is None or one == integration
        ]


def shown(message):
    """What fires and what has resolved in *message*: sorted texts of their labels."""
    by_status = {Status.FIRING: [], Status.RESOLVED: []}
    for alert in message.alerts:
        text = ",".join(value for _, value in alert.labels)
        by_status[alert.status(message.now_ns)].append(text)
    return sorted(by_status[Status.FIRING]), sorted(by_status[Status.RESOLVED])


def context(**known):
    return Context(**known)
