"""Posts of identities that nobody knew, taken together: with the same outcome as one by one, in a
quarter of the time."""

from collections.abc import Sequence

from heliograph.alert.engine import beginning
from heliograph.alert.engine.state import State
from heliograph.alert.model import Alert, Enriched, Post
from heliograph.kernels import alert_columns


def are_new(state: State, fingerprints: Sequence[str]) -> bool:
    """Whether `take` may take posts of *fingerprints*: all are new, and there is room for them."""
    limits, count, different = state.limits, len(fingerprints), frozenset(fingerprints)
    return (
        len(different) == count
        and state.book.firing + count <= limits.alerts
        and len(state.groups) + count * limits.groups_per_alert <= limits.groups
        and state.book.is_new(different)
    )


def take(
    state: State,
    posts: Sequence[Post],
    enriched: Sequence[Enriched],
    saids: Sequence[int],
    now_ns: int,
) -> list[Alert] | None:
    """The alerts that begin with *posts*, which `are_new`, each with what is known of it and its
    `said_of`. None, and nothing is changed: not all of them fire."""
    alerts: list[Alert] | None = alert_columns.begun(posts, enriched, now_ns, Alert)
    if alerts is None:
        return None
    ids = frozenset([alert.id for alert in alerts])
    if len(ids) < len(alerts) or not state.book.is_free(ids):
        return None
    beginning.begin(state, alerts, saids, beginning.places(state, alerts), now_ns)
    return alerts
