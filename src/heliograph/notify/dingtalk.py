"""The DingTalk channel: a custom robot of a group, signed.

    POST <webhook_url>&timestamp=1700000000000&sign=Q7zB…%3D
    {"msgtype": "markdown", "markdown": {"title": …, "text": …}, "at": {"atMobiles": […]}}

    webhook_url   with its access_token; `secret` (or `_file`) when the robot asks for signatures
    at            {mobiles: […], user_ids: […], all: false}: who is mentioned
    title, text   templates

sign = urlencode(base64(HMAC-SHA256(key=secret, "<timestamp>\\n<secret>"))), valid for an hour. A body
has at most 20,000 bytes; more than 20 messages a minute shut the robot out for ten. In its markdown
a line ends after two spaces. Source: DingTalk, custom robot.
"""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from heliograph.notify import outcome
from heliograph.notify.budget import Rate
from heliograph.notify.kit import Attempt, Kit
from heliograph.notify.robot import Make, Request, Robot
from heliograph.notify.split import json_bytes
from heliograph.notify.wording import DINGTALK, Room

BODY_BYTES_MAX = 20_000
# What is around the text in a body: the title, who is mentioned, the names of the fields.
_AROUND_BYTES = 2_000
# A second more than a minute: what we send in one may arrive within one.
RATE = Rate(messages=20, span_s=61.0, kept=3)
_MENTIONED_BYTES_MAX = 700


def dingtalk(kit: Kit) -> Robot:
    """The channel."""
    room = Room(BODY_BYTES_MAX - _AROUND_BYTES, min(kit.limits.parts_max, 3), json_bytes)
    return Robot(kit, Make(DINGTALK, room, RATE, outcome.of_dingtalk, _request))


def sign(secret: str, timestamp_ms: int) -> str:
    """The signature as the query has it."""
    text = f"{timestamp_ms}\n{secret}"
    key = secret.encode("utf-8", "replace")
    digest = hmac.digest(key, text.encode("utf-8", "replace"), "sha256")
    return quote(b64encode(digest), safe="")


def _request(attempt: Attempt, title: str, text: str, now_ns: int) -> Request:
    url, secret = attempt.setting("webhook_url"), attempt.setting("secret")
    secrets: tuple[str, ...] = ()
    if secret:
        timestamp_ms = now_ns // 1_000_000
        signed = sign(secret, timestamp_ms)
        url += f"{'&' if '?' in url else '?'}timestamp={timestamp_ms}&sign={signed}"
        secrets = (url, signed)
    at = _at(attempt.settings.get("at"))
    mobiles = [*at.get("atMobiles", ()), *at.get("atUserIds", ())]
    if mobiles:
        # Only who is named in the text is told.
        text += "\n\n" + " ".join(f"@{one}" for one in mobiles)
    document: dict[str, Any] = {
        "msgtype": "markdown",
        "markdown": {"title": title, "text": text},
    }
    return Request(url, document | ({"at": at} if at else {}), secrets)


def _at(given: Any) -> dict[str, Any]:
    """`at` in the provider's own names."""
    if isinstance(given, list | tuple):
        given = {"mobiles": given}
    if given == "all":
        given = {"all": True}
    if not isinstance(given, Mapping):
        return {}
    names = {"atMobiles": ("mobiles", "atMobiles"), "atUserIds": ("user_ids", "atUserIds")}
    at: dict[str, Any] = {}
    room = _MENTIONED_BYTES_MAX
    for name, keys in names.items():
        found = next((given[key] for key in keys if given.get(key)), None)
        if isinstance(found, list | tuple):
            at[name] = []
            for one in map(str, found):
                room -= json_bytes(one) + 3
                if room > 0:
                    at[name].append(one)
    if given.get("all") is True or given.get("isAtAll") is True:
        at["isAtAll"] = True
    return at
