"""What an alert is, apart from what changes with every repeat: packed, and a number for its words.

cold.unpack(cold.packed(alert)).labels == alert.labels
"""

from collections.abc import Sequence

from msgspec import Struct, msgpack, structs

from heliograph.alert.matching import seen
from heliograph.alert.model import NOBODY, Alert, Context, Post
from heliograph.core.labels import Labels
from heliograph.kernels import alert_columns


class Cold(Struct, frozen=True, array_like=True, gc=False):
    """What an alert is. *about* are the values of its context, () for nobody's."""

    source: str
    labels: Labels
    annotations: Labels
    severity: str = ""
    generator_url: str = ""
    about: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()

    @property
    def context(self) -> Context:
        """Whose it is."""
        return Context(*self.about) if self.about else NOBODY


_pack = msgpack.Encoder().encode
unpack = msgpack.Decoder(Cold).decode


def packed(alert: Alert) -> bytes:
    """What *alert* is, for `unpack`."""
    about = () if alert.context is NOBODY else _about(alert.context)
    return _pack(
        Cold(
            alert.source,
            alert.labels,
            alert.annotations,
            alert.severity,
            alert.generator_url,
            about,
            alert.entities,
        )
    )


def packed_all(alerts: Sequence[Alert]) -> list[bytes]:
    """`packed` of each."""
    return alert_columns.packed(alerts, packed)


def said_of(alert: Alert | Post) -> int:
    """A number that stands for the words of an alert, in this process alone."""
    return hash((alert.annotations, alert.severity, alert.generator_url))


def seen_of(alert: Cold | Alert) -> dict[str, str]:
    """What matchers see of *alert*."""
    values = seen(alert.labels, alert.context, alert.source)
    if alert.severity:
        values.setdefault("severity", alert.severity)
    return values


def _about(context: Context) -> tuple[str, ...]:
    about = structs.astuple(context)
    return about if any(about) else ()
