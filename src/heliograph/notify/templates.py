"""Templates of the operator's settings: rendered, or else why not.

    Templates({"site.tmpl": '{{ define "t" }}…{{ end }}'}).render('{{ template "t" . }}', data)
    → Rendered(text="…", fault="")       or    Rendered(text="", fault="line 1: …")

An alert is never lost to a template: whoever asked for a text that could not be made writes its
own instead, with the fault in it. User text goes through our subset of Go's templates alone; Jinja
is for the pages that we ship (`mail_body`).
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from heliograph.notify import template_defaults
from heliograph.notify.facts import Facts, data
from heliograph.notify.split import clean
from heliograph.notify.template_run import Run
from heliograph.notify.template_syntax import Nodes, Parsed, Unsupported, parse
from heliograph.notify.template_values import Failed

# Parsed templates that are kept; the one not asked for longest goes first.
PARSED_MAX = 500
FILES_MAX = 200
# How the fault of a template ends that is one, and that we do not read.
BEYOND = "is not in the subset"
_NAMED = re.compile(r'\{\{-?\s*template\s+"([^"]+)"\s+\.\s*-?\}\}')


class Rendered(Struct, frozen=True):
    """*text* where *fault* is "", else nothing."""

    text: str = ""
    fault: str = ""


def as_it_is(text: str) -> str:
    """No escaping."""
    return text


class Templates:
    """What files define, and the texts of settings. Thread-safe.

    *faults* names each file that is beyond the subset, and why; what it defines is not there.
    """

    def __init__(self, files: Mapping[str, str] | None = None) -> None:
        self._defined: dict[str, Nodes] = dict(parse(template_defaults.TEXT).defined)
        self.faults: dict[str, str] = {}
        self._parsed: OrderedDict[str, Parsed | str] = OrderedDict()
        self._lock = threading.Lock()
        for number, (name, text) in enumerate((files or {}).items()):
            if number >= FILES_MAX:
                self.faults[name] = f"more than {FILES_MAX} template files"
                continue
            try:
                self._defined.update(parse(text).defined)
            except Unsupported as error:
                self.faults[name] = str(error)

    def render(
        self,
        text: str,
        facts: Facts,
        escape: Callable[[str], str] = as_it_is,
        *,
        links: bool = False,
    ) -> Rendered:
        """What *text* makes of *facts*, values escaped, as UTF-8 can carry it; *links*: it is HTML. A
        text that asks for what a channel says by itself makes "", and so it will."""
        if "{{" not in text:
            return Rendered(clean(text))
        named = _NAMED.fullmatch(text.strip())
        if named and named[1] in template_defaults.OWN and named[1] not in self._defined:
            return Rendered()
        parsed = self._of(text)
        if isinstance(parsed, str):
            return Rendered(fault=parsed)
        defined: Any = {**self._defined, **parsed.defined} if parsed.defined else self._defined
        try:
            made = Run(defined, escape, links=links).text(parsed.body, data(facts))
        except Failed as error:
            return Rendered(fault=str(error))
        return Rendered(clean(made))

    def _of(self, text: str) -> Parsed | str:
        with self._lock:
            known = self._parsed.get(text)
            if known is not None:
                self._parsed.move_to_end(text)
                return known
        try:
            made: Parsed | str = parse(text)
        except Unsupported as error:
            made = str(error)
        with self._lock:
            self._parsed[text] = made
            while len(self._parsed) > PARSED_MAX:
                self._parsed.popitem(last=False)
        return made
