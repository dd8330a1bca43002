"""All channels by their kind, over one set of connections, templates and budgets.

with contextlib.closing(open_channels(guard, clock, templates, Limits())) as channels:
    delivery = channels["slack"].deliver(message, integration)
check("webhook", settings, guard)       # before it is kept: Refused, naming the key
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from heliograph.core.clock import Clock
from heliograph.core.errors import ConfigError, Refused
from heliograph.notify import email
from heliograph.notify.alertmanager import Alertmanager, peers_of
from heliograph.notify.dingtalk import dingtalk
from heliograph.notify.email import Email
from heliograph.notify.guard import Guard, parts
from heliograph.notify.kit import Kit
from heliograph.notify.lacking import usable
from heliograph.notify.post import Poster
from heliograph.notify.protocol import Channel, Limits
from heliograph.notify.slack import Slack
from heliograph.notify.templates import Templates
from heliograph.notify.webhook import FORMATS, Webhook
from heliograph.notify.wecom import wecom

CHANNELS: Mapping[str, Callable[[Kit], Channel]] = {
    "webhook": Webhook,
    "email": Email,
    "dingtalk": dingtalk,
    "wecom": wecom,
    "slack": Slack,
    "alertmanager": Alertmanager,
}
TEMPLATE_FILES_MAX = 200
TEMPLATE_FILE_BYTES_MAX = 64 * 1024
_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_URLS = {
    "webhook": ("url",),
    "dingtalk": ("webhook_url",),
    "wecom": ("webhook_url",),
    "slack": ("api_url", "app_url"),
    "alertmanager": ("url",),
}


class Channels(Mapping[str, Channel]):
    """kind → channel.

    counts   what was split, shortened, held, throttled or fell back, by name
    faults   template file → why it is beyond the subset
    """

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._channels = {kind: make(kit) for kind, make in CHANNELS.items()}

    @property
    def counts(self) -> Counter[str]:
        """Since the start."""
        return self._kit.counts

    @property
    def faults(self) -> Mapping[str, str]:
        """Of the template files."""
        return self._kit.templates.faults

    def __getitem__(self, kind: str) -> Channel:
        return self._channels[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels)

    def __len__(self) -> int:
        return len(self._channels)

    def close(self) -> None:
        """Give back what is held; an attempt under way fails."""
        self._kit.poster.close()


def open_channels(
    guard: Guard,
    clock: Clock,
    templates: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> Channels:
    """All channels. *templates* are the texts of template files by name (`template_files`)."""
    limits = limits or Limits()
    poster = Poster(guard, clock, limits)
    return Channels(Kit(poster, clock, Templates(templates), limits))


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


def check(kind: str, settings: Mapping[str, Any], guard: Guard | None = None) -> None:
    """Raises Refused, naming the key, for settings that can never be delivered with.

    *guard* is given for what came over the API: its URLs must pass it, and it may name no file of
    this machine and no proxy.
    """
    if kind not in CHANNELS:
        raise Refused(f"no channel {kind[:40]!r}; known: {', '.join(CHANNELS)}", field="type")
    try:
        usable(settings, guarded=guard is not None)
        if kind == "email":
            _check_mail(settings, guard)
    except ConfigError as error:
        raise Refused(str(error), field=str(error).partition(":")[0]) from error
    if settings.get("format") not in {None, *FORMATS}:
        raise Refused(f"format: one of {', '.join(FORMATS)}", field="format")
    for key in _URLS.get(kind, ()):
        given = settings.get(key)
        for url in peers_of(given) if kind == "alertmanager" else [given]:
            if url and not (kind == "webhook" and "{{" in _authority(url)):
                _check_url(_TEMPLATE.sub("x", url) if kind == "webhook" else url, key, guard)


def _authority(url: str) -> str:
    """Who *url* leads to, as it is written; where that is made by a template, delivery looks at it."""
    return url.partition("://")[2].partition("/")[0]


def _check_url(url: str, key: str, guard: Guard | None) -> None:
    if guard is None:
        parts(url, field=key)
    else:
        guard.check(url, field=key)


def _check_mail(settings: Mapping[str, Any], guard: Guard | None) -> None:
    where = email.smarthost(str(settings.get("smarthost") or ""))
    if guard is not None and settings.get("smarthost") not in guard.mail_hosts:
        guard.check_host(where.host, where.port, field="smarthost")
    for key in ("to", "from"):
        text = str(settings.get(key) or "")
        if "{{" not in text:
            email.recipients(text, key)
