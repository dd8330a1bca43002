"""What a mail says, as text and as HTML; every value escaped.

The page is ours (`mail.html`) and the values are plain text, handed to an immutable sandbox that
escapes all of them; a link is made only of http and https.
"""

from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from heliograph.alert.model import Status
from heliograph.core import instant
from heliograph.notify import facts, wording
from heliograph.notify.facts import Facts, Shown
from heliograph.notify.split import clean
from heliograph.notify.template_values import Pairs
from heliograph.notify.wording import PLAIN, Room

# Alerts of which all is told; the others have a line each, or are counted.
WHOLE_MAX = 100
TEXT_BYTES_MAX = 200_000
REST_BYTES_MAX = 60_000


class MailBody:
    """Writes bodies; the template is read once. Thread-safe."""

    def __init__(self) -> None:
        sandbox = ImmutableSandboxedEnvironment(
            autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
        )
        source = Path(__file__).with_name("mail.html").read_text("utf-8")
        self._page = sandbox.from_string(source)

    def text(self, known: Facts, fault: str = "") -> str:
        """The plain part; *fault* of a template that it stands in for."""
        made = wording.texts(known, PLAIN, Room(TEXT_BYTES_MAX, 1))
        parts = [*made, facts.page(known), f"({fault})" if fault else ""]
        return "\n\n".join(part for part in parts if part) + "\n"

    def html(self, known: Facts, fault: str = "") -> str:
        """The HTML part."""
        return self._page.render(values(known, fault))


def values(known: Facts, fault: str) -> dict[str, Any]:
    """What the page shows: text, numbers and lists of pairs, and no object with methods of ours."""
    whole, rest = known.alerts[:WHOLE_MAX], known.alerts[WHOLE_MAX:]
    firing = len(known.firing)
    return {
        "subject": facts.subject(known),
        "firing": known.status is Status.FIRING,
        "total": len(known.alerts) + known.message.truncated,
        "group": _pairs(known.group_labels),
        "page": _link(facts.page(known)) or "#",
        "fault": fault,
        "parts": [
            _part("Firing", firing, whole, Status.FIRING),
            _part("Resolved", len(known.alerts) - firing, whole, Status.RESOLVED),
        ],
        "rest": wording.rest(known, rest, REST_BYTES_MAX),
    }


def _part(name: str, count: int, shown: tuple[Shown, ...], status: Status) -> dict[str, Any]:
    alerts = [_alert(one) for one in shown if one.status is status]
    return {"name": name, "count": count, "alerts": alerts}


def _alert(one: Shown) -> dict[str, Any]:
    alert, whose = one.alert, one.alert.context
    over = one.status is Status.RESOLVED and alert.ends_ns is not None
    known = {
        "workload": whose.workload_name or whose.workload_id,
        "pod": whose.pod_name,
        "node": whose.node_name,
        "cluster": whose.cluster_name,
    }
    return {
        "labels": _pairs(one.labels),
        "annotations": _pairs(one.annotations),
        "whose": [(name, clean(value)) for name, value in known.items() if value],
        "since": instant.text_of(alert.starts_ns),
        "until": instant.text_of(alert.ends_ns or 0) if over else "",
        "source": _link(alert.generator_url),
    }


def _pairs(pairs: Pairs) -> list[tuple[str, str]]:
    return [(name, pairs[name]) for name in pairs.sorted_names()]


def _link(url: str) -> str:
    return clean(url) if url.startswith(("http://", "https://")) else ""
