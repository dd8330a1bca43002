"""What projecting a telemetry event costs beside the plain way: `python bench/projection.py [FILE]`.

The plain way is what spec 003 describes, said once more step by step: a plain copy of the record,
written as JSON, read and written again for its id; every mapping wrapped after a recursive copy; a
frozen dataclass of 14 fields. Both take turns on the same events in one run, and the ids and the
dictionaries they make are compared first. Then a file of a million events is written, if FILE is
not there, and read.
"""

import hashlib
import itertools
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from _shared import machine
from heliograph.kernels import canonical
from heliograph.projection import (
    loading,
    project_telemetry_mapping,
    projected_record_to_dict,
    unique_projected_resources,
)

ROUNDS = 7
EVENTS = 2000
FILE_EVENTS = 1_000_000
RANK = {"job_id": "job-1", "rank": 1, "local_rank": 0, "world_size": 2}
MEMORY = ("allocated", "reserved", "active", "inactive", "change")
KINDS = ("cuda", "rocm", "mps", "cpu", "tensorflow")
CALM = {"collector_recovered", "start", "stop", "phase_enter", "phase_exit", "sample"}


@dataclass(frozen=True)
class Plain:
    """The 14 fields."""

    schema_version: int
    record_id: str
    timestamp_ns: int
    observed_timestamp_ns: int
    session_id: str
    source_kind: str
    event_type: str
    stage: Any
    severity: Any
    severity_text: Any
    body: Any
    resource: Any
    attributes: Any
    correlation: Any


def unwrapped(value: Any) -> Any:
    """*value* as dicts and lists."""
    if isinstance(value, Mapping):
        return {str(key): unwrapped(inner) for key, inner in value.items()}
    return [unwrapped(inner) for inner in value] if isinstance(value, tuple) else value


def wrapped(value: Any) -> Any:
    """*value* read-only."""
    if isinstance(value, Mapping):
        return MappingProxyType({str(key): wrapped(inner) for key, inner in value.items()})
    return (
        tuple(wrapped(inner) for inner in value) if isinstance(value, list | tuple) else value
    )


def as_json(value: Mapping[str, Any]) -> str:
    """*value* as JSON, after once through JSON."""
    there = json.dumps(unwrapped(value), sort_keys=True, default=str)
    return json.dumps(json.loads(there), sort_keys=True)


def plain(event: Mapping[str, Any]) -> Plain:
    """*event* projected step by step."""
    for name, kind in (("session_id", str), ("timestamp_ns", int), ("event_type", str)):
        if not isinstance(event.get(name), kind):
            raise ValueError(name)  # noqa: TRY004
    metadata = dict(event.get("metadata", {}))
    scope = metadata.get("phase_scope")
    scope = scope if isinstance(scope, Mapping) else {}
    backend, collector = metadata.get("backend"), str(event.get("collector")).lower()
    if not (isinstance(backend, str) and backend.strip().lower() in KINDS):
        backend = next((kind for kind in KINDS if kind in collector), "gpu")
    who = {name: event.get(name) for name in RANK}
    numbers = {
        f"memory.{part}.{name}_bytes": event.get(f"{part}_{name}_bytes")
        for part, names in (("allocator", MEMORY), ("device", ("used", "free", "total")))
        for name in names
    }
    links = {f"phase.{key}": scope[key] for key in scope if key.endswith(("_id", "sequence"))}
    severity = metadata.get("severity") or ("info" if event["event_type"] in CALM else None)
    return Plain(
        1,
        f"telemetry-{hashlib.sha256(as_json(event).encode()).hexdigest()[:32]}",
        event["timestamp_ns"],
        event["timestamp_ns"],
        event["session_id"],
        backend,
        event["event_type"],
        scope.get("name"),
        severity,
        metadata.get("severity_text"),
        event.get("context"),
        wrapped({
            "source_kind": backend,
            **{name: event.get(name) for name in ("collector", "host", "pid", "device_id")},
            **who,
        }),
        wrapped({
            **metadata, "sampling.interval_ms": event.get("sampling_interval_ms"), **numbers,
        }),
        wrapped({"session_id": event["session_id"], **who, **links}),
    )  # fmt: skip


def plain_dict(record: Plain) -> dict[str, Any]:
    """*record* as a dictionary."""
    return {name: unwrapped(value) for name, value in vars(record).items()}


