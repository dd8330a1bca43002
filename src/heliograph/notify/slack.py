"""The Slack channel: an incoming webhook, or a bot's token with a channel; then one message of a
group is kept up to date in place.

    {"channel": "#gpu", "username": …, "attachments": [{"title", "title_link", "text", "color", …}]}

    api_url (or `_file`)      an incoming webhook; answers `ok`
    app_token (or `_file`)    a bot's, with `app_url` and `channel`; answers {"ok": true, "ts", …}
    update_message            whether a later message of a group changes the first (the default with
                              a token); what fires again is a new one, for a change calls nobody
    title title_link text pretext fallback color footer username fields actions …   templates

An attachment has at most 3,000 characters and a message about 13,000; a channel takes one message
a second. Source: Slack, incoming webhooks, `chat.postMessage`, `chat.update`, rate limits;
Alertmanager, `slack_config`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from heliograph.alert.model import Alert, Delivery, Integration, Message, Reason, Status
from heliograph.core.errors import ConfigError
from heliograph.notify import facts, kit, outcome, wording
from heliograph.notify.budget import Budget, Rate
from heliograph.notify.facts import Facts
from heliograph.notify.kit import Attempt, Kit
from heliograph.notify.outcome import Kind, Verdict
from heliograph.notify.split import shorten, split
from heliograph.notify.wording import SLACK, Room, inert_slack

RATE = Rate(messages=1, span_s=1.0)
ATTACHMENT_CHARS_MAX = 2900
ATTACHMENTS_MAX = 4
TITLE_CHARS_MAX = 1000
FIELDS_MAX = 20
USERNAME = "Heliograph"
POST_URL = "https://slack.com/api/chat.postMessage"
MESSAGES_TOGETHER_MAX = 200
# What was told cannot be changed any more: it is told anew.
_GONE = frozenset(
    {"message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"}
)
_TEXTS = ("pretext", "footer", "callback_id", "image_url", "thumb_url")
_ITEMS = {"fields": ("title", "value"), "actions": ("text", "url")}
_FACE = ("icon_emoji", "icon_url")


def utf16_units(text: str) -> int:
    """Characters as Slack counts them."""
    return len(text.encode("utf-16-le", "replace")) // 2


class Slack:
    """See the module and `notify`."""

    together_max = MESSAGES_TOGETHER_MAX
    together_from = 15

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._budget = Budget(RATE)

    def deliver(self, message: Message, integration: Integration) -> Delivery:
        """One message of Slack's, or a change of the one that was sent before."""
        try:
            attempt = Attempt(self._kit, integration)
        except ConfigError as error:
            return kit.refused(error)
        now_s = self._kit.clock.monotonic_s()
        known = facts.of(message)
        wait_s = self._budget.take(_key(integration), now_s, urgent=known.urgent)
        if wait_s > 0:
            self._kit.counts["held_by_rate"] += 1
            return kit.held(wait_s)
        document = self._document(attempt, known)
        old = message.message_id if self._updates(attempt) else ""
        before = "" if _again(message) else old
        delivery, verdict = self._post(attempt, document, before)
        if before and verdict is not None and verdict.words in _GONE:
            delivery, verdict = self._post(attempt, document, "")
        if verdict is not None and verdict.kind in {Kind.MALFORMED, Kind.TOO_LONG}:
            self._kit.counts["malformed"] += 1
            plain = {**document, "attachments": [], "text": _plain(known)}
            delivery, verdict = self._post(attempt, plain, "")
        ended = _ended(message) if old and not before and delivery.outcome == "sent" else None
        if ended is not None:
            # Of the message that is changed no more; should it fail, the new one says it too.
            self._post(attempt, self._document(attempt, facts.of(ended)), old)
        return delivery

    def deliver_together(
        self, messages: Sequence[Message], integration: Integration
    ) -> tuple[Delivery, ...]:
        """A digest, which is not changed later."""
        if len(messages) == 1:
            return (self.deliver(messages[0], integration),)
        self._kit.counts["digest"] += 1
        first = self.deliver(facts.together(messages), integration)
        return kit.shared(msgspec.structs.replace(first, message_id=""), len(messages))

    def wait_s(self, integration: Integration, *, urgent: bool) -> float:
        """See `Channel`."""
        now_s = self._kit.clock.monotonic_s()
        return self._budget.wait_s(_key(integration), now_s, urgent=urgent)

    def _updates(self, attempt: Attempt) -> bool:
        """Whether the message before is changed: where the Web API is spoken, with a token of its
        own unless it is told not to, with one in a header if it is told to."""
        token = bool(attempt.setting("app_token"))
        return _speaks_web_api(attempt) and bool(attempt.settings.get("update_message", token))

    def _post(
        self, attempt: Attempt, document: Mapping[str, Any], before: str
    ) -> tuple[Delivery, Verdict | None]:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        token = attempt.setting("app_token")
        url = attempt.setting("api_url") or attempt.setting("app_url") or POST_URL
        if token:
            url = attempt.setting("app_url") or POST_URL
            headers["Authorization"] = f"Bearer {token}"
        channel, _, stamp = before.rpartition(":")
        if stamp:
            url = url.replace("chat.postMessage", "chat.update")
            document = {**document, "channel": channel, "ts": stamp}
        answer = attempt.post(url, kit.encoded(document), headers)
        if not answer.status:
            return attempt.unheard(answer), None
        verdict = outcome.of_slack(answer.status, answer.body, answer.retry_after_s)
        if verdict.kind is Kind.DELIVERED:
            self._budget.accepted(_key(attempt.integration))
            speaks = _speaks_web_api(attempt)
            message_id = _message_id(verdict.document) if speaks else ""
            return attempt.sent(answer.status, message_id=message_id), verdict
        if verdict.kind is Kind.THROTTLED:
            self._kit.counts["throttled"] += 1
            now_s = self._kit.clock.monotonic_s()
            wait_s = self._budget.close(
                _key(attempt.integration), now_s, max(verdict.retry_after_s, 1.0)
            )
            verdict = Verdict(verdict.kind, verdict.words, wait_s)
        return attempt.judged(verdict, answer), verdict

    def _document(self, attempt: Attempt, known: Facts) -> dict[str, Any]:
        def made(name: str, default: str = "", chars_max: int = TITLE_CHARS_MAX) -> str:
            text = attempt.render(name, known, escape=inert_slack) or default
            return shorten(text, chars_max, utf16_units)

        title = made("title", inert_slack(facts.subject(known)))
        link = made("title_link", facts.page(known))
        firing = known.status is Status.FIRING
        first = {
            "title": title,
            "title_link": link,
            "text": "",
            "fallback": made("fallback", f"{title} | {link}", 2 * TITLE_CHARS_MAX),
            "callback_id": "",
            "footer": "",
            "color": made("color", "danger" if firing else "good"),
            "mrkdwn_in": attempt.settings.get("mrkdwn_in") or ["fallback", "pretext", "text"],
            **{name: text for name in _TEXTS if (text := made(name))},
        }
        faults = len(attempt.faults)
        items = {name: _items(attempt, known, name, parts) for name, parts in _ITEMS.items()}
        whole = len(attempt.faults) == faults
        first |= {name: made for name, made in items.items() if made and whole}
        # What they lack may be nowhere else: then the text is ours.
        texts = self._texts(attempt, known, own=whole)
        first["text"] = texts[0] if texts else ""
        rest = [{"text": t, "color": first["color"], "mrkdwn_in": ["text"]} for t in texts[1:]]
        document: dict[str, Any] = {
            "username": made("username", USERNAME),
            "attachments": [first, *rest],
            **{name: text for name in _FACE if (text := made(name))},
        }
        if channel := made("channel"):
            document["channel"] = channel
        if text := made("message_text"):
            document["text"] = text
        if attempt.settings.get("link_names") is True:
            document["link_names"] = True
        return document

    def _texts(self, attempt: Attempt, known: Facts, *, own: bool) -> list[str]:
        room = Room(ATTACHMENT_CHARS_MAX, ATTACHMENTS_MAX, utf16_units)
        text = attempt.render("text", known, escape=inert_slack) if own else ""
        if text.strip():
            made = split(text, room.limit, room.size)
            if len(made) <= room.parts_max:
                return made
            self._kit.counts["template_too_long"] += 1
        made = wording.texts(known, SLACK, room, titled=False)
        if attempt.faults:
            fault = inert_slack(shorten(attempt.faults[0], 200))
            made[-1] = shorten(f"{made[-1]}\n\n({fault})", room.limit, room.size)
        return made


