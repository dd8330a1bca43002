"""A chat robot: one message of ours to as few of its messages as its limits allow.

What DingTalk and WeCom have in common: a limit in bytes, a rate that shuts the robot out when it is
passed, answers with `errcode` inside HTTP 200. What differs is a `Make`.
"""

import hashlib
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct, structs

from heliograph.alert.model import Delivery, Integration, Message
from heliograph.core.errors import ConfigError
from heliograph.notify import facts, kit, wording
from heliograph.notify.budget import Budget, Rate
from heliograph.notify.facts import Facts
from heliograph.notify.kit import Attempt, Kit
from heliograph.notify.outcome import Kind, Verdict
from heliograph.notify.post import Answer
from heliograph.notify.redact import ANSWER_CHARS_MAX
from heliograph.notify.split import shorten, split
from heliograph.notify.wording import Dialect, Room

HALVINGS_MAX = 3
MESSAGES_TOGETHER_MAX = 200
# How an answer begins, in the ledger, of which it took more messages than one.
_POSTED = re.compile(r"(\d{1,4}) messages(?:; |\Z)")


class Request(Struct, frozen=True):
    """*secrets* are what the URL holds besides the settings' own."""

    url: str
    document: dict[str, Any]
    secrets: tuple[str, ...] = ()


class Make(Struct, frozen=True):
    """One kind of robot.

    room      of one of its messages
    rate      what it bears
    judge     (status, body, retry_after_s) → what its answer means
    request   (attempt, title, text, now_ns) → what is posted
    """

    dialect: Dialect
    room: Room
    rate: Rate
    judge: Callable[[int, bytes, float], Verdict]
    request: Callable[[Attempt, str, str, int], Request]