def plain_resources(records: Sequence[Plain]) -> list[Any]:
    """Each resource once."""
    found: dict[str, Any] = {}
    for record in records:
        found.setdefault(as_json(record.resource), unwrapped(record.resource))
    return list(found.values())


def sample(n: int) -> dict[str, Any]:
    """The n-th sample of a rank."""
    return {
        "schema_version": 3, "session_id": "session-1",
        "timestamp_ns": 1_700_000_000_000_000_000 + n * 100_000_000,
        "event_type": "sample", "collector": "heliograph.cuda_tracker",
        "sampling_interval_ms": 100, "pid": 1234, "host": "host-a", **RANK, "device_id": 0,
        "allocator_allocated_bytes": 40 * 2**30 + n, "allocator_reserved_bytes": 48 * 2**30,
        "allocator_active_bytes": 40 * 2**30, "allocator_inactive_bytes": 8 * 2**30,
        "allocator_change_bytes": n % 7 - 3, "device_used_bytes": 49 * 2**30,
        "device_free_bytes": 31 * 2**30, "device_total_bytes": 80 * 2**30,
        "context": None, "metadata": {"backend": "cuda"},
    }  # fmt: skip


def phase(n: int) -> dict[str, Any]:
    """The n-th event of a rank, in a phase."""
    scope = {
        "action": "enter", "name": "forward", "path": ["train", "forward"],
        "scope_id": f"session-1:{n}", "parent_scope_id": "session-1:1", "sequence": n,
    }  # fmt: skip
    metadata = {"backend": "cuda", "phase_scope": scope}
    context = "Phase entered: train / forward"
    return {**sample(n), "event_type": "phase_enter", "context": context, "metadata": metadata}


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of *work*."""
    began = time.process_time()
    work()
    return time.process_time() - began


def compare(name: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """Prints microseconds an event of both, in turns, the best of `ROUNDS`, and their ratio."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    mine, other = (min(side) / EVENTS * 1e6 for side in zip(*pairs, strict=True))
    print(f"{name:22}{mine:9.2f} µs{other:9.2f} µs{other / mine:8.1f} ×")


def project() -> None:
    """Projecting, dictionaries, unique resources."""
    print(f"{machine()}; kernel {'compiled' if canonical.COMPILED else 'plain'}")
    print(f"{'':22}{'ours':>12}{'plain way':>12}{'ratio':>10}")
    for name, make in (("sample", sample), ("phase", phase)):
        events = [make(n) for n in range(EVENTS)]
        ours, theirs = (
            list(map(project_telemetry_mapping, events)),
            list(map(plain, events)),
        )
        assert list(map(projected_record_to_dict, ours)) == list(map(plain_dict, theirs))
        compare(
            f"project a {name}",
            partial(each, project_telemetry_mapping, events),
            partial(each, plain, events),
        )
        compare(
            "  to a dictionary",
            partial(each, projected_record_to_dict, ours),
            partial(each, plain_dict, theirs),
        )
        compare(
            "  unique resources",
            partial(unique_projected_resources, ours),
            partial(plain_resources, theirs),
        )


def each(work: Callable[[Any], object], items: Sequence[Any]) -> list[object]:
    """*work* on every one of *items*."""
    return [work(one) for one in items]


def read(path: Path) -> None:
    """A file of `FILE_EVENTS` events: read as mappings, as events, and projected."""
    if not path.exists():
        with path.open("w", encoding="ascii") as file:
            file.writelines(json.dumps(sample(n)) + "\n" for n in range(FILE_EVENTS))
    ways: dict[str, Callable[[], Iterator[object]]] = {
        "mappings": lambda: loading.records(path),
        "events": lambda: loading.events(path),
        "projected": lambda: map(project_telemetry_mapping, loading.records(path)),
    }
    for name, way in ways.items():
        began = time.perf_counter()
        count = sum(1 for _ in itertools.islice(way(), FILE_EVENTS))
        spent = time.perf_counter() - began
        rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{name:12}{count:10,} in {spent:6.1f} s, {rss_mib:,.0f} MiB at most so far")


if __name__ == "__main__":
    project()
    if len(sys.argv) > 1:
        read(Path(sys.argv[1]))
