"""Our own words for a message, within a provider's limits: whole alerts while they fit, then with
their values shortened, then a line each, then lines for the worst and counts for the rest.

    **[FIRING:2] GPUXidError gpu-node-01 (critical)**

    **GPUXidError** firing
    Severity: critical
    …
    … and 312 more: 300 firing warning GPUHot, 12 resolved info PodRestart

No alert is left out: each is an entry, a line, or one of a count. The worst come first.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from msgspec import Struct

from heliograph.alert.model import Status
from heliograph.core import instant
from heliograph.notify import facts
from heliograph.notify.facts import Facts, Shown
from heliograph.notify.split import Size, shorten, split, utf8_bytes

# Of one value when the whole of it does not fit.
SHORT_BYTES = 160
# Kinds of alerts that the counts name; the other kinds are counted together.
KINDS_MAX = 12
ENTRY_BYTES_MIN = 60
LINE_BYTES_MIN = 10
_FIELDS = ("alertname", "severity", "workload_id")
# Zero-width: what follows is no markup any more, and reads the same.
_BREAK = "\u200b"
# What makes a line, or the one before it, more than text; a carriage return ends a line as well.
_BEGINNING = re.compile(r"((?:^|[\r\n])[ \t]*)([#>*`~=-])")


class Dialect(Struct, frozen=True):
    """How a provider's text is marked up.

    mark     put around what is bold
    escape   makes a value inert
    ends     at the end of a line that must stay one
    """

    mark: str
    escape: Callable[[str], str]
    ends: str = ""

    def bold(self, text: str) -> str:
        """*text*, which is escaped already, in bold."""
        return f"{self.mark}{text}{self.mark}" if text else ""


class Room(Struct, frozen=True):
    """*limit* of one provider message in *size*, and how many of them there may be."""

    limit: int
    parts_max: int
    size: Size = utf8_bytes


def inert_markdown(text: str) -> str:
    """*text* in which no link, image, mention, tag or heading of markdown begins."""
    text = text.replace("](", f"]{_BREAK}(").replace("<", f"<{_BREAK}")
    return _BEGINNING.sub(rf"\1{_BREAK}\2", text.replace("**", f"*{_BREAK}*"))


def inert_slack(text: str) -> str:
    """*text* in which Slack finds no link, mention or markup of its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


PLAIN = Dialect("", str)
MARKDOWN = Dialect("**", inert_markdown)
DINGTALK = Dialect("**", inert_markdown, ends="  ")
SLACK = Dialect("*", inert_slack)


