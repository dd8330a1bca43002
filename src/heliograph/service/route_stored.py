"""A route of the API as it is stored: which of its channels is which, and what became of others.

    {"channels": […], …, "channel_numbers": [0, 2], "channels_retired": [[{"type": …, "config": …}, 1]]}

A channel that is taken away, by an edit or with its whole route, is retired as long as it is owed the
end of what it was told: whoever was told that something fires waits for that. It is told nothing else.
"""

import logging
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from heliograph.alert.config import channel_numbers, routing_rules
from heliograph.alert.config.channel_numbers import Numbered
from heliograph.alert.config.setup import Setup
from heliograph.alert.model import Integration
from heliograph.core.errors import Refused
from heliograph.store.state import alert_routes
from heliograph.store.state.alert_routes import RouteKept

log = logging.getLogger(__name__)

# Of one route, the newest.
RETIRED_MAX = 32
# Beside the keys of a route's document.
NUMBERS, RETIRED = "channel_numbers", "channels_retired"


class Stored(NamedTuple):
    """A route; *numbers* are of its channels in their order, *retired* are channels with theirs."""

    id: str
    document: Mapping[str, Any]
    numbers: Sequence[int]
    retired: Sequence[tuple[Any, int]] = ()

    def encoded(self) -> bytes:
        """What is stored of it; of what is retired, as much as there is room for."""
        retired = list(self.retired)[-RETIRED_MAX:]
        while True:
            more = {RETIRED: retired} if retired else {}
            found = msgspec.json.encode({**self.document, NUMBERS: self.numbers, **more})
            if not retired or len(found) <= alert_routes.DOCUMENT_BYTES_MAX:
                return found
            del retired[0]

    def edited(self, document: Mapping[str, Any]) -> "Stored":
        """With *document* in place of its own; what that has no more is retired. A channel that comes
        back is the one that it was, and no other has the number of one that is retired."""
        there = list(document.get("channels") or ())
        before = [*zip(self.document.get("channels") or (), self.numbers, strict=False)]
        before += self.retired
        known = {"channels": [channel for channel, _ in before]}
        numbers = channel_numbers.of(document, Numbered(known, [one for _, one in before]))
        taken = {(_kind(one), number) for one, number in zip(there, numbers, strict=True)}
        retired = [(one, number) for one, number in before if (_kind(one), number) not in taken]
        return Stored(self.id, document, numbers, retired)

    def owing(self, owed: Container[str], file: Setup) -> "Stored":
        """Without the retired channels that are none of *owed*, or want no ends."""
        kept = [
            (channel, number)
            for channel, number in self.retired
            for one in self._channel(channel, number, file)
            if one.send_resolved and one.id in owed
        ]
        return self._replace(retired=kept)

    def integrations(self, file: Setup) -> Iterator[Integration]:
        """The retired channels."""
        for channel, number in self.retired:
            yield from self._channel(channel, number, file)

    def _channel(self, channel: Any, number: int, file: Setup) -> Sequence[Integration]:
        try:
            _, receiver, _ = routing_rules.from_document(
                self.id, {"channels": [channel]}, file, [number]
            )
        except Refused as refused:
            # As where a route's file lost what it names.
            told = {"route": self.id, "why": refused.detail}
            log.warning("a channel that is owed an end cannot be read", extra=told)
            return ()
        return receiver.integrations


def read(kept: RouteKept) -> Stored:
    """What *kept* holds; a route that was never edited has the numbers of its channels' places."""
    document = msgspec.json.decode(kept.document)
    numbers = document.pop(NUMBERS, None)
    retired = [(channel, number) for channel, number in document.pop(RETIRED, ())]
    if numbers is None:
        numbers = channel_numbers.first(document)
    return Stored(kept.id, document, numbers, retired)


def _kind(channel: Any) -> str:
    return channel_numbers.TYPES.get(str(channel.get("type")), "")
