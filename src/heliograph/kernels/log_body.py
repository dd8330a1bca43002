"""One pass over a body of container logs, straight into columns: where there is no compiler, none.

    walk(b'[{"date": 1764666728.5, "log": "a\\n", "kubernetes": {…}}]', …)  →  Columns or None

None says that the body is not one of the usual kind, and nothing of it has been judged: the caller
reads it the general way, which gives the same for every body that `walk` takes. So the plain twin
takes none; the compiled form takes arrays, lines and streams of strictly correct objects whose
fields are of the usual types.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

COMPILED = False
# Distinct `kubernetes` objects remembered between bodies, and how long one may be.
PODS_MAX = 8192
POD_BYTES_MAX = 4096

Pod = tuple[str, str, str, str, str]


class Pods:
    """What `kubernetes` objects came to, between bodies; for one thread. One more than PODS_MAX forgets
    them all."""

    def __len__(self) -> int:
        return 0


class Columns(NamedTuple):
    """The physical lines of a body, blank ones left out, and what was counted on the way.

    sources     pod uid, namespace, pod name, node, container, stream of each source
    source_of   for each line the number of its source (uint32)
    at_ns       and its time (int64)
    at_known    and whether that is its own: 1, or the arrival's: 0 (uint8)
    ends        and where its text ends in *blob* (uint32)
    blob        all texts, one after the other, UTF-8
    received    entries
    late        for each node the seconds from event to arrival, one an entry whose time is known
    """

    sources: list[tuple[str, str, str, str, str, str]]
    source_of: bytes
    at_ns: bytes
    at_known: bytes
    ends: bytes
    blob: bytes
    received: int
    late: dict[str, list[float]]
    time_missing: int
    future: int
    blank: int


class Bounds(NamedTuple):
    """What a body that `walk` takes stays within."""

    entries: int
    lines: int
    entry_bytes: int
    line_bytes: int


def walk(
    raw: bytes,
    arrival_ns: int,
    sender: str,
    bounds: Bounds,
    pods: Pods,
    pod_of: Callable[[bytes], Pod | None],
    instant_of: Callable[[Any], int | None],
) -> Columns | None:
    """The columns of *raw*, valid UTF-8; None when it is not of the usual kind.

    *pods* remembers what *pod_of* made of a `kubernetes` object (pod uid, namespace, name, node,
    container; None for one it does not like); *instant_of* gives the nanoseconds of a time that is
    not a plain fraction of seconds; *sender* is the node of latencies where none is named.
    """
    del raw, arrival_ns, sender, bounds, pods, pod_of, instant_of
    return None
