"""What a GPU's marketing or driver name says: its type, and which of several is the newest.

    NVIDIA A100-SXM4-80GB      A100            NVIDIA GeForce RTX 3080 Ti       RTX3080
    NVIDIA H100 80GB HBM3      H100            NVIDIA RTX PRO 6000 Blackwell    RTXPRO6000
    AMD Instinct MI300X        MI300X          GeForce GTX 1080 Ti              GTX1080

Variants of a board (Ti, SUPER, memory, form) are one type. A name of no known shape gives its
first word that has a digit and a letter, else its first word that is not a brand.
Source: spec 000's labelled metrics; product pages and the names that drivers report.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

NAME_CHARS_MAX = 512
UNKNOWN = "unknown"

_SPLIT = re.compile(r"[ \-_/,()\[\]]+")
_TRADE_MARKS = re.compile(r"\((?:TM|R|C)\)|[™®©]")
# Chips of the data centre, most specific first: GB200 before B200, L40S before L4. The long ones are
# found wherever they stand: 8xH100.
_CHIPS = re.compile(
    r"(GB300|GB200|GB100|GH200|GH100|B300|B200|B100|H200|H100)"
    r"|(?<![A-Z0-9])(?:(L40S|L40|L4)(?![0-9])|(MI\d{2,3}[AX]?)(?![A-Z0-9]))"
)
_BOARD_OF_THOR = re.compile(r"T\d{4}\Z")
_NUMBER = re.compile(r"\d+\Z")
_MODEL = re.compile(r"\d{2,}[A-Z]*\Z")
_DIGIT = re.compile(r"[0-9]")
_LETTER = re.compile(r"[^\W\d_]")
_SIZE_OR_SLICE = re.compile(r"(?:\d+C\.)?(?:\d+G\.)?\d+(?:GB|GIB|TB|MB)(?:\+\w+)*\Z")
_VARIANT = re.compile(r"(?<=\d)(?:TI|SUPER|ADA)+\Z")

_BRANDS = frozenset({
    *("NVIDIA", "GEFORCE", "QUADRO", "TESLA", "JETSON", "TITAN", "GRID", "AMD", "ATI", "INTEL"),
    *("APPLE", "HABANA", "HUAWEI", "GOOGLE", "AWS", "AMAZON", "QUALCOMM", "GRAPHCORE"),
    *("CEREBRAS", "INSTINCT", "CORPORATION", "LABS", "INC."),
})  # fmt: skip
# Words whose number stands apart: the type is both, joined.
_SERIES = frozenset({
    *("GAUDI", "MAX", "FLEX", "ASCEND", "VEGA", "HD", "UHD", "NVS", "AI", "ADRENO", "WSE", "IPU"),
    *("TRAINIUM", "INFERENTIA", "ARC", "WX", "GT", "GTS"),
})  # fmt: skip
# The same, where the number may carry letters of its own: GTX 980M, RX 5600M.
_SERIES_OF_BOARDS = frozenset({"GTX", "RX"})
_GAUDI = {
    "HL100": "GOYA", "HL205": "GAUDI", "HL225": "GAUDI2", "HL288": "GAUDI2", "HL325": "GAUDI3",
    "HL328": "GAUDI3", "HL338": "GAUDI3", "HL388": "GAUDI3",
}  # fmt: skip


def gpu_type(name: object) -> str:
    """The type that *name* says, in upper case; "" for an empty name."""
    text = _TRADE_MARKS.sub(" ", str(name)[:NAME_CHARS_MAX].upper())
    if "SPARK" in text:
        return "SPARK"
    if chip := _CHIPS.search(text):
        return chip[chip.lastindex or 0]
    parts = [part for part in _SPLIT.split(text) if part]
    return (
        _after_rtx(parts)
        or _of_jetson(parts, text)
        or _of_series(parts)
        or _any_model(parts)
        or next((part for part in parts if part not in _BRANDS), "")
        or (parts[0] if parts else "")
    )


def primary_gpu(names: Iterable[object]) -> str:
    """The type of the newest of *names*; unlisted ones by how many there are; `unknown` if none."""
    counts = Counter(str(name) for name in names)
    return newest([(gpu_type(name), name, count) for name, count in counts.items()])


def newest(devices: Sequence[tuple[str, str, int]]) -> str:
    """The same of (type, name, how many)."""
    if len(devices) < 2:
        return devices[0][0] if devices else UNKNOWN
    ranked = [(rank, found) for found, name, _ in devices if (rank := _rank(found, name))]
    if ranked:
        return min(ranked)[1]
    counts: dict[str, int] = {}
    for found, _, count in devices:
        counts[found] = counts.get(found, 0) + count
    return max(counts, key=lambda one: (counts[one], one))


def _after_rtx(parts: list[str]) -> str:
    if "RTX" not in parts:
        return ""
    following = [part for part in parts[parts.index("RTX") + 1 :] if part != "ADA"]
    if following[:1] == ["PRO"]:
        model = _VARIANT.sub("", following[1]) if len(following) > 1 else ""
        return "RTXPRO" + (model if _DIGIT.search(model) else "")
    if following and _DIGIT.search(following[0]):
        return "RTX" + _VARIANT.sub("", following[0])
    return ""


def _of_jetson(parts: list[str], text: str) -> str:
    if not any(word in text for word in ("JETSON", "THOR", "ORIN", "XAVIER")):
        return ""
    if board := next((part for part in parts if _BOARD_OF_THOR.match(part)), ""):
        return board
    return next((word for word in ("THOR", "ORIN", "XAVIER") if word in text), "")


def _of_series(parts: list[str]) -> str:
    """A series and its number, which names write apart: GTX 1080, RX 7900 XTX, Gaudi 3, Max 1550."""
    if "TITAN" in parts:
        return "TITAN"
    for at, part in enumerate(parts):
        after = next((one for one in parts[at + 1 :] if one not in {"GRAPHICS", "GPU"}), "")
        if part in _SERIES_OF_BOARDS and _MODEL.match(after):
            beyond = parts[parts.index(after) + 1 :][:1]
            suffix = beyond[0] if part == "RX" and beyond and beyond[0] in _RADEON else ""
            return part + _VARIANT.sub("", after) + suffix
        if part in _SERIES and _NUMBER.match(after):
            return part + after
        if part == "HL" and (board := _GAUDI.get(f"HL{after[:3]}")):
            return board
        if part[:2] == "HL" and (board := _GAUDI.get(part[:5])):
            return board
    return ""


_RADEON = frozenset({"XT", "XTX", "GRE", "XTXH"})


def _any_model(parts: list[str]) -> str:
    for part in parts:
        if (
            part not in _BRANDS
            and _DIGIT.search(part)
            and _LETTER.search(part)
            and not _SIZE_OR_SLICE.match(part)
        ):
            return part
    return ""


# Newest first, as spec 000's users know the order; (what the type is, its place among its like).
_GENERATIONS: tuple[tuple[str, ...], ...] = (
    (r"RTX50\d\d.*", r"RTXPRO.*"),
    ("THOR",),
    ("GB300", "B300"),
    ("GB200", "B200", "GB100", "B100"),
    ("GH200", "H200", "H100", "GH100"),
    ("L40S", "L40", "L4", r"RTX40\d\d.*", r"RTXA\d+"),
    ("ORIN",),
    ("A40", "A16", "A10", "A2", r"RTX30\d\d.*"),
    ("A100", "A30"),
    ("T4", r"RTX20\d\d.*", r"RTX\d000"),
    ("V100", "GV100", "TITAN"),
    ("P100", "P40", "P4", "P6", r"GTX10\d\d.*", r"P\d{3,4}"),
    ("K80", "K40", r"K\d+.*", r"M\d{2,}"),
)
_PLACES = [
    (generation, place)
    for generation, patterns in enumerate(_GENERATIONS)
    for place in range(len(patterns))
]
# One pattern, whose groups are the places: a hostile job has thousands of names to rank.
_LISTED = re.compile(
    "|".join(f"({pattern})" for patterns in _GENERATIONS for pattern in patterns)
)
_BLACKWELL, _THOR, _ADA = 0, 1, 5


def _rank(found: str, name: str) -> tuple[int, ...]:
    """(generation, place, minus the number), less is newer; () for a type that is not listed."""
    text = name.upper()
    number = -int("0" + "".join(_DIGIT.findall(found))[:9])
    if found.startswith("RTX"):
        # Three generations have an RTX 6000: the type is one, the name says which.
        if "BLACKWELL" in text:
            return (_BLACKWELL, 1, number)
        if re.search(r"\bADA\b", text.replace("_", " ")):
            return (_ADA, 3, number)
    if _BOARD_OF_THOR.match(found) and ("JETSON" in text or "THOR" in text):
        return (_THOR, 0, number)
    listed = _LISTED.fullmatch(found)
    if listed is None:
        return ()
    return (*_PLACES[(listed.lastindex or 1) - 1], number)
