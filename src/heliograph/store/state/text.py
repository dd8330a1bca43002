"""Any Python string as text that both engines keep, and back, exactly.

PostgreSQL refuses NUL, and no driver encodes a lone surrogate; log lines carry both. Such a
character is written as U+E000 and its code in four hexadecimal digits, U+E000 itself likewise:

    "a\\x00b"  ⇄  "a\\ue0000000b"

Text that is part of an index is `key` text: above `KEY_BYTES_MAX` bytes (PostgreSQL's index rows
end at 2704) it is its first `KEY_HEAD_CHARS` characters, U+E001 and the SHA-256 of the whole. The
same long key always folds to the same text, so it is still found; reading it back gives the fold.
"""

import hashlib
import re

KEY_BYTES_MAX = 512
# Worst case: every character escaped (7 bytes) still leaves room for mark and digest.
KEY_HEAD_CHARS = 60

_ESCAPE = "\ue000"
_FOLD = "\ue001"
_UNSTORABLE = re.compile("[\x00\ue000\ud800-\udfff]")
_ESCAPED = re.compile(_ESCAPE + "([0-9a-f]{4})")


def storable(text: str) -> str:
    """*text* with what an engine refuses escaped; most text comes back unchanged."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub(lambda found: f"{_ESCAPE}{ord(found[0]):04x}", text)


def original(stored: str) -> str:
    """What `storable` was given."""
    if _ESCAPE not in stored:
        return stored
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), stored)


def key(text: str) -> str:
    """`storable` text of at most `KEY_BYTES_MAX` bytes in UTF-8; equal texts give equal keys."""
    stored = storable(text)
    if len(stored) * 4 <= KEY_BYTES_MAX:
        return stored
    encoded = stored.encode()
    if len(encoded) <= KEY_BYTES_MAX:
        return stored
    head = storable(text[:KEY_HEAD_CHARS])
    return f"{head}{_FOLD}{hashlib.sha256(encoded).hexdigest()}"
