"""The silences of the engine: the rows that a store keeps, and the index of what they hold back.

held = Silences()
held.put(silence)      held.silencer.silenced_by(seen, now_ns) == (silence.id,)
held.abort()           as before the put, both
"""

from collections.abc import Iterable

from heliograph.alert.engine.rows import Rows
from heliograph.alert.model import Silence
from heliograph.alert.silences import Silencer


class Silences:
    """By id, expired ones as long as they are listed. *silencer* is for asking alone."""

    def __init__(self) -> None:
        self._rows: Rows[str, Silence] = Rows()
        self.silencer = Silencer()

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, silence_id: str) -> Silence | None:
        """The silence of *silence_id*, or None."""
        return self._rows.get(silence_id)

    def values(self) -> Iterable[Silence]:
        """Every silence."""
        return self._rows.values()

    def put(self, silence: Silence) -> None:
        """Have *silence*, new or instead of the one of its id."""
        self._rows.put(silence.id, silence)
        self.silencer.put(silence)

    def drop(self, silence_id: str) -> None:
        """Have no silence of *silence_id*."""
        self._rows.drop(silence_id)
        self.silencer.remove(silence_id)

    def written(self) -> list[Silence]:
        """Those that are not what they were at the last commit."""
        return self._rows.written()

    def commit(self) -> None:
        """What there is, is stored."""
        self._rows.commit()

    def abort(self) -> None:
        """Put back what there was at the last commit."""
        touched = self._rows.touched()
        self._rows.abort()
        for silence_id in touched:
            silence = self._rows.get(silence_id)
            if silence is None:
                self.silencer.remove(silence_id)
            else:
                self.silencer.put(silence)
