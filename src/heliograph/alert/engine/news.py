"""Posts of identities that nobody knew, taken together: with the same outcome as one by one, in a
quarter of the time."""

from collections.abc import Callable, Sequence

from heliograph.alert.engine import beginning
from heliograph.alert.engine.state import State
from heliograph.alert.model import Alert, Enriched, Post
from heliograph.kernels import alert_columns


def take(
    state: State,
    posts: Sequence[Post],
    enrich: Callable[[Sequence[Post]], Sequence[Enriched]],
    saids: Sequence[int],
    now_ns: int,
) -> list[Alert] | None:
    """The alerts that begin with *posts*, each with what *enrich* knows of it and its `said_of`. None,
    and nothing is changed: not all of them are new, or fire, or there is no room."""
    if not _are_new(state, [post.fingerprint for post in posts]):
        return None
    alerts: list[Alert] | None = alert_columns.begun(posts, enrich(posts), now_ns, Alert)
    if alerts is None:
        return None
    ids = frozenset([alert.id for alert in alerts])
    if len(ids) < len(alerts) or not state.book.is_free(ids):
        return None
    beginning.begin(state, alerts, saids, beginning.places(state, alerts), now_ns)
    return alerts


def _are_new(state: State, fingerprints: Sequence[str]) -> bool:
    """Whether *fingerprints* are new and different, with room for all."""
    limits, count, different = state.limits, len(fingerprints), frozenset(fingerprints)
    return (
        len(different) == count
        and state.book.firing + count <= limits.alerts
        and len(state.groups) + count * limits.groups_per_alert <= limits.groups
        and state.book.is_new(different)
    )
