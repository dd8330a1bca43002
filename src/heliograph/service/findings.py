"""Findings that come of many lines, as the applier makes them: joined in memory, kept in state with
its cursor, so that a replay gives the same records.

    findings.begin(seq)                    of the same frame again: from what was before it
    findings.wants(line)                   mostly not; then nothing more is done
    findings.line(…), findings.row(…)      what they come to
    findings.end(arrival_ns)               what the end of the frame completes
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from heliograph.core.record import record_id
from heliograph.core.training import TrainingRow
from heliograph.receive.lines import Line, source
from heliograph.store.state import findings as store
from heliograph.store.state.findings import Row
from heliograph.training import clean
from heliograph.training.findings.block import Block
from heliograph.training.findings.blocks import START, Blocks, Taken
from heliograph.training.findings.event import Event
from heliograph.training.findings.repeats import Repeat, Repeats
from heliograph.training.findings.watch import Scale, Stream, Watch

BLOCK, SCALE, REPEAT = "block", "scale", "repeat"
Name = tuple[str, str]

_BLOCKS = msgspec.msgpack.Decoder(Block)
_SCALES = msgspec.msgpack.Decoder(Scale)
_REPEATS = msgspec.msgpack.Decoder(Repeat)
_ENCODER = msgspec.msgpack.Encoder()


class Changes(NamedTuple):
    """What the table must learn."""

    put: Sequence[Row]
    gone: Sequence[Name]

    def write(self, tx: Connection) -> None:
        """Make the table so."""
        if self.put:
            store.put(tx, self.put)
        if self.gone:
            store.delete(tx, self.gone)


class Findings:
    """Open blocks, watched loss scales, and what repeats. For the applier's thread.

    unread   rows of the table that no version of today can read; they are forgotten
    """

    def __init__(self, stored: Iterable[Row] = ()) -> None:
        self.unread = 0
        self._n = 0
        self._broken: list[Name] = []
        blocks: list[Block] = []
        scales: list[Scale] = []
        repeats: list[Repeat] = []
        for row in stored:
            self._n = max(self._n, row.n)
            self._take(row, blocks, scales, repeats)
        self._blocks, self._watch = Blocks(blocks), Watch(scales)
        self._repeats = Repeats(repeats)
        self._stored = {_of_block(one): one for one in blocks}

    def given_up(self) -> dict[str, int]:
        """What had to go since the last time, by why; mostly nothing: `too_many_blocks` were ended
        early or can be followed no more, `too_many_streams` lost their loss scale, `unread` could not
        be read; `repeated` were left out, for they say again what was told, and of `too_many_repeats`
        that was forgotten."""
        blocks, streams, repeats = self._blocks.counts, self._watch.counts, self._repeats.counts
        if not (blocks or streams or repeats or self.unread):
            return {}
        found = {
            "too_many_blocks": blocks.pop("evicted", 0),
            "too_many_streams": streams.pop("evicted", 0),
            "unread": self.unread,
            "repeated": repeats.pop("repeated", 0),
            "too_many_repeats": repeats.pop("evicted", 0),
        }
        self.unread = 0
        return {why: count for why, count in found.items() if count}

    def begin(self, seq: int) -> None:
        """The lines of the frame *seq* follow."""
        self._blocks.begin(seq)
        self._watch.begin(seq)
        self._repeats.begin(seq)

    def wants(self, line: Line) -> bool:
        """Whether *line* may belong to a block."""
        if not len(self._blocks):
            return START in line.text
        return self._blocks.wants(source(line), line.text)

    def idle(self, texts: bytes) -> bool:
        """Whether none of the lines *texts* may belong to a block; after `begin`."""
        return self._blocks.idle(texts)

    def line(self, line: Line, pod_uid: str, finding: str, arrival_ns: int) -> Taken:
        """Take *line*, of which *finding* is the event it tells by itself, or ""."""
        return self._blocks.line(
            source(line),
            clean.uncolored(line.text),
            line.text,
            pod_uid=pod_uid,
            at_ns=line.at_ns,
            arrival_ns=arrival_ns,
            finding=finding,
        )

    @property
    def scales(self) -> dict[Stream, Scale]:
        """What is known of loss scales; after `begin`. A row that has the same tells nothing."""
        return self._watch.known

    def row(self, row: TrainingRow) -> Event | None:
        """What *row* tells together with those before it."""
        if "loss_scale" not in row.fields:
            return None
        return self._watch.row((row.pod_uid, row.rank_group), row.fields)

    def tells(self, speaker: str, event: Event, at_ns: int) -> bool:
        """Whether *event* is a record, or says again what *speaker* has said; after `begin`."""
        return self._repeats.tells(speaker, event, at_ns)

    def end(self, arrival_ns: int) -> Sequence[Block]:
        """The blocks that the end of a frame completes."""
        return self._blocks.end(arrival_ns)

    def changes(self) -> Changes:
        """What state does not know yet."""
        put: list[Row] = []
        blocks = self._now()
        for name, block in blocks.items():
            if self._stored.get(name) != block:
                put.append(self._row_of(name, block))
        gone = [name for name in self._stored if name not in blocks]
        for kind, known in ((SCALE, self._watch), (REPEAT, self._repeats)):
            for subject in sorted(known.touched):
                one, name = known.get(subject), (kind, record_id(*subject))
                if one is None:
                    gone.append(name)
                else:
                    put.append(self._row_of(name, one))
        return Changes(put, [*gone, *self._broken])

    def settle(self) -> None:
        """State knows everything now."""
        self._stored, self._broken = self._now(), []
        self._watch.touched.clear()
        self._repeats.touched.clear()

    def _now(self) -> dict[Name, Block]:
        return {_of_block(one): one for one in self._blocks.held()}

    def _row_of(self, name: Name, one: Block | Scale | Repeat) -> Row:
        self._n += 1
        return Row(*name, self._n, _ENCODER.encode(one))

    def _take(
        self, row: Row, blocks: list[Block], scales: list[Scale], repeats: list[Repeat]
    ) -> None:
        try:
            if row.kind == BLOCK:
                blocks.append(_BLOCKS.decode(row.state))
            elif row.kind == REPEAT:
                repeats.append(_REPEATS.decode(row.state))
            else:
                scales.append(_SCALES.decode(row.state))
        except msgspec.DecodeError:
            self.unread += 1
            self._broken.append((row.kind, row.name))


def _of_block(block: Block) -> Name:
    return BLOCK, record_id(*block.source, block.prefix)
