"""Random sites against a model that knows nothing of intervals: at each instant it asks every pod.

Metadata and samples arrive in a random order; what is asked afterwards, from memory, from segments,
after a restart, after a kill and from roll-ups alone, must be what the model says.
"""

import random

import pytest

from heliograph.core.clock import ManualClock
from tests.service.stories import (
    END_MS,
    MINUTE_MS,
    T0_MS,
    at,
    explained,
    killed,
    placements,
    posted,
    seal,
    settled,
    told,
    upkeep,
    written,
)

INSTANTS = 220
WORKLOADS = {
    "w0": {"uid": "w0", "name": "sweep", "kind": "Sweep", "namespace": "a", "parent_uid": None},
    "w1": {"uid": "w1", "name": "llm", "kind": "Job", "namespace": "a", "parent_uid": "w0"},
    "w2": {"uid": "w2", "name": "llm", "kind": "Job", "namespace": "b", "parent_uid": None},
    "w3": {"uid": "w3", "name": "deep", "kind": "Task", "namespace": "a", "parent_uid": "w1"},
}
GPUS, LINKS = 3, 2


class Site:
    """Pods on two NVIDIA nodes, n0 and n1, and an AMD one, n2; GPUs are never moved."""

    def __init__(self, rng):
        self.rng = rng
        self.pods = [self._pod(number) for number in range(24)]
        self.series = self._series()
        self.instants = sorted(rng.sample(range(T0_MS, END_MS), INSTANTS))

    def _pod(self, number):
        rng = self.rng
        node = rng.choice(["n0", "n1", "n2"])
        start = rng.randrange(T0_MS - 600_000, END_MS - 600_000)
        end = None if rng.random() < 0.3 else start + rng.randrange(60_000, 5_400_000)
        devices = [self._device(node, "gpu", i) for i in range(GPUS) if rng.random() < 0.4]
        devices += [self._device(node, "rdma", i) for i in range(LINKS) if rng.random() < 0.4]
        return {
            "uid": f"p{number}", "name": f"worker-{number % 4}", "namespace": rng.choice("ab"),
            "node": node, "workload_uid": rng.choice([*WORKLOADS, *WORKLOADS, None]),
            "start": at(start), "end": None if end is None else at(end), "devices": devices,
            "_span": (start, 2**62 if end is None else end),
        }  # fmt: skip

    def _device(self, node, kind, number):
        if kind == "rdma":
            return {"type": self.rng.choice(["rdma", "ib"]), "id": f"mlx5_{number}"}
        if node == "n2":
            return {"type": "gpu", "id": str(number), "serial": f"SN-{number}"}
        return {"type": "gpu", "id": str(number), "uuid": f"GPU-{node}-{number}"}

    def _series(self):
        found = []
        for node in ("n0", "n1"):
            for n in range(GPUS):
                uuid = f"GPU-{node}-{n}"
                found.append(
                    (
                        ("gpu", node, n),
                        {
                            "Hostname": node,
                            "gpu": str(n),
                            "UUID": uuid,
                            "device": "nvidia0",
                            "job": "dcgm",
                            "pod_name": "claimed",
                        },
                    )
                )
                found.append((("gpu", node, n), {"instance": f"{node}:9400", "gpu": str(n)}))
            found.append((("gpu", node, 0), {"uuid": f"GPU-{node}-0", "pod_uid": "p0"}))
            found.append(
                (
                    ("rdma", node, 1),
                    {"node": node, "device": "mlx5_1", "pod": "worker-1", "namespace": "a"},
                )
            )
        found += [
            (
                ("gpu", "n2", n),
                {
                    "hostname": "n2",
                    "serial_number": f"SN-{n}",
                    "gpu_partition_id": "0",
                    "gpu_id": str(n),
                },
            )
            for n in range(GPUS)
        ]
        found += [
            (("rdma", "n2", n), {"instance": "n2:9100", "device": f"mlx5_{n}"})
            for n in range(LINKS)
        ]
        found += [(None, {"pod_uid": f"p{n}", "container": "main"}) for n in (1, 2)] + [
            (None, {"uid": "nobody"})
        ]
        found += [
            (
                None,
                {
                    "exported_pod": f"worker-{n}",
                    "exported_namespace": "a",
                    "pod": "exporter",
                    "namespace": "b",
                },
            )
            for n in range(4)
        ]
        found += [
            (None, {"pod": "worker-2", "namespace": "b"}),
            (None, {"pod": "exporter", "namespace": "b"}),
        ]
        return [(device, {"__name__": "m", "n": str(n), **labels}) for n, (device, labels) in enumerate(found)]  # fmt: skip

    def documents(self):
        """Each pod in a document of its own, some of them told twice: running, then over."""
        parts = []
        for pod in self.pods:
            said = {key: value for key, value in pod.items() if key != "_span"}
            if said["end"] is not None and self.rng.random() < 0.5:
                parts.append([placements([{**said, "end": None}]), placements([said])])
            else:
                parts.append([placements([said])] * self.rng.randint(1, 2))
        parts += [[placements([], [one])] for one in WORKLOADS.values()]
        return parts

    def owner(self, device, labels, ms):
        """The pod that a sample at *ms* belongs to, or None."""
        alive = [pod for pod in self.pods if pod["_span"][0] <= ms < pod["_span"][1]]
        if device is not None:
            kind, node, number = device
            held = [
                pod["uid"] for pod in alive for one in pod["devices"]
                if pod["node"] == node
                and (one["type"], one["id"]) in ((kind, str(number)), ("rdma", f"mlx5_{number}"), ("ib", f"mlx5_{number}"))
                and (one["type"] == "gpu") == (kind == "gpu")
            ]  # fmt: skip
            if len(held) > 1:
                return None
            if held:
                return self._known(held[0])
        uid = labels.get("pod_uid") or labels.get("uid")
        if uid:
            return self._known(uid)
        name = labels.get("exported_pod") or labels.get("pod") or labels.get("pod_name")
        space = (
            labels.get("exported_namespace")
            if "exported_pod" in labels
            else labels.get("namespace")
        )
        named = [
            p["uid"] for p in alive if p["name"] == name and space in (None, p["namespace"])
        ]
        return self._known(named[0]) if len(named) == 1 else None

    def _known(self, uid):
        pod = next((pod for pod in self.pods if pod["uid"] == uid), None)
        return pod if pod is not None and pod["workload_uid"] else None

    def seen(self, labels, pod):
        """Labels of the view."""
        workload = WORKLOADS[pod["workload_uid"]]
        root = {"w3": "w0", "w1": "w0"}.get(workload["uid"], workload["uid"])
        fields = {
            **labels, "__name__": "workload_m", "pod_name": pod["name"], "pod_uid": pod["uid"],
            "pod_namespace": pod["namespace"], "workload_name": workload["name"],
            "workload_uid": workload["uid"], "workload_kind": workload["kind"],
            "workload_root_uid": root,
        }  # fmt: skip
        return tuple(sorted(fields.items()))

    def expected(self):
        """{view labels: [[ms, value], …]}."""
        found = {}
        for number, (device, labels) in enumerate(self.series):
            for place, ms in enumerate(self.instants):
                pod = self.owner(device, labels, ms)
                if pod is not None:
                    value = number * 1000.0 + place
                    found.setdefault(self.seen(labels, pod), []).append([ms, value])
        return found

    def writes(self):
        """Samples of all series in chunks, of random instants."""
        places = list(range(INSTANTS))
        self.rng.shuffle(places)
        for start in range(0, INSTANTS, 55):
            some = sorted(places[start : start + 55])
            yield [
                (labels, [(self.instants[p], number * 1000.0 + p) for p in some])
                for number, (_, labels) in enumerate(self.series)
            ]


