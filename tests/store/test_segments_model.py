"""The segment store against a dict, through random lives with crashes at any file operation."""

import random
import sys
from pathlib import Path

import pytest

from heliograph.store.segments.floors import Retention
from heliograph.store.segments.name import HOUR_NS, MINUTE_NS

sys.path.insert(0, str(Path(__file__).parent))
from segments_model import SPECIAL_BITS, Rig, bits_of, labels_of

TINY = Retention(raw_ns=3 * HOUR_NS, minute_ns=20 * HOUR_NS, hour_ns=60 * HOUR_NS)


class Killed(BaseException):
    """The process is gone: nothing after this reaches the disk."""


class Disk:
    """Lets *left* more changes of the folder through, then none ever again."""

    def __init__(self, monkeypatch):
        self.left = None
        for name in ("rename", "unlink", "touch", "open"):
            monkeypatch.setattr(Path, name, self._guarded(getattr(Path, name), name))

    def _guarded(self, call, name):
        def guarded(path, *args, **kwargs):
            writes = name != "open" or (args and "w" in args[0])
            if self.left is not None and writes:
                self.left -= 1
                if self.left < 0:
                    raise Killed
            return call(path, *args, **kwargs)

        return guarded


def some_samples(rng, rig, now_ns):
    """A frame: mostly new samples, some late, some again with another value, some special."""
    floor_ns = rig.store.raw_floor_ns
    samples = []
    for _ in range(rng.randrange(0, 40)):
        labels = labels_of(rng.randrange(8))
        late_ns = rng.choice([0, 0, 0, HOUR_NS, 10 * HOUR_NS, 30 * HOUR_NS])
        at_ns = now_ns - late_ns - rng.randrange(20 * MINUTE_NS)
        known = [at for at in rig.model[labels] if at >= floor_ns]
        if known and rng.random() < 0.2:
            at_ns = rng.choice(known)
        if at_ns < floor_ns:
            rig.increase_is_law = False
        bits = rng.choice(SPECIAL_BITS) if rng.random() < 0.15 else bits_of(rng.randrange(1000))
        samples.append((labels, at_ns, bits))
    return samples


def live(rng, rig, disk):
    """One step of a random life."""
    match rng.randrange(8):
        case 0 | 1 | 2:
            rig.send(some_samples(rng, rig, rig.clock.now_ns()))
        case 3:
            rig.clock.advance(rng.choice([60, 1800, 5400, 40_000]))
        case 4 | 5:
            rig.seal()
        case 6:
            rig.maintain()
        case 7:
            disk.left = rng.randrange(1, 30)
            try:
                rng.choice([rig.seal, rig.maintain])()
                rig.maintain()
            except Killed:
                pass
            disk.left = None
            (rig.folder / "raw-0.0.7200000000000.1.2.99999.seg.tmp").write_bytes(b"half")
            rig.reopen()


# The last four once found something: a first seal cut short, a sample that was counted twice.
@pytest.mark.parametrize("seed", [*range(8), 168, 224, 362, 398])
def test_a_random_life_answers_as_a_dict_would(seed, tmp_path, clock, monkeypatch):
    rng = random.Random(seed)
    rig = Rig(tmp_path, clock, TINY)
    disk = Disk(monkeypatch)
    for _ in range(70):
        live(rng, rig, disk)
        rig.check()
    rig.seal()
    for _ in range(2):
        rig.maintain()
        rig.check()


@pytest.mark.parametrize("seed", range(4))
def test_a_punctual_life_keeps_the_law_of_increase(seed, tmp_path, clock):
    rng = random.Random(seed)
    rig = Rig(tmp_path, clock, TINY)
    for step in range(60):
        now_ns = clock.now_ns()
        rig.send(
            [
                (labels_of(n), now_ns - n * 10**9, bits_of(rng.randrange(100)))
                for n in range(8)
                for _ in range(2)
            ]
        )
        clock.advance(rng.randrange(60, 4000))
        if step % 3 == 0:
            rig.seal()
            rig.maintain()
        rig.check()
    assert rig.store.stats().files.keys() == {"raw", "1m", "1h"}


def test_cuts_split_rows_where_owners_change(tmp_path, clock):
    start_ns = clock.now_ns()
    changes = [start_ns + 90 * 10**9, start_ns + 7200 * 10**9 + 5]

    def cuts(labels, first_ns, last_ns):
        mine = labels == labels_of(1)
        return [at for at in changes if mine and first_ns < at < last_ns]

    rig = Rig(tmp_path, clock, TINY, cuts)
    for _ in range(40):
        rig.send([(labels_of(n), clock.now_ns() + n, bits_of(5)) for n in range(3)])
        clock.advance(400)
    rig.seal()
    for hours in (3, 9, 12):
        clock.advance(hours * 3600)
        rig.maintain()
        rig.check()
    assert rig.store.stats().files.keys() == {"1h"}


def test_changed_owners_are_cut_again_while_raw_is_there(tmp_path, clock):
    changes = []
    rig = Rig(tmp_path, clock, TINY, lambda _labels, a, b: [c for c in changes if a < c < b])
    start_ns = clock.now_ns()
    for minute in range(60):
        rig.send([(labels_of(0), start_ns + minute * MINUTE_NS, bits_of(minute))])
    rig.seal()
    clock.advance(4.5 * 3600)
    rig.maintain()
    rig.check()
    before = rig.store.stats().counts["files_written"]
    changes.append(start_ns + 30 * MINUTE_NS + 1)
    rig.maintain(dirty=[(start_ns, start_ns + 1)])
    rig.check()
    assert rig.store.stats().counts["files_written"] == before + 2
