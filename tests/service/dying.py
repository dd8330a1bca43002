"""Die at the N-th step of one life of the applier, for every N: run by test_kill_statements.

    python -m tests.service.dying FOLDER SHARE SHARES

A step is a call that may change what is on disk, or a state transaction before and after its work.
The hooks are put on from here, in a forked process; the product knows nothing of them. Each life is
one fork that goes through `live` and writes down what was acknowledged; a second fork opens what is
left, lets it catch up, and compares. Prints the number of lives, or the first difference and fails.
"""

import gc
import json
import os
import shutil
import sys
import traceback
from pathlib import Path

import msgspec
import numpy as np

from heliograph.core import labels as label
from heliograph.core.clock import ManualClock
from heliograph.core.record import Record, record_id
from heliograph.core.samples import SampleBatch
from heliograph.receive import placements
from heliograph.receive.lines import Line, encode_lines
from heliograph.service import applier, maintenance, wiring
from heliograph.service.config import Config
from heliograph.service.embedded_query import EmbeddedQueries
from heliograph.store.log.disk import Disk
from heliograph.store.protocol import RangeQuery
from heliograph.store.records import dayfile
from heliograph.store.segments.catalogue import Catalogue
from heliograph.store.state import log_patterns, training
from heliograph.store.state.state import State
from heliograph.wire import records as wire_records

START_NS = 1_767_225_600 * 10**9
HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
STEPS_MAX = 2000
DIED = 9
SERIES = 3
POD = "p-1"
# A line that the site's own pattern turns away, and counts.
BEAT = "heartbeat"
# Before this, raw samples are rolled up by the end of the life.
RAW_NS = START_NS - 2 * DAY_NS


