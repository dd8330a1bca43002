"""Devices and links that report a fault: what drivers write to the kernel's log, and CUDA's word.

    NVRM: Xid (PCI:0000:91:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.
    NVRM: GPU 0000:91:00.0: GPU has fallen off the bus.                    Xid 79 without its number
    nvidia-nvswitch0: SXid (PCI:0000:05:00.0): 20034, Fatal, Link 63 LTSSM Fault Up
    amdgpu 0000:c1:00.0: amdgpu: GPU reset begin!
    amdgpu 0000:c1:00.0: amdgpu: 2 uncorrectable hardware errors detected in umc block
    CUDA error: uncorrectable ECC error encountered
    mlx5_core 0000:53:00.0 mlx5_3: Port: 1 Link DOWN
    mlx5_core 0000:53:00.0: Port module event: module 0, Cable unplugged
    mlx5_core 0000:41:00.0: poll_health:852:(pid 0): device's health compromised - reached miss count
    NVRM: GPU 0000:3b:00.0: RmInitAdapter failed! (0x62:0x55:2477)

Attributes of an `xid`: xid or sxid, pci (as printed, without `PCI:`), name, verdict (`core.xids`),
pid, process, unit, link; of an AMD GPU, which has no numbers, driver (`amdgpu`), pci, name. Of an
`ecc`: pci, block, corrected, errors. Of a `link_down`: device, pci, port. Of a `nic_error`: driver,
pci, device, name.
Severity is the verdict's: `critical` for hardware and fabric, `warning` for the program's and those
that only the vendor knows, `info` for information and echoes, and for corrected memory errors
`warning`. Counts of zero, and links that come up, are none.
"""

import re
from typing import Any

from heliograph.core import xids
from heliograph.training.findings.event import (
    CASCADE,
    CONFIRMATION,
    CRITICAL,
    ERROR,
    INFO,
    ROOT,
    WARNING,
    Found,
    cut,
    found,
    number,
)
from heliograph.training.findings.patterns import compiled

HINT = (
    r"(?i)\bs?xid \(|fallen off the bus|gpu is lost|\becc error|amdgpu|hardware errors? detected|"
    r"RmInitAdapter|"
    r"\bEDAC \w+: \d+ [CU]E |\blink (?:is )?down\b|link status definitely down|"
    r"link_down|cable unplugged|port (?:is )?down\b|\blink \d+ (?:is )?down\b|"
    r"mlx[45]_core .{0,200}(?:health compromised|fatal error|unrecoverable|\) timeout\.|tx timeout)"
)
RULES = ("xid", "sxid", "off_bus", "amdgpu", "ecc", "link_down", "nic")

_PCI = r"(?:PCI:)?(?P<pci>(?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}(?:\.[0-7])?)"
_XID = compiled(rf"\bXid \({_PCI}[^)]*\): (?P<code>\d{{1,6}})\b(?P<rest>.*)")
_SXID = compiled(
    rf"\bSXid \({_PCI}\): (?P<code>\d{{1,8}}), (?P<rest>(?P<fatal>Fatal|Non-?fatal)?\b.*)"
)
_PID = compiled(r"\bpid='?(\d+)")
_PROCESS = compiled(r"\bname=([^,<>]+)")
_UNIT = compiled(r"\A, (?P<unit>[A-Z][A-Z0-9_]{2,}) +(?P<fatal>Fatal|Nonfatal)\b")
_LINK = compiled(r"\bLink (\d{1,4})\b")
# The same error in detail: its registers.
_DETAIL = compiled(r"\A(?:Data \{|Severity \d)")
_INIT_FAILED = compiled(rf"\bNVRM: GPU {_PCI}: RmInitAdapter failed\b")
_NIC = compiled(
    r"\b(?P<driver>mlx[45]_core) (?P<pci>[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7])"
    r"(?: (?P<device>[\w.-]+))?:? .{0,80}?(?P<name>device's health compromised|"
    r"Fatal error \d+ detected|unrecoverable (?:hardware )?error|\w+\(0x\w+\) timeout\.|"
    r"TX timeout(?: detected)?)"
)
# The driver's own sentence goes over three lines: of the last alone the device is not known.
_OFF_BUS = compiled(
    rf"\bNVRM:(?: The NVIDIA)? GPU(?: at)? {_PCI}\b(?s:.*)fallen off the bus"
    r"|\A[^\n]{0,120}\bNVRM: fallen off the bus and is not responding"
)
# nvidia-smi's word for it.
_LOST = compiled(rf"\bdevice handle for GPU ?{_PCI}: GPU is lost\b")
_SEVERITY = {
    "hardware": CRITICAL,
    "fabric": CRITICAL,
    "application": WARNING,
    "support": WARNING,
    "ignore": INFO,
}
# Cleanup after an error, of this GPU or of another rank's.
_ECHOES = {45: CASCADE}

