"""The flight recorder: bounded in memory and on disk, whole or not at all, and no secret in it."""

import json

import pytest

from heliograph.projection import memory_flight
from heliograph.projection.memory_flight import Bounds, FlightRecorder, is_oom


def recorder(folder, **bounds):
    return FlightRecorder(folder, Bounds(**bounds))


def test_a_dump_is_all_that_is_known(tmp_path):
    flight = recorder(tmp_path / "dumps", events=3)
    for number in range(5):
        flight.add({"number": number, "odd": {1, 2} if number == 4 else None})
    environ = {"RANK": "3", "AWS_SECRET_ACCESS_KEY": "hidden", "HELIOGRAPH_TOKEN": "hidden"}

    place = flight.dump({"reason": "CUDA out of memory", "devices": {}}, environ, 17)

    assert place.parent == tmp_path / "dumps"
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest == {
        "format": "heliograph.memory_dump", "schema_version": 1, "at_ns": 17, "pid": manifest["pid"],
        "events": 3, "events_seen": 5, "reason": "CUDA out of memory",
        "files": ["environment.json", "events.jsonl", "manifest.json", "metadata.json"],
    }  # fmt: skip
    lines = (place / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [2, 3, 4]
    told = json.loads((place / "environment.json").read_text())
    assert told["variables"] == {"RANK": "3"}
    assert "hidden" not in "".join(path.read_text() for path in place.iterdir())
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_the_oldest_dumps_go_whoever_wrote_them(tmp_path):
    places = [recorder(tmp_path, dumps=2).dump({}, {}, at_ns) for at_ns in (1, 2, 3)]

    assert sorted(path.name for path in tmp_path.iterdir()) == [one.name for one in places[1:]]


def test_other_peoples_files_stay(tmp_path):
    (tmp_path / "oom-notes").mkdir()
    (tmp_path / "model.pt").touch()

    recorder(tmp_path, dumps=1).dump({}, {}, 1)
    recorder(tmp_path, dumps=1).dump({}, {}, 2)

    assert len(list(tmp_path.iterdir())) == 3


def test_of_one_dump_the_oldest_events_go(tmp_path):
    flight = recorder(tmp_path, dumps=1, bytes=4000)
    for number in range(200):
        flight.add({"number": number, "text": "x" * 80})

    place = flight.dump({}, {}, 1)

    lines = (place / "events.jsonl").read_text().splitlines()
    numbers = [json.loads(line)["number"] for line in lines]
    assert numbers == list(range(200 - len(numbers), 200))
    assert 20 < len(numbers) < 50
    assert (place / "events.jsonl").stat().st_size < 4000


def test_bytes_bound_all_dumps_together(tmp_path):
    for at_ns in range(4):
        flight = recorder(tmp_path, dumps=4, bytes=12_000)
        for _ in range(50):
            flight.add({"text": "x" * 80})
        flight.dump({}, {}, at_ns)

    sizes = sum(path.stat().st_size for path in tmp_path.rglob("*.*"))
    assert sizes < 16_000
    assert len(list(tmp_path.iterdir())) < 4


def test_a_dump_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(memory_flight, "environment", full)

    with pytest.raises(OSError, match="No space"):
        recorder(tmp_path / "dumps").dump({}, {}, 1)
    assert list((tmp_path / "dumps").iterdir()) == []


def test_no_folder_no_dump():
    assert recorder(None).dump({}, {}, 1) is None


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OutOfMemoryError("no"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("HIP out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (ValueError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("shape mismatch"), False),
        (KeyboardInterrupt("out of memory"), False),
    ],
)
def test_an_end_of_memory_is_told_by_class_or_words(error, expected):
    assert is_oom(error) is expected
