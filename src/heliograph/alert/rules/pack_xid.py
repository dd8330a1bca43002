"""Built-in rules over what the NVIDIA driver prints, by the verdict of `xids`."""

from typing import Any

from heliograph.alert.rules.writing import Document
from heliograph.core import xids

_XID = r"NVRM: Xid \((?P<pci>[^)]+)\): (?P<xid>{codes})\b"
_GPU = ["node_name", "pci", "xid"]
_codes = xids.alternatives
_OTHERS = _codes(tuple(sorted(xids.KNOWN)))
_NVLINK = r"14[4-9]|150"


def _xid(name: str, severity: str, verdict: str, pattern: str, **more: Any) -> Document:
    return {
        "name": name,
        "source": "log",
        "rule_type": "pattern",
        "severity": severity,
        "rule_config": {"pattern": pattern, "threshold": {"by": _GPU}, **more},
        "labels": {"category": "gpu", "kind": "xid", "verdict": verdict},
        "annotations": {"summary": "GPU {{ $labels.pci }} reports Xid {{ $labels.xid }}"},
    }


DOCUMENTS: tuple[Document, ...] = (
    _xid("XidHardware", "critical", "hardware", _XID.format(codes=_codes(xids.HARDWARE))),
    _xid(
        "XidFabric",
        "critical",
        "fabric",
        _XID.format(codes=f"74|{_NVLINK}"),
        # Of the link codes the line itself says whether it was fatal.
        exclude=rf"\): (?:{_NVLINK}), \w+\s+Nonfatal\b",
    ),
    _xid(
        "XidFabricNonfatal",
        "warning",
        "fabric",
        _XID.format(codes=_NVLINK) + r", \w+\s+Nonfatal\b",
    ),
    _xid(
        "XidApplication",
        "warning",
        "application",
        _XID.format(codes=_codes(xids.APPLICATION)),
    ),
    _xid(
        "XidSupport",
        "warning",
        "support",
        _XID.format(codes=r"\d+"),
        match=[f'xid!~"{_OTHERS}"'],
    ),
    {
        **_xid(
            "GPUFallenOffBus",
            "critical",
            "hardware",
            r"NVRM:(?: The NVIDIA)? GPU (?P<pci>(?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:"
            r"[0-9a-fA-F]{2}\.[0-7])\b(?s:.*)fallen off the bus",
        ),
        "annotations": {"summary": "GPU {{ $labels.pci }} has fallen off the bus"},
    },
    {
        **_xid(
            "NVSwitchFatal",
            "critical",
            "fabric",
            r"SXid \((?P<pci>[^)]+)\): (?P<xid>\d+), Fatal\b",
        ),
        "annotations": {
            "summary": "NVSwitch {{ $labels.pci }} reports fatal SXid {{ $labels.xid }}"
        },
    },
)