def fill(world, asked):
    """Everything, in an order in which only what one pod is told keeps its own."""
    queues = [*world.documents(), *([one] for one in world.writes())]
    while queues:
        queue = world.rng.choice(queues)
        one = queue.pop(0)
        if isinstance(one, dict):
            posted(asked, "/v1/placements", one)
        else:
            written(asked, one)
        queues = [queue for queue in queues if queue]


def by_minute(points, agg):
    windows = {}
    for ms, value in points:
        windows.setdefault(ms - ms % MINUTE_MS, []).append(value)
    law = {"sum": sum, "min": min, "max": max, "count": len, "last": lambda v: v[-1]}
    law["mean"] = lambda values: sum(values) / len(values)
    return [[window, law[agg](values)] for window, values in sorted(windows.items())]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_comes_in_whatever_order(tmp_path, seed):
    world = Site(random.Random(seed))
    clock = ManualClock(END_MS * 10**6)
    expected = world.expected()
    assert len(expected) > 30
    with told(tmp_path / "data", clock) as asked:
        fill(world, asked)
        assert asked.points("workload_m") == expected
        seal(asked, clock)
        assert asked.points("workload_m") == expected
        for _ in range(60):
            device, labels = world.rng.choice(world.series)
            ms = world.rng.randrange(T0_MS, END_MS)
            pod = world.owner(device, labels, ms)
            why = explained(asked, labels, ms)
            assert (why["attributed"], why["reason"] is None) == (pod is not None,) * 2, why
            if pod is not None:
                assert why["pod_uid"] == pod["uid"], why
        _check_caches(world, asked)
        copy = killed(tmp_path / "data", tmp_path / "copy")
    for folder in (tmp_path / "data", copy):
        with told(folder, clock) as asked:
            upkeep(asked)
            assert asked.points("workload_m") == expected


