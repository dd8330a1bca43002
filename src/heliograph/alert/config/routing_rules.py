"""Routes as they are made over the API: who is told, and through which channels.

    {"matchers": [{"name": "severity", "value": "critical"},
                  {"name": "workload_id", "value": "prod-*", "is_regex": true}],
     "channels": [{"type": "webhook", "config": {"url": "http://alert-handler/critical"}},
                  {"type": "dingtalk", "config": {"webhook_url": "https://oapi.…"}}],
     "group_by": ["alertname", "workload_id"], "group_wait": "30s", "repeat_interval": "4h"}

One becomes a route `api/<id>` and a receiver of that name. Kinds of channels: webhook, email,
dingtalk, wechat (the robot of WeCom), slack, alertmanager. Their secrets are written only:
`masked` is what may be shown, and `unmasked` takes a shown document back: only for a channel that
still goes where it went, or whoever may edit could have the secrets sent to a server of their own.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from heliograph.alert import matching
from heliograph.alert.config import channel_numbers, configuration, fields, receivers
from heliograph.alert.config.channel_numbers import TYPES
from heliograph.alert.config.fields import PlaceError
from heliograph.alert.config.setup import Setup
from heliograph.alert.model import Integration, Receiver
from heliograph.alert.routes import (
    API,
    GROUP_INTERVAL_NS,
    GROUP_WAIT_NS,
    REPEAT_INTERVAL_NS,
    Route,
)
from heliograph.core.errors import Refused

CHANNELS_MAX = 32
MASK = "<secret>"

_KEYS = (
    "id", "name", "description", "matchers", "channels", "group_by", "group_wait",
    "group_interval", "repeat_interval", "continue", "mute_time_intervals",
    "active_time_intervals",
)  # fmt: skip
# kind → key of the API → key of the settings
_RENAMED = {
    "email": {"username": "auth_username", "password": "auth_password"},
    "slack": {"webhook_url": "api_url", "token": "app_token"},
    "dingtalk": {"url": "webhook_url"},
    "wecom": {"url": "webhook_url"},
}
# A name, or an address, with or without the brackets of the sixth version.
_HOST = re.compile(r"[A-Za-z0-9_\[:](?:[A-Za-z0-9_.:-]{0,253}[A-Za-z0-9_.:\]])?\Z")
_OPERATORS_OWN = {"proxy_url", "proxy_from_environment", "proxy_connect_header", "oauth2"}
_SECRET_WORDS = (
    "url", "password", "secret", "token", "credentials", "headers", "key", "auth_identity",
)  # fmt: skip
# What says where a channel goes, and how well it knows who answers there.
_ADDRESSES = (
    "url", "webhook_url", "api_url", "app_url", "smtp_host", "smtp_port", "smarthost",
    "tls", "require_tls", "force_implicit_tls", "tls_config", "proxy_url",
)  # fmt: skip
_CREDENTIALS = ("basic_auth", "authorization", "bearer_token", "http_headers")


def from_document(
    route_id: str, document: Any, setup: Setup, numbers: Sequence[int] | None = None
) -> tuple[Route, Receiver, list[str]]:
    """The route and receiver that *document* describes, and warnings for who wrote it.

    *setup* lends the time intervals and the mail server of the file; *numbers* of its channels, of a
    route that was edited. Raises Refused that names the field at fault.
    """
    given = _top(document)
    stated = given.get("matchers")
    matchers, warnings = matching.from_documents([] if stated is None else stated)
    name = f"{API}{route_id}"
    channels = _integrations(
        name, given.get("channels"), setup, numbers or channel_numbers.first(given)
    )
    receiver = Receiver(name, channels)
    for key in ("mute_time_intervals", "active_time_intervals"):
        for one in _read(lambda key=key: fields.texts(given.get(key), key)):
            if one not in setup.intervals:
                raise _refused(key, f"time interval {one!r} is not defined")
    route = Route(
        id=name,
        receiver=name,
        matchers=matchers,
        group_by=_read(lambda: configuration.group_by(given.get("group_by"), (), "group_by")),
        group_wait_ns=_span_ns(given, "group_wait", GROUP_WAIT_NS, least_ns=0),
        group_interval_ns=_span_ns(given, "group_interval", GROUP_INTERVAL_NS),
        repeat_interval_ns=_span_ns(given, "repeat_interval", REPEAT_INTERVAL_NS),
        mute_time_intervals=tuple(given.get("mute_time_intervals") or ()),
        active_time_intervals=tuple(given.get("active_time_intervals") or ()),
        continue_=given.get("continue") is not None
        and _read(lambda: fields.flag(given["continue"], "continue")),
    )
    return route, receiver, warnings


def _top(document: Any) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise _refused("body", "expected an object")
    for key in document:
        if key not in _KEYS:
            raise _refused(str(key), f"unknown key (known: {', '.join(sorted(_KEYS))})")
    return document


def check_words(document: Mapping[str, Any]) -> None:
    """Refuse a name or a description that is no text; of routes that are kept it is passed over."""
    for key in ("name", "description"):
        if not isinstance(document.get(key), str | None):
            raise _refused(key, "expected text")


def place_of(document: Mapping[str, Any], index: int, setting: str) -> str:
    """Where *document*, which was read, has *setting* of its channel *index*."""
    return (
        f"channels[{index}].config.{_spelt(document['channels'][index]).get(setting, setting)}"
    )


def _spelt(channel: Mapping[str, Any]) -> dict[str, str]:
    """Settings of *channel* that go by another name there: {setting: key}."""
    config = channel.get("config") or {}
    kind = TYPES[channel["type"]]
    renamed = _RENAMED.get(kind, {})
    if kind == "email" and "smarthost" not in config:
        renamed = {**renamed, "smtp_host": "smarthost"}
    # What is missing goes by its documented name, of which `url` is a shorter form.
    return {
        name: key
        for key, name in renamed.items()
        if key in config or (name not in config and key != "url")
    }


def masked(document: Any) -> Any:
    """*document* with `<secret>` in place of every secret of its channels."""
    if not isinstance(document, Mapping) or not isinstance(document.get("channels"), list):
        return document
    channels = [
        {**channel, "config": masked_settings(channel.get("config"))}
        if isinstance(channel, Mapping)
        else channel
        for channel in document["channels"]
    ]
    return {**document, "channels": channels}


def unmasked(document: Any, before: Any) -> Any:
    """*document* with the secrets of *before* where it has `<secret>`: in the channel of the same
    place and type. What finds none stays, and is refused by `from_document`.

    Raises Refused, naming the secret to be given again, where the channel's address is another.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("channels"), list):
        return document
    old = before.get("channels") if isinstance(before, Mapping) else None
    channels = []
    for index, channel in enumerate(document["channels"]):
        other = old[index] if isinstance(old, list) and index < len(old) else None
        alike = (
            isinstance(channel, Mapping)
            and isinstance(other, Mapping)
            and channel.get("type") == other.get("type")
        )
        if alike and other is not None:
            place = f"channels[{index}].config"
            config = _unmasked_config(channel.get("config"), other.get("config"), place)
            channel = {**channel, "config": config}  # noqa: PLW2901 - the one that is kept
        channels.append(channel)
    return {**document, "channels": channels}


