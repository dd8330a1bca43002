"""All channels by their kind, over one set of connections, templates and budgets.

with contextlib.closing(open_channels(guard, clock, templates, Limits())) as channels:
    delivery = channels["slack"].deliver(message, integration)
warnings = check("webhook", settings, guard)    # before it is kept: Refused, naming the key
"""

import importlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph.core.clock import Clock
from heliograph.core.errors import ConfigError, Refused
from heliograph.notify.guard import Guard, parts
from heliograph.notify.lacking import usable
from heliograph.notify.protocol import Channel, Limits

if TYPE_CHECKING:
    from heliograph.notify.kit import Kit

# Where each is made. Imported when one of the kind is checked, which is before it can be told: who
# tells nobody does without clients of HTTP and mail, and without templates, which are 6 MB.
CHANNELS: Mapping[str, str] = {
    "webhook": "webhook.Webhook",
    "email": "email.Email",
    "dingtalk": "dingtalk.dingtalk",
    "wecom": "wecom.wecom",
    "slack": "slack.Slack",
    "alertmanager": "alertmanager.Alertmanager",
}
TEMPLATE_FILES_MAX = 200
TEMPLATE_FILE_BYTES_MAX = 64 * 1024
_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
# Settings that are templates, or hold them.
_SLACK = """title title_link text pretext fallback color footer username fields actions callback_id
image_url thumb_url icon_emoji icon_url channel message_text"""
_TEMPLATED = {
    "webhook": ("url", "payload"),
    "email": ("to", "from", "headers", "html", "text"),
    "dingtalk": ("title", "text"),
    "wecom": ("title", "text"),
    "slack": tuple(_SLACK.split()),
}
_URLS = {
    "webhook": ("url",),
    "dingtalk": ("webhook_url",),
    "wecom": ("webhook_url",),
    "slack": ("api_url", "app_url"),
    "alertmanager": ("url",),
}


