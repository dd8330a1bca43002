"""The records of lines, and of what printed them: what is the same for all of its lines is made once.

    origin = Origin.of(source(line), pod_uid)
    origin.record(event, 0, at_ns, text, …)      of what the line tells
    origin.line(at_ns, text, …)                  of the line itself

The identity of a line is as it came: a pod that becomes known between two readings of the same line
does not make two records of it.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from heliograph.core.record import Record, packed
from heliograph.core.training import TrainingRow
from heliograph.kernels import plain_lines as kernel
from heliograph.receive.lines import Source
from heliograph.training.events import Event
from heliograph.training.parse import Parsed

SOURCE = "log"
# About 1 kB each.
ORIGINS_MAX = 20_000
_LINE = packed("log_line")


event_identity = lru_cache(maxsize=1024)(packed)


def making(*, bodies: bool) -> kernel.Making:
    """How rows and records are made of plain lines; *bodies* as the kernel's."""
    return kernel.Making(TrainingRow, SOURCE, Record, event_identity, bodies)


def speaker(said: Parsed) -> dict[str, str]:
    """The rank and the device that a line is about, as far as it says, as text."""
    rank, device = said.fields.get("rank"), None
    for event in said.events:
        attributes = event.attributes
        rank = attributes.get("rank", rank)
        named = [one for one in kernel.DEVICES if one in attributes]
        device = attributes[named[0]] if named else None
    told = {}
    if rank is not None and rank != "":
        told["rank"] = str(rank)
    if device is not None and device != "":
        told["device"] = str(device)
    return told


class Origin(NamedTuple):
    """What printed lines.

    identity      the beginning of the identity of all its lines
    resource      what their records say of it, as far as it is known
    """

    source: Source
    pod_uid: str
    identity: bytes
    session_id: str
    resource: dict[str, Any]

    @classmethod
    def of(cls, source: Source, pod_uid: str) -> "Origin":
        """Of *source*, as it came, whose pod is known to be *pod_uid*, "" for none."""
        told, namespace, pod_name, node, container, stream = source
        named = {
            "pod_uid": pod_uid,
            "pod_name": pod_name,
            "namespace": namespace,
            "node": node,
            "container": container,
        }
        return cls(
            source,
            pod_uid,
            packed(SOURCE, told or f"{node}/{namespace}/{pod_name}", container, stream),
            pod_uid or node or "unknown",
            {key: value for key, value in named.items() if value},
        )

    def record(
        self,
        event: Event,
        number: int,
        at_ns: int,
        text: bytes,
        rank: Any,
        label: str,
        framework: str,
        body: str | None,
        arrival_ns: int,
    ) -> Record:
        """The record of *event*, the *number*-th of the line *text*, UTF-8 (a lone surrogate as its
        three bytes); *rank* and *label* are who of the job speaks, as far as the line says.
        """
        event_type, severity, said = event
        return Record(
            kernel.record_id(self.identity, at_ns, text, event_identity(event_type, number)),
            at_ns,
            arrival_ns,
            self.session_id,
            SOURCE,
            event_type,
            severity=severity,
            body=body,
            resource=kernel.resource_of(self.resource, said, rank, label),
            attributes={**said, "framework": framework},
            correlation={},
        )

    def line(self, at_ns: int, text: str, arrival_ns: int) -> Record:
        """The record of a line that is kept though it tells nothing."""
        _, _, pod_name, node, container, _ = self.source
        return Record(
            kernel.record_id(
                self.identity, at_ns, text.encode("utf-8", "surrogatepass"), _LINE
            ),
            at_ns,
            arrival_ns,
            self.session_id,
            SOURCE,
            "log_line",
            body=text,
            resource={"pod_name": pod_name, "node": node, "container": container},
        )


class Origins:
    """Origins of lines, made once; at most ORIGINS_MAX, then all are forgotten."""

    def __init__(self) -> None:
        self._known: dict[tuple[Source, str], Origin] = {}

    def of(self, source: Source, pod_uid: str) -> Origin:
        """See `Origin.of`."""
        origin = self._known.get((source, pod_uid))
        if origin is None:
            if len(self._known) >= ORIGINS_MAX:
                self._known.clear()
            origin = self._known[source, pod_uid] = Origin.of(source, pod_uid)
        return origin