_AMD_FAULTS: tuple[tuple[str, str, str, re.Pattern[str]], ...] = tuple(
    (name, severity, role, compiled("|".join(patterns), re.IGNORECASE))
    for name, severity, role, patterns in (
        ("GPU reset", CRITICAL, CASCADE, (r"\bGPU reset(?:\(\d+\))? begin",)),
        (
            "GPU reset failed",
            CRITICAL,
            CASCADE,
            (r"\bGPU reset(?:\(\d+\))? (?:end with ret = -|failed)", r"\bGPU recovery failed"),
        ),
        (
            "GPU lost from the bus",
            CRITICAL,
            ROOT,
            (
                r"\b(?:device|GPU) (?:is )?lost from (?:the )?bus",
                r"\bcard has fallen off the bus",
            ),
        ),
        (
            "ring time-out",
            CRITICAL,
            ROOT,
            (r"\bring \S+ timeout\b", r"\bMES(?:\(\d+\))? failed to respon(?:d|se)\b"),
        ),
        (
            "ring reset failed",
            CRITICAL,
            CASCADE,
            (r"\bring \S+ (?:reset|test) failed\b",),
        ),
        ("memory lost", CRITICAL, CASCADE, (r"\bVRAM is lost\b",)),
        (
            "GPU hang",
            CRITICAL,
            ROOT,
            (r"\bHWS hang\b", r"\bqcm fence wait loop timeout expired"),
        ),
        ("page fault", WARNING, ROOT, (r"\b(?:retry |no-retry )?page fault \(",)),
        (
            "poisoned memory used",
            CRITICAL,
            ROOT,
            (r"\bpoison (?:is )?consum",),
        ),
        (
            "fatal error",
            CRITICAL,
            ROOT,
            (
                r"\bFatal error during GPU init",
                r"\bFatal hardware error",
                r"\bRAS .{0,40}fatal",
            ),
        ),
        (
            "bad page threshold",
            CRITICAL,
            ROOT,
            (r"\bbad page threshold", r"\bexceeds? the? ?threshold of bad pages"),
        ),
    )
)
_AMD = compiled(r"\bamdgpu(?: (?P<pci>[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]))?")
_AMD_ECC = compiled(
    r"\b(?P<errors>[1-9]\d*)(?: new)? (?P<what>un)?correctable hardware errors? detected"
    r"(?: in total)? in (?P<block>\S+)(?: block)?"
)
_ECC = compiled(
    r"\buncorrectable ECC error\b|\bdouble[- ]bit ECC error|\bunrecovered ECC error"
    r"|\bECC error.{0,20}\buncorrect(?:able|ed)\b",
    re.IGNORECASE,
)
_NO_ERRORS = compiled(
    r"\bECC errors?\b(?: \w+){0,2}\S*\s*[:=]?\s*(?:0\b|none\b)"
    r"|\b(?:no|(?<!gpu )(?<!device )0) \w* ?\w* ?ECC errors?"
    r"|\bECC errors?: .{0,40}\b0\b",
    re.IGNORECASE,
)
_EDAC = compiled(r"\bEDAC (?P<device>\w+): (?P<errors>[1-9]\d*) (?P<kind>[CU])E\b")
_LINK_DOWN = (
    compiled(
        r"\b(?P<driver>mlx[45]_core|mlx[45]_ib|bnxt_en|bnxt_re|ice|i40e|ixgbe|ena|efa|irdma|hfi1|"
        r"ionic|e1000e|igb|tg3|r8169|qede)\s+(?P<pci>[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:"
        r"[0-9a-fA-F]{2}\.[0-7])(?:\s+(?P<device>[\w.-]+))?:?\s.{0,60}?\b[Ll]ink (?:is )?(?i:down)\b"
    ),
    compiled(
        r"(?:\A|[\]:]\s)(?P<device>(?:ib|eth|en|mlx|bond|roce|rdma|hsi)[\w.-]*)(?: \(\w+\))?:? "
        r"(?:\S+ ){0,3}?[Ll]ink (?:is |has gone )?(?i:down)\b"
    ),
    compiled(
        r"\b(?P<bond>bond\w*): \(slave (?P<device>[\w.-]+)\): link status definitely down"
    ),
    compiled(
        r"\b(?P<device>mlx[45]_\d+)(?::(?P<port>\d+)|[ /]+port[ :]*(?P<port2>\d+))?\b.{0,60}?"
        r"\b(?:link_down\b|link (?:is )?down\b|port (?:state (?:is |changed to )?|is )?down\b)",
        re.IGNORECASE,
    ),
    compiled(
        r"\bmlx[45]_core (?P<pci>[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]):? "
        r"Port module event(?:\[error\])?: module \d+, Cable unplugged"
    ),
    compiled(
        r"\bNVLink\b.{0,40}?\blink (?P<link>\d+)\b.{0,20}?\b(?:is )?down\b", re.IGNORECASE
    ),
)
_PORT = compiled(r"\b[Pp]ort:? (\d{1,3})\b")


