"""What the service asks of a record store, whichever it is: `RecordFolder` or `RecordTable`."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from heliograph.core.record import Record
from heliograph.store.records.search import LIMIT_MAX, TOTAL_MAX, Page


class RecordStore(Protocol):
    """Thread-safe. What cannot be done now is Unavailable, what never can be is Refused."""

    counts: Counter[str]

    def append(
        self, records: Sequence[Record], docs: Sequence[bytes | None] = ()
    ) -> list[Record]:
        """Keep *records*, on disk when this returns; those that were not there before. *docs* are what
        `document.packed` made of each, or nothing."""
        ...

    def query(self, **filters: Any) -> Page:
        """One page of the records that match; the filters are those of `search.search`."""
        ...

    def retain(self, *, floor_ns: int, bytes_max: int) -> None:
        """Delete what is older than *floor_ns*, then the oldest above *bytes_max* in all."""
        ...

    def size_bytes(self) -> int:
        """Bytes on disk."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


def query_all(store: RecordStore, **filters: Any) -> list[Record]:
    """All records that match, page by page, at most the TOTAL_MAX newest."""
    found: list[Record] = []
    while len(found) < TOTAL_MAX:
        page = store.query(**filters, offset=len(found), limit=LIMIT_MAX)
        found.extend(page.items)
        if len(page.items) < LIMIT_MAX:
            break
    return found
