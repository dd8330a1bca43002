"""Jobs that their scheduler or cloud took away, or began again.

    slurmstepd: error: *** STEP 34.0 ON n1 CANCELLED AT 2024-04-24T11:42:17 DUE TO TIME LIMIT ***
    slurmstepd: error: *** JOB 12 ON n1 CANCELLED AT … DUE TO PREEMPTION ***          preempted
    slurmstepd: error: *** JOB 12 ON n1 CANCELLED AT … DUE TO JOB REQUEUE ***         requeued
    Preemption notice received; saving a checkpoint                                   preempted
    The node was low on resource: memory. Threshold quantity: 100Mi, …  (kubelet)     preempted

Attributes: reason (`preemption`, `time_limit`, `cancelled`, `job_requeue`, `eviction`), job_id,
step, node, resource (that ran short), cancelled_at (as printed). What a failed node took away is
`process_failed`.
"""

import re
from typing import Any

from heliograph.training.findings.event import (
    CASCADE,
    CRITICAL,
    ERROR,
    ROOT,
    WARNING,
    Found,
    begins,
    found,
)
from heliograph.training.findings.patterns import compiled

HINT = (
    r"CANCELLED AT|(?i:\bpreempt(?:ed|ion|ing)\b|\brequeu(?:e|ed|eing|ing)\b|requeing|auto-requeue)|"
    r"DUE TO (?:PREEMPTION|TIME|JOB)|[Ss]pot (?:instance )?interruption|TIME ?LIMIT|"
    r"low on resource|node had condition: |(?i:\bevicted\b)"
)
RULES = ("preempted", "requeued")

_CANCELLED = compiled(
    r"\*\*\* (?P<what>JOB|STEP) (?P<job>\d+)(?:\.(?P<step>\w+))? ON (?P<node>\S+) "
    r"CANCELLED AT (?P<at>\d{4}-\d\d-\d\dT[\d:]+)(?: DUE TO (?P<reason>[A-Z][A-Z ]*[A-Z]))?"
)
_REQUEUED = compiled(
    r"\b[Rr]equeued job (?P<job5>\d+)\b"
    r"|\b(?:[Jj]ob|exp) (?P<job>\d+)\b.{0,20}? (?:has been |was |is being )?requeued\b"
    r"|\b[Rr]eque(?:ue?)?ing (?:the )?(?:job|training)(?: (?P<job2>\d+))?"
    r"|\brequeued exp (?P<job3>\d+)|\bJob (?P<job4>\d+) .{0,40}?DUE TO JOB REQUEUE",
)
_PREEMPTED = compiled(
    r"\b(?:[Rr]eceived|[Gg]ot|[Dd]etected|[Cc]aught) (?:an? |the )?(?:\w+ ){0,2}[Pp]reemption"
    r"(?: (?:notice|signal|event|request|warning))?"
    r"|\b[Pp]reemption (?:notice|signal|event|request|warning)? ?(?:has been |was )?"
    r"(?:received|detected|caught)"
    r"|\b(?:[Jj]ob|[Nn]ode|[Ii]nstance|VM|[Pp]od|[Tt]ask|[Ww]orker)\b.{0,40}? "
    r"(?:is being|was|is|has been|will be|got) preempted"
    r"|\b[Mm]arking run as preempting|\bReached preemption sync point"
    r"|\b[Ss]pot (?:instance )?interruption (?:notice|warning)(?: (?:received|detected))?"
    r"|\bPreempted (?:by|in order to) |\b[Hh]andling auto-requeue signal",
)
_EVICTED = compiled(
    r"\bThe node was low on resource: (?P<resource>[\w-]+)"
    r"|\bThe node had condition: \[(?P<pressure>\w+)Pressure\]"
    r"|\b[Pp]od\b(?: [\w./-]+)? (?:was|has been|got) evicted\b|\b(?:Reason|reason)\W{1,4}Evicted\b"
)
_NEGATED = compiled(
    r"\b(?:no|not|if|when|enable\w*|support\w*|in case)\b[^:]*\Z", re.IGNORECASE
)


def read(text: str) -> Found | None:
    """What *text* tells of a scheduler, or None."""
    match = _CANCELLED.search(text)
    if match is not None:
        return _cancelled(match)
    for pattern, event_type in ((_REQUEUED, "requeued"), (_PREEMPTED, "preempted")):
        match = pattern.search(text)
        if match is None or _NEGATED.search(text[max(0, match.start() - 200) : match.start()]):
            continue
        if event_type == "requeued" and not begins(text, match.start()):
            continue
        jobs = [value for name, value in match.groupdict().items() if value]
        attributes = {
            "job_id": jobs[0] if jobs else None,
            "reason": "preemption" if event_type == "preempted" else None,
        }
        return found(event_type, WARNING, event_type, match.start(), ROOT, attributes)
    match = _EVICTED.search(text)
    if match is None or _NEGATED.search(text[max(0, match.start() - 200) : match.start()]):
        return None
    pressure = (match["pressure"] or "").lower()
    attributes = {"reason": "eviction", "resource": match["resource"] or pressure}
    return found("preempted", ERROR, "preempted", match.start(), ROOT, attributes)


def _cancelled(match: re.Match[str]) -> Found:
    reason = (match["reason"] or "cancelled").lower().replace(" ", "_")
    attributes: dict[str, Any] = {
        "reason": reason,
        "job_id": match["job"],
        "step": match["step"],
        "node": match["node"],
        "cancelled_at": match["at"],
    }
    if "failure" in reason:
        # Of a node, or of a task of the job itself.
        role = ROOT if "node" in reason else CASCADE
        attributes["reason"] = "node_failure" if "node" in reason else reason
        return found("process_failed", CRITICAL, "preempted", match.start(), role, attributes)
    if "requeue" in reason:
        return found("requeued", WARNING, "requeued", match.start(), ROOT, attributes)
    # Who cancels a job, and no limit or rival, often does so since it has failed.
    role = CASCADE if reason == "cancelled" else ROOT
    return found("preempted", ERROR, "preempted", match.start(), role, attributes)