def masked_settings(value: Any, *, secret: bool = False) -> Any:
    """*value*, settings of a channel or a part of them, with `<secret>` for each of their secrets;
    *secret*: for all of it."""
    if isinstance(value, Mapping):
        return {
            key: masked_settings(one, secret=secret or _is_secret(str(key)))
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [masked_settings(one, secret=secret) for one in value]
    return MASK if secret and _is_text(value) else value


def _unmasked_config(config: Any, before: Any, place: str) -> Any:
    """*config* with the secrets of *before*. Raises Refused where it has some, and goes elsewhere."""
    whole = _unmasked(config, before)
    where, was = _address(whole), _address(before)
    moved = [key for key in where.keys() | was.keys() if where.get(key) != was.get(key)]
    if moved and (kept := _kept(config, before, place)):
        raise _refused(kept[0], f"give the secret again, for {min(moved)} is another")
    return whole


def _address(config: Any) -> dict[str, Any]:
    """The parts of *config* that say where its secrets go."""
    if not isinstance(config, Mapping):
        return {}
    found = {key: config[key] for key in _ADDRESSES if key in config}
    http = config.get("http_config")
    if isinstance(http, Mapping):
        rest = {key: one for key, one in http.items() if key not in _CREDENTIALS}
        found |= {f"http_config.{key}": one for key, one in rest.items()}
    return found


def _kept(value: Any, before: Any, place: str) -> list[str]:
    """The places of *value* that have the mask of a secret of *before*."""
    if isinstance(value, Mapping) and isinstance(before, Mapping):
        inner = [(one, before.get(key), f"{place}.{key}") for key, one in value.items()]
    elif isinstance(value, list) and isinstance(before, list) and len(value) == len(before):
        pairs = enumerate(zip(value, before, strict=True))
        inner = [(one, old, f"{place}[{index}]") for index, (one, old) in pairs]
    else:
        return [place] if value == MASK and _is_text(before) else []
    return [found for one, old, where in inner for found in _kept(one, old, where)]


def _unmasked(value: Any, before: Any) -> Any:
    if isinstance(value, Mapping) and isinstance(before, Mapping):
        return {key: _unmasked(one, before.get(key)) for key, one in value.items()}
    if isinstance(value, list) and isinstance(before, list) and len(value) == len(before):
        return [_unmasked(one, old) for one, old in zip(value, before, strict=True)]
    return before if value == MASK and _is_text(before) else value


def _is_secret(key: str) -> bool:
    return any(word in key.lower() for word in _SECRET_WORDS) and not key.endswith("_file")


def _is_text(value: Any) -> bool:
    """Whether *value* is text that is not empty: a password of digits is a number by its spelling."""
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def _masks(value: Any, place: str, *, secret: bool = False) -> list[str]:
    """The places of *value* where a secret is still its mask."""
    if isinstance(value, Mapping):
        return [
            found
            for key, one in value.items()
            for found in _masks(one, f"{place}.{key}", secret=secret or _is_secret(str(key)))
        ]
    if isinstance(value, list):
        found_in = [_masks(one, f"{place}[{i}]", secret=secret) for i, one in enumerate(value)]
        return [found for inner in found_in for found in inner]
    return [place] if secret and value == MASK else []


def _integrations(
    name: str, channels: Any, setup: Setup, numbers: Sequence[int]
) -> tuple[Integration, ...]:
    if not isinstance(channels, list) or not channels:
        raise _refused("channels", "required: a list of {type, config}")
    if len(channels) > CHANNELS_MAX:
        raise _refused("channels", f"{len(channels)} channels, limit {CHANNELS_MAX}")
    found = []
    for index, channel in enumerate(channels):
        field = f"channels[{index}]"
        given = _read(lambda c=channel, f=field: fields.mapping(c, f, ("type", "config")))
        kind = TYPES.get(str(given.get("type")))
        if kind is None:
            known = ", ".join(sorted(TYPES))
            raise _refused(f"{field}.type", f"expected one of {known}")
        place = f"{field}.config"
        if masks := _masks(given.get("config"), place):
            raise _refused(masks[0], f"give the secret itself, {MASK} stands for none here")
        config = _mapped(kind, given.get("config"), place)
        lent = _lent(config, setup.defaults)
        settings, send_resolved = _read(
            lambda k=kind, c=config, d=lent, p=place: receivers.decode(k, c, d, p),
            {f"{place}.{name}": f"{place}.{key}" for name, key in _spelt(channel).items()},
        )
        if "app_token" in settings and not settings.get("channel"):
            raise _refused(f"{place}.channel", "required beside a token, which knows none")
        found.append(
            Integration(
                id=f"{name}/{kind}[{numbers[index]}]",
                receiver=name,
                kind=kind,
                settings=settings,
                send_resolved=send_resolved,
                guarded=True,
            )
        )
    return tuple(found)


def _mapped(kind: str, config: Any, place: str) -> dict[str, Any]:
    """*config* under the names of the settings, with what the API has by default."""
    given = dict(_read(lambda: fields.mapping(config, place)))
    _check_operators_own(given, place)
    if kind == "email":
        _map_mail(given, place)
    for key, name in _RENAMED.get(kind, {}).items():
        if key in given:
            if name in given:
                raise _refused(f"{place}.{key}", f"given twice, as {name} too")
            given[name] = given.pop(key)
    if kind == "webhook":
        given.setdefault("format", "heliograph")
    given.setdefault("send_resolved", True)
    return given


def _check_operators_own(value: Any, place: str) -> None:
    """A file of this machine is the operator's to name, and so is a way around the URL's guard."""
    if isinstance(value, list):
        for index, one in enumerate(value):
            _check_operators_own(one, f"{place}[{index}]")
    if not isinstance(value, Mapping):
        return
    for key, one in value.items():
        if str(key).endswith("_file") or key in _OPERATORS_OWN:
            raise _refused(f"{place}.{key}", "given in the configuration file alone")
        _check_operators_own(one, f"{place}.{key}")


def _lent(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What of the file's `global:` a channel of the API may use: credentials of the operator's go
    only where the operator said, so they stay here when the channel names a server of its own."""
    # Neither do its headers and its proxy: the guard knows where a channel of the API may go.
    lent = {key: value for key, value in defaults.items() if key != "http_config"}
    if "smarthost" in config:
        kept = ("smtp_from", "smtp_hello", "smtp_require_tls")
        lent = {k: v for k, v in lent.items() if not k.startswith("smtp_") or k in kept}
    if "app_url" in config:
        lent = {k: v for k, v in lent.items() if not k.startswith("slack_")}
    return lent


def _map_mail(given: dict[str, Any], place: str) -> None:
    host, port = given.pop("smtp_host", None), given.pop("smtp_port", None)
    if host is not None:
        if not isinstance(host, str) or not _HOST.match(host):
            raise _refused(f"{place}.smtp_host", "expected the name of a host")
        if port is not None and not (type(port) is int and 0 < port < 65536):
            raise _refused(f"{place}.smtp_port", "expected a number of 1 to 65535")
        given["smarthost"] = (
            f"[{host}]:{port or 587}" if ":" in host else f"{host}:{port or 587}"
        )
    elif port is not None:
        raise _refused(f"{place}.smtp_host", "required beside smtp_port")
    tls = given.pop("tls", None)
    if tls is not None:
        given["require_tls"] = _read(lambda: fields.flag(tls, f"{place}.tls"))
    if isinstance(given.get("to"), list):
        given["to"] = ", ".join(_read(lambda: fields.texts(given["to"], f"{place}.to")))


def _span_ns(given: Mapping[str, Any], key: str, default_ns: int, *, least_ns: int = 1) -> int:
    if given.get(key) is None:
        return default_ns
    span_ns = _read(lambda: fields.span_ns(given[key], key))
    if span_ns < least_ns:
        raise _refused(key, "cannot be zero")
    return int(span_ns)


def _read(reading: Any, spelt: Mapping[str, str] | None = None) -> Any:
    """What *reading* gives; what it finds wrong in the configuration is the sender's fault here.

    *spelt*: places as the sender wrote them, where they are read under others.
    """
    try:
        return reading()
    except PlaceError as error:
        field = (spelt or {}).get(error.place, error.place)
        raise _refused(field, error.why) from error


def _refused(field: str, detail: str) -> Refused:
    return Refused(f"{field}: {detail}", field=field)
