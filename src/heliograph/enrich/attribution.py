"""Attribution for the service: the present directory, answers kept while it stays, counters."""

import threading
from collections.abc import Mapping
from typing import NamedTuple

from heliograph.core.labels import Labels
from heliograph.enrich import identity
from heliograph.enrich.attribute import BY, REASONS, Span, attribute_identity
from heliograph.enrich.identity import Identity
from heliograph.workloads.directory import Directory

# Series whose spans are kept at once; a full cache starts afresh, and counts it.
SERIES_MAX = 500_000


class _View(NamedTuple):
    """One directory and what was asked of it. Swapped whole, so that no answer outlives it."""

    directory: Directory
    by_series: dict[int, tuple[Span, ...]]
    # The thousand metrics of one GPU say the same of node, device and pod.
    by_identity: dict[Identity, tuple[Span, ...]]


class Attribution:
    """Spans of series under the present directory. Thread-safe.

    attributed     samples counted, by what decided: device, pod_uid, name
    unattributed   samples counted, by reason
    cache_resets   how often the cache was full
    """

    def __init__(self, directory: Directory) -> None:
        self._view = _View(directory, {}, {})
        self._lock = threading.Lock()
        self._attributed = dict.fromkeys(BY, 0)
        self._unattributed = dict.fromkeys(REASONS, 0)
        self.cache_resets = 0

    @property
    def directory(self) -> Directory:
        """The present directory."""
        return self._view.directory

    def swap(self, directory: Directory) -> None:
        """Make *directory* the present one; answers in flight are of the one before."""
        self._view = _View(directory, {}, {})

    def spans(self, series: int, labels: Labels) -> tuple[Span, ...]:
        """The spans of *series*, an id that always means *labels*."""
        view = self._view
        found = view.by_series.get(series)
        if found is None:
            found = self._identified(view, labels)
            if len(view.by_series) >= SERIES_MAX:
                view.by_series.clear()
                self.cache_resets += 1
            view.by_series[series] = found
        return found

    def spans_of(self, labels: Labels) -> tuple[Span, ...]:
        """The spans of *labels*, for a series without an id."""
        return self._identified(self._view, labels)

    def count(self, span: Span, samples: int = 1) -> None:
        """Count *samples* that *span* decided over."""
        with self._lock:
            if span.by is not None:
                self._attributed[span.by] += samples
            elif span.reason is not None:
                self._unattributed[span.reason] += samples

    @property
    def attributed(self) -> Mapping[str, int]:
        """Samples so far by what decided."""
        with self._lock:
            return dict(self._attributed)

    @property
    def unattributed(self) -> Mapping[str, int]:
        """Samples so far by reason."""
        with self._lock:
            return dict(self._unattributed)

    def _identified(self, view: _View, labels: Labels) -> tuple[Span, ...]:
        who = identity.of(labels)
        found = view.by_identity.get(who)
        if found is None:
            found = attribute_identity(who, view.directory)
            if len(view.by_identity) >= SERIES_MAX:
                view.by_identity.clear()
                self.cache_resets += 1
            view.by_identity[who] = found
        return found
