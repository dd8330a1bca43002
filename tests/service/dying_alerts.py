"""Die at the N-th step of one life of the alert engine, for every N: run by test_alert_kill_steps.

    python -m tests.service.dying_alerts FOLDER SHARE SHARES statements|commits

A step is a statement of a state transaction (of `commits` only the end), what comes after its
commit, and before and after a receiver has taken a message. Each life is a fork that notes what was acknowledged; a second
fork opens what is left an hour later, lets it go on, and compares with what the receiver was told.
"""

import gc
import json
import shutil
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine as Sql
from sqlalchemy import event

from heliograph.alert.model import Delivery, Silence
from heliograph.core import instant
from heliograph.core.clock import ManualClock
from heliograph.receive import alerts as bodies
from heliograph.receive.lines import Line, encode_lines
from heliograph.service import applier, maintenance, wiring
from heliograph.service.config import Config
from heliograph.store.state.state import State
from tests.service.alarms import THRICE
from tests.service.dying import DIED, START_NS, STEPS_MAX, Steps, forked
from tests.service.whole import assert_whole, quiet

AWAY_S = 3600.0


def hook_all(steps, *, statements):
    """Put every hook on; without *statements*, only before and after each commit."""
    if statements:
        event.listen(Sql, "before_cursor_execute", lambda *_: steps.step())
    plain = State._transact

    def stepping(state, lane, work):
        def stepped(tx):
            result = work(tx)
            steps.step()
            return result

        result = plain(state, lane, stepped)
        steps.step()
        return result

    State._transact = stepping


