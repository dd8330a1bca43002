"""Who runs where: workloads, pods, and the spans during which a pod held a device.

Spans are half open, `[start_ns, end_ns)`, in the source's time; `end_ns` None is "still".
"""

from typing import NamedTuple

# Device types of a placement. `ib` and `rdma` devices are named by their link (`mlx5_0`).
DEVICE_TYPES = ("gpu", "ib", "rdma", "asic")
ANCESTORS_MAX = 10


class Workload(NamedTuple):
    """What a user started: a PyTorchJob, a Deployment, a plain Pod. `parent_uid` leads upwards."""

    uid: str
    name: str
    kind: str = ""
    namespace: str = ""
    parent_uid: str | None = None
    status: str = ""


class Pod(NamedTuple):
    """One incarnation of a pod. A restarted pod of the same name has another uid."""

    uid: str
    name: str
    namespace: str = ""
    node: str = ""
    workload_uid: str | None = None
    start_ns: int = 0
    end_ns: int | None = None


class Device(NamedTuple):
    """A device as a placement names it; absent identifiers are None.

    id          index or name on its node: "0", "mlx5_0"
    uuid        NVIDIA's `GPU-…`
    serial      AMD's serial number, with `partition` where the device is split
    """

    type: str
    id: str
    uuid: str | None = None
    serial: str | None = None
    partition: str | None = None


class Hold(NamedTuple):
    """*pod_uid* held *device* on *node* during `[start_ns, end_ns)`."""

    pod_uid: str
    node: str
    device: Device
    start_ns: int
    end_ns: int | None = None
