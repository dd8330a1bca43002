"""Container events, as the agent on each node posts them: one, or a batch.

    {"type": "task_start", "source": "k8s", "node": "n1", "container_id": "c1",
     "data": {"id": "c1", "pod_name": "p", "pod_namespace": "ns", "pod_uuid": "u",
              "status": "Running", "created_at": 1700000000000000000,
              "devices": {"gpu": [{"name": "card0", "id": 0, "serial": "S0"}],
                          "infiniband": [{"name": "mlx5_0", "id": 0}]}}}
    {"events": [ … ]}

`created_at` and `exit_time` are nanoseconds; seconds, milliseconds and microseconds are told
apart by their size, text is RFC 3339, and 0 or less is "never". A docker container has no pod,
and its devices are a list of `device_name`, `device_id`, `device_serial`, `device_type`. Keys
that we do not know stay in `raw`. Types are not a closed list: agents add to them.
Source: what the node exporter of AMD Primus Lens sends.
"""

import re
from collections.abc import Iterator

from heliograph.core import instant
from heliograph.core.errors import Refused, Rejected
from heliograph.core.owner import DEVICE_TYPES, Device
from heliograph.core.placement import CONTAINER_ENDS, ContainerEvent
from heliograph.receive.fields import Fields, json_of, kind_of, refuse

SOURCES = ("k8s", "docker")
# Types whose `at_ns` is the container's creation.
STARTS = frozenset({"create", "start", "task_create", "task_start"})
DEVICES_MAX = 256

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,63}\Z")
_LISTS = {"gpu": "gpu", "infiniband": "ib"}
# Greatest absolute value that a stamp of each unit can have before it must be the next one.
_UNITS_NS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (2**63, 1))


def decode_event(value: object, *, arrived_ns: int, path: str = "") -> ContainerEvent:
    """The event of one decoded document, which stands at *path* of its body.

    *arrived_ns* is its time where it tells none. Raises `Refused` naming the field.
    """
    fields = Fields(value, path)
    kind, source = fields.text("type"), fields.text("source")
    if _TYPE.match(kind) is None:
        refuse(fields.at("type"), f"not the name of an event: {kind[:64]!r}")
    if source not in SOURCES:
        refuse(fields.at("source"), f"{source[:64]!r} is none of {', '.join(SOURCES)}")
    node, container_id = fields.text("node"), fields.text("container_id")
    data = Fields(fields.values.get("data"), fields.at("data"))
    created_ns = _stamp_ns(data, "created_at")
    if created_ns is None:
        created_ns = _stamp_ns(data, "start_at")
    exited_ns = _stamp_ns(data, "exit_time")
    said_ns = created_ns if kind in STARTS else exited_ns if kind in CONTAINER_ENDS else None
    k8s = source == "k8s"
    return ContainerEvent(
        type=kind,
        source=source,
        node=node,
        container_id=container_id,
        pod_uid=data.text_or_none("pod_uuid") or "" if k8s else "",
        pod_name=data.text_or_none("pod_name") or "" if k8s else "",
        namespace=data.text_or_none("pod_namespace") or "" if k8s else "",
        status=data.text_or_none("status") or "",
        at_ns=arrived_ns if said_ns is None else said_ns,
        created_ns=created_ns,
        exited_ns=exited_ns,
        exit_code=data.whole_or_none("exit_code"),
        oom_killed=data.flag("oom_killed"),
        devices=tuple(_devices(data)),
        raw=data.values,
    )


def decode_body(body: bytes, *, arrived_ns: int) -> ContainerEvent:
    """The event of a request's *body*. Raises `Refused` naming the field."""
    return decode_event(json_of(body), arrived_ns=arrived_ns)


def decode_batch(
    body: bytes, *, arrived_ns: int, list_max: int
) -> list[ContainerEvent | Rejected]:
    """One result for each of `events`, in order: the event, or why it can never be taken.

    A bare list is taken too. Raises `Refused` when the body is no batch, or an empty one.
    """
    document = json_of(body)
    fields = Fields({"events": document} if isinstance(document, list) else document, "")
    results: list[ContainerEvent | Rejected] = []
    for index, (path, value) in enumerate(fields.each("events", count_max=list_max)):
        try:
            results.append(decode_event(value, arrived_ns=arrived_ns, path=path))
        except Refused as refused:
            results.append(Rejected(index, refused.code, refused.detail))
    if not results:
        refuse("events", "cannot be empty", code="missing")
    return results


def _stamp_ns(fields: Fields, key: str) -> int | None:
    """The instant of *key*; None where it is absent or a zero of the agent's language."""
    value = fields.values.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        size = next((unit_ns for below, unit_ns in _UNITS_NS if abs(value) < below), None)
        if size is None:
            refuse(fields.at(key), "not an instant: more than 64 bits")
        at_ns: int | None = value * size
    elif isinstance(value, str) and (not value or value.startswith("0001-")):
        return None
    else:
        at_ns = fields.instant_or_none(key)
    return at_ns if at_ns is None or 0 < at_ns <= instant.AT_NS_MAX else None


def _devices(data: Fields) -> Iterator[Device]:
    value = data.values.get("devices")
    if value is None:
        return
    if isinstance(value, list):
        for path, element in data.each("devices", count_max=DEVICES_MAX):
            yield _docker_device(Fields(element, path))
        return
    if not isinstance(value, dict):
        refuse(data.at("devices"), f"expected a mapping of lists, got {kind_of(value)}")
    fields = Fields(value, data.at("devices"))
    for key, kind in _LISTS.items():
        for path, element in fields.each(key, count_max=DEVICES_MAX):
            yield _k8s_device(Fields(element, path), kind)


def _k8s_device(fields: Fields, kind: str) -> Device:
    number, name = fields.text_or_none("id", numbers=True), fields.text_or_none("name")
    # A GPU is known by its number on the node, a link by its name: all links may say id 0.
    known_as = (number or name) if kind == "gpu" else (name or number)
    if known_as is None:
        refuse(fields.at("id" if kind == "gpu" else "name"), "required", code="missing")
    return Device(
        kind,
        known_as,
        uuid=fields.text_or_none("uuid"),
        serial=fields.text_or_none("serial", numbers=True),
    )


def _docker_device(fields: Fields) -> Device:
    kind = (fields.text_or_none("device_type") or "gpu").lower()
    kind = {"infiniband": "ib"}.get(kind, kind)
    if kind not in DEVICE_TYPES:
        refuse(fields.at("device_type"), f"{kind[:64]!r} is none of {', '.join(DEVICE_TYPES)}")
    number = fields.text_or_none("device_id", numbers=True)
    name = fields.text_or_none("device_name")
    known_as = (number or name) if kind == "gpu" else (name or number)
    if known_as is None:
        refuse(fields.at("device_id"), "required", code="missing")
    return Device(
        kind,
        known_as,
        uuid=fields.text_or_none("device_uuid"),
        serial=fields.text_or_none("device_serial", numbers=True),
    )
