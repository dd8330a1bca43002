"""The TLS of Alertmanager's `tls_config`; its files are read again when they were replaced.

    context = contexts.of({"ca_file": "/etc/ca.pem", "cert_file": …, "key_file": …})

Certificates are rotated under a process that runs. While one is being replaced its files are gone, or
do not fit each other, for a moment: what was read before serves until they can be read.
"""

import logging
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from heliograph.core.errors import ConfigError

log = logging.getLogger(__name__)

# Settings whose contexts are kept; more than these and the oldest goes.
CONTEXTS_MAX = 64

# What tells a file from the one that it was.
_Seen: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class _Kept(NamedTuple):
    seen: _Seen
    context: ssl.SSLContext


class Contexts:
    """Contexts by their settings. Thread-safe."""

    def __init__(self) -> None:
        self._kept: dict[tuple[tuple[str, str], ...], _Kept] = {}
        self._lock = threading.Lock()

    def of(self, config: Mapping[str, Any]) -> ssl.SSLContext:
        """The context of *config*: the same one until a file of it changes. Raises ConfigError."""
        key = tuple(sorted((str(name), str(value)) for name, value in config.items()))
        with self._lock:
            # Looked at before they are read: one replaced in between is read once more.
            seen = tuple(_seen(path) for path in _files(config))
            kept = self._kept.get(key)
            if kept is not None and kept.seen == seen:
                return kept.context
            try:
                context = _context(config)
            except ConfigError as error:
                if kept is None:
                    raise
                # Asked again at the next use: what kept us from reading leaves no mark on a file.
                log.warning("tls files cannot be read", extra={"why": str(error)})
                return kept.context
            if kept is None and len(self._kept) >= CONTEXTS_MAX:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = _Kept(seen, context)
            return context


def _files(config: Mapping[str, Any]) -> tuple[Any, ...]:
    # Without one of its own it trusts whom the machine does.
    trusted = config.get("ca_file") or ssl.get_default_verify_paths().cafile
    return trusted, config.get("cert_file"), config.get("key_file")


def _seen(path: Any) -> tuple[int, int, int] | None:
    try:
        found = Path(str(path)).stat() if path else None
    except (OSError, ValueError):
        return None
    return None if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)


def _context(config: Mapping[str, Any]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.get("ca_file") or None)
        if config.get("ca"):
            context.load_verify_locations(cadata=str(config["ca"]))
        if config.get("cert_file"):
            context.load_cert_chain(str(config["cert_file"]), config.get("key_file") or None)
        version = str(config.get("min_version") or "").replace("TLS1", "TLSv1_")
        if version in {"TLSv1_2", "TLSv1_3"}:
            context.minimum_version = ssl.TLSVersion[version]
    except (OSError, ValueError) as error:
        raise ConfigError(f"tls_config: {error}") from error
    if config.get("insecure_skip_verify") is True:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
