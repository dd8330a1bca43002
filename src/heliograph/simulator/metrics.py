"""What the simulated exporters expose, as remote write series of one instant.

    gpu-node-01   dcgm-exporter     DCGM_FI_DEV_*    UUID, gpu, Hostname, modelName, device
    gpu-node-02   amd-exporter      gpu_*            gpu_id, serial_number, hostname, card_model
    both          node-exporter     node_*           nobody's: no device, no pod (but for the links)

A series whose target is gone gets one stale marker: a GPU that has fallen off answers nobody.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.core.labels import NAME, Labels, of
from heliograph.core.samples import STALE
from heliograph.simulator.cluster import (
    AMD_NODE,
    GPUS_PER_NODE,
    LINKS,
    NODES,
    Cluster,
    noise,
)
from heliograph.simulator.events import gpu

MIB = 1024 * 1024
XID_FALLEN_OFF = 79
_CPUS = 4
_CPU_SHARES = {"idle": 0.7, "user": 0.2, "system": 0.08, "iowait": 0.02}
# Of each phase that holds a GPU: activity in per cent, share of full power. A rank that waits
# for another spins: fully active, and cool.
_PHASES = {
    "warming": (12.0, 0.25),
    "running": (96.0, 0.92),
    "saving": (20.0, 0.35),
    "hung": (100.0, 0.30),
    "dying": (0.0, 0.15),
}
_IDLE = (0.0, 0.12)

Series = tuple[Labels, NDArray[np.int64], NDArray[np.float64]]


class Load(NamedTuple):
    """What one GPU is at: activity and shares of full power and memory."""

    activity: float
    power: float
    memory: float


class Exporters:
    """All exporters of the cluster; remembers which series there were, to mark those that go."""

    def __init__(self) -> None:
        self._alive: set[Labels] = set()

    def scrape(self, cluster: Cluster, at_ns: int) -> list[Series]:
        """One sample of every series at *at_ns*, and a stale marker of those that have gone."""
        at_ms = np.array([at_ns // 1_000_000], np.int64)
        values = dict(_exposed(cluster, at_ns))
        gone = self._alive - values.keys()
        self._alive = set(values)
        series = [
            (labels, at_ms, np.array([value], np.float64)) for labels, value in values.items()
        ]
        # Built of the marker's bits: computing with it would make it a plain NaN.
        stale = np.array([STALE], np.float64)
        return series + [(labels, at_ms, stale) for labels in sorted(gone)]


def _exposed(cluster: Cluster, at_ns: int) -> Iterator[tuple[Labels, float]]:
    for node in NODES:
        for index in range(GPUS_PER_NODE):
            if (node, index) in cluster.lost:
                # The driver still tells why it does not answer.
                yield _xid(node, index, XID_FALLEN_OFF)
                continue
            load = _load(cluster, node, index, at_ns)
            yield from (_amd if node == AMD_NODE else _dcgm)(node, index, load)
        yield from _links(cluster, node)
        yield from _cpus(node, at_ns)


def _load(cluster: Cluster, node: str, index: int, at_ns: int) -> Load:
    job = cluster.holder(node, index)
    activity, power = _PHASES[job.phase] if job else _IDLE
    about = (cluster.seed, node, index, at_ns)
    wobble = noise("load", *about)
    if activity > 0:
        activity = min(100.0, max(0.0, activity + 3 * wobble))
    return Load(round(activity), power * (1 + 0.04 * wobble), 0.6 if job else 0.004)


def _dcgm_labels(node: str, index: int) -> dict[str, str]:
    return {
        "UUID": gpu(node, index).uuid or "",
        "gpu": str(index),
        "device": f"nvidia{index}",
        "Hostname": node,
        "modelName": "NVIDIA H100 80GB HBM3",
        "instance": f"{node}:9400",
        "job": "dcgm-exporter",
    }


def _xid(node: str, index: int, code: int) -> tuple[Labels, float]:
    """The last Xid of a GPU, 0 for none."""
    return of({NAME: "DCGM_FI_DEV_XID_ERRORS", **_dcgm_labels(node, index)}), float(code)


def _dcgm(node: str, index: int, load: Load) -> Iterator[tuple[Labels, float]]:
    shared = _dcgm_labels(node, index)
    values = {
        "DCGM_FI_DEV_GPU_UTIL": load.activity,
        "DCGM_FI_DEV_GPU_TEMP": round(31 + 38 * load.power),
        "DCGM_FI_DEV_POWER_USAGE": round(700 * load.power, 3),
        "DCGM_FI_DEV_FB_USED": round(81_559 * load.memory),
    }
    for name, value in values.items():
        yield of({NAME: name, **shared}), float(value)
    yield _xid(node, index, 0)


def _amd(node: str, index: int, load: Load) -> Iterator[tuple[Labels, float]]:
    shared = {
        "gpu_id": str(index),
        "serial_number": gpu(node, index).serial or "",
        "gpu_partition_id": "0",
        "hostname": node,
        "card_model": "AMD Instinct MI300X",
        "instance": f"{node}:5000",
        "job": "amd-exporter",
    }
    total_mib = 262_128
    values = {
        "gpu_gfx_activity": load.activity,
        "gpu_package_power": round(750 * load.power),
        "gpu_junction_temperature": round(36 + 48 * load.power),
        "gpu_memory_temperature": round(33 + 30 * load.power),
        "gpu_used_vram": round(total_mib * load.memory),
        "gpu_total_vram": total_mib,
    }
    for name, value in values.items():
        yield of({NAME: name, **shared}), float(value)


def _links(cluster: Cluster, node: str) -> Iterator[tuple[Labels, float]]:
    """Byte counters, which grow with each step of the jobs of the node."""
    steps = sum(job.steps for job in cluster.jobs.values() if job.shape.node == node)
    for number, link in enumerate(LINKS):
        shared = {
            "device": link,
            "port": "1",
            "instance": f"{node}:9100",
            "job": "node-exporter",
        }
        for way, share in (("transmitted", 1.0), ("received", 0.98)):
            name = f"node_infiniband_port_data_{way}_bytes_total"
            sent = steps * (900 + 40 * number) * MIB * share
            yield of({NAME: name, **shared}), float(round(sent))


def _cpus(node: str, at_ns: int) -> Iterator[tuple[Labels, float]]:
    # Counters since the node's boot, which was at the epoch: only their growth matters.
    up_s = at_ns / 1e9
    for cpu in range(_CPUS):
        for mode, share in _CPU_SHARES.items():
            labels = of(
                {
                    NAME: "node_cpu_seconds_total",
                    "cpu": str(cpu),
                    "mode": mode,
                    "instance": f"{node}:9100",
                    "job": "node-exporter",
                }
            )
            yield labels, round(up_s * share, 2)
