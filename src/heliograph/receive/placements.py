"""Placement documents: which pods run where, on which devices, for which workload.

    workloads: [{uid: w-1, name: llm-7b, kind: PyTorchJob, namespace: train, parent_uid: null}]
    pods:
      - {uid: p-1, name: llm-7b-worker-0, namespace: train, node: gpu-node-01, workload_uid: w-1,
         start: 2026-01-01T00:00:00Z, end: null,
         devices: [{type: gpu, id: "0", uuid: GPU-aaaa}, {type: rdma, id: mlx5_0}]}

YAML or JSON. A document is taken whole or refused whole, with the field at fault; a key that we
do not know is refused too, since a misspelt `devcies` would leave its pod without devices.
"""

from heliograph.core import document
from heliograph.core.errors import ConfigError, Refused
from heliograph.core.owner import DEVICE_TYPES, Device, Pod, Workload
from heliograph.core.placement import PlacedPod, PlacedWorkload, Placements
from heliograph.receive.fields import Fields, json_of, kind_of, refuse

DEVICES_PER_POD_MAX = 256

_WORKLOAD_KEYS = ("uid", "name", "kind", "namespace", "parent_uid", "status")
_POD_KEYS = (
    "uid", "name", "namespace", "node", "workload_uid", "start", "end", "devices",
)  # fmt: skip
_DEVICE_KEYS = ("type", "id", "uuid", "serial", "partition")


def decode(
    body: bytes,
    *,
    content_type: str = "",
    list_max: int,
    yaml_bytes_max: int = document.DOCUMENT_BYTES_MAX,
) -> Placements:
    """The document of *body*: JSON where *content_type* says so, else YAML (so JSON too).

    *list_max* bounds workloads and pods, each; *yaml_bytes_max* what is read as YAML, of which a
    MiB may take eight seconds. Raises `Refused` naming the field.
    """
    fields = Fields(_parsed(body, content_type, yaml_bytes_max), "")
    fields.only(("workloads", "pods"))
    workloads = tuple(
        _workload(Fields(value, path))
        for path, value in fields.each("workloads", count_max=list_max)
    )
    pods = tuple(
        _pod(Fields(value, path)) for path, value in fields.each("pods", count_max=list_max)
    )
    _refuse_twice("workloads", [placed.workload.uid for placed in workloads])
    _refuse_twice("pods", [placed.pod.uid for placed in pods])
    _refuse_cycle(workloads)
    return Placements(workloads, pods)


def _parsed(body: bytes, content_type: str, yaml_bytes_max: int) -> object:
    if "json" in content_type.lower():
        return json_of(body)
    if body.lstrip()[:1] == b"{":
        # YAML's reader is some fifty times slower, and most of what begins so is JSON.
        try:
            return json_of(body)
        except Refused:
            if len(body) > yaml_bytes_max:
                raise
    if len(body) > yaml_bytes_max:
        detail = f"{len(body)} bytes of YAML, limit {yaml_bytes_max}; JSON may be longer"
        raise Refused(detail, field="body", code="too_large", status=413)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(f"not UTF-8 at byte {error.start}") from error
    try:
        parsed = document.parse(text, source="placements")
    except ConfigError as error:
        raise Refused(str(error)) from error
    if parsed is None:
        raise Refused("the document is empty; expected workloads and pods")
    if not isinstance(parsed, dict):
        raise Refused(f"expected a mapping of workloads and pods, got {kind_of(parsed)}")
    return parsed


def _workload(fields: Fields) -> PlacedWorkload:
    fields.only(_WORKLOAD_KEYS)
    workload = Workload(
        uid=fields.text("uid"),
        name=fields.text("name"),
        kind=fields.text_or_none("kind") or "",
        namespace=fields.text_or_none("namespace") or "",
        parent_uid=fields.text_or_none("parent_uid"),
        status=fields.text_or_none("status") or "",
    )
    return PlacedWorkload(workload, frozenset(fields.values))


def _pod(fields: Fields) -> PlacedPod:
    fields.only(_POD_KEYS)
    pod = Pod(
        uid=fields.text("uid"),
        name=fields.text("name"),
        namespace=fields.text_or_none("namespace") or "",
        node=fields.text_or_none("node") or "",
        workload_uid=fields.text_or_none("workload_uid"),
    )
    start_ns = fields.instant_or_none("start")
    end_ns = fields.instant_or_none("end")
    if start_ns is not None and end_ns is not None and end_ns <= start_ns:
        refuse(fields.at("end"), "not later than start")
    devices: dict[tuple[str, str, str | None], Device] = {}
    for path, value in fields.each("devices", count_max=DEVICES_PER_POD_MAX):
        device = _device(Fields(value, path))
        key = (device.type, device.id, device.partition)
        if key in devices:
            refuse(path, f"{device.type} {device.id} is listed twice", code="duplicate")
        devices[key] = device
    if devices and not pod.node and "node" in fields.values:
        refuse(fields.at("node"), "required where there are devices", code="missing")
    return PlacedPod(
        pod, tuple(devices.values()), start_ns, end_ns, frozenset(_given(fields.values))
    )


def _given(values: dict[str, object]) -> list[str]:
    # `devices:` with nothing after it is a list that was not written, not an empty one.
    return [key for key in values if key != "devices" or values[key] is not None]


def _device(fields: Fields) -> Device:
    fields.only(_DEVICE_KEYS)
    kind = fields.text("type")
    if kind not in DEVICE_TYPES:
        refuse(fields.at("type"), f"{kind[:64]!r} is none of {', '.join(DEVICE_TYPES)}")
    return Device(
        type=kind,
        id=fields.text("id", numbers=True),
        uuid=fields.text_or_none("uuid"),
        serial=fields.text_or_none("serial", numbers=True),
        partition=fields.text_or_none("partition", numbers=True),
    )


def _refuse_twice(name: str, uids: list[str]) -> None:
    first: dict[str, int] = {}
    for index, uid in enumerate(uids):
        if uid in first:
            refuse(
                f"{name}[{index}].uid",
                f"{uid!r} is also {name}[{first[uid]}]; send one state in a document",
                code="duplicate",
            )
        first[uid] = index


def _refuse_cycle(workloads: tuple[PlacedWorkload, ...]) -> None:
    parents = {placed.workload.uid: placed.workload.parent_uid for placed in workloads}
    settled: set[str] = set()
    for index, placed in enumerate(workloads):
        chain: list[str] = []
        uid: str | None = placed.workload.uid
        while uid is not None and uid not in settled:
            if uid in chain:
                refuse(
                    f"workloads[{index}].parent_uid",
                    f"{' → '.join([*chain[:8], uid])} is a circle",
                    code="cycle",
                )
            chain.append(uid)
            uid = parents.get(uid)
        settled.update(chain)
