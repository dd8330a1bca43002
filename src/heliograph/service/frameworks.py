"""Which framework a workload trains with: keeps what sources said, and merges it when it is asked for.

The words are state; what lines show is not kept a second time, for the training rows have it. So
the answer is the same before and after a restart.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.service.meters import Meters
from heliograph.service.trainings import Present
from heliograph.store.state import frameworks
from heliograph.store.state.frameworks import Said
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.training.detection import layers, marks, merging
from heliograph.training.detection.evidence import Detection, of_evidence
from heliograph.training.detection.layers import Stack
from heliograph.training.detection.merging import Merged, Source

LOG_CONFIDENCE = 0.7
LOG_METHOD = "log_lines"


class Frameworks:
    """*present* gives where a workload stands, or None. Thread-safe."""

    def __init__(
        self, state: State, meters: Meters, *, present: Callable[[str], Present | None]
    ) -> None:
        self._state = state
        self._meters = meters
        self._present = present

    def take(
        self,
        workload_uid: str,
        source: str,
        at_ns: int,
        evidence: Mapping[str, Any],
        hints: Mapping[str, Any],
        rest: Mapping[str, Any],
    ) -> Merged:
        """Keep what *source* said of *workload_uid*; what all of them come to, on disk.

        *rest* is kept beside it. Evidence that shows no framework is kept too: it tells of hardware
        and software. Raises Refused when it is too large.
        """
        source = source if source in merging.PRIORITY else "wandb"
        found = of_evidence(evidence, hints)
        image = evidence.get("image")
        words = [(source, found, {"evidence": evidence, "hints": hints, "rest": rest})]
        if isinstance(image, str) and (shown := marks.of_image(image)) is not None:
            words.append(("image", shown, {"evidence": {"image": image}}))
        said = [Said(name, at_ns, {**_document(one), **more}) for name, one, more in words]

        def put(tx: Connection) -> None:
            for word in said:
                frameworks.put(tx, workload_uid, word)

        try:
            self._state.run(put, lane=Lane.CONTROL)
        except Refused as refused:
            self._meters.framework_detection_errors.add(1, source, refused.code)
            raise
        self._count(words)
        return self.merged(workload_uid)

    def merged(self, workload_uid: str) -> Merged:
        """What all that is known comes to."""
        words = self._state.read(lambda tx: frameworks.of(tx, workload_uid))
        return merging.merged([*map(_source, words), *self._lines(workload_uid)])

    def document(self, workload_uid: str) -> dict[str, Any]:
        """`merged` as an answer shows it."""
        return document(self.merged(workload_uid))

    def _lines(self, workload_uid: str) -> Sequence[Source]:
        present = self._present(workload_uid)
        if present is None:
            return ()
        stack = layers.of_lines(present.row.framework)
        return [Source("log", stack, LOG_CONFIDENCE, LOG_METHOD, present.row.at_ns)]

    def _count(self, words: Sequence[tuple[str, Detection | None, Any]]) -> None:
        for source, found, _ in words:
            if found is None:
                self._meters.framework_detection_errors.add(1, source, "no_framework")
                continue
            name = found.stack.framework
            self._meters.framework_detections.add(1, name, found.method, source)
            self._meters.framework_confidence.observe(found.confidence, name, found.method)


def document(merged: Merged) -> dict[str, Any]:
    """*merged* for an answer."""
    return {
        "framework": merged.stack.framework or None,
        "frameworks": list(merged.stack.frameworks),
        "wrapper": merged.stack.wrapper or None,
        "base": merged.stack.base or None,
        "confidence": merged.confidence,
        "status": merged.status,
        "sources": [_shown(one) for one in merged.sources],
        "conflicts": [
            {
                "layer": one.layer,
                "winner": _shown(one.winner),
                "loser": _shown(one.loser),
                "reason": one.reason,
            }
            for one in merged.conflicts
        ],
    }


def _shown(one: Source) -> dict[str, Any]:
    return {
        "source": one.source,
        "framework": one.stack.framework,
        "wrapper": one.stack.wrapper or None,
        "base": one.stack.base or None,
        "confidence": one.confidence,
        "method": one.method,
        "at": instant.text_of(one.at_ns),
    }


def _document(found: Detection | None) -> dict[str, Any]:
    if found is None:
        return {"wrapper": "", "base": "", "confidence": 0.0, "method": "none"}
    return {**found.stack._asdict(), "confidence": found.confidence, "method": found.method}


def _source(word: Said) -> Source:
    said = word.said
    stack = Stack(said["wrapper"], said["base"])
    return Source(word.source, stack, said["confidence"], said["method"], word.at_ns)
