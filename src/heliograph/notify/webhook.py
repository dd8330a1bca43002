"""The webhook channel: a POST of JSON; any 2xx is a delivery.

    url          where to; `url_file` instead of it
    format       heliograph | alertmanager (the default of what comes from an alertmanager.yml)
    headers      {name: value}
    max_alerts   alerts in a message, 0: all; the rest is counted in it
    payload      a document of the operator's own, every text in it a template
    http_config, timeout

The header `Idempotency-Key` is the same for every attempt of a message.
Source: Alertmanager, `webhook_config`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from heliograph.alert.model import Delivery, Integration, Message
from heliograph.core.errors import ConfigError
from heliograph.notify import documents, facts, kit, outcome
from heliograph.notify.kit import Attempt, Kit

FORMATS = {"heliograph": documents.heliograph, "alertmanager": documents.alertmanager}


class Webhook:
    """See the module and `notify`."""

    together_max = 1
    together_from = 2

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def deliver(self, message: Message, integration: Integration) -> Delivery:
        """One POST."""
        try:
            attempt = Attempt(self._kit, integration)
        except ConfigError as error:
            return kit.refused(error)
        known = facts.of(message)
        write = FORMATS.get(attempt.setting("format") or "alertmanager", documents.alertmanager)
        document = write(known, alerts_max=int(attempt.settings.get("max_alerts") or 0))
        if attempt.settings.get("payload") is not None:
            own = _rendered(attempt, known, attempt.settings["payload"])
            document = document if attempt.faults else own or document
        url = attempt.setting("url")
        if "{{" in url:
            url = attempt.render("url", known)
            if not url and attempt.faults:
                return Delivery("refused", attempt.faults[-1])
        answer = attempt.post(url, kit.encoded(document), _headers(attempt, message))
        if not answer.status:
            return attempt.unheard(answer)
        verdict = outcome.of_status(answer.status, answer.body, answer.retry_after_s)
        if verdict.kind is outcome.Kind.DELIVERED:
            words = attempt.say(verdict.words, chars_max=kit.WORDS_CHARS_MAX)
            return attempt.sent(answer.status, words=words)
        return attempt.judged(verdict, answer)

    def deliver_together(
        self, messages: Sequence[Message], integration: Integration
    ) -> tuple[Delivery, ...]:
        """Each by itself."""
        return kit.one_by_one(self, messages, integration)

    def wait_s(self, integration: Integration, *, urgent: bool) -> float:  # noqa: ARG002
        """Never."""
        return 0.0


def _rendered(attempt: Attempt, known: facts.Facts, payload: Any) -> Any:
    """`payload` with every text in it a template; the faults of the attempt say if one fails."""
    if isinstance(payload, Mapping):
        return {str(name): _rendered(attempt, known, one) for name, one in payload.items()}
    if isinstance(payload, list):
        return [_rendered(attempt, known, one) for one in payload]
    return attempt.rendered("payload", payload, known) if isinstance(payload, str) else payload


def _headers(attempt: Attempt, message: Message) -> dict[str, str]:
    headers = attempt.settings.get("headers")
    own = {str(k): str(v) for k, v in headers.items()} if isinstance(headers, Mapping) else {}
    return {
        **own,
        "Content-Type": "application/json",
        "Idempotency-Key": message.key,
    }
