"""Secrets of the settings: written there, or in a file that `<key>_file` names.

    resolved({"url_file": "/run/secrets/hook"}) == {"url_file": …, "url": "https://…"}

A file is read at each attempt, so that one that is replaced takes effect at once.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heliograph.core.errors import ConfigError

FILE_BYTES_MAX = 64 * 1024
# TLS reads its files itself; in the others, keys are the operator's own words.
_NOT_SECRETS = ("tls_config", "headers", "payload")
_SUFFIX = "_file"


def resolved(settings: Mapping[str, Any]) -> dict[str, Any]:
    """*settings* with the texts of the files that they name, under the keys they stand for.

    Raises ConfigError, which names the key and not what is in it.
    """
    out = dict(settings)
    for key, value in settings.items():
        if key in _NOT_SECRETS:
            continue
        if key == "http_headers" and isinstance(value, Mapping):
            out[key] = {name: _header(given) for name, given in value.items()}
        elif isinstance(value, Mapping):
            out[key] = resolved(value)
        elif key.endswith(_SUFFIX) and value and not settings.get(key.removesuffix(_SUFFIX)):
            out[key.removesuffix(_SUFFIX)] = _read(key, str(value))
    return out


def files_named(settings: Mapping[str, Any]) -> list[str]:
    """Keys of *settings*, however deep, that make us read a file of this machine."""
    found: list[str] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found += [f"{key}.{inner}" for inner in files_named(value)]
        elif (key.endswith(_SUFFIX) or key == "files") and value:
            found.append(key)
    return found


def _header(given: Any) -> Any:
    if not isinstance(given, Mapping) or not given.get("files"):
        return given
    read = [_read("http_headers.files", str(path)) for path in given["files"]]
    return {**given, "secrets": [*(given.get("secrets") or []), *read]}


def _read(key: str, path: str) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.read(FILE_BYTES_MAX).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}: {type(error).__name__}") from error