def read(text: str) -> Found | None:
    """The fault of a device that *text* tells, or None."""
    return (
        _xid(text) or _off_bus(text) or _amd(text) or _memory(text) or _link(text) or _nic(text)
    )


def _xid(text: str) -> Found | None:
    match = _XID.search(text)
    if match is not None:
        return _of_xid(match)
    match = _SXID.search(text)
    if match is None or _DETAIL.match(match["rest"]):
        return None
    fatal = match["fatal"] == "Fatal"
    attributes = {
        "sxid": int(match["code"]),
        "pci": match["pci"],
        "name": cut(match["rest"][len(match["fatal"] or "") :].lstrip(", ")),
        "verdict": "fabric",
        "fatal": fatal,
        "link": _first(_LINK, match["rest"]),
    }
    severity = CRITICAL if fatal else WARNING
    return found("xid", severity, "sxid", match.start(), ROOT, attributes)


def _of_xid(match: re.Match[str]) -> Found:
    code, rest = int(match["code"]), match["rest"]
    verdict = xids.verdict(code)
    severity = _SEVERITY[verdict]
    attributes: dict[str, Any] = {
        "xid": code,
        "pci": match["pci"],
        "name": xids.name(code),
        "verdict": verdict,
        "pid": _first(_PID, rest),
    }
    process = _PROCESS.search(rest)
    if process is not None:
        attributes["process"] = cut(process[1])
    unit = _UNIT.match(rest)
    if unit is not None:
        fatal = unit["fatal"] == "Fatal"
        attributes.update(unit=unit["unit"], fatal=fatal, link=_first(_LINK, rest))
        severity = severity if fatal else WARNING
    role = _ECHOES.get(code, CONFIRMATION if verdict == "ignore" else ROOT)
    return found("xid", severity, "xid", match.start(), role, attributes)


def _off_bus(text: str) -> Found | None:
    match = _INIT_FAILED.search(text)
    if match is not None:
        said = {"driver": "nvidia", "pci": match["pci"], "name": "GPU initialisation failed"}
        return found("xid", CRITICAL, "off_bus", match.start(), CASCADE, said)
    match = _LOST.search(text)
    if match is not None:
        said = {"driver": "nvidia", "pci": match["pci"], "name": "GPU is lost"}
        return found("xid", CRITICAL, "off_bus", match.start(), CONFIRMATION, said)
    match = _OFF_BUS.search(text)
    if match is None:
        return None
    pci = match["pci"]
    if pci is not None and pci.count(":") < 2:
        pci = f"0000:{pci}"
    attributes = {"xid": 79, "pci": pci, "name": xids.name(79), "verdict": xids.verdict(79)}
    return found("xid", CRITICAL, "off_bus", match.start(), ROOT, attributes)


def _amd(text: str) -> Found | None:
    driver = _AMD.search(text)
    if driver is None:
        return None
    errors = _AMD_ECC.search(text)
    if errors is not None:
        return _corrected(
            driver.start(),
            errors["what"] is None,
            int(errors["errors"]),
            {"pci": driver["pci"], "block": errors["block"], "driver": "amdgpu"},
        )
    for name, severity, role, pattern in _AMD_FAULTS:
        if pattern.search(text, driver.start()):
            said = {"driver": "amdgpu", "pci": driver["pci"], "name": name}
            return found("xid", severity, "amdgpu", driver.start(), role, said)
    return None


def _memory(text: str) -> Found | None:
    match = _EDAC.search(text)
    if match is not None:
        said = {"device": match["device"], "driver": "edac"}
        return _corrected(match.start(), match["kind"] == "C", int(match["errors"]), said)
    match = _ECC.search(text)
    if match is None or _NO_ERRORS.search(text):
        return None
    return _corrected(match.start(), False, None, {})


def _corrected(at: int, corrected: bool, errors: int | None, said: dict[str, Any]) -> Found:
    attributes = {**said, "errors": errors, "corrected": corrected}
    return found("ecc", WARNING if corrected else CRITICAL, "ecc", at, ROOT, attributes)


def _link(text: str) -> Found | None:
    for pattern in _LINK_DOWN:
        match = pattern.search(text)
        if match is not None:
            said: dict[str, Any] = {k: v for k, v in match.groupdict().items() if v is not None}
            said.pop("bond", None)
            port = said.pop("port2", None) or said.pop("port", None)
            said["port"] = number(port) if port else _first(_PORT, text)
            if "link" in said:
                said["link"] = int(said["link"])
            return found("link_down", CRITICAL, "link_down", match.start(), ROOT, said)
    return None


def _nic(text: str) -> Found | None:
    match = _NIC.search(text)
    if match is None:
        return None
    severity = ERROR if "imeout" in match["name"] else CRITICAL
    said = {**match.groupdict(), "name": match["name"].rstrip(".")}
    return found("nic_error", severity, "nic", match.start(), ROOT, said)


def _first(pattern: re.Pattern[str], text: str) -> int | None:
    match = pattern.search(text)
    return number(match[1]) if match is not None else None