class Receiver:
    """A channel that writes down what it was told, in a file that outlives the process; *script* is
    how it answers, then it takes everything."""

    together_max = 1
    together_from = 2

    def __init__(self, path, step=lambda: None):
        self.path = path
        self.script = []
        self.step = step

    def wait_s(self, integration, *, urgent):
        del integration, urgent
        return 0.0

    def deliver(self, message, integration):
        how = self.script.pop(0) if self.script else "sent"
        self.step()
        if isinstance(how, Delivery):
            return how
        if how == "later":
            return Delivery("later", "not now", 503)
        said = {
            "line": [message.group_key, integration.id],
            "key": message.key,
            "alerts": sorted(
                (dict(one.labels)["n"], one.starts_ns, one.status(message.now_ns))
                for one in message.alerts
            ),
        }
        with self.path.open("a") as out:
            out.write(json.dumps(said) + "\n")
        self.step()
        if how == "unsure":
            return Delivery("later", "no answer", unsure=True)
        return Delivery("sent", "ok", 200)

    def told(self):
        """All that was taken, in order."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [json.loads(line) for line in lines]


class Site:
    """A site whose applier goes only when it is told to, on a clock that stands."""

    def __init__(self, folder, clock, url, step=lambda: None, *, alerting=None, **sections):
        hook = {"url": "http://127.0.0.1:1/hook"}
        document = {
            "data_dir": str(folder),
            "state": {"url": url},
            "alerting": {
                "global": {"resolve_timeout": "30m"},
                "builtin_rules": False,
                "evaluate_every": "1h",
                "route": {"receiver": "r", "group_by": ["alertname"], "group_wait": "1s",
                          "group_interval": "3s", "repeat_interval": "6h"},
                "receivers": [{"name": "r", "webhook_configs": [hook, hook]}],
                **(alerting or {}),
            },
            **sections,
        }  # fmt: skip
        self.clock = clock
        with pytest.MonkeyPatch.context() as patch:
            # For this site alone: others of the process have theirs start.
            patch.setattr(applier.Applier, "start", lambda _: None)
            patch.setattr(maintenance.Maintenance, "start", lambda _: None)
            self.site = wiring.build(msgspec.convert(document, Config), clock)
        self.core, self.flow = self.site.core, self.site.flow
        self.side = self.flow.alerts
        self.receiver = Receiver(folder.with_suffix(".told"), step)
        self.side.deliveries._channels = {"webhook": self.receiver}

    def post(self, *names, ends=False, **labels):
        """Post alerts; they are kept when this returns."""
        ended = {"endsAt": instant.text_of(self.clock.now_ns())} if ends else {}
        self.post_one(
            *({"labels": {"alertname": "A", "n": name, **labels}, **ended} for name in names)
        )

    def post_one(self, *documents):
        """Post alerts of the v2 API; they are kept when this returns."""
        self.begin(*documents).result(10)

    def begin(self, *documents):
        """Post alerts; the future is done when they are kept."""
        body = json.dumps(documents).encode()
        return self.side.posts.submit(lambda times: bodies.decode(body, times))

    def status(self, name):
        """The status of the latest episode of *name*, or None."""
        book = self.side.alerting._engine._state.book
        views = [book.view(slot) for slot in book]
        found = [one for one in views if dict(one.labels).get("n") == name]
        return max(found, key=lambda one: one.id).status(self.clock.now_ns()) if found else None

    def silence(self, silence_id):
        """Silence what is labelled `muted`."""
        now_ns = self.clock.now_ns()
        made = Silence(
            silence_id, (("muted", "=", "yes"),), now_ns, now_ns + 10**14, "a", "b", now_ns,
            now_ns,
        )  # fmt: skip
        self.side.alerting.submit(lambda turn: turn.engine.put_silence(made)).result(10)

    def crack(self, number):
        """Commit a line that counts for the rule."""
        line = Line(
            self.clock.now_ns(), "p-1", "train", "p-1", "n1", "main", "stdout",
            f"it cracked {number}", False,
        )  # fmt: skip
        payload = encode_lines([line])
        self.flow.ingest.submit(lambda: self.core.log.append_lines(payload, 1)).result(10)

    def apply(self):
        """Let the applier have all there is."""
        reading = self.flow.applier
        while frames := reading._reader.read(bytes_max=1 << 20):
            reading._apply_all(frames)

    def wait(self, seconds):
        """Let time pass."""
        for _ in range(seconds):
            self.clock.advance(1)
            quiet(self.side, self.clock)


def live(site, ack):
    """One life: everything the engine does, in an order that is nearly always the same."""
    site.side.rules.create({**THRICE, "labels": {"n": "cracked"}}, "me")
    ack("rule", 1)
    site.crack(1)
    site.crack(2)
    site.post("a", "b")
    ack("fires", ["a", "b"])
    site.wait(2)
    site.apply()
    site.silence("s-1")
    ack("silenced", 1)
    site.post("m", muted="yes")
    site.post("c")
    ack("fires", ["c"])
    site.receiver.script += ["later", "unsure"]
    site.crack(3)
    ack("cracked", 1)
    site.apply()
    site.wait(5)
    site.post("a", ends=True)
    ack("ended", ["a"])
    site.post("b", "c")
    site.wait(4)
    site.post("a")
    ack("again", ["a"])
    site.crack(4)
    site.apply()
    site.wait(4)
    site.site.close()


def check(folder, acked, *, again):
    """Open what a death left behind, let it go on, and compare; *again*: a restart after it changes
    nothing."""
    clock = ManualClock(START_NS)
    clock.advance(AWAY_S)
    for number in range(2 if again else 1):
        site = Site(folder, clock, None)
        site.apply()
        before = len(site.receiver.told())
        site.wait(8)
        site.apply()
        compare(acked, site.receiver.told())
        assert number == 0 or len(site.receiver.told()) == before, "told again after a restart"
        episodes = site.side.alerting._engine._state.book
        names = Counter(dict(episodes.view(slot).labels)["n"] for slot in episodes)
        # What ended an hour ago is history.
        assert set(acked["fires"]) - {"a"} <= names.keys()
        assert names["cracked"] <= 1, names
        assert names["a"] <= 2, names
        assert max(names["b"], names["c"], names["m"]) <= 1, names
        quiet(site.side, clock)
        assert_whole(site.side, site.core.state)
        assert site.flow.applier.set_aside == 0
        assert "heliograph_bugs_total{" not in site.core.meters.registry.exposition()
        site.site.close()
        clock.advance(AWAY_S)


def compare(acked, told):
    """What was acknowledged was told, its end too; at most one copy for each line."""
    for integration in {one["line"][1] for one in told}:
        mine = [one for one in told if one["line"][1] == integration]
        firing, resolved = set(), set()
        for one in mine:
            firing |= {(n, at) for n, at, status in one["alerts"] if status == "firing"}
            resolved |= {(n, at) for n, at, status in one["alerts"] if status == "resolved"}
        names = Counter(name for name, _ in firing)
        assert set(acked["fires"]) - set(acked["ended"]) <= names.keys(), (acked, mine)
        assert not acked["cracked"] or names["cracked"] == 1, (acked, mine)
        assert "m" not in names
        ended = {name for name, _ in resolved}
        for name in acked["ended"]:
            assert name not in names or name in ended, (acked, mine)
        for name in acked["again"]:
            assert names[name] == 2 or (name not in ended and names[name] == 1), (acked, mine)
    lines = {tuple(one["line"]) for one in told}
    copies = Counter((tuple(one["line"]), one["key"]) for one in told)
    for line in lines:
        twice = sum(count - 1 for (of, _), count in copies.items() if of == line)
        # One for the death, one for the answer that never came.
        assert twice <= 2, (line, copies)
        said = [(one["key"], one["alerts"]) for one in told if tuple(one["line"]) == line]
        for (key, one), (other_key, other) in pairwise(said):
            assert one != other or key == other_key, "a copy with another key"
    assert bool(acked["fires"]) <= bool(told)


def one_life(folder, fatal, *, statements):
    """Live in *folder* until step *fatal*, then check; whether it died."""
    noted = folder.with_suffix(".acked")

    def die():
        with noted.open("w") as out:

            def ack(kind, what):
                out.write(json.dumps([kind, what]) + "\n")
                out.flush()

            steps = Steps(fatal)
            site = Site(folder, ManualClock(START_NS), None, steps.step)
            hook_all(steps, statements=statements)
            live(site, ack)

    status = forked(die)
    assert status in (0, DIED), f"step {fatal}: status {status}"
    acked = {"rule": 0, "fires": [], "ended": [], "again": [], "silenced": 0, "cracked": 0}
    for kind, what in map(json.loads, noted.read_text().splitlines()):
        acked[kind] = acked[kind] + what
    if forked(lambda: check(folder, acked, again=statements or fatal % 3 == 0)):
        sys.exit(f"died at step {fatal}; left in {folder}; acknowledged {acked}")
    shutil.rmtree(folder, ignore_errors=True)
    for left in (noted, folder.with_suffix(".told")):
        left.unlink(missing_ok=True)
    return status == DIED


def main():
    """Every SHARES-th step from SHARE on, until a life has fewer steps."""
    folder, share, shares = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    statements = sys.argv[4] == "statements"
    # One life in this process, so that no fork has to import and compile what all need.
    live(Site(folder / "warm", ManualClock(START_NS), None, lambda: None), lambda *_: None)
    gc.freeze()
    for fatal in range(share, STEPS_MAX, shares):
        if not one_life(folder / f"{fatal}", fatal, statements=statements):
            print(fatal)
            return
    sys.exit(f"a life of over {STEPS_MAX} steps")


if __name__ == "__main__":
    main()
