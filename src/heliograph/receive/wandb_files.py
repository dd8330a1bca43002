"""Files that a wandb client uploads, as far as they are read; all others are only counted.

wandb-metadata.json    {"host": "vm", "startedAt": "2026-11-22T10:37:20.474026Z", "gpu": …}
wandb-summary.json     {"loss": 2.3, "_step": 19}
config.yaml            lr: {value: 0.1}
requirements.txt       numpy==2.4.6, a line a package
output.log             the console, without times
"""

from typing import Any, NamedTuple

from heliograph.core import document as yaml_document
from heliograph.core import instant
from heliograph.core.errors import ConfigError, Refused
from heliograph.receive import wandb_stream

METADATA, SUMMARY = "wandb-metadata.json", "wandb-summary.json"
CONFIG, REQUIREMENTS = "config.yaml", "requirements.txt"
READ = frozenset({METADATA, SUMMARY, CONFIG, REQUIREMENTS})
# What is read of one file; a larger one is only counted.
FILE_BYTES_MAX = 4 * 1024 * 1024
# YAML costs a hundred times what JSON does.
YAML_BYTES_MAX = 256 * 1024
PACKAGES_MAX = 2000


class Uploaded(NamedTuple):
    """What a file says: a part of the run's document, and when the run began."""

    said: dict[str, Any]
    started_ns: int | None = None


NOTHING = Uploaded({})


def read(name: str, raw: bytes) -> Uploaded:
    """What the file *name*, of READ, says. Raises Refused for one that is not what it is called."""
    if len(raw) > (YAML_BYTES_MAX if name == CONFIG else FILE_BYTES_MAX):
        return NOTHING
    text = raw.decode("utf-8", "replace")
    if name == REQUIREMENTS:
        lines = [line.strip()[:200] for line in text.splitlines()]
        return Uploaded({"packages": [line for line in lines if line][:PACKAGES_MAX]})
    if name == CONFIG:
        return Uploaded({"config": _config(text)})
    try:
        document = wandb_stream.loads(text)
    except ValueError as error:
        raise Refused(f"{name}: {error}", field="body") from error
    if not isinstance(document, dict):
        raise Refused(f"{name}: no object", field="body")
    found = wandb_stream.bounded(document)
    if name == SUMMARY:
        return Uploaded({"summary": found})
    host = found.get("host")
    said = {"metadata": found, **({"host": host} if isinstance(host, str) else {})}
    return Uploaded(said, _started_ns(found.get("startedAt")))


def _config(text: str) -> dict[str, Any]:
    try:
        document = yaml_document.parse(text, source=CONFIG)
    except ConfigError as error:
        raise Refused(str(error)[:500], field="body") from error
    if not isinstance(document, dict):
        raise Refused(f"{CONFIG}: no mapping", field="body")
    values = {
        str(name): one["value"] if isinstance(one, dict) and "value" in one else one
        for name, one in document.items()
    }
    found = wandb_stream.bounded(values)
    assert isinstance(found, dict)
    return found


def _started_ns(text: Any) -> int | None:
    try:
        return instant.parse_any(text) if isinstance(text, str) else None
    except ValueError:
        return None
