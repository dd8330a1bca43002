"""Taking secrets out of whatever is shown: answers, errors, the ledger.

    scrub("cannot POST https://h/robot?access_token=abcd", secrets_of(settings))
    → "cannot POST <secret>"

What is secret is known by its key in the settings; a URL is a secret as a whole, and so are its
password, its query values and the long parts of its path, since robots put their tokens there.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

SHOWN = "<secret>"
ANSWER_CHARS_MAX = 500
# A part of a path that is shorter is a word, not a token.
_PATH_CHARS_MIN = 8
_QUERY_CHARS_MIN = 4
_KEYS = re.compile(
    r"(?:.*_)?(?:password|secret|token|credentials|api_key|key|auth_identity|bearer_token)\Z"
)
_URL_KEYS = re.compile(r"(?:.*_)?urls?\Z")
_SECRET_MAPS = {"headers", "http_headers"}
# Of what may be a header and is none of a secret: replacing it would make answers unreadable.
_PLAIN_HEADERS = {"content-type", "accept", "user-agent", "subject", "to", "from", "reply-to"}
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def secrets_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Every text that must not be shown, the longest first."""
    found: set[str] = set()
    _collect(settings, found)
    return tuple(sorted((one for one in found if one), key=len, reverse=True))


def of_url(url: str) -> set[str]:
    """The secrets of a URL: itself and the parts of it that may be tokens."""
    found = {url, url.rstrip("/")}
    try:
        parts = urlsplit(url)
        password, user = parts.password, parts.username
    except ValueError:
        return found
    found |= {one for one in (password, unquote(password or "")) if one}
    if password and user:
        found.add(_basic(unquote(user), unquote(password)))
    found |= {value for _, value in parse_qsl(parts.query) if len(value) >= _QUERY_CHARS_MIN}
    found |= {part for part in parts.path.split("/") if len(part) >= _PATH_CHARS_MIN}
    if parts.query:
        found.add(f"{parts.path}?{parts.query}")
    return found | {spelling for one in tuple(found) for spelling in _quoted(one)}


def scrub(text: str, secrets: Iterable[str], *, chars_max: int = ANSWER_CHARS_MAX) -> str:
    """*text* on one line, without *secrets* and control characters, at most *chars_max* long."""
    secrets = tuple(secrets)
    for secret in secrets:
        text = text.replace(secret, SHOWN)
    text = _CONTROLS.sub(" ", _ended(text, secrets)).encode("utf-8", "replace").decode("utf-8")
    return " ".join(text.split())[:chars_max]


def _ended(text: str, secrets: Iterable[str]) -> str:
    """*text* without the beginning of a secret at its end: an answer may break off anywhere."""
    for secret in secrets:
        for size in range(len(secret) - 1, _PATH_CHARS_MIN - 1, -1):
            if text.endswith(secret[:size]):
                return text[:-size] + SHOWN
    return text


def _collect(settings: Mapping[str, Any], found: set[str]) -> None:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            if key in _SECRET_MAPS:
                found |= _of_headers(value)
            else:
                _collect(value, found)
                _collect_basic(value, found)
        elif isinstance(value, str) and _KEYS.match(key):
            found |= {value, value.strip(), *_quoted(value)}
            found.add(base64.b64encode(value.encode("utf-8", "replace")).decode())
        elif _URL_KEYS.match(key):
            urls = value if isinstance(value, list | tuple) else [value]
            for url in urls:
                if isinstance(url, str):
                    found |= of_url(url)


def _collect_basic(value: Mapping[str, Any], found: set[str]) -> None:
    user, password = value.get("username"), value.get("password")
    if isinstance(user, str) and isinstance(password, str):
        found.add(_basic(user, password))


def _of_headers(headers: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    for name, value in headers.items():
        if str(name).lower() in _PLAIN_HEADERS:
            continue
        for one in _texts(value):
            # `Authorization: Bearer …`: the word is no secret, what follows is.
            found |= {one, one.partition(" ")[2].strip() or one}
    return found


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in _texts(inner)]
    return []


def _quoted(text: str) -> tuple[str, str]:
    return quote(text, safe="", errors="replace"), quote_plus(text, errors="replace")


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode("utf-8", "replace")).decode()
