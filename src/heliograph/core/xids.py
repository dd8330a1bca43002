"""NVIDIA's Xid codes by verdict: who must act when a driver prints one.

    NVRM: Xid (PCI:0000:05:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.

hardware      the GPU must be reset, or its node: drain it
fabric        NVLink: look at the links before the job comes back
application   the program did it, or its restart is all that is needed
ignore        information, or the echo of another code (45 follows a fault elsewhere in the job)
support       nobody knows better than the vendor; codes that are not in the table too
Source of the facts: NVIDIA, Xid errors catalogue, "immediate action" of each code, 2025-10.
"""

HARDWARE = (46, 48, 54, 62, 64, 79, 95, 109, 110, 119, 120, 136, 140, 143, 155, 156, 158)
FABRIC = (74, *range(144, 151))
APPLICATION = (
    *(8, 11, 13, 25, 31, 32, 39, 40, 41, 60, 68, 69, 70, 71, 72, 75, 76, 77, 80),
    *(82, 83, 84, 85, 86, 88, 89, 94, *range(96, 106), *range(126, 136), 139),
)
IGNORE = (
    *(14, 37, 38, 43, 44, 45, 63, 66, 67, 92, 93, 106, 107, 108, 121, 137, 141),
    *(152, 153, 154, 157, 160, 161, 162, 163, 171, 172),
)
KNOWN = frozenset((*HARDWARE, *FABRIC, *APPLICATION, *IGNORE))

ACTIONS = {
    "hardware": "drain the node and reset the GPU",
    "fabric": "check the NVLink fabric before the job returns to this node",
    "application": "restart the job; if it comes back, look at the program",
    "ignore": "nothing to do for this code alone",
    "support": "ask the vendor",
}
_WORDS = {
    8: "GPU stopped processing",
    11: "corrupted push buffer",
    13: "graphics engine exception, usually an illegal access of the program",
    25: "illegal push buffer",
    31: "GPU memory page fault, usually an illegal access of the program",
    32: "corrupted push buffer",
    **dict.fromkeys((37, 38), "driver firmware error"),
    **dict.fromkeys((39, 40, 41, 70, 71, 72, 75, 76, 77, 85), "copy engine exception"),
    43: "GPU stopped processing after a fault of the program",
    44: "graphics engine fault while switching context",
    45: "cleanup after an earlier error",
    46: "GPU stopped processing",
    48: "double-bit ECC error",
    54: "auxiliary power not connected",
    61: "internal micro-controller breakpoint",
    62: "internal micro-controller halt",
    63: "a memory row is marked for remapping",
    64: "memory row remapping failed",
    **dict.fromkeys((66, 67), "illegal access by the driver"),
    **dict.fromkeys((60, 68, 83, 84, 88, 89, 96, 97, 98), "video decoder exception"),
    69: "graphics engine class error",
    74: "NVLink error",
    78: "virtual GPU start error",
    79: "GPU has fallen off the bus",
    80: "corrupted data sent to the GPU",
    **dict.fromkeys((82, *range(99, 106)), "image decoder error"),
    86: "optical flow engine exception",
    92: "high rate of corrected ECC errors",
    93: "wear limit of the information ROM exceeded",
    94: "contained memory error",
    95: "uncontained memory error",
    **dict.fromkeys((106, 107), "test message"),
    109: "context switch time-out",
    110: "security fault",
    119: "no answer from the GPU system processor",
    120: "GPU system processor error",
    121: "chip-to-chip link error",
    **dict.fromkeys(range(126, 136), "copy engine exception"),
    136: "link training failed",
    137: "NVLink access not permitted",
    139: "optical flow engine exception",
    140: "unrecovered ECC error",
    141: "CUDA fast path error",
    142: "video encoder error",
    143: "GPU initialization error",
    **dict.fromkeys(range(144, 151), "NVLink error"),
    151: "key rotation error",
    **dict.fromkeys((152, 153), "accelerator engine fault"),
    154: "recovery action changed",
    155: "NVLink error told by the driver",
    156: "a resource was retired",
    157: "a resource could not be retired",
    158: "fatal GPU time-out",
    159: "chip-to-chip error without data",
    160: "a channel was retired",
    161: "a channel could not be retired",
    **dict.fromkeys(range(162, 166), "power smoothing circuit report"),
    167: "fatal PCIe time-out",
    168: "error in protected memory",
    169: "internal micro-controller halt",
    **dict.fromkeys((171, 172), "details of a double-bit ECC error"),
}


def verdict(code: int) -> str:
    """One of ACTIONS."""
    verdicts = (("hardware", HARDWARE), ("fabric", FABRIC), ("application", APPLICATION))
    for name, codes in verdicts:
        if code in codes:
            return name
    return "ignore" if code in IGNORE else "support"


def name(code: int) -> str:
    """What *code* is, in a few words; "" where the table has none."""
    return _WORDS.get(code, "")


def meaning(code: str) -> str:
    """What Xid *code*, as printed, is, and what to do; "" when it is no number."""
    if not (code.isascii() and code.isdecimal() and len(code) < 10):
        return ""
    number = int(code)
    words = name(number) or "see NVIDIA's catalogue"
    return f"Xid {number}: {words}; {ACTIONS[verdict(number)]}"


def alternatives(codes: tuple[int, ...]) -> str:
    """*codes* as the alternatives of a pattern."""
    return "|".join(str(code) for code in sorted(codes))
