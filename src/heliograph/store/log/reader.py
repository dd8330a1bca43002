"""A consumer's own place in the log.

    reader = log.reader(after=cursor)
    for frame in reader.read(bytes_max=8 << 20): …      # oldest first, each once

Reads from memory where it reaches back far enough, else from disk, going on where it stopped.
"""

import contextlib
import os
from typing import NamedTuple

from heliograph.core.errors import Unavailable
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.store.log import columns
from heliograph.store.log.catalogue import Catalogue, Extent, Frame
from heliograph.store.log.disk import Disk
from heliograph.store.log.file import LogFile, Spot
from heliograph.store.log.frame import FILE_HEADER_BYTES, Counts, Kind
from heliograph.store.log.scan import Damaged, Whole, Window, scan
from heliograph.store.log.translation import Translation


class _Place:
    """An open file, and how far it has been read."""

    def __init__(self, disk: Disk, file: LogFile, stop: int, table: SeriesTable) -> None:
        self.file = file
        self.fd = _open(file.path)
        self.window = Window(disk, self.fd, stop)
        self.spot = Spot(FILE_HEADER_BYTES, file.first_seq - 1, None)
        self.translation = Translation(table)
        self.searched = False
        self.sidecar_damage = self._learn_sidecar(disk)

    def seek(self, after: int, nearest: Spot) -> None:
        """Stand behind the last frame ≤ *after*, so that what is damaged next is still met."""
        self.spot = nearest
        steps = scan(self.window, nearest.offset, self.file.file_id, verify=False)
        for step in steps:
            if isinstance(step, Whole):
                if step.header.seq > after:
                    break
                self.spot = Spot(step.end, step.header.seq, step.header.after)

    def learn_all(self) -> None:
        """Learn the definitions in all frames before this place, where the sidecar lacked some."""
        self.searched = True
        stop, self.window.stop = self.window.stop, self.spot.offset
        for step in scan(self.window, FILE_HEADER_BYTES, self.file.file_id):
            if isinstance(step, Whole) and step.header.kind == Kind.SAMPLES:
                self.translation.learn(
                    columns.definitions_of(step.payload, step.header.entries)
                )
        self.window.stop = stop

    def _learn_sidecar(self, disk: Disk) -> list[Damaged]:
        """Learn what the sidecar defines; its damaged ranges, but for a torn end."""
        fd = _open(self.file.sidecar)
        if fd < 0:
            return []
        damaged = []
        try:
            window = Window(disk, fd, os.fstat(fd).st_size)
            for step in scan(window, FILE_HEADER_BYTES, self.file.file_id):
                if isinstance(step, Damaged):
                    damaged.append(step)
                elif step.header.kind == Kind.SERIES:
                    self.translation.learn(columns.decode_definitions(step.payload))
            return [d for d in damaged if d.end < window.stop]
        finally:
            os.close(fd)

    def close(self) -> None:
        """Give the descriptor back."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


class _Gap(NamedTuple):
    start: int
    end: int


class Reader:
    """Hands out each committed frame after *after* once, in order. For one thread at a time.

    position   sequence of the last frame handed out, or passed over as lost
    """

    def __init__(self, catalogue: Catalogue, table: SeriesTable, after: int) -> None:
        self.position = after
        self._catalogue = catalogue
        self._table = table
        self._place: _Place | None = None

    def read(self, *, bytes_max: int) -> list[Frame]:
        """The next frames, of at most *bytes_max* payload but at least one if there is one; []
        when all that is committed has been read. Raises Unavailable when a file cannot be opened
        or read for want of a resource; the place is kept."""
        while True:
            frames = self._catalogue.recent(self.position, bytes_max)
            if frames is None:
                extent = self._catalogue.extent(self.position)
                if extent is None:
                    # Trimmed past us: what follows is still to come.
                    self.position = max(self.position, self._catalogue.end)
                    continue
                try:
                    frames = self._read_file(extent, bytes_max)
                except OSError as error:
                    self.close()
                    raise Unavailable(
                        f"the log cannot be read: {error.strerror}", code="log_unreadable"
                    ) from error
                if not frames:
                    continue
            if frames:
                self.position = frames[-1].seq
            return frames

    def close(self) -> None:
        """Close what is open; reading again opens it again."""
        if self._place is not None:
            self._place.close()
            self._place = None

    def _read_file(self, extent: Extent, bytes_max: int) -> list[Frame]:
        """Frames of one file; when there are none left in it, `position` moves to its end."""
        place = self._at(extent)
        frames: list[Frame] = []
        gap: _Gap | None = None
        for step in scan(place.window, place.spot.offset, place.file.file_id):
            frame = None if isinstance(step, Damaged) else self._decode(place, step)
            if isinstance(step, Damaged) or frame is None:
                gap = _Gap(gap.start if gap else step[0], step[1])
                continue
            if frame.seq > extent.last_seq:
                break  # refused at its commit, and left behind by a disk that would not forget
            if frames and bytes_max < len(frame.payload):
                return self._hand_out(frames)
            self._report(place, step, gap)
            gap = None
            place.spot = Spot(step.end, frame.seq, step.header.after)
            if frame.seq > self.position:
                frames.append(frame)
                bytes_max -= len(frame.payload)
        if place.spot.seq < extent.last_seq:
            self._report_end(place, extent, gap)
        if not frames:
            self.position = max(self.position, extent.last_seq)
            self.close()
        return self._hand_out(frames)

    def _hand_out(self, frames: list[Frame]) -> list[Frame]:
        with self._catalogue.changed:
            self._catalogue.tally.frames_from_disk += len(frames)
        return frames

    def _at(self, extent: Extent) -> _Place:
        place = self._place
        if place is not None and place.file is extent.file and place.spot.seq == self.position:
            place.window.stop = extent.stop
            return place
        self.close()
        place = _Place(self._catalogue.disk, extent.file, extent.stop, self._table)
        self._place = place
        if place.sidecar_damage:
            self._catalogue.report_sidecar(extent.file, place.sidecar_damage[0])
        with self._catalogue.changed:
            nearest = extent.file.nearest(self.position)
        place.seek(self.position, nearest)
        return place

    def _decode(self, place: _Place, step: Whole) -> Frame | None:
        header, payload = step.header, step.payload
        samples = None
        if header.kind == Kind.SAMPLES:
            try:
                batch = columns.decode(payload, header.entries)
                place.translation.learn(columns.definitions_of(payload, header.entries))
            except ValueError:
                return None
            known = place.translation.known(batch.series)
            if not known.all() and not place.searched:
                place.learn_all()
                known = place.translation.known(batch.series)
            if not known.all():
                self._catalogue.report_undefined(place.file, header.seq, int((~known).sum()))
                batch = SampleBatch(batch.series[known], batch.at_ns[known], batch.value[known])
            samples = batch._replace(series=place.translation.ids(batch.series))
        return Frame(
            header.seq, header.kind, header.entries, header.arrival_ns, payload, samples
        )

    def _report(self, place: _Place, step: Whole, gap: _Gap | None) -> None:
        missing = step.header.seq - place.spot.seq - 1
        if gap is None and missing <= 0:
            return
        before = place.spot.before
        lost = step.header.before.since(before) if before is not None else Counts()
        start, end = gap or (step.offset, step.offset)
        self._catalogue.report_damage(place.file, start, end, frames=missing, lost=lost)

    def _report_end(self, place: _Place, extent: Extent, gap: _Gap | None) -> None:
        lost = Counts()
        if extent.after is not None and place.spot.before is not None:
            lost = extent.after.since(place.spot.before)
        start, end = gap or (extent.stop, extent.stop)
        missing = extent.last_seq - place.spot.seq
        self._catalogue.report_damage(place.file, start, end, frames=missing, lost=lost)


def _open(path: os.PathLike[str]) -> int:
    """A descriptor to read *path*; -1 when it is gone, which is damage like any other."""
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return -1
