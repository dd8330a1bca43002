"""What every channel works with, and how it says what came of an attempt."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from heliograph.alert.model import Delivery, Integration, Message
from heliograph.core import duration
from heliograph.core.clock import Clock
from heliograph.core.errors import ConfigError
from heliograph.notify import secret
from heliograph.notify.facts import Facts
from heliograph.notify.lacking import usable
from heliograph.notify.outcome import Kind, Verdict
from heliograph.notify.post import Answer, Poster
from heliograph.notify.progress import Progress
from heliograph.notify.protocol import Channel, Limits
from heliograph.notify.redact import ANSWER_CHARS_MAX, scrub, secrets_of
from heliograph.notify.split import clean
from heliograph.notify.templates import Templates

# What a setting may ask for.
TIMEOUT_S_MAX = 60.0
# Of an answer's words, so that there is room for the faults of templates beside them.
WORDS_CHARS_MAX = 300
# How the answer of what was not sent by itself begins.
HELD = "held by the provider's rate"
IN_DIGEST = "in the digest of another"
OUTCOMES = {
    Kind.DELIVERED: "sent",
    Kind.RETRY: "later",
    Kind.THROTTLED: "later",
    Kind.TOO_LONG: "refused",
    Kind.MALFORMED: "refused",
    Kind.CONFIG: "refused",
    Kind.PERMANENT: "refused",
}


class Kit(Struct, frozen=True):
    """Shared by all channels.

    counts   by name: what was split, shortened, held by a budget, fell back from a template
    """

    poster: Poster
    clock: Clock
    templates: Templates
    limits: Limits
    progress: Progress = field(default_factory=Progress)
    counts: Counter[str] = field(default_factory=Counter)


class Attempt:
    """One attempt of one integration: its settings with the secrets read, and how to say things
    without them. Raises ConfigError where they cannot be used."""

    def __init__(self, kit: Kit, integration: Integration) -> None:
        self.kit = kit
        self.integration = integration
        usable(integration.settings, guarded=integration.guarded)
        self.settings: dict[str, Any] = secret.resolved(integration.settings)
        self._secrets = secrets_of(self.settings)
        self.faults: list[str] = []

    def setting(self, *names: str) -> str:
        """The first of *names* that is set, as text; "" where none is."""
        for name in names:
            value = self.settings.get(name)
            if value:
                return str(value)
        return ""

    def render(self, name: str, facts: Facts, **how: Any) -> str:
        """What the template of setting *name* makes; "" without one, or where it fails: then the
        fault is remembered, and counted."""
        return self.rendered(name, self.setting(name), facts, **how)

    def rendered(self, name: str, text: str, facts: Facts, **how: Any) -> str:
        """`render` of *text* that is not a setting by itself."""
        if not text:
            return ""
        made = self.kit.templates.render(text, facts, **how)
        if made.fault:
            self.kit.counts["template_fallback"] += 1
            self.faults.append(self.say(f"template {name}: {made.fault}"))
        return made.text

    @property
    def request_s(self) -> float:
        """How long a request may take with its answer."""
        stated_s = seconds(self.settings.get("timeout"))
        return min(stated_s, TIMEOUT_S_MAX) if stated_s > 0 else self.kit.limits.deadline_s

    def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, most_s: float = 3600.0
    ) -> Answer:
        """`Poster.post` as the settings say, and in no more than *most_s*."""
        return self.kit.poster.post(
            url,
            body,
            headers=headers,
            http_config=self.settings.get("http_config"),
            guarded=self.integration.guarded,
            timeout_s=min(self.request_s, most_s),
        )

    def say(self, text: str, *more: str, chars_max: int = ANSWER_CHARS_MAX) -> str:
        """*text* without secrets, those of *more* too, at most *chars_max* of it."""
        secrets = (*sorted(filter(None, more), key=len, reverse=True), *self._secrets)
        return scrub(text, secrets, chars_max=chars_max)

    def unheard(self, answer: Answer) -> Delivery:
        """No answer came."""
        outcome = "refused" if answer.refused else "later"
        words = self.say(answer.failure or "no answer")
        return Delivery(outcome, self._with_faults(words), unsure=answer.unsure)

    def judged(self, verdict: Verdict, answer: Answer, *more: str) -> Delivery:
        """What *verdict* says of *answer*, as a delivery."""
        words = self.say(verdict.words, *more, chars_max=WORDS_CHARS_MAX)
        return Delivery(
            outcome=OUTCOMES[verdict.kind],
            # Who says nothing has at least a number.
            answer=self._with_faults(words or f"HTTP {answer.status}"),
            status=answer.status,
            retry_after_s=verdict.retry_after_s if OUTCOMES[verdict.kind] == "later" else 0.0,
            unsure=answer.unsure,
        )

    def sent(
        self, status: int, *, messages: int = 1, message_id: str = "", words: str = ""
    ) -> Delivery:
        """The provider took it."""
        return Delivery("sent", self._with_faults(words), status, 0.0, message_id, messages)

    def _with_faults(self, words: str) -> str:
        """*words*, and the faults of templates: they may be why it was refused."""
        return "; ".join([one for one in (words, *self.faults) if one])[:ANSWER_CHARS_MAX]


def encoded(document: Any) -> bytes:
    """*document* as JSON; where a text of it is none that UTF-8 can carry, with that replaced: a
    message goes out whatever it says."""
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:
        return msgspec.json.encode(_cleaned(document))


def _cleaned(document: Any) -> Any:
    if isinstance(document, Mapping):
        return {_cleaned(name): _cleaned(one) for name, one in document.items()}
    if isinstance(document, list | tuple):
        return [_cleaned(one) for one in document]
    return clean(document) if isinstance(document, str) else document


def held(wait_s: float) -> Delivery:
    """Our own budget of the provider's rate keeps it back: nothing was sent, and it is no attempt."""
    return Delivery("later", HELD, retry_after_s=wait_s, messages=0)


def one_by_one(
    channel: Channel, messages: Sequence[Message], integration: Integration
) -> tuple[Delivery, ...]:
    """`deliver_together` of a channel that makes no digest."""
    return tuple(channel.deliver(message, integration) for message in messages)


def shared(delivery: Delivery, count: int) -> tuple[Delivery, ...]:
    """What came of a digest, for each of its *count* messages."""
    rest = Delivery(
        delivery.outcome,
        "; ".join(filter(None, (IN_DIGEST, delivery.answer)))[:ANSWER_CHARS_MAX],
        delivery.status,
        delivery.retry_after_s,
        # Of one that was sent, counted once; one of 0 that was not is not even an attempt.
        messages=0 if delivery.outcome == "sent" else delivery.messages,
        unsure=delivery.unsure,
    )
    return (delivery, *[rest] * (count - 1))


def seconds(value: Any) -> float:
    """A time-out of the settings (`10s`, or a number of seconds), or 0 for none."""
    if isinstance(value, str) and value:
        try:
            return duration.parse(value) / duration.SECOND_NS
        except ValueError:
            return 0.0
    return (
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
    )


def refused(error: ConfigError) -> Delivery:
    """The settings cannot be used."""
    return Delivery("refused", str(error)[:500])
