"""Clients of all kinds that write down what was acknowledged, and the check that all of it is there.

Each numbers what it sends. Samples and lines are sent again until they are acknowledged; what was
sent once and not acknowledged may be there or not, but whole and once.
"""

from collections import Counter

from tests.service.clients import Clients
from tests.service.lives import CLOCK

SERIES = 12
ITERATIONS = 4
PODS = 3


class Crowd(Clients):
    """Clients of the service *life*, on threads, until `leave`; pods p-0 … belong to workload w."""

    def __init__(self, life, *, pause_s=0.01, metric="seq"):
        super().__init__()
        self.life = life
        self.pause_s = pause_s
        self.metric = metric
        self.start_ms = CLOCK.now_ns() // 10**6 - 600_000
        self.samples_acked, self.samples_sent = set(), set()
        self.rows_acked, self.rows_sent = set(), set()
        self.saves_acked, self.saves_sent = set(), set()
        self.events_acked, self.events_sent = set(), set()
        self.pods_acked, self.pods_sent = set(), set()
        self.statuses = Counter()
        # Pieces acknowledged that came to their end, and that wait for it.
        self.joined, self.waiting = 0, 0

    def place(self):
        """Place the pods that log."""
        pods = [_pod(f"p-{n}") for n in range(PODS)]
        document = {"workloads": [{"uid": "w", "name": "w"}], "pods": pods}
        assert self.life.post("/v1/placements", document).status == 200
        return self

    def works(self):
        return [
            self._metrics,
            self._metrics,
            *[self._logs] * PODS,
            self._events,
            self._placements,
        ]

    def _insist(self, send):
        """Send until it is acknowledged; whether it was before we leave."""
        while not self.leaving.is_set():
            answer = send()
            self.statuses[answer.status] += 1
            if answer.status in (200, 204):
                return True
            assert answer.status in (0, 429, 503), answer
            CLOCK.sleep(0.02)
        return False

    def _metrics(self, number, rng):
        seq = 0
        while not self.leaving.is_set():
            seqs = range(seq, seq + rng.randint(1, 5))
            seq = seqs.stop
            self.samples_sent |= {(number, one) for one in seqs}
            series = [
                (
                    {"__name__": self.metric, "client": str(number), "n": str(n)},
                    [(self.start_ms + one * 10, float(one)) for one in seqs],
                )
                for n in range(SERIES)
            ]
            if self._insist(lambda series=series: self.life.write(series)):
                self.samples_acked |= {(number, one) for one in seqs}
            CLOCK.sleep(self.pause_s)

    def _logs(self, number, rng):
        pod = f"p-{number % PODS}"
        container, iteration, begun = 0, 0, None
        while not self.leaving.is_set():
            entries, rows, saves = [], [], []
            if begun is not None:
                entries.append(self._entry(pod, container, begun, _line(begun)[40:], "F"))
                rows.append((pod, begun))
            for _ in range(rng.randint(1, ITERATIONS)):
                iteration += 1
                entries.append(self._entry(pod, container, iteration, _line(iteration), "F"))
                rows.append((pod, iteration))
            if rng.random() < 0.5:
                said = (
                    f"  successfully saved checkpoint from iteration      {iteration} to /ckpt"
                )
                entries.append(self._entry(pod, container, iteration, said, "F"))
                saves.append((pod, iteration))
            self.rows_sent |= set(rows)
            self.saves_sent |= set(saves)
            if self._insist(lambda entries=entries: self.life.post("/v1/logs", entries)):
                self.rows_acked |= set(rows)
                self.saves_acked |= set(saves)
                self.joined += begun is not None
                self.waiting -= begun is not None
            # The beginning of a line goes alone, and once: a repeated one would be there twice.
            iteration += 1
            begun = iteration
            start = self._entry(pod, container, begun, _line(begun)[:40], "P")
            if self.life.post("/v1/logs", [start]).status != 200:
                begun = None
                container += 1
            else:
                self.waiting += 1
                self.rows_sent.add((pod, begun))
            CLOCK.sleep(self.pause_s)

    def _entry(self, pod, container, iteration, text, tag):
        return {
            "log": text,
            "logtag": tag,
            "stream": "stdout",
            "date": (self.start_ms + iteration * 10) / 1000,
            "kubernetes": {
                "pod_id": pod, "pod_name": pod, "namespace_name": "train",
                "container_name": f"c-{container}",
            },
        }  # fmt: skip

    def _events(self, number, rng):
        seq = 0
        while not self.leaving.is_set():
            ids = [f"c-{number}-{one}" for one in range(seq, seq + rng.randint(1, 4))]
            seq += len(ids)
            self.events_sent |= set(ids)
            batch = {"events": [_event(one, self.start_ms) for one in ids]}
            if self._insist(
                lambda batch=batch: self.life.post("/v1/container-events/batch", batch)
            ):
                self.events_acked |= set(ids)
            CLOCK.sleep(self.pause_s)

    def _placements(self, number, rng):
        seq = 0
        while not self.leaving.is_set():
            uids = [f"q-{number}-{one}" for one in range(seq, seq + rng.randint(1, 3))]
            seq += len(uids)
            self.pods_sent |= set(uids)
            document = {
                "workloads": [{"uid": "v", "name": "v"}],
                "pods": [{**_pod(uid), "workload_uid": "v"} for uid in uids],
            }
            if self._insist(
                lambda document=document: self.life.post("/v1/placements", document)
            ):
                self.pods_acked |= set(uids)
            CLOCK.sleep(self.pause_s * 3)

    def check(self):
        """Everything acknowledged is there exactly once, and nothing that was never sent."""
        self._check_samples()
        self._check_rows()
        self._check_records()
        self._check_pods()

    def _check_samples(self):
        found = self.life.points(self.metric)
        span = {"start": (self.start_ms - 1000) / 1000, "end": CLOCK.now_ns() / 1e9 + 7200}
        counted = self.life.points(self.metric, **span, step="2h", agg="count")
        whole = {}
        for labels, points in found.items():
            client = int(dict(labels)["client"])
            seqs = [(ms - self.start_ms) // 10 for ms, _ in points]
            assert [value for _, value in points] == [float(seq) for seq in seqs]
            assert seqs == sorted(set(seqs)), "a sample twice"
            assert sum(count for _, count in counted[labels]) == len(points)
            # Requests are kept whole: every series of a client has the same samples.
            assert whole.setdefault(client, seqs) == seqs
        there = {(client, seq) for client, seqs in whole.items() for seq in seqs}
        assert len(found) == SERIES * len({client for client, _ in self.samples_acked})
        assert_between(self.samples_acked, there, self.samples_sent)

    def _check_rows(self):
        rows = self.life.items("/v1/workloads/w/training")
        there = Counter((row["pod_uid"], row["iteration"]) for row in rows)
        assert max(there.values()) == 1, "a row twice"
        assert_between(self.rows_acked, set(there), self.rows_sent)
        for row in rows:
            # A line whose beginning was lost would be read by its end, without these.
            assert row["fields"]["consumed_samples"] == row["iteration"] * 1024, row

    def _check_records(self):
        span = {"start": 0, "end": CLOCK.now_ns() / 1e9 + 86400}
        saves = self.life.items("/v1/records", event_type="checkpoint_save_end", **span)
        there = Counter((one["session_id"], one["attributes"]["iteration"]) for one in saves)
        assert max(there.values()) == 1, "a checkpoint twice"
        assert_between(self.saves_acked, set(there), self.saves_sent)
        events = self.life.items("/v1/records", source_kind="container", **span)
        there = Counter(one["resource"]["container_id"] for one in events)
        assert max(there.values()) == 1, "an event twice"
        assert_between(self.events_acked, set(there), self.events_sent)

    def _check_pods(self):
        there = set(self.life.get("/v1/pods/workload/cache"))
        assert_between(
            self.pods_acked, {uid for uid in there if uid.startswith("q-")}, self.pods_sent
        )


def assert_between(acked, there, sent):
    """Nothing acknowledged is missing, nothing is there that was not sent."""
    assert acked, "nothing was acknowledged, so nothing was tested"
    missing, invented = acked - there, there - sent
    assert not missing, f"{len(missing)} of {len(acked)} missing: {sorted(missing)[:10]}"
    assert not invented, f"{len(invented)} invented: {sorted(invented)[:10]}"


def _pod(uid):
    return {
        "uid": uid, "name": uid, "namespace": "train", "node": "n1", "workload_uid": "w",
        "start": "2026-01-01T00:00:00Z",
    }  # fmt: skip


def _line(iteration):
    return (
        f" iteration {iteration:8d}/  500000 | consumed samples: {iteration * 1024:12d} | "
        f"elapsed time per iteration (ms): 9270.6 | learning rate: 1.0E-04 | lm loss: 1.0E+00 |"
    )


def _event(container_id, start_ms):
    return {
        "type": "task_exit", "source": "docker", "node": "n1", "container_id": container_id,
        "data": {"id": container_id, "status": "Exited", "exit_code": 1,
                 "exit_time": start_ms * 10**6},
    }  # fmt: skip
