"""How messages leave the engine's turns: what `alerting` needs of `deliveries`."""

from collections.abc import Collection
from typing import Protocol, TypeVar

from heliograph.alert.engine.engine import Engine

A_contra = TypeVar("A_contra", contravariant=True)


class Outbound(Protocol[A_contra]):
    """How messages leave: begun in a turn, sent when it is on disk. *A_contra*: who takes turns,
    and is told what came of an attempt."""

    @property
    def full(self) -> Collection[str]:
        """Integrations that have no room for an attempt now."""
        ...

    def begin(self, engine: Engine, now_ns: int) -> None:
        """Take what is due out of the outbox, as far as there is room and rate."""
        ...

    def send(self, alerting: A_contra) -> None:
        """Make the attempts that were begun."""
        ...

    def drop(self) -> None:
        """Forget what was begun: it is not on disk."""
        ...
