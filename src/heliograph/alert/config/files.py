"""Files that a configuration names are looked for beside it, as Alertmanager does.

    beside({"templates": ["t/*.tmpl"], "global": {"slack_api_url_file": "url"}}, Path("/etc/am"))
    → {"templates": ["/etc/am/t/*.tmpl"], "global": {"slack_api_url_file": "/etc/am/url"}}

An absolute path stays what it is.
"""

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SUFFIX = "_file"
# What of a channel's settings holds more settings; elsewhere keys are the operator's own words.
_INNER = (
    "http_config", "tls_config", "smtp_tls_config", "basic_auth", "authorization", "oauth2",
)  # fmt: skip


def beside(document: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """*document* (`alerting:`, not yet checked) with its relative files in *folder*. What is not of
    the expected kind stays for the check to refuse."""
    found = dict(document)
    if "global" in found:
        found["global"] = _settings(found["global"], folder)
    if isinstance(found.get("receivers"), list):
        found["receivers"] = [_receiver(one, folder) for one in found["receivers"]]
    if isinstance(found.get("templates"), list):
        # The folder is one, whatever its name may mean in a pattern.
        pattern = Path(glob.escape(str(folder)))
        found["templates"] = [_joined(one, pattern) for one in found["templates"]]
    return found


def _receiver(document: Any, folder: Path) -> Any:
    if not isinstance(document, Mapping):
        return document
    return {
        key: [_settings(one, folder) for one in entries]
        if isinstance(entries, list)
        else entries
        for key, entries in document.items()
    }


def _settings(value: Any, folder: Path) -> Any:
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Any] = {}
    for key, one in value.items():
        if key in _INNER:
            found[key] = _settings(one, folder)
        elif key == "http_headers" and isinstance(one, Mapping):
            found[key] = {name: _header(given, folder) for name, given in one.items()}
        elif str(key).endswith(_SUFFIX):
            found[key] = _joined(one, folder)
        else:
            found[key] = one
    return found


def _header(given: Any, folder: Path) -> Any:
    if not isinstance(given, Mapping) or not isinstance(given.get("files"), list):
        return given
    return {**given, "files": [_joined(one, folder) for one in given["files"]]}


def _joined(value: Any, folder: Path) -> Any:
    return str(folder / value) if isinstance(value, str) and value else value
