"""What the labels of a series say of node, device and pod, in whichever exporter's spelling.

    NVIDIA DCGM      UUID (old: uuid, NVLink: gpu_uuid), gpu, GPU_I_ID, Hostname or hostname
    AMD              serial_number, gpu_partition_id, gpu_id, hostname
    InfiniBand/RDMA  device="mlx5_0"; DCGM's device="nvidia0" is no link and matches none
    pods             pod_uid, pod_uuid, uid; pod, pod_name with namespace, pod_namespace

Where `exported_pod` is there, Prometheus found the label `pod` taken by its own target: then
`pod` is the exporter itself, and so is `namespace`.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from heliograph.core.labels import Labels

NODE_LABELS = (
    "node", "Hostname", "hostname", "kubernetes_node", "instance", "primus_lens_node_name",
)  # fmt: skip
POD_UID_LABELS = ("pod_uid", "uid", "pod_uuid")

# The metrics of one device say the same of it; so many devices, about 500 bytes each.
IDENTITIES_KEPT_MAX = 16_384
# Instances are read by many series and alerts.
HOSTS_KEPT_MAX = 8192

_READ = frozenset(
    (
        *NODE_LABELS,
        *("UUID", "uuid", "gpu_uuid", "serial_number", "GPU_I_ID", "gpu_partition_id"),
        *("gpu", "gpu_id", "device", "asic", *POD_UID_LABELS, "pod", "pod_name"),
        *("namespace", "pod_namespace", "exported_pod", "exported_namespace"),
    )
)


class Identity(NamedTuple):
    """What a label set says; what it does not say is "". *nodes* in the order to try."""

    nodes: tuple[str, ...] = ()
    uuid: str = ""
    serial: str = ""
    partition: str = ""
    gpu: str = ""
    link: str = ""
    asic: str = ""
    pod_uid: str = ""
    pod_name: str = ""
    namespace: str = ""

    @property
    def names_device(self) -> bool:
        """Whether any label names a device."""
        return bool(self.uuid or self.serial or self.gpu or self.link or self.asic)


def of(labels: Labels) -> Identity:
    """The identity in *labels*."""
    return _of_pairs(tuple([pair for pair in labels if pair[0] in _READ and pair[1]]))


@lru_cache(IDENTITIES_KEPT_MAX)
def _of_pairs(pairs: Labels) -> Identity:
    return read(dict(pairs))


def read(said: Mapping[str, str]) -> Identity:
    """The identity in *said*, name → value; an empty value is none."""
    # Written out: every new series and alert comes here, and loops take three times as long.
    get = said.get
    nodes = [
        host_of(node) if name == "instance" else node
        for name in NODE_LABELS
        if (node := get(name))
    ]
    if exported := get("exported_pod"):
        namespace = get("exported_namespace")
    else:
        namespace = get("namespace") or get("pod_namespace")
    return Identity(
        tuple(dict.fromkeys(nodes)) if len(nodes) > 1 else tuple(nodes),
        get("UUID") or get("uuid") or get("gpu_uuid") or "",
        get("serial_number") or "",
        get("GPU_I_ID") or get("gpu_partition_id") or "",
        get("gpu") or get("gpu_id") or "",
        get("device") or "",
        get("asic") or "",
        get("pod_uid") or get("uid") or get("pod_uuid") or "",
        exported or get("pod") or get("pod_name") or "",
        namespace or "",
    )


@lru_cache(HOSTS_KEPT_MAX)
def host_of(instance: str) -> str:
    """The host of `host:9100`, `[fe80::1]:9100`, `http://host:9100/metrics`, or a bare host."""
    host = instance.partition("://")[2] or instance
    host = host.partition("/")[0]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host