def _again(message: Message) -> bool:
    """Whether an alert of it fires anew, of which the group's message was told before."""
    if message.reason is not Reason.NEW_ALERTS:
        return message.reason is Reason.FIRST
    firing = _of(message, Status.FIRING)
    over = {one.fingerprint for one in _of(message, Status.RESOLVED)}
    newest = max(firing, key=lambda one: one.created_ns, default=None)
    return any(one.fingerprint in over for one in firing) or (
        # Its end was not to be told.
        newest is not None and newest.episode > 1
    )


def _ended(message: Message) -> Message | None:
    """What of *message* is over, as one of its own."""
    over = _of(message, Status.RESOLVED)
    return msgspec.structs.replace(message, alerts=over, truncated=0) if over else None


def _of(message: Message, status: Status) -> tuple[Alert, ...]:
    return tuple(one for one in message.alerts if one.status(message.now_ns) is status)


def _items(
    attempt: Attempt, known: Facts, name: str, parts: tuple[str, ...]
) -> list[dict[str, Any]]:
    given = attempt.settings.get(name)
    items: list[dict[str, Any]] = []
    for item in given if isinstance(given, list) else []:
        if isinstance(item, Mapping) and len(items) < FIELDS_MAX:
            short = item.get("short", attempt.settings.get("short_fields", False))
            made = {
                part: attempt.rendered(
                    f"{name}.{part}", str(item[part]), known, escape=inert_slack
                )
                for part in parts
                if item.get(part)
            }
            extra = {"short": short} if name == "fields" else {}
            items.append({**item, **made, **extra})
    return items


def _speaks_web_api(attempt: Attempt) -> bool:
    return bool(attempt.setting("app_token")) or "chat.postMessage" in attempt.setting(
        "api_url"
    )


def _plain(known: Facts) -> str:
    made = wording.texts(known, SLACK, Room(ATTACHMENT_CHARS_MAX, 1, utf16_units))
    return made[0] if made else inert_slack(facts.subject(known))


def _message_id(document: Any) -> str:
    if not isinstance(document, Mapping):
        return ""
    channel, stamp = document.get("channel"), document.get("ts")
    return f"{channel}:{stamp}" if isinstance(channel, str) and isinstance(stamp, str) else ""


def _key(integration: Integration) -> str:
    """The channel that is told, whoever's receiver it is."""
    settings = integration.settings
    names = ("api_url", "api_url_file", "app_url", "app_token", "app_token_file", "channel")
    text = "\0".join(str(settings.get(name) or "") for name in names)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
