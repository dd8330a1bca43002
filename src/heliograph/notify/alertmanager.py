"""The Alertmanager channel: its API v2, all peers of a cluster.

    POST <url>/api/v2/alerts   [{"labels", "annotations", "startsAt", "endsAt", "generatorURL"}, …]

    url            one, or all peers with commas between
    http_config, timeout

An Alertmanager forgets what is not repeated: the engine repeats it (`Limits.resend`), and what fires
ends FIRES_FOR_NS ahead. Each peer gets all of it, since peers do not tell each other of alerts; one
that fails is tried once more, and then again with the next repetition. It is told when one peer took
it, as Prometheus has it: a dead peer must not keep a resolve from the others. The answer names those
that did not, or not yet: they are told side by side (`beside`), and one that hangs is not waited for.
A label name that older versions refuse is written with `_`, and the answer says so.
Source: Prometheus `rules/alerting.go` and notifier; Alertmanager openapi.yaml.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from heliograph.alert.model import Delivery, Integration, Message, Status
from heliograph.core.duration import MINUTE_NS
from heliograph.core.errors import ConfigError, Refused
from heliograph.notify import facts, kit, outcome
from heliograph.notify.beside import Beside, Tell
from heliograph.notify.documents import go_time
from heliograph.notify.facts import Shown
from heliograph.notify.guard import parts
from heliograph.notify.kit import Attempt, Kit
from heliograph.notify.outcome import Kind
from heliograph.notify.split import clean

# Four repetitions: fewer that are lost end nothing.
FIRES_FOR_NS = 4 * MINUTE_NS
ALERTS_PER_REQUEST = 500
PEERS_MAX = 32
TRIES = 2
PAUSE_S = 0.5
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")


class Alertmanager:
    """See the module and `notify`."""

    together_max = 1
    together_from = 2

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._beside = Beside(kit.clock)

    def deliver(self, message: Message, integration: Integration) -> Delivery:
        """All alerts to all peers."""
        try:
            attempt = Attempt(self._kit, integration)
        except ConfigError as error:
            return kit.refused(error)
        peers = peers_of(attempt.settings.get("url"))
        if not peers:
            return Delivery("refused", "url: no peer")
        bodies, renamed = self._bodies(message)
        # Of all requests to a peer together, and of all peers.
        until_s = self._kit.clock.monotonic_s() + attempt.request_s * len(bodies)
        tells: dict[str, Tell] = {
            f"{integration.id} {peer}": partial(self._tell, attempt, peer, bodies, until_s)
            for peer in peers
        }
        came = self._beside.tell(tells, until_s)
        told = [one for one in came if one.outcome == "sent"]
        failed = [(n, one) for n, one in enumerate(came, 1) if one.outcome != "sent"]
        words = [
            f"peer {n} of {len(peers)}: {one.status or ''} {one.answer}" for n, one in failed
        ]
        if renamed:
            self._kit.counts["label_renamed"] += len(renamed)
            words.append(f"renamed labels: {', '.join(sorted(renamed)[:20])}")
        said = attempt.say("; ".join(words))
        if told:
            self._kit.counts["peer_missed"] += len(failed)
            return attempt.sent(told[0].status, messages=len(told) * len(bodies), words=said)
        later = [one for _, one in failed if one.outcome == "later"]
        worst = later[0] if later else failed[0][1]
        unsure = any(one.unsure for one in came)
        return msgspec.structs.replace(worst, answer=said, unsure=unsure)

    def deliver_together(
        self, messages: Sequence[Message], integration: Integration
    ) -> tuple[Delivery, ...]:
        """Each by itself."""
        return kit.one_by_one(self, messages, integration)

    def wait_s(self, integration: Integration, *, urgent: bool) -> float:  # noqa: ARG002
        """Never."""
        return 0.0

    def _tell(
        self, attempt: Attempt, peer: str, bodies: Sequence[bytes], until_s: float
    ) -> Delivery:
        came = Delivery("refused", "nothing to say")
        for number, body in enumerate(bodies):
            for trial in range(TRIES):
                if trial:
                    self._kit.clock.sleep(PAUSE_S)
                left_s = until_s - self._kit.clock.monotonic_s()
                if left_s <= 0:
                    came = came if trial else Delivery("later", "no time left")
                    break
                came = self._post(attempt, peer, body, left_s)
                # A time-out has cost its time already.
                if came.outcome != "later" or "Timeout" in came.answer:
                    break
            if came.outcome != "sent":
                # What was in the requests before, it has.
                return msgspec.structs.replace(came, unsure=came.unsure or number > 0)
        return came

    def _post(self, attempt: Attempt, peer: str, body: bytes, left_s: float) -> Delivery:
        url = f"{peer}/api/v2/alerts"
        headers = {"Content-Type": "application/json"}
        answer = attempt.post(url, body, headers, most_s=left_s)
        if not answer.status:
            return attempt.unheard(answer)
        verdict = outcome.of_status(answer.status, answer.body, answer.retry_after_s)
        if verdict.kind is Kind.DELIVERED:
            return Delivery("sent", status=answer.status)
        return attempt.judged(verdict, answer)

    def _bodies(self, message: Message) -> tuple[list[bytes], set[str]]:
        renamed: set[str] = set()
        now_ns = max(self._kit.clock.now_ns(), message.now_ns)
        alerts = [_alert(one, now_ns, renamed) for one in facts.of(message).alerts]
        chunks = range(0, len(alerts), ALERTS_PER_REQUEST)
        return [
            kit.encoded(alerts[start : start + ALERTS_PER_REQUEST]) for start in chunks
        ] or [b"[]"], renamed


def peers_of(given: Any) -> list[str]:
    """The addresses of the peers, without the path of the API where it was written too."""
    texts = given if isinstance(given, list | tuple) else str(given or "").split(",")
    peers = []
    for text in texts:
        peer = str(text).strip().rstrip("/")
        peer = re.sub(r"/api/v[12](?:/alerts)?\Z", "", peer)
        if peer and peer not in peers:
            peers.append(peer)
    return peers[:PEERS_MAX]


def _alert(one: Shown, now_ns: int, renamed: set[str]) -> dict[str, Any]:
    alert = one.alert
    firing = one.status is Status.FIRING
    if firing:
        ends_ns = max(now_ns, alert.starts_ns) + FIRES_FOR_NS
    else:
        ends_ns = max(alert.ends_ns or now_ns, alert.starts_ns)
    # As it was posted: a sender that tells this Alertmanager too must meet the same alert. Only
    # what speaks to us alone has a severity that is no label, and routes there ask for it.
    labels = facts.pairs_of(alert.labels)
    if alert.severity:
        labels.setdefault("severity", clean(alert.severity))
    document: dict[str, Any] = {
        "labels": _named(labels, renamed),
        "annotations": _named(one.annotations, renamed),
        "startsAt": go_time(alert.starts_ns),
        "endsAt": go_time(ends_ns),
    }
    if _is_url(alert.generator_url):
        document["generatorURL"] = alert.generator_url
    return document


def _named(pairs: Mapping[str, str], renamed: set[str]) -> dict[str, str]:
    """*pairs* under names that every version takes; none is lost to another of the same name."""
    out = {name: value for name, value in sorted(pairs.items()) if _NAME.match(name)}
    for name in sorted(pairs):
        if name in out:
            continue
        renamed.add(name[:64])
        plain = re.sub(r"[^a-zA-Z0-9_]", "_", name)
        plain = f"_{plain}" if plain[:1].isdigit() else plain
        while plain in out:
            plain += "_"
        out[plain] = pairs[name]
    return out


def _is_url(text: str) -> bool:
    if not text.isascii() or not text.startswith(("http://", "https://")):
        return False
    try:
        parts(text)
    except Refused:
        return False
    return True