def _check_caches(world, asked):
    for ms in world.rng.sample(range(T0_MS, END_MS), 20):
        alive = [pod for pod in world.pods if pod["_span"][0] <= ms < pod["_span"][1]]
        held = {}
        for pod in alive:
            for one in pod["devices"]:
                kind = "gpu_id" if one["type"] == "gpu" else "device"
                held.setdefault((pod["node"], kind, one["id"]), []).append(
                    [pod["name"], pod["uid"]]
                )
        cache = {}
        for (node, kind, number), pods in held.items():
            if len(pods) == 1:
                cache.setdefault(node, {}).setdefault(kind, {})[number] = pods[0]
        assert asked.get("/v1/pods/cache", at=at(ms)).json() == cache
        named = {}
        for pod in alive:
            uid = pod["workload_uid"]
            while uid:
                named.setdefault(pod["name"], set()).add((WORKLOADS[uid]["name"], uid))
                uid = WORKLOADS[uid]["parent_uid"]
        found = asked.get("/v1/pods/workload/cache", at=at(ms)).json()
        assert {name: set(map(tuple, pairs)) for name, pairs in found.items()} == named


@pytest.mark.parametrize("seed", [4, 5])
def test_from_roll_ups_alone(tmp_path, seed):
    """Tiny retention: no raw sample is left, and rows are cut where owners changed."""
    world = Site(random.Random(seed))
    clock = ManualClock(END_MS * 10**6)
    expected = world.expected()
    retention = {"samples": {"retention": {"raw": "1s", "1m": "30d", "1h": "400d"}}}
    span = {"start": T0_MS / 1000, "end": END_MS / 1000, "step": "1m"}
    with told(tmp_path / "data", clock, **retention) as asked:
        fill(world, asked)
        settled(asked)
        for _ in range(2):
            for agg in ("mean", "sum", "min", "max", "count", "last"):
                found = asked.points("workload_m", agg=agg, **span)
                assert found == {k: by_minute(v, agg) for k, v in expected.items()}, agg
            seal(asked, clock)
            clock.advance(4 * 3600)
            upkeep(asked)
        assert "raw" not in asked.site.core.segments.stats().files
        copy = killed(tmp_path / "data", tmp_path / "copy")
    with told(copy, clock, **retention) as asked:
        found = asked.points("workload_m", agg="sum", **span)
        assert found == {k: by_minute(v, "sum") for k, v in expected.items()}