class Robot:
    """See `notify`. Robots of one address share a budget, whoever's receivers they are."""

    together_max = MESSAGES_TOGETHER_MAX
    together_from = 5

    def __init__(self, kit: Kit, make: Make) -> None:
        self._kit = kit
        self._make = make
        self._budget = Budget(make.rate)

    def deliver(self, message: Message, integration: Integration) -> Delivery:
        """All of it, or what is left of it after an attempt that failed in the middle."""
        try:
            attempt = Attempt(self._kit, integration)
        except ConfigError as error:
            return kit.refused(error)
        known = facts.of(message)
        title = attempt.render("title", known, escape=self._make.dialect.escape)
        title = shorten(title or facts.subject(known), 200)
        return self._send(attempt, message, title, deque(self._texts(attempt, known)), known)

    def deliver_together(
        self, messages: Sequence[Message], integration: Integration
    ) -> tuple[Delivery, ...]:
        """A digest."""
        if len(messages) == 1:
            return (self.deliver(messages[0], integration),)
        self._kit.counts["digest"] += 1
        digest = facts.together(messages)
        return kit.shared(self.deliver(digest, integration), len(messages))

    def wait_s(self, integration: Integration, *, urgent: bool) -> float:
        """See `Channel`."""
        now_s = self._kit.clock.monotonic_s()
        return self._budget.wait_s(_key(integration), now_s, urgent=urgent)

    def recall(self, integration: Integration, answer: str | None, ago_s: float) -> None:
        """See `Paced`."""
        parts = self._make.room.parts_max if answer is None else posted(answer)
        at_s = self._kit.clock.monotonic_s() - ago_s
        self._budget.recall(_key(integration), at_s, parts=parts)

    def _texts(self, attempt: Attempt, known: Facts) -> list[str]:
        room = self._make.room
        own = attempt.render("text", known, escape=self._make.dialect.escape)
        if own.strip():
            made = split(own, room.limit, room.size)
            if len(made) <= room.parts_max:
                return made
            self._kit.counts["template_too_long"] += 1
        made = wording.texts(known, self._make.dialect, room)
        if attempt.faults:
            fault = shorten(attempt.faults[0], 200)
            made[-1] = shorten(f"{made[-1]}\n\n({fault})", room.limit, room.size)
        if len(made) > 1:
            self._kit.counts["split"] += 1
        return made

    def _send(
        self, attempt: Attempt, message: Message, title: str, left: deque[str], known: Facts
    ) -> Delivery:
        progress, integration = self._kit.progress, attempt.integration
        taken = progress.taken(integration.id, message.key)
        left = deque(text for text in left if _name(text) not in taken)
        key, halvings, sent, status = _key(integration), 0, 0, 0
        booked = posts = 0
        # Of several parts some may be there already.
        before = bool(taken)
        while left:
            if booked == 0:
                # More than the rate ever bears at once goes in several attempts.
                booked = min(len(left), self._make.rate.most(urgent=False))
                now_s = self._kit.clock.monotonic_s()
                wait_s = self._budget.take(key, now_s, parts=booked, urgent=known.urgent)
                if wait_s > 0:
                    self._kit.counts["held_by_rate"] += 1
                    return _parted(kit.held(wait_s), posts, some=before or sent > 0)
            booked -= 1
            posts += 1
            answer, verdict, extra = self._post(attempt, title, left[0])
            if verdict is None:
                return _parted(attempt.unheard(answer), posts, some=before or sent > 0)
            status = answer.status
            if verdict.kind is Kind.DELIVERED:
                progress.take(integration.id, message.key, [_name(left.popleft())])
                self._budget.accepted(key)
                sent += 1
            elif verdict.kind is Kind.TOO_LONG and halvings < HALVINGS_MAX:
                halvings += 1
                # Those that an earlier attempt came to, too.
                left = deque(text for text in self._halved(left) if _name(text) not in taken)
            else:
                if verdict.kind is Kind.THROTTLED:
                    now_s = self._kit.clock.monotonic_s()
                    wait_s = self._budget.close(key, now_s, verdict.retry_after_s)
                    verdict = Verdict(verdict.kind, verdict.words, wait_s)
                    self._kit.counts["throttled"] += 1
                judged = attempt.judged(verdict, answer, *extra)
                return _parted(judged, posts, some=before or sent > 0)
        progress.over(integration.id, message.key)
        return attempt.sent(status or 200, messages=sent, words=_counted(posts))

    def _halved(self, left: deque[str]) -> list[str]:
        size = self._make.room.size
        return [piece for text in left for piece in split(text, max(size(text) // 2, 64), size)]

    def _post(
        self, attempt: Attempt, title: str, text: str
    ) -> tuple[Answer, Verdict | None, tuple[str, ...]]:
        request = self._make.request(attempt, title, text, self._kit.clock.now_ns())
        body = kit.encoded(request.document)
        answer = attempt.post(request.url, body, {"Content-Type": "application/json"})
        if not answer.status:
            return answer, None, request.secrets
        verdict = self._make.judge(answer.status, answer.body, answer.retry_after_s)
        return answer, verdict, request.secrets


def posted(answer: str) -> int:
    """How many messages the robot was handed in an attempt of which the ledger has *answer*."""
    if answer.startswith((kit.HELD, kit.IN_DIGEST)):
        return 0
    found = _POSTED.match(answer)
    return int(found[1]) if found else 1


def _parted(delivery: Delivery, posts: int, *, some: bool) -> Delivery:
    """*delivery* of a message of which *some* parts were taken, after so many *posts*."""
    answer = "; ".join(filter(None, (_counted(posts), delivery.answer)))[:ANSWER_CHARS_MAX]
    return structs.replace(delivery, answer=answer, unsure=delivery.unsure or some)


def _counted(posts: int) -> str:
    return f"{posts} messages" if posts > 1 else ""


def _key(integration: Integration) -> str:
    """The robot, whoever's receiver it is: its address, or the file that has it."""
    settings = integration.settings
    address = str(settings.get("webhook_url") or settings.get("webhook_url_file") or "")
    return hashlib.sha256(address.encode("utf-8", "replace")).hexdigest()


def _name(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
