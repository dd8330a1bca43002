"""What a provider's answer means; pure.

    DingTalk  200 {"errcode": 130101, "errmsg": "send too fast, …"}   → throttled, not sent
    WeCom     200 {"errcode": 40058, "errmsg": "… exceed max length"} → too long, not sent
    Slack     200 {"ok": false, "error": "channel_not_found"}         → the settings are wrong

HTTP says little: DingTalk and WeCom report every failure inside a 200, Slack's Web API too. A code
that we do not know is worth another attempt: the engine gives up in time, and says so.
Sources: DingTalk custom robot, error codes; WeCom group robot 91770 and global error codes; Slack
incoming webhooks, `chat.postMessage` and rate limits.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

# A robot that was called too fast is shut out for a while; DingTalk's ban is ten minutes.
THROTTLED_S = 60.0


class Kind(StrEnum):
    """What to do about an answer."""

    DELIVERED = "delivered"
    RETRY = "retry"
    THROTTLED = "throttled"
    TOO_LONG = "too_long"
    MALFORMED = "malformed"
    CONFIG = "config"
    PERMANENT = "permanent"


class Verdict(Struct, frozen=True):
    """*words* are the provider's, secrets still in them: whole, for half a secret is not known for
    one."""

    kind: Kind
    words: str = ""
    retry_after_s: float = 0.0
    document: Any = None


_RETRIED_STATUS = frozenset({408, 425, 429})

_DINGTALK = {
    -1: Kind.RETRY,
    302033: Kind.THROTTLED,
    130101: Kind.THROTTLED,
    130102: Kind.THROTTLED,
    410100: Kind.THROTTLED,
    90018: Kind.THROTTLED,
    460101: Kind.TOO_LONG,
    101002: Kind.TOO_LONG,
    310000: Kind.CONFIG,
    300001: Kind.CONFIG,
    300005: Kind.CONFIG,
    400013: Kind.CONFIG,
    400101: Kind.CONFIG,
    400102: Kind.CONFIG,
    400105: Kind.CONFIG,
    400106: Kind.CONFIG,
    40014: Kind.CONFIG,
    40035: Kind.PERMANENT,
    43004: Kind.PERMANENT,
    430101: Kind.PERMANENT,
    430102: Kind.PERMANENT,
    430103: Kind.PERMANENT,
    430104: Kind.PERMANENT,
}
_WECOM = {
    -1: Kind.RETRY,
    45009: Kind.THROTTLED,
    45033: Kind.THROTTLED,
    40058: Kind.TOO_LONG,
    45002: Kind.TOO_LONG,
    93000: Kind.CONFIG,
    93004: Kind.CONFIG,
    93008: Kind.CONFIG,
    40008: Kind.PERMANENT,
    44004: Kind.PERMANENT,
    40032: Kind.PERMANENT,
}
_SLACK_RETRIED = frozenset(
    {
        *("fatal_error", "internal_error", "service_unavailable", "request_timeout"),
        *("team_added_to_org", "org_login_required", "rollup_error"),
    }
)
_SLACK_THROTTLED = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
_SLACK_MALFORMED = frozenset(
    {
        *("invalid_blocks", "invalid_attachments", "invalid_blocks_format", "msg_too_long"),
        *("msg_blocks_too_long", "too_many_attachments", "invalid_payload", "no_text"),
    }
)


def of_status(status: int, body: bytes, retry_after_s: float) -> Verdict:
    """What HTTP itself says; the whole truth for a webhook. The words of a failure begin with its
    number, whatever else is said: `HTTP 503: slow`."""
    words = _stated(status, _words(body))
    if 200 <= status < 300:
        return Verdict(Kind.DELIVERED, words)
    if status == 429:
        return Verdict(Kind.THROTTLED, words, retry_after_s)
    if status in _RETRIED_STATUS or status >= 500 or status < 200:
        return Verdict(Kind.RETRY, words, retry_after_s)
    if 300 <= status < 400:
        return Verdict(Kind.PERMANENT, _stated(status, "a redirect, which is not followed"))
    return Verdict(Kind.PERMANENT, words)


def of_dingtalk(status: int, body: bytes, retry_after_s: float) -> Verdict:
    """The answer of a DingTalk robot."""
    return _of_robot(_DINGTALK, status, body, retry_after_s)


def of_wecom(status: int, body: bytes, retry_after_s: float) -> Verdict:
    """The answer of a WeCom robot."""
    return _of_robot(_WECOM, status, body, retry_after_s)


def of_slack(status: int, body: bytes, retry_after_s: float) -> Verdict:
    """The answer of a Slack webhook (the text `ok`) or of its Web API (`{"ok": true, …}`)."""
    plain = of_status(status, body, retry_after_s)
    document = _document(body)
    if isinstance(document, Mapping):
        error = "" if document.get("ok") is True else str(document.get("error", ""))
        good = plain.kind is Kind.DELIVERED and document.get("ok") is True
    else:
        error = _words(body)
        good = plain.kind is Kind.DELIVERED and error == "ok"
    if good:
        return Verdict(Kind.DELIVERED, document=document)
    words = _stated(status, error) if error else plain.words
    if plain.kind is Kind.THROTTLED or error in _SLACK_THROTTLED:
        return Verdict(Kind.THROTTLED, words, retry_after_s or 1.0)
    if plain.kind is Kind.RETRY or error in _SLACK_RETRIED:
        return Verdict(Kind.RETRY, words, retry_after_s)
    if error in _SLACK_MALFORMED:
        return Verdict(Kind.MALFORMED, words)
    if isinstance(document, Mapping) and error:
        # The Web API's own word, by which the channel knows that a message is gone.
        return Verdict(Kind.CONFIG, error)
    if plain.kind is Kind.DELIVERED:
        return Verdict(Kind.RETRY, f"neither ok nor an error: {plain.words}")
    return Verdict(Kind.PERMANENT, plain.words)


def retry_after_s(value: str | None, now_ns: int, *, most_s: float) -> float:
    """The seconds of a `Retry-After` header, in either form; 0 when it says nothing usable."""
    if not value:
        return 0.0
    text = value.strip()
    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else None
        if seconds is None:
            seconds = parsedate_to_datetime(text).timestamp() - now_ns / 1e9
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
    return min(max(seconds, 0.0), most_s)


def _of_robot(
    codes: Mapping[int, Kind], status: int, body: bytes, retry_after_s: float
) -> Verdict:
    plain = of_status(status, body, retry_after_s)
    if plain.kind is Kind.THROTTLED:
        return _throttled(plain.words, retry_after_s)
    if plain.kind is not Kind.DELIVERED:
        return plain
    document = _document(body)
    code = document.get("errcode") if isinstance(document, Mapping) else None
    if not isinstance(code, int) or isinstance(code, bool):
        return Verdict(Kind.RETRY, f"an answer without errcode: {plain.words}")
    if code == 0:
        return Verdict(Kind.DELIVERED)
    assert isinstance(document, Mapping)
    words = f"errcode {code}: {document.get('errmsg', '')}"
    kind = codes.get(code, Kind.RETRY)
    if kind is Kind.THROTTLED:
        return _throttled(words, retry_after_s)
    return Verdict(kind, words, retry_after_s)


def _throttled(words: str, retry_after_s: float) -> Verdict:
    """Too much for a robot, in whatever words: a minute at least, also where it names no time."""
    return Verdict(Kind.THROTTLED, words, max(retry_after_s, THROTTLED_S))


def _document(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _stated(status: int, words: str) -> str:
    """*words* of an answer of *status*; of a failure with its number, which a body may belie."""
    if 200 <= status < 300:
        return words
    return f"HTTP {status}: {words}" if words else f"HTTP {status}"


def _words(body: bytes) -> str:
    return " ".join(body.decode("utf-8", "replace").split())
