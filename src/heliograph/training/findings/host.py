"""What the kernel says of a host besides its devices' memory: what hangs, what does not answer.

    INFO: task python3:2311 blocked for more than 122 seconds.                       hung_task
    watchdog: BUG: soft lockup - CPU#12 stuck for 22s! [python:12345]                hung_task
    rcu: INFO: rcu_sched detected stalls on CPUs/tasks:                              hung_task
    nfs: server 10.0.3.4 not responding, still trying                                storage_stall
    LustreError: 167-0: …: This client was evicted by scratch-OST0003; in progress … storage_stall
    pcieport 0000:00:03.0: AER: Uncorrected (Fatal) error received: 0000:00:03.0     pcie_error
    nvidia 0000:07:00.0: PCIe Bus Error: severity=Correctable, type=Data Link Layer, pcie_error

Attributes of a `hung_task`: name (`blocked task`, `soft lock-up`, `hard lock-up`, `stalled CPU`),
process, pid, cpu, blocked_s; of a `storage_stall`: filesystem (`nfs`, `lustre`, `gpfs`, `ceph`),
server, name; of a `pcie_error`: pci, corrected, fatal, layer, name.

What the root port announces and the device then tells in detail is one error: of corrected ones only
the detail is told. What comes back (`server … OK`, `Connection restored`) is none, nor is advice.
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
    found,
    number,
)
from heliograph.training.findings.patterns import compiled

HINT = (
    r"blocked for more than \d|soft lockup|hard LOCKUP|detected stalls|self-detected stall|"
    r"not responding|Lustre(?:Error)?: |Disk lease period expired|\bmmfs|"
    r"\bAER: |PCIe Bus Error|libceph: "
)
RULES = ("hung_task", "storage_stall", "pcie_error")

_PCI = r"(?:[0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]"
_HUNG = compiled(
    r"\bINFO: task (?P<process>\S+):(?P<pid>\d+) (?P<task>blocked) for more than (?P<s>\d+) seconds"
    r"|\bBUG: (?P<soft>soft lockup) - CPU#(?P<cpu>\d+) stuck for (?P<s2>\d+)s!"
    r"(?: \[(?P<process2>[^\]]*):(?P<pid2>\d+)\])?"
    r"|\b[Dd]etected (?P<hard>hard LOCKUP) on cpu (?P<cpu2>\d+)"
    r"|\b(?P<stall>(?:rcu_\w+|rcu) (?:self-)?detected (?:expedited )?stalls?) on CPU"
)
_LUSTRE_SERVER = r"[\w.-]+?(?:-(?:MDT|OST)[0-9a-fA-F]{4})"
_STORAGE = compiled(
    r"\b(?P<nfs>nfs): server (?P<server>\S+) (?P<nfs_name>not responding)"
    r"|\b(?P<lustre>Lustre(?:Error)?): .{0,300}?(?:"
    rf"\bThis client was (?P<evicted>evicted) by (?P<server2>{_LUSTRE_SERVER}|\w+)"
    rf"|\bConnection to (?P<server3>{_LUSTRE_SERVER}|MGS) \([^)]*\) was (?P<lost>lost)\b"
    r"|@@@ Request sent has (?P<failed>failed due to network error|timed out for \w+ \w+)"
    r"|\boperation \w+ to node (?P<server4>\S+) (?P<refused>failed)\b)"
    r"|\b(?P<gpfs>mmfs\w*): \[E\] (?P<gpfs_name>Disk lease period expired)"
    r"|\b(?P<ceph>libceph): (?:mon|osd)\d+ .{0,80}?(?P<ceph_name>(?:socket )?closed|down|timeout)\b"
)
_PCIE = compiled(
    rf"(?P<pci>{_PCI}): (?:"
    r"PCIe Bus Error: severity=(?P<severity>\w+)(?: \((?P<fatal>Fatal|Non-Fatal)\))?"
    r"(?:, type=(?P<layer>[\w ]+?)(?=,|\s*\(|\s*\Z))?"
    r"|AER: (?:Multiple )?(?P<severity2>Uncorrect(?:ed|able)) \((?P<fatal2>Fatal|Non-Fatal)\) "
    rf"error (?:message )?received(?: from|:)? ?(?P<device>{_PCI})?"
    r"|AER: (?P<name>can't recover|device recovery failed))"
)
_NAMES = {"task": "blocked task", "soft": "soft lock-up", "hard": "hard lock-up"}
_FILESYSTEMS = ("nfs", "lustre", "gpfs", "ceph")


def read(text: str) -> Found | None:
    """What *text* tells of its host, or None."""
    return _hung(text) or _storage(text) or _pcie(text)


def _hung(text: str) -> Found | None:
    match = _HUNG.search(text)
    if match is None:
        return None
    attributes: dict[str, Any] = {
        "name": next((to for name, to in _NAMES.items() if match[name]), "stalled CPU"),
        "process": match["process"] or match["process2"],
        "pid": number(match["pid"] or match["pid2"]),
        "cpu": number(match["cpu"] or match["cpu2"]),
        "blocked_s": number(match["s"] or match["s2"]),
    }
    severity = CRITICAL if match["hard"] else ERROR
    # A task waits for what does not answer; a CPU that is stuck may be the cause itself.
    role = CASCADE if match["task"] else ROOT
    return found("hung_task", severity, "hung_task", match.start(), role, attributes)


def _storage(text: str) -> Found | None:
    match = _STORAGE.search(text)
    if match is None:
        return None
    attributes = {
        "filesystem": next(name for name in _FILESYSTEMS if match[name]),
        "server": _first(match, "server", "server2", "server3", "server4"),
        "name": _first(
            match,
            *("nfs_name", "evicted", "lost", "failed", "refused", "gpfs_name", "ceph_name"),
        ),
    }
    severity = CRITICAL if match["evicted"] else ERROR
    return found("storage_stall", severity, "storage_stall", match.start(), ROOT, attributes)


def _pcie(text: str) -> Found | None:
    match = _PCIE.search(text)
    if match is None:
        return None
    said, fatal = match["severity"] or match["severity2"], match["fatal"] or match["fatal2"]
    corrected = said is not None and said.startswith("Correct")
    attributes = {
        "pci": match["device"] or match["pci"],
        "corrected": None if said is None else corrected,
        "fatal": None if fatal is None else fatal == "Fatal",
        "layer": match["layer"],
        "name": match["name"],
    }
    severity = WARNING if corrected else ERROR if fatal == "Non-Fatal" else CRITICAL
    role = CASCADE if said is None else ROOT
    return found("pcie_error", severity, "pcie_error", match.start(), role, attributes)


def _first(match: re.Match[str], *names: str) -> str | None:
    return next((match[name] for name in names if match[name]), None)
