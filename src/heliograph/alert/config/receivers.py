"""Channel settings: what keys a kind has, checked, and completed from `global:`.

    webhook        url | url_file, max_alerts, timeout, format (alertmanager | heliograph), headers
    email          to, from, smarthost (host:port), hello, auth_*, require_tls, headers, html, text, …
    slack          api_url[_file] | app_token[_file] + app_url, channel, title, text, update_message, …
    dingtalk       webhook_url[_file], secret[_file], at {mobiles, user_ids, all}
    wecom          webhook_url[_file]
    alertmanager   url (one, or all peers with commas between)

Keys are alertmanager.yml's own; those of the API are mapped onto them. A key that was not given and
has no default is absent. `<key>_file` names a file that the channel reads when it sends.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from heliograph.alert.config import fields, http_client
from heliograph.alert.config.fields import Read, at_most_one, fail

SLACK_APP_URL = "https://slack.com/api/chat.postMessage"
FORMATS = ("alertmanager", "heliograph")

# The provider's own names, and ours.
_MENTIONED = ("mobiles", "atMobiles", "user_ids", "atUserIds")


class Keys(NamedTuple):
    """Of one kind: its keys with how each is read, and whether resolved alerts are told."""

    read: Mapping[str, Read]
    send_resolved: bool


def _url(value: Any, place: str) -> str:
    text = fields.text(value, place)
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        good = False
    if not good:
        # The text may hold a token, so it is not repeated.
        fail(place, "expected a URL, http:// or https://")
    return text


def _urls(value: Any, place: str) -> str:
    written = value if isinstance(value, list) else fields.text(value, place).split(",")
    urls = [_url(str(one).strip(), place) for one in written]
    if not urls:
        fail(place, "expected a URL")
    return ",".join(urls)


def _any(value: Any, _: str) -> Any:
    return value


def _span(value: Any, place: str) -> str:
    fields.span_ns(value, place)
    return fields.text(value, place)


def _smarthost(value: Any, place: str) -> str:
    text = fields.text(value, place)
    host, colon, port = text.rpartition(":")
    if not colon or not port or (":" in host and not host.startswith("[")):
        fail(place, f"{text!r} is not an address with a port (host:port)")
    return text


def _headers(value: Any, place: str) -> dict[str, str]:
    given = fields.mapping(value, place)
    named: dict[str, str] = {}
    for name, content in given.items():
        title = name.title()
        if title in named:
            fail(f"{place}.{name}", f"header {title} occurs twice")
        named[title] = fields.text(content, f"{place}.{name}")
    return named


def _slack_fields(value: Any, place: str) -> list[Any]:
    return _with_parts(value, place, ("title", "value"))


def _slack_actions(value: Any, place: str) -> list[Any]:
    found = _with_parts(value, place, ("type", "text"))
    for index, one in enumerate(found):
        if not (one.get("url") or one.get("name")):
            fail(f"{place}[{index}]", "url or name is required", "url")
    return found


def _with_parts(value: Any, place: str, needed: tuple[str, ...]) -> list[Any]:
    """A list of mappings, each with the parts *needed*."""
    found = fields.items(value, place)
    for index, one in enumerate(found):
        given = fields.mapping(one, f"{place}[{index}]")
        for key in needed:
            if not fields.text(given.get(key), f"{place}[{index}].{key}"):
                fail(f"{place}[{index}].{key}", "required")
    return found


def _mentioned(value: Any, place: str) -> Any:
    """Who is mentioned: `{mobiles, user_ids, all}`, telephone numbers alone, or "all"."""
    if value in {"all", ""} if isinstance(value, str) else value is None:
        return value
    if isinstance(value, list):
        return fields.texts(value, place)
    known = (*_MENTIONED, "all", "isAtAll")
    return {
        key: (fields.texts if key in _MENTIONED else fields.flag)(one, f"{place}.{key}")
        for key, one in fields.mapping(value, place, known).items()
        if one is not None
    }


def _format(value: Any, place: str) -> str:
    text = fields.text(value, place)
    if text not in FORMATS:
        fail(place, f"expected one of {', '.join(FORMATS)}")
    return text


_EMAIL = {
    "to": fields.text, "from": fields.text, "smarthost": _smarthost, "hello": fields.text,
    "auth_username": fields.text, "auth_password": fields.text,
    "auth_password_file": fields.text, "auth_secret": fields.text,
    "auth_secret_file": fields.text, "auth_identity": fields.text, "require_tls": fields.flag,
    "force_implicit_tls": fields.flag, "tls_config": http_client.tls_config, "headers": _headers,
    "html": fields.text, "text": fields.text, "threading": _any,
}  # fmt: skip
_SLACK = {
    "api_url": _url, "api_url_file": fields.text, "app_token": fields.text,
    "app_token_file": fields.text, "app_url": _url, "http_config": http_client.http_config,
    "channel": fields.text, "username": fields.text, "icon_emoji": fields.text,
    "icon_url": fields.text, "link_names": fields.flag, "mrkdwn_in": fields.texts,
    "color": fields.text, "fallback": fields.text, "fields": _slack_fields,
    "pretext": fields.text, "short_fields": fields.flag, "text": fields.text,
    "message_text": fields.text, "title": fields.text, "title_link": fields.text,
    "footer": fields.text, "image_url": fields.text, "thumb_url": fields.text,
    "callback_id": fields.text, "actions": _slack_actions, "update_message": fields.flag,
    "timeout": _span,
}  # fmt: skip
_ROBOT = {
    "webhook_url": _url, "webhook_url_file": fields.text, "http_config": http_client.http_config,
    "title": fields.text, "text": fields.text, "timeout": _span,
}  # fmt: skip

KINDS: dict[str, Keys] = {
    "webhook": Keys(
        {
            "url": _url, "url_file": fields.text, "http_config": http_client.http_config,
            "max_alerts": fields.number, "timeout": _span, "format": _format,
            "headers": http_client.headers, "payload": _any,
        },
        send_resolved=True,
    ),
    "email": Keys(_EMAIL, send_resolved=False),
    "slack": Keys(_SLACK, send_resolved=False),
    "dingtalk": Keys(
        _ROBOT | {"secret": fields.text, "secret_file": fields.text, "at": _mentioned},
        send_resolved=True,
    ),
    "wecom": Keys(_ROBOT, send_resolved=True),
    "alertmanager": Keys(
        {"url": _urls, "http_config": http_client.http_config, "timeout": _span}, send_resolved=True
    ),
}  # fmt: skip
# Alertmanager's, which we lack: a file that has them is refused by their name.
LACKING = (
    "discord", "incidentio", "jira", "mattermost", "msteams", "msteamsv2", "opsgenie",
    "pagerduty", "pushover", "rocketchat", "sns", "telegram", "victorops", "webex", "wechat",
)  # fmt: skip

_EMAIL_DEFAULTS = (
    "from", "smarthost", "hello", "auth_username", "auth_identity", "require_tls", "tls_config",
    "force_implicit_tls",
)  # fmt: skip


def decode(
    kind: str, document: Any, defaults: Mapping[str, Any], place: str
) -> tuple[dict[str, Any], bool]:
    """(settings, send_resolved) of one entry of `<kind>_configs`.

    *defaults* is `global:` as decoded. Raises ConfigError that names the place, without secrets.
    """
    keys = KINDS[kind]
    given = dict(fields.mapping(document, place, {*keys.read, "send_resolved"}))
    send_resolved = given.pop("send_resolved", None)
    settings = {
        key: keys.read[key](value, f"{place}.{key}")
        for key, value in given.items()
        if value is not None and not (value == "" and _empty_is_absent(key))
    }
    _COMPLETE[kind](settings, defaults, place)
    if "http_config" not in settings and "http_config" in defaults and kind != "email":
        settings["http_config"] = defaults["http_config"]
    told = keys.send_resolved if send_resolved is None else send_resolved
    return settings, fields.flag(told, f"{place}.send_resolved")


def _one_of(settings: Mapping[str, Any], place: str, *keys: str) -> None:
    at_most_one(settings, place, *keys)
    if not any(settings.get(key) for key in keys):
        fail(place, f"{' or '.join(keys)} is required", keys[0])


def _webhook(settings: dict[str, Any], _: Mapping[str, Any], place: str) -> None:
    _one_of(settings, place, "url", "url_file")
    settings.setdefault("format", "alertmanager")
    settings.setdefault("max_alerts", 0)


def _email(settings: dict[str, Any], defaults: Mapping[str, Any], place: str) -> None:
    if not settings.get("to"):
        fail(f"{place}.to", "required")
    for secret in ("auth_password", "auth_secret"):
        at_most_one(settings, place, secret, f"{secret}_file")
        if secret not in settings and f"{secret}_file" not in settings:
            for key in (secret, f"{secret}_file"):
                _fill(settings, key, defaults.get(f"smtp_{key}"))
    for key in _EMAIL_DEFAULTS:
        _fill(settings, key, defaults.get(f"smtp_{key}"))
    for key in ("smarthost", "from"):
        if not settings.get(key):
            fail(f"{place}.{key}", f"required, here or as global.smtp_{key}")


def _slack(settings: dict[str, Any], defaults: Mapping[str, Any], place: str) -> None:
    at_most_one(settings, place, "api_url", "api_url_file")
    at_most_one(settings, place, "app_token", "app_token_file")
    ways = ("api_url", "api_url_file", "app_token", "app_token_file")
    at_most_one(settings, place, *ways)
    if not any(key in settings for key in ways):
        own_credentials = "authorization" in settings.get("http_config", {})
        urls, tokens = ways[:2], ways[2:]
        # A token in the headers goes with the global URL; else the global token goes first.
        for key in (*urls, *tokens) if own_credentials else (*tokens, *urls):
            if defaults.get(f"slack_{key}"):
                settings[key] = defaults[f"slack_{key}"]
                break
        else:
            words = "api_url or app_token is required, here or as global.slack_api_url"
            fail(place, words, "api_url")
    if "app_token" in settings or "app_token_file" in settings:
        _fill(settings, "app_url", defaults.get("slack_app_url") or SLACK_APP_URL)
    by_webhook = settings.get("api_url", SLACK_APP_URL) != SLACK_APP_URL
    if settings.get("update_message") and by_webhook:
        fail(f"{place}.update_message", "needs app_token: a webhook's message stays as it is")


def _robot(settings: dict[str, Any], _: Mapping[str, Any], place: str) -> None:
    _one_of(settings, place, "webhook_url", "webhook_url_file")
    at_most_one(settings, place, "secret", "secret_file")


def _alertmanager(settings: dict[str, Any], _: Mapping[str, Any], place: str) -> None:
    _one_of(settings, place, "url")


_COMPLETE: Mapping[str, Callable[[dict[str, Any], Mapping[str, Any], str], None]] = {
    "webhook": _webhook,
    "email": _email,
    "slack": _slack,
    "dingtalk": _robot,
    "wecom": _robot,
    "alertmanager": _alertmanager,
}


def _empty_is_absent(key: str) -> bool:
    """Whether an empty text was as good as not given; an empty template is an empty part."""
    return key in {"to", "from", "smarthost", "hello", "secret", "app_token"} or (
        key.startswith("auth_") or key.endswith("_file")
    )


def _fill(settings: dict[str, Any], key: str, value: Any) -> None:
    if key not in settings and value is not None and value != "":
        settings[key] = value
