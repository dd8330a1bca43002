"""Which finding may have caused another: of a cascade, the root before it.

    10:00:00  xid 79 on n1                      root
    10:30:04  nccl_timeout, ran for 1,800 s     cascade          ← xid 79
    10:30:09  process_failed, exit code -6      confirmation     ← xid 79

A root counts when it is not later than the cascade, nor earlier than it by more than WITHIN_NS and
the time that the cascade says it has waited. Of several the most telling kind, of these the first.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from heliograph.training.findings.event import CASCADE, CONFIRMATION, ROOT

WITHIN_NS = 10 * 60 * 1_000_000_000
# What waited longer says so wrongly.
WAITED_MS_MAX = 24 * 3600 * 1000
# Devices before what programs say, programs before the libraries that stumble over them.
TYPES = (
    *("xid", "ecc", "pcie_error", "nic_error", "link_down", "storage_stall", "hung_task"),
    *("oom", "preempted", "requeued", "dataloader_died"),
    *("nan_loss", "loss_scale_collapse", "traceback", "process_failed", "nccl_error"),
)
_RANKS = {name: rank for rank, name in enumerate(TYPES)}


class Finding(NamedTuple):
    """A record of a finding, as far as it counts here."""

    record_id: str
    at_ns: int
    event_type: str
    severity: str
    attributes: Mapping[str, Any]


def searched_from_ns(findings: Iterable[Finding]) -> int | None:
    """The instant from which roots of *findings* count; None where none of them has a cause."""
    return min((_from_ns(one) for one in findings if _follows(one)), default=None)


def causes(findings: Iterable[Finding], roots: Iterable[Finding]) -> dict[str, Finding]:
    """For each of *findings* that follows from another, by its id, which of *roots* that may be."""
    able = sorted(
        (one for one in roots if _is_root(one)),
        key=lambda one: (_RANKS.get(one.event_type, len(_RANKS)), one.at_ns, one.record_id),
    )
    found: dict[str, Finding] = {}
    for one in findings:
        if _follows(one):
            start_ns = _from_ns(one)
            cause = next((root for root in able if start_ns <= root.at_ns <= one.at_ns), None)
            if cause is not None:
                found[one.record_id] = cause
    return found


def _follows(one: Finding) -> bool:
    return one.attributes.get("role") in {CASCADE, CONFIRMATION}


def _is_root(one: Finding) -> bool:
    return one.attributes.get("role") == ROOT and one.severity != "info"


def _from_ns(one: Finding) -> int:
    waited = (one.attributes.get(name) for name in ("ran_ms", "timeout_ms"))
    longest = max((ms for ms in waited if isinstance(ms, int | float)), default=0)
    return one.at_ns - WITHIN_NS - int(min(max(longest, 0), WAITED_MS_MAX)) * 1_000_000
