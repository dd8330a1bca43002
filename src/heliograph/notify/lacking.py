"""Settings that Alertmanager has and we cannot honour: said, and never ignored, for a channel that
sends without its credentials or around its proxy would be worse than none."""

from collections.abc import Mapping
from typing import Any

from heliograph.core.errors import ConfigError
from heliograph.notify.secret import files_named

_HTTP = ("oauth2", "proxy_from_environment", "no_proxy", "proxy_connect_header")
_TLS = ("cert", "key", "max_version")
_REFERENCE = "_ref"
# Keys in there are the operator's own words.
_FREE = ("headers", "http_headers", "payload")


def usable(settings: Mapping[str, Any], *, guarded: bool) -> None:
    """Raises ConfigError, naming the key, for what we lack; and where *guarded* (the settings came
    over the API) for what is the operator's alone: files of this machine, and a proxy."""
    http = settings.get("http_config")
    http = http if isinstance(http, Mapping) else {}
    for key in _HTTP:
        if http.get(key):
            raise ConfigError(f"http_config.{key}: not supported")
    _check_tls(settings.get("tls_config"), "tls_config")
    _check_tls(http.get("tls_config"), "http_config.tls_config")
    for path in _deep(settings):
        if path.endswith(_REFERENCE):
            instead = path.rpartition(".")[2].removesuffix(_REFERENCE)
            raise ConfigError(
                f"{path}: secret references are not supported, write {instead}_file"
            )
    if not guarded:
        return
    if files := files_named(settings):
        raise ConfigError(f"{files[0]}: files are named in the configuration alone")
    if http.get("proxy_url"):
        raise ConfigError("http_config.proxy_url: a channel of the API takes no proxy")


def _check_tls(tls: Any, place: str) -> None:
    for key in _TLS if isinstance(tls, Mapping) else ():
        if tls.get(key):
            instead = "" if key == "max_version" else f", write {key}_file"
            raise ConfigError(f"{place}.{key}: not supported{instead}")


def _deep(settings: Mapping[str, Any]) -> list[str]:
    """The keys of *settings* that are set, however deep, with the path to each."""
    found: list[str] = []
    for key, value in settings.items():
        if key in _FREE:
            continue
        if isinstance(value, Mapping):
            found += [f"{key}.{inner}" for inner in _deep(value)]
        elif value:
            found.append(str(key))
    return found
