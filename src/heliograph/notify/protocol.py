"""The contract of a channel, and the limits that all of them keep.

channels = open_channels(Guard(allow), clock, templates, Limits())
delivery = channels[integration.kind].deliver(message, integration)
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from heliograph.alert.model import Delivery, Integration, Message


class Limits(Struct, frozen=True):
    """Bounds of one attempt, whatever the channel.

    deadline_s           of one HTTP request with its answer, from the name's resolution on
    mail_deadline_s      of one conversation with a mail server
    answer_bytes_max     of an answer; what is beyond is not read
    parts_max            provider messages for one message; the rest is counted in the last
    retry_after_s_max    what a provider may ask for
    """

    deadline_s: float = 10.0
    mail_deadline_s: float = 30.0
    answer_bytes_max: int = 64 * 1024
    parts_max: int = 4
    retry_after_s_max: float = 3600.0


class Channel(Protocol):
    """One way to tell people. Thread-safe.

    together_max      messages that `deliver_together` makes one of; 1: none
    together_from     so many must wait for one integration before a digest is better than each by
                      itself: what the rate carries in a quarter of a minute
    """

    together_max: int
    together_from: int

    def deliver(self, message: Message, integration: Integration) -> Delivery:
        """One attempt, blocking; never raises for trouble with the provider."""
        ...

    def deliver_together(
        self, messages: Sequence[Message], integration: Integration
    ) -> tuple[Delivery, ...]:
        """What came of each of *messages* (at most `together_max`), told as one digest."""
        ...

    def wait_s(self, integration: Integration, *, urgent: bool) -> float:
        """How long the provider's rate asks the next message to wait; 0 when it may go now.

        *urgent*: it has a critical alert, for which the last of the budget is kept.
        """
        ...


@runtime_checkable
class Paced(Protocol):
    """A channel whose provider counts messages also while we are away."""

    def recall(self, integration: Integration, answer: str | None, ago_s: float) -> None:
        """An attempt of before this start ended *ago_s* ago with *answer*, as the ledger has it; None:
        nobody knows how."""
        ...
