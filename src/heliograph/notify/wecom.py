"""The WeCom channel: a robot of a group (`wechat` in spec 001), in markdown.

    POST <webhook_url>      https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=…
    {"msgtype": "markdown", "markdown": {"content": …}}

    webhook_url (or `_file`), text (a template)

The content has at most 4,096 bytes of UTF-8; 20 messages a minute. The app API of Alertmanager's
`wechat_configs` is another thing. Source: WeCom, group robots (91770).
"""

from heliograph.notify import outcome
from heliograph.notify.budget import Rate
from heliograph.notify.kit import Attempt, Kit
from heliograph.notify.robot import Make, Request, Robot
from heliograph.notify.wording import MARKDOWN, Room

CONTENT_BYTES_MAX = 4096
# A second more than a minute: what we send in one may arrive within one.
RATE = Rate(messages=20, span_s=61.0, kept=3)


def wecom(kit: Kit) -> Robot:
    """The channel."""
    room = Room(CONTENT_BYTES_MAX, kit.limits.parts_max)
    return Robot(kit, Make(MARKDOWN, room, RATE, outcome.of_wecom, _request))


def _request(attempt: Attempt, title: str, text: str, now_ns: int) -> Request:  # noqa: ARG001
    document = {"msgtype": "markdown", "markdown": {"content": text}}
    return Request(attempt.setting("webhook_url"), document)
