"""What the labels of a series say of node, device and pod, in whichever exporter's spelling.

    NVIDIA DCGM      UUID (old: uuid, NVLink: gpu_uuid), gpu, GPU_I_ID, Hostname or hostname
    AMD              serial_number, gpu_partition_id, gpu_id, hostname
    InfiniBand/RDMA  device="mlx5_0"; DCGM's device="nvidia0" is no link and matches none
    pods             pod_uid, pod_uuid, uid; pod, pod_name with namespace, pod_namespace

Where `exported_pod` is there, Prometheus found the label `pod` taken by its own target: then
`pod` is the exporter itself, and so is `namespace`.
"""

from functools import lru_cache
from typing import NamedTuple

from heliograph.core.labels import Labels

NODE_LABELS = (
    "node", "Hostname", "hostname", "kubernetes_node", "instance", "primus_lens_node_name",
)  # fmt: skip
UUID_LABELS = ("UUID", "uuid", "gpu_uuid")
SERIAL_LABELS = ("serial_number",)
PARTITION_LABELS = ("GPU_I_ID", "gpu_partition_id")
GPU_LABELS = ("gpu", "gpu_id")
LINK_LABELS = ("device",)
ASIC_LABELS = ("asic",)
POD_UID_LABELS = ("pod_uid", "uid", "pod_uuid")
POD_LABELS = ("pod", "pod_name")
NAMESPACE_LABELS = ("namespace", "pod_namespace")

# The metrics of one device say the same of it; so many devices, about 500 bytes each.
IDENTITIES_KEPT_MAX = 16_384

_READ = frozenset(
    NODE_LABELS + UUID_LABELS + SERIAL_LABELS + PARTITION_LABELS + GPU_LABELS + LINK_LABELS
    + ASIC_LABELS + POD_UID_LABELS + POD_LABELS + NAMESPACE_LABELS
    + ("exported_pod", "exported_namespace")
)  # fmt: skip


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
    return _read(tuple([pair for pair in labels if pair[0] in _READ and pair[1]]))


@lru_cache(IDENTITIES_KEPT_MAX)
def _read(pairs: Labels) -> Identity:
    """The identity in *pairs*, all of names that are read."""
    said = dict(pairs)

    def first(names: tuple[str, ...]) -> str:
        # A loop: a generator takes twice as long, and every new series and alert comes here.
        for name in names:
            if name in said:
                return said[name]
        return ""

    exported = said.get("exported_pod")
    return Identity(
        nodes=tuple(
            dict.fromkeys(
                _host(said[name]) if name == "instance" else said[name]
                for name in NODE_LABELS
                if name in said
            )
        ),
        uuid=first(UUID_LABELS),
        serial=first(SERIAL_LABELS),
        partition=first(PARTITION_LABELS),
        gpu=first(GPU_LABELS),
        link=first(LINK_LABELS),
        asic=first(ASIC_LABELS),
        pod_uid=first(POD_UID_LABELS),
        pod_name=exported or first(POD_LABELS),
        namespace=said.get("exported_namespace", "") if exported else first(NAMESPACE_LABELS),
    )


def _host(instance: str) -> str:
    """The host of `host:9100`, `[fe80::1]:9100`, `http://host:9100/metrics`, or a bare host."""
    host = instance.partition("://")[2] or instance
    host = host.partition("/")[0]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host