def texts(known: Facts, dialect: Dialect, room: Room, *, titled: bool = True) -> list[str]:
    """Provider messages that tell all of *known*, at most `parts_max`, none over the limit.

    *titled*: each begins with the subject.
    """
    title = dialect.bold(dialect.escape(facts.subject(known))) if titled else ""
    title = shorten(title, room.limit // 3, room.size)
    shown = known.alerts
    left_out = known.message.truncated
    for way in _WAYS:
        if len(shown) * way.least > room.limit * room.parts_max:
            continue
        blocks = [way.write(one, dialect) for one in shown]
        tail = [_counts(Counter(), left_out, dialect)] if left_out else []
        made = _packed(title, [*blocks, *tail], way.apart, room)
        if len(made) <= room.parts_max:
            return made
    return _counted(known, title, dialect, room)


def rest(known: Facts, shown: Sequence[Shown], bytes_max: int) -> str:
    """Lines for *shown*, which follow others that were told whole; those that do not fit, and those
    that the message itself left out, are counted. "" where there is none."""
    lines = [_line(one, PLAIN) for one in shown[: bytes_max // LINE_BYTES_MIN]]
    size = sum(utf8_bytes(line) + 1 for line in lines)
    while lines and size > bytes_max:
        size -= utf8_bytes(lines.pop()) + 1
    kinds = Counter(_kind(one) for one in shown[len(lines) :])
    if kinds or known.message.truncated:
        lines.append(_counts(kinds, known.message.truncated, PLAIN))
    return "\n".join(lines)


def _counted(known: Facts, title: str, dialect: Dialect, room: Room) -> list[str]:
    """As many lines as fit beside the counts of the others."""
    lines_max = room.limit * room.parts_max // LINE_BYTES_MIN
    lines = [_line(one, dialect) for one in known.alerts[:lines_max]]

    def made(count: int) -> list[str]:
        rest = Counter(_kind(one) for one in known.alerts[count:])
        tail = _counts(rest, known.message.truncated, dialect)
        return _packed(title, [*lines[:count], tail], "\n", room)

    low, high = 0, len(lines)
    while low < high:
        middle = (low + high + 1) // 2
        if len(made(middle)) <= room.parts_max:
            low = middle
        else:
            high = middle - 1
    # The counts alone are bounded; should a tiny limit cut even them, the first parts count.
    return made(low)[: room.parts_max]


def _packed(title: str, blocks: Sequence[str], apart: str, room: Room) -> list[str]:
    """*blocks* under *title* in as few messages as they need; a block is cut only if it is larger
    than one."""
    limit = room.limit - room.size(f"{title} (99/99)\n\n")
    bodies: list[str] = []
    used = 0
    for block in blocks:
        for piece in split(block, max(limit, 16), room.size) or [""]:
            needs = room.size(piece) + room.size(apart)
            if bodies and used + needs <= limit:
                bodies[-1] += apart + piece
                used += needs
            else:
                bodies.append(piece)
                used = room.size(piece)
    count = len(bodies)
    if count <= 1:
        return ["\n\n".join(one for one in (title, *bodies) if one).rstrip()]
    heads = [f"{title} ({i}/{count})\n\n" if title else "" for i in range(1, count + 1)]
    return [f"{head}{body}".rstrip() for head, body in zip(heads, bodies, strict=True)]


def _entry(one: Shown, dialect: Dialect, value_bytes: int) -> str:
    """All of one alert; values of at most *value_bytes*, 0 for whole ones."""

    def value(text: str) -> str:
        text = shorten(text, value_bytes) if value_bytes else text
        return dialect.escape(" ".join(text.splitlines()))

    alert, whose = one.alert, one.alert.context
    rows = [
        ("Severity", one.labels.get("severity", "")),
        ("Source", alert.source),
        ("Status", one.status.value),
        ("Time", instant.text_of(alert.starts_ns)),
        ("Ended", _ended(one)),
        ("Workload", whose.workload_name or whose.workload_id),
        ("Pod", whose.pod_name),
        ("Node", whose.node_name),
        ("Labels", ", ".join(_labels(one))),
        ("Description", _annotation(one, "description")),
        ("Summary", _annotation(one, "summary", "message")),
        *(
            (name, one.annotations[name])
            for name in one.annotations.sorted_names()
            if name not in {"description", "summary", "message"} and not value_bytes
        ),
        ("From", alert.generator_url if alert.generator_url.startswith("http") else ""),
    ]
    name = one.labels.get("alertname", "") or "alert"
    lines = [dialect.bold(value(name))]
    lines += [f"{dialect.bold(value(what))}: {value(text)}" for what, text in rows if text]
    return f"{dialect.ends}\n".join(lines)


def _line(one: Shown, dialect: Dialect) -> str:
    whose = one.alert.context
    where = [
        whose.workload_name or whose.workload_id or one.labels.get("job", ""),
        whose.pod_name or one.labels.get("pod", ""),
        whose.node_name or one.labels.get("node", "") or one.labels.get("instance", ""),
    ]
    said = _annotation(one, "summary", "message", "description")
    words = [
        f"[{one.labels.get('severity', '') or one.status.value}]",
        one.labels.get("alertname", "") or ", ".join(_labels(one)),
        "(resolved)" if one.status is Status.RESOLVED else "",
        *dict.fromkeys(where),
        f"— {said}" if said else "",
    ]
    text = " ".join(" ".join(word for word in words if word).split())
    return f"- {dialect.escape(shorten(text, SHORT_BYTES))}{dialect.ends}"


class _Way(Struct, frozen=True):
    """How an alert is written; *least* is about what the shortest takes, to spare us the trial."""

    write: Callable[[Shown, Dialect], str]
    apart: str
    least: int


_WAYS = (
    _Way(lambda one, dialect: _entry(one, dialect, 0), "\n\n", ENTRY_BYTES_MIN),
    _Way(lambda one, dialect: _entry(one, dialect, SHORT_BYTES), "\n\n", ENTRY_BYTES_MIN),
    _Way(_line, "\n", LINE_BYTES_MIN),
)


def _counts(kinds: Counter[str], left_out: int, dialect: Dialect) -> str:
    named = kinds.most_common(KINDS_MAX)
    others = kinds.total() - sum(count for _, count in named)
    parts = [f"{count} {shorten(kind, 60)}" for kind, count in named]
    if others:
        parts.append(f"{others} of {len(kinds) - len(named)} other kinds")
    if left_out:
        parts.append(f"{left_out} that are not listed")
    return dialect.escape(f"… and {kinds.total() + left_out} more: {', '.join(parts)}")


def _kind(one: Shown) -> str:
    severity, name = one.labels.get("severity", ""), one.labels.get("alertname", "")
    return " ".join(word for word in (one.status.value, severity, name) if word)


def _ended(one: Shown) -> str:
    over = one.status is Status.RESOLVED and one.alert.ends_ns is not None
    return instant.text_of(one.alert.ends_ns or 0) if over else ""


def _labels(one: Shown) -> list[str]:
    return [f"{n}={one.labels[n]}" for n in one.labels.sorted_names() if n not in _FIELDS]


def _annotation(one: Shown, *names: str) -> str:
    return next((one.annotations[name] for name in names if one.annotations.get(name)), "")