class Channels(Mapping[str, Channel]):
    """kind → channel, made when it is first asked for. Thread-safe.

    counts   what was split, shortened, held, throttled or fell back, by name, since the start
    """

    def __init__(
        self, guard: Guard, clock: Clock, templates: Mapping[str, str] | None, limits: Limits
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._guard, self._clock = guard, clock
        self._templates, self._limits = templates, limits
        self._kit: Kit | None = None
        self._channels: dict[str, Channel] = {}
        self._lock = threading.Lock()

    def __getitem__(self, kind: str) -> Channel:
        channel = self._channels.get(kind)
        if channel is None:
            make = _maker(kind)
            with self._lock:
                channel = self._channels.get(kind)
                if channel is None:
                    channel = self._channels[kind] = make(self._opened())
        return channel

    def __iter__(self) -> Iterator[str]:
        return iter(CHANNELS)

    def __len__(self) -> int:
        return len(CHANNELS)

    def open(self, kinds: Iterable[str]) -> None:
        """Have the channels of *kinds* made now, not at their first message."""
        for kind in kinds:
            self.get(kind)

    def close(self) -> None:
        """Forget what is held; an attempt under way goes on to its end."""
        with self._lock:
            if self._kit is not None:
                self._kit.poster.close()

    def _opened(self) -> "Kit":
        """What all channels share."""
        if self._kit is None:
            from heliograph.notify.kit import Kit
            from heliograph.notify.post import Poster
            from heliograph.notify.templates import Templates

            poster = Poster(self._guard, self._clock, self._limits)
            templates = Templates(self._templates)
            self._kit = Kit(poster, self._clock, templates, self._limits, counts=self.counts)
        return self._kit


def open_channels(
    guard: Guard,
    clock: Clock,
    templates: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> Channels:
    """All channels. *templates* are the texts of template files by name (`template_files`)."""
    return Channels(guard, clock, templates, limits or Limits())


def template_files(globs: tuple[str, ...], folder: Path) -> dict[str, str]:
    """The texts of the files that *globs* (of `templates:`) match, relative ones in *folder*.

    Raises ConfigError for a file that cannot be read or is too large.
    """
    texts: dict[str, str] = {}
    for pattern in globs:
        path = Path(pattern)
        root = Path(path.anchor) if path.is_absolute() else folder
        relative = str(path.relative_to(root)) if path.is_absolute() else pattern
        for file in sorted(root.glob(relative)):
            if len(texts) >= TEMPLATE_FILES_MAX:
                raise ConfigError(f"templates: more than {TEMPLATE_FILES_MAX} files")
            try:
                text = file.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"templates: {file}: {type(error).__name__}") from error
            if len(text) > TEMPLATE_FILE_BYTES_MAX:
                raise ConfigError(
                    f"templates: {file}: over {TEMPLATE_FILE_BYTES_MAX} characters"
                )
            texts[str(file)] = text
    return texts


def check(kind: str, settings: Mapping[str, Any], guard: Guard | None = None) -> list[str]:
    """Raises Refused, naming the key, for settings that can never be delivered with; warnings for
    templates that cannot be read: then what is sent is in our own words, with the fault.

    *guard* is given for what came over the API: its URLs must pass it, and it may name no file of
    this machine and no proxy.
    """
    if kind not in CHANNELS:
        raise Refused(f"no channel {kind[:40]!r}; known: {', '.join(CHANNELS)}", field="type")
    # Here, not at its first message: what is missing on this machine is missed now.
    _maker(kind)
    try:
        usable(settings, guarded=guard is not None)
        if kind == "email":
            _check_mail(settings, guard)
    except ConfigError as error:
        raise Refused(str(error), field=str(error).partition(":")[0]) from error
    _check_format(settings.get("format"))
    for key in _URLS.get(kind, ()):
        for url in _urls(kind, settings.get(key)):
            if url and not (kind == "webhook" and "{{" in _authority(url)):
                _check_url(_TEMPLATE.sub("x", url) if kind == "webhook" else url, key, guard)
    return [
        f"{place}: {fault}"
        for key in _TEMPLATED.get(kind, ())
        for place, text in _texts(settings.get(key), key)
        if (fault := _fault(text))
    ]


def _texts(given: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every text of *given*, with the place of each."""
    if isinstance(given, str):
        yield place, given
    elif isinstance(given, Mapping):
        for name, one in given.items():
            yield from _texts(one, f"{place}.{name}")
    elif isinstance(given, list | tuple):
        for index, one in enumerate(given):
            yield from _texts(one, f"{place}[{index}]")


def _fault(text: str) -> str:
    """Why *text* cannot be read as a template, or ""."""
    if "{{" not in text:
        return ""
    from heliograph.notify.template_syntax import Unsupported, parse

    try:
        parse(text)
    except Unsupported as error:
        return str(error)
    return ""


def _maker(kind: str) -> "Callable[[Kit], Channel]":
    """What makes the channel *kind*. Raises KeyError."""
    module, _, name = CHANNELS[kind].partition(".")
    make: Callable[[Kit], Channel] = getattr(
        importlib.import_module(f"heliograph.notify.{module}"), name
    )
    return make


def _check_format(given: Any) -> None:
    if given is not None:
        from heliograph.notify.webhook import FORMATS

        if given not in FORMATS:
            raise Refused(f"format: one of {', '.join(FORMATS)}", field="format")


def _urls(kind: str, given: Any) -> list[Any]:
    """What *given* names; an Alertmanager has several."""
    if kind != "alertmanager":
        return [given]
    from heliograph.notify.alertmanager import peers_of

    return list(peers_of(given))


def _authority(url: str) -> str:
    """Who *url* leads to, as it is written; where that is made by a template, delivery looks at it."""
    return url.partition("://")[2].partition("/")[0]


def _check_url(url: str, key: str, guard: Guard | None) -> None:
    if guard is None:
        parts(url, field=key)
    else:
        guard.check(url, field=key)


def _check_mail(settings: Mapping[str, Any], guard: Guard | None) -> None:
    from heliograph.notify import email

    where = email.smarthost(str(settings.get("smarthost") or ""))
    if guard is not None and settings.get("smarthost") not in guard.mail_hosts:
        guard.check_host(where.host, where.port, field="smarthost")
    for key in ("to", "from"):
        text = str(settings.get(key) or "")
        if "{{" not in text:
            email.recipients(text, key)
