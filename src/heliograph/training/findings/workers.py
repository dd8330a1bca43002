"""Data-loader workers that died or did not answer.

    RuntimeError: DataLoader worker (pid 28841) is killed by signal: Killed.
    RuntimeError: DataLoader worker (pid(s) 5120, 5121) exited unexpectedly
    RuntimeError: DataLoader timed out after 30 seconds
    RuntimeError: Caught OSError in DataLoader worker process 3.
    RuntimeError: Pin memory thread exited unexpectedly
    ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shm

Attributes: pids, worker, signal, exception, timeout_s. A worker that somebody killed is no cause
by itself, but often the first word of one: host memory, shared memory, a disk.
"""

import re
from typing import Any

from heliograph.training.findings import signals
from heliograph.training.findings.event import CRITICAL, ROOT, Found, found, number
from heliograph.training.findings.patterns import compiled

HINT = (
    r"DataLoader (?:worker|timed out)|Pin memory thread (?:exited|died)|"
    r"bus error encountered in worker|dataloader worker|data loader worker"
)
RULES = ("dataloader",)

_DIED = compiled(
    r"\bDataLoader worker \(pids?(?:\(s\))? (?P<pids>[\d, ]+)\) "
    r"(?:(?:is|was) killed by signal: (?P<signal>[\w ]+)|exited unexpectedly"
    r"(?: with exit code (?P<code>-?\d+))?)"
    r"|\bDataLoader timed out after (?P<timeout>\d+(?:\.\d+)?) seconds"
    r"|\bCaught (?P<exception>[\w.]+) in (?:DataLoader|data ?loader) worker process (?P<worker>\d+)"
    r"|\bPin memory thread (?:exited unexpectedly|died)"
    r"|\bUnexpected (?P<bus>bus error|segmentation fault|floating point exception) "
    r"encountered in worker"
    r"|\bdata ?loader worker\b.{0,40}?\b(?:died|was killed|exited unexpectedly|crashed)",
    re.IGNORECASE,
)


def read(text: str) -> Found | None:
    """The death of a worker that *text* tells, or None."""
    match = _DIED.search(text)
    if match is None:
        return None
    pids = [int(pid) for pid in re.findall(r"\d{1,10}", match["pids"] or "")]
    attributes: dict[str, Any] = {
        "pids": pids or None,
        "pid": pids[0] if len(pids) == 1 else None,
        "signal": signals.named(match["signal"] or match["bus"] or ""),
        "exitcode": number(match["code"]),
        "timeout_s": float(match["timeout"]) if match["timeout"] else None,
        "exception": match["exception"],
        "worker": number(match["worker"]),
    }
    return found("dataloader_died", CRITICAL, "dataloader", match.start(), ROOT, attributes)
