"""How a channel speaks HTTP: `http_config:` and the headers of a webhook, checked.

    {basic_auth: {username: me, password: …}, http_headers: {X-A: {values: [b]}}}

What cannot stand together is refused, as Alertmanager refuses it: several ways to say who asks, a
secret and a file of it. Source: prometheus/common, HTTP client configuration.
"""

import re
from collections.abc import Mapping
from typing import Any

from heliograph.alert.config import fields
from heliograph.alert.config.fields import Read, at_most_one, fail

_HTTP_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}\Z")
_TLS_VERSIONS = ("TLS10", "TLS11", "TLS12", "TLS13")


def _http_header(name: str, value: Any, place: str) -> str:
    """The value of an HTTP header, which together with *name* is one line."""
    if not _HTTP_NAME.match(name):
        fail(place, "is no name of a header", name)
    text = fields.text(value, f"{place}.{name}")
    if any((ord(char) < 0x20 and char != "\t") or char == "\x7f" for char in text):
        fail(f"{place}.{name}", "a header has no line ends and no control characters")
    return text


def headers(value: Any, place: str) -> dict[str, str]:
    """`{name: value}`, each a line of its own."""
    given = fields.mapping(value, place)
    return {name: _http_header(name, one, place) for name, one in given.items()}


def _http_headers(value: Any, place: str) -> dict[str, Any]:
    """Alertmanager's `{name: {values, secrets, files}}`; a text alone is a value."""
    found: dict[str, Any] = {}
    for name, stated in fields.mapping(value, place).items():
        here = f"{place}.{name}"
        if not isinstance(stated, Mapping):
            found[name] = _http_header(name, stated, place)
            continue
        parts = fields.mapping(stated, here, ("values", "secrets", "files"))
        found[name] = {key: fields.texts(one, f"{here}.{key}") for key, one in parts.items()}
        for text in (*found[name].get("values", ()), *found[name].get("secrets", ())):
            _http_header(name, text, place)
    return found


def _anything(value: Any, _: str) -> Any:
    return value


def _tls_version(value: Any, place: str) -> str:
    text = fields.text(value, place)
    if text and text not in _TLS_VERSIONS:
        fail(place, f"expected one of {', '.join(_TLS_VERSIONS)}")
    return text


_TLS = {
    "ca": fields.text, "ca_file": fields.text, "cert": fields.text, "cert_file": fields.text,
    "key": fields.text, "key_file": fields.text, "server_name": fields.text,
    "insecure_skip_verify": fields.flag, "min_version": _tls_version, "max_version": _tls_version,
    "ca_ref": fields.text, "cert_ref": fields.text, "key_ref": fields.text,
}  # fmt: skip
_BASIC_AUTH = {
    "username": fields.text, "username_file": fields.text, "password": fields.text,
    "password_file": fields.text, "username_ref": fields.text, "password_ref": fields.text,
}  # fmt: skip
_AUTHORIZATION = {
    "type": fields.text, "credentials": fields.text, "credentials_file": fields.text,
    "credentials_ref": fields.text,
}  # fmt: skip


def _nested(read: Mapping[str, Read]) -> Read:
    def nested(value: Any, place: str) -> dict[str, Any]:
        given = fields.mapping(value, place, read)
        return {
            key: read[key](one, f"{place}.{key}")
            for key, one in given.items()
            if one is not None
        }

    return nested


tls_config = _nested(_TLS)


def _basic_auth(value: Any, place: str) -> dict[str, Any]:
    given: dict[str, Any] = _nested(_BASIC_AUTH)(value, place)
    at_most_one(given, place, "username", "username_file")
    at_most_one(given, place, "password", "password_file")
    return given


def _authorization(value: Any, place: str) -> dict[str, Any]:
    given: dict[str, Any] = _nested(_AUTHORIZATION)(value, place)
    at_most_one(given, place, "credentials", "credentials_file")
    if str(given.get("type", "")).strip().lower() == "basic":
        fail(f"{place}.type", "write basic_auth instead")
    return given


_HTTP = {
    "basic_auth": _basic_auth,
    "authorization": _authorization,
    "oauth2": _anything,
    "bearer_token": fields.text,
    "bearer_token_file": fields.text,
    "proxy_url": fields.text,
    "no_proxy": fields.text,
    "proxy_from_environment": fields.flag,
    "proxy_connect_header": _anything,
    "tls_config": tls_config,
    "follow_redirects": fields.flag,
    "enable_http2": fields.flag,
    "http_headers": _http_headers,
}


def http_config(value: Any, place: str) -> dict[str, Any]:
    """The settings of one client. Raises ConfigError that names the place."""
    given: dict[str, Any] = _nested(_HTTP)(value, place)
    who = ("basic_auth", "oauth2", "authorization", "bearer_token", "bearer_token_file")
    at_most_one(given, place, *who)
    return given
