"""Attribution for the service: the present directory, and answers kept while it stays."""

from typing import NamedTuple

from heliograph.core.labels import Labels
from heliograph.enrich import identity
from heliograph.enrich.attribute import Span, attribute_identity
from heliograph.enrich.identity import Identity
from heliograph.workloads.directory import Directory

# Identities whose spans are kept at once; a full cache starts afresh.
IDENTITIES_MAX = 500_000


class _View(NamedTuple):
    """One directory and what was asked of it. Swapped whole, so that no answer outlives it."""

    directory: Directory
    # The thousand metrics of one GPU say the same of node, device and pod.
    by_identity: dict[Identity, tuple[Span, ...]]


class Attribution:
    """Spans of series under the present directory. Thread-safe."""

    def __init__(self, directory: Directory) -> None:
        self._view = _View(directory, {})

    @property
    def directory(self) -> Directory:
        """The present directory."""
        return self._view.directory

    def swap(self, directory: Directory) -> None:
        """Make *directory* the present one; answers in flight are of the one before."""
        self._view = _View(directory, {})

    def spans_of(self, labels: Labels) -> tuple[Span, ...]:
        """The spans of a series of *labels*."""
        return self.spans_of_identity(identity.of(labels))

    def spans_of_identity(self, who: Identity) -> tuple[Span, ...]:
        """The spans of every series whose labels say *who*."""
        view = self._view
        found = view.by_identity.get(who)
        if found is None:
            found = attribute_identity(who, view.directory)
            if len(view.by_identity) >= IDENTITIES_MAX:
                view.by_identity.clear()
            view.by_identity[who] = found
        return found