class Steps:
    """Counts steps and dies before number *fatal*; 0 is never."""

    def __init__(self, fatal):
        self.fatal = fatal
        self.taken = 0

    def step(self):
        """One step is about to be taken."""
        self.taken += 1
        if self.taken == self.fatal:
            os._exit(DIED)

    def hook(self, owner, name):
        """Make *name* of *owner* a step."""
        plain = getattr(owner, name)

        def stepping(*args, **kwargs):
            self.step()
            return plain(*args, **kwargs)

        setattr(owner, name, stepping)

    def hook_all(self):
        """Put every hook on."""
        for name in ("create", "sync", "sync_folder", "truncate", "remove"):
            self.hook(Disk, name)
        for name in ("unlink", "rename", "replace", "touch"):
            self.hook(Path, name)
        for name in ("fsync", "unlink"):
            self.hook(os, name)
        self.hook(dayfile, "insert")
        for name in ("publish", "mark"):
            self.hook(Catalogue, name)
        self._hook_writes()
        self._hook_transactions()

    def _hook_writes(self):
        plain = Disk.write

        def torn(disk, fd, content):
            self.step()
            plain(disk, fd, content[: len(content) // 2])
            self.step()
            plain(disk, fd, content[len(content) // 2 :])

        Disk.write = torn

    def _hook_transactions(self):
        plain = State._transact

        def stepping(state, lane, work):
            def stepped(tx):
                self.step()
                result = work(tx)
                self.step()
                return result

            result = plain(state, lane, stepped)
            self.step()
            return result

        State._transact = stepping


class Site:
    """A site whose applier and maintenance go only when they are told to."""

    def __init__(self, folder, clock):
        applier.Applier.start = lambda _: None
        maintenance.Maintenance.start = lambda _: None
        config = msgspec.convert(
            {
                "data_dir": str(folder),
                "samples": {"retention": {"raw": "1d", "1m": "30d", "1h": "400d"}},
                "logs": {"patterns": [{"name": "beat", "kind": "blacklist", "pattern": BEAT}]},
            },
            Config,
        )
        self.site = wiring.build(config, clock)
        self.core, self.flow = self.site.core, self.site.flow
        self.queries = EmbeddedQueries(
            self.core.segments, self.core.attributing.spans, "workload_"
        )

    def commit(self, append):
        """Run *append* with the log on the ingest thread; acknowledged when this returns."""
        self.flow.ingest.submit(lambda: append(self.core.log)).result()

    def samples(self, at_ns, seqs):
        """Commit a frame of every series: value seq at at_ns + seq seconds."""
        ids = [
            self.core.table.intern(
                label.pack(label.of({"__name__": "seq", "n": str(n), "pod_uid": POD}))
            )
            for n in range(SERIES)
        ]
        series = np.repeat(np.array(ids, np.uint32), len(seqs))
        at = np.tile(np.array([at_ns + seq * 10**9 for seq in seqs], np.int64), SERIES)
        value = np.tile(np.array(seqs, np.float64), SERIES)
        self.commit(lambda log: log.append_samples(SampleBatch(series, at, value)))

    def lines(self, *lines):
        """Commit a frame of *lines*: (iteration, text, whether partial)."""
        made = [
            Line(START_NS + n * 10**9, POD, "train", POD, "n1", "main", "stdout", text, partial)
            for n, text, partial in lines
        ]
        payload = encode_lines(made)
        self.commit(lambda log: log.append_lines(payload, len(made)))

    def event(self, number):
        """Commit a frame of one record."""
        one = Record(
            record_id=record_id("event", number), timestamp_ns=START_NS + number,
            observed_timestamp_ns=START_NS, session_id=POD, source_kind="container",
            event_type="container_start",
        )  # fmt: skip
        payload = wire_records.encode([one])
        self.commit(lambda log: log.append_records(payload, 1))

    def place(self, *, node="n1", start="2025-12-20T00:00:00Z"):
        """Place the pod."""
        document = {
            "workloads": [{"uid": "w", "name": "w"}],
            "pods": [{"uid": POD, "name": POD, "namespace": "train", "node": node,
                      "workload_uid": "w", "start": start}],
        }  # fmt: skip
        decoded = placements.decode(
            json.dumps(document).encode(), content_type="application/json", list_max=10
        )
        self.core.owners.place(decoded)

    def apply(self):
        """Let the applier have all there is."""
        reading = self.flow.applier
        while frames := reading._reader.read(bytes_max=1 << 20):
            reading._apply_all(frames)

    def seal(self):
        """Seal."""
        self.flow.applier._settle(closing=True)

    def round(self):
        """One round of maintenance."""
        self.flow.maintenance.round()

    def found(self):
        """What is there, as `live` acknowledges it, with how often."""
        samples = {}
        for step_ns, agg in ((None, ""), (HOUR_NS, "count")):
            answer = self.queries.range(
                RangeQuery(
                    "seq",
                    (),
                    START_NS - 30 * DAY_NS,
                    START_NS + 30 * DAY_NS,
                    step_ns,
                    agg or "last",
                    11_000,
                )
            )
            assert not answer.truncated
            assert len({tuple(one.at_ms) for one in answer.series}) <= 1, "series differ"
            for one in answer.series[:1]:
                samples[agg] = list(zip(one.at_ms, one.value, strict=True))
        rows = self.core.state.read(
            lambda tx: training.rows(tx, [POD], start_ns=0, end_ns=2**62, limit=1000)
        )
        records = self.core.records.query(limit=1000).items
        beats = self.core.state.read(log_patterns.hits).get("beat", log_patterns.Hits(0, 0))
        return samples, rows, records, self.printed(), beats.hits

    def printed(self):
        """The samples that rows gave, by instant."""
        asked = RangeQuery(
            "training_consumed_samples", (), START_NS, START_NS + DAY_NS, None, "last", 1000
        )
        (*series,) = self.queries.range(asked).series
        assert len(series) <= 1, "one stream, one series"
        return {
            ms * 10**6: value
            for one in series
            for ms, value in zip(one.at_ms, one.value, strict=True)
        }


def live(site, clock, ack):
    """One life: everything the applier does, in an order that is always the same."""
    site.place()
    ack("pod", POD)
    site.samples(START_NS, range(3))
    ack("raw", [START_NS + n * 10**9 for n in range(3)])
    site.lines((1, line(1), False), (1, BEAT, False), (2, line(2)[:40], True))
    ack("rows", [1])
    ack("beats", 1)
    site.apply()
    site.lines((2, line(2)[40:], False), (2, saved(2), False), (3, line(3)[:50], True))
    ack("rows", [2])
    ack("saves", [2])
    site.event(1)
    ack("events", [1])
    site.samples(START_NS, range(2, 5))
    ack("raw", [START_NS + n * 10**9 for n in range(5)])
    site.apply()
    site.seal()
    old_ns = START_NS - 5 * DAY_NS
    site.samples(old_ns, range(4))
    ack("old", 4)
    site.lines((3, line(3)[50:], False), (4, BEAT, False), (4, BEAT, False))
    ack("rows", [3])
    ack("beats", 3)
    site.samples(START_NS + HOUR_NS, range(3))
    ack("raw", [START_NS + HOUR_NS + n * 10**9 for n in range(3)])
    site.apply()
    site.seal()
    clock.advance(4 * 3600)
    site.round()
    site.samples(old_ns, range(3, 6))
    ack("old", 6)
    site.apply()
    site.seal()
    site.place(node="n2", start="2025-12-28T00:00:00Z")
    site.round()
    site.samples(old_ns, range(5, 7))
    ack("old", 7)
    site.event(2)
    ack("events", [2])
    site.apply()
    clock.advance(60)
    site.round()
    site.site.close()


def line(iteration):
    """A line of training."""
    return (
        f" iteration {iteration:8d}/  500000 | consumed samples: {iteration * 1024:12d} | "
        "elapsed time per iteration (ms): 9270.6 | learning rate: 1.0E-04 |"
    )


def saved(iteration):
    """A line of a checkpoint."""
    return f"  successfully saved checkpoint from iteration      {iteration} to /ckpt"


def compare(acked, samples, rows, records, printed, beats):
    """What was acknowledged is there, once; nothing else but what was on its way."""
    raw = {
        round(ms * 10**6): value for ms, value in samples.get("", []) if ms * 10**6 >= RAW_NS
    }
    wanted = set(acked["raw"])
    assert wanted <= raw.keys(), f"raw missing: {wanted - raw.keys()}"
    assert all(value == (at_ns - START_NS) / 10**9 % 3600 for at_ns, value in raw.items()), raw
    old = sum(count for ms, count in samples.get("count", []) if ms * 10**6 < RAW_NS)
    assert acked["old"] <= old <= acked["old"] + 4, f"old: {old} of {acked['old']}"
    counted = sum(count for ms, count in samples.get("count", []) if ms * 10**6 >= RAW_NS)
    assert counted == len(raw), f"counted {counted} of {len(raw)}"
    iterations = sorted(row.iteration for row in rows)
    assert iterations == sorted(set(iterations)), "a row twice"
    assert set(acked["rows"]) <= set(iterations) <= {1, 2, 3}, iterations
    assert all(row.fields["consumed_samples"] == row.iteration * 1024 for row in rows), rows
    assert beats in {acked["beats"], {0: 1, 1: 3, 3: 3}[acked["beats"]]}, f"hits: {beats}"
    said = {row.at_ns: row.fields["consumed_samples"] for row in rows}
    assert printed == said, f"samples of rows: {printed}, rows: {said}"
    saves = [one.attributes["iteration"] for one in records if one.source_kind == "log"]
    assert saves in ([2], acked["saves"]), saves
    events = [one.record_id for one in records if one.source_kind == "container"]
    assert len(events) == len(set(events))
    assert {record_id("event", n) for n in acked["events"]} <= set(events), events


def check(folder, acked):
    """Open what a death left behind, catch up, compare; again after maintenance and a restart."""
    clock = ManualClock(START_NS + 5 * HOUR_NS)
    for _ in range(2):
        site = Site(folder, clock)
        assert site.core.state.mended is None
        for work in (lambda: None, site.seal, site.round):
            site.apply()
            work()
            compare(acked, *site.found())
        assert bool(acked["pod"]) <= (
            POD in {p.uid for p in site.core.owners.directory().pods_of("w")}
        )
        assert site.flow.applier.set_aside == 0
        assert "heliograph_bugs_total{" not in site.core.meters.registry.exposition()
        site.site.close()


def forked(work):
    """The exit status of *work* in a process of its own."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def one_life(folder, fatal):
    """Live in *folder* until step *fatal*, then check; whether it died."""
    told = folder.with_suffix(".acked")

    def die():
        with told.open("w") as out:

            def ack(kind, what):
                out.write(json.dumps([kind, what]) + "\n")
                out.flush()

            clock = ManualClock(START_NS)
            steps = Steps(fatal)
            steps.hook_all()
            live(Site(folder, clock), clock, ack)

    status = forked(die)
    assert status in (0, DIED), f"step {fatal}: status {status}"
    acked = {
        "pod": None,
        "raw": [],
        "old": 0,
        "rows": [],
        "saves": [],
        "events": [],
        "beats": 0,
    }
    for kind, what in map(json.loads, told.read_text().splitlines()):
        acked[kind] = acked[kind] + what if isinstance(acked[kind], list) else what
    if forked(lambda: check(folder, acked)):
        sys.exit(f"died at step {fatal}; left in {folder}; acknowledged {acked}")
    shutil.rmtree(folder, ignore_errors=True)
    return status == DIED


def warm(folder):
    """One whole life in this process, so that no fork has to import and compile what all need."""
    clock = ManualClock(START_NS)
    live(Site(folder, clock), clock, lambda kind, what: None)
    shutil.rmtree(folder, ignore_errors=True)


def main():
    """Every SHARES-th step from SHARE on, until a life has fewer steps."""
    folder, share, shares = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    warm(folder / "warm")
    gc.freeze()
    for fatal in range(share, STEPS_MAX, shares):
        if not one_life(folder / f"{fatal}", fatal):
            print(fatal)
            return
    sys.exit(f"a life of over {STEPS_MAX} steps")


if __name__ == "__main__":
    main()
