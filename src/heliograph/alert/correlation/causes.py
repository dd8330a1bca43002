"""Known causes and effects: which alert leads to which, by name and by kind.

    OOMDetected, OOMError, label error_type="oom"     kind `oom`
    memory_high → oom   0.8   "high GPU memory leads to OOM"

An alert's kind is its label `kind` (or `event_type`, `error_type`), where that is one we know; else
what its name says. A table of the operator's is tried before ours; its ends are kinds or alert
names:
    alerting: {causes: [{cause: SwitchDown, effect: nccl_error, score: 0.9, reason: "…"}]}
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from heliograph.alert.rules import fields
from heliograph.alert.rules.fields import Part
from heliograph.core.errors import Refused
from heliograph.core.labels import Labels

CAUSES_MAX = 200
KIND_LABELS = ("kind", "event_type", "error_type")
_KIND_LABELS = frozenset(KIND_LABELS)


class Cause(Struct, frozen=True):
    """*cause* leads to *effect*: each a kind or an alert's name. *score* is of (0, 1]."""

    cause: str
    effect: str
    score: float
    reason: str


CAUSES = (
    Cause("memory_high", "oom", 0.8, "high GPU memory leads to OOM"),
    Cause("network_latency", "slowdown", 0.7, "network latency causes training slowdown"),
    Cause("node_down", "pod_restart", 0.9, "node failure causes pod restart"),
    Cause("disk_low", "checkpoint_failed", 0.8, "low disk space causes checkpoint failure"),
    Cause("nccl_error", "hang", 0.7, "NCCL error causes training hang"),
    Cause("temperature", "throttling", 0.8, "high temperature causes GPU throttling"),
)
# In this order: the first whose pattern the words of a name contain (`NodeNotReady`: node not ready).
_NAMES = (
    ("oom", r"\b(?:cuda|gpu|hip|host|container|pod)?oom\b|\bout of memory\b"),
    (
        "memory_high",
        (
            r"\b(?:(?:gpu|device) (?:\w+ )*mem(?:ory)?|vram|hbm)\b.*\b(?:high|full|usage|pressure)\b"
            r"|\bhigh (?:(?:gpu|device) (?:\w+ )*mem(?:ory)?|vram|hbm)\b"
        ),
    ),
    (
        "checkpoint_failed",
        r"\b(?:checkpoint|ckpt)\b.*\b(?:fail\w*|error)\b|\bfail\w*\b.*\b(?:checkpoint|ckpt)\b",
    ),
    ("nccl_error", r"\b[nr]ccl\b|\bcollective\b.*\b(?:timeout|error|fail\w*)\b"),
    ("hang", r"\b(?:hang|hangs|hung|hanging|stall|stalled|stuck)\b"),
    ("throttling", r"\bthrottl\w+|\b(?:gpu|hw|sw|clock|thermal) slow ?down\b"),
    (
        "temperature",
        r"\b(?:temperature|temp|overheat\w*|thermal)\b|\b(?:gpu|device|too|running) hot\b",
    ),
    (
        "slowdown",
        (
            r"\bslow ?down\b|\btraining slow\w*|\bslow training\b"
            r"|\bthroughput\b.*\b(?:low|drop\w*|degrad\w+)\b|\blow (?:\w+ )*throughput\b"
        ),
    ),
    (
        "network_latency",
        r"\b(?:network|net|ib|rdma|infiniband)\b.*\blatency\b|\blatency\b.*\bnetwork\b",
    ),
    (
        "pod_restart",
        r"\b(?:pod|container)s?\b.*\b(?:restart\w*|crash ?loop\w*)\b|\bcrash ?loop",
    ),
    (
        "node_down",
        (
            r"\b(?:node|host|instance)\b.*\b(?:down|not ready|unreachable|offline|lost|dead)\b"
            r"|\b(?:node|host) fail(?:ure|ed)\b"
        ),
    ),
    (
        "disk_low",
        (
            r"\b(?:disk|filesystem|file system|storage|volume)\b"
            r".*\b(?:low|full|space|usage|pressure|fill\w*)\b|\bno space\b"
        ),
    ),
    ("ecc", r"\becc\b"),
    ("xid", r"\bxid\b"),
    ("nan_loss", r"\bnan loss\b|\bloss nan\b"),
    ("loss_spike", r"\bloss spike\b"),
)
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_KIND_OF = tuple((kind, re.compile(pattern)) for kind, pattern in _NAMES)
KINDS = frozenset(kind for kind, _ in _NAMES)
# What other words for a kind mean.
_ALIASES = {
    "nccl": "nccl_error",
    "nccl_timeout": "nccl_error",
    "container_oom_killed": "oom",
    "stall": "hang",
}


@lru_cache(maxsize=4096)
def kind_of_name(name: str) -> str:
    """The kind that an alert's *name* says it is of, or ""."""
    # `NaN` is the one word that writes itself in both cases.
    words = " ".join(_WORD.findall(name.replace("NaN", "Nan"))).lower()
    return next((kind for kind, pattern in _KIND_OF if pattern.search(words)), "")


def kind_of(name: str, labels: Labels) -> str:
    """The kind of an alert, or ""."""
    # Most alerts have none of these labels.
    said = {label: value for label, value in labels if label in _KIND_LABELS}
    for label in KIND_LABELS if said else ():
        value = said.get(label, "")
        kind = _ALIASES.get(value, value)
        if kind in KINDS:
            return kind
    return kind_of_name(name)


class Table:
    """Causes, looked up by what an alert is. Immutable."""

    __slots__ = ("_as_cause", "_as_effect", "causes")

    def __init__(self, causes: Iterable[Cause] = CAUSES) -> None:
        self.causes = tuple(causes)
        self._as_cause: dict[str, tuple[int, ...]] = {}
        self._as_effect: dict[str, tuple[int, ...]] = {}
        for number, one in enumerate(self.causes):
            self._as_cause[one.cause] = (*self._as_cause.get(one.cause, ()), number)
            self._as_effect[one.effect] = (*self._as_effect.get(one.effect, ()), number)

    def roles(self, name: str, labels: Labels) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The numbers of the causes in which an alert is the cause, and those it is the effect of."""
        kind = kind_of(name, labels)
        cause = self._as_cause.get(name, ()) + (self._as_cause.get(kind, ()) if kind else ())
        effect = self._as_effect.get(name, ()) + (self._as_effect.get(kind, ()) if kind else ())
        return cause, effect


def decode(document: Any, *, field: str = "correlation.causes") -> Table:
    """The table of the operator's list, with ours after it. Raises Refused that names the field."""
    if not isinstance(document, list | tuple):
        raise Refused(f"{field}: expected a list", field=field)
    if len(document) > CAUSES_MAX:
        raise Refused(f"{field}: {len(document)} causes, limit {CAUSES_MAX}", field=field)
    return Table((*(_cause(one, f"{field}[{n}]") for n, one in enumerate(document)), *CAUSES))


def _cause(document: Any, path: str) -> Cause:
    if not isinstance(document, Mapping):
        given = fields.kind(document) or "nothing"
        raise Refused(f"{path}: expected an object, got {given}", field=path)
    part = Part.of(document, path)
    part.only({"cause", "effect", "score", "reason"})
    cause, effect = part.text("cause"), part.text("effect")
    score = part.number("score", default=0.7)
    if not 0 < score <= 1:
        part.refuse("score", f"{score:g} is not of (0, 1]")
    return Cause(cause, effect, score, part.text("reason", default=f"{cause} causes {effect}"))
