"""The placement file: read when it changes, and its last good state kept when it cannot be."""

import os

import pytest

from heliograph.core.errors import Refused
from heliograph.core.placement import Placements
from heliograph.workloads.sources import PlacementFile, Polled

GOOD = Placements()


def decode(body):
    if body == b"bad":
        raise Refused("pods: not this", field="pods")
    return GOOD


@pytest.fixture
def path(tmp_path):
    return tmp_path / "placements.yaml"


def test_the_file_is_read_once_and_again_when_it_changes(path):
    path.write_text("one")
    source = PlacementFile(path, decode)

    assert source.poll() == Polled(GOOD, None)
    assert source.poll() == Polled(None, None)

    other = path.with_name("other")
    other.write_text("two")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    # Same size, same time: another inode.
    assert source.poll() == Polled(GOOD, None)


def test_a_missing_file_is_an_error_until_it_is_there(path):
    source = PlacementFile(path, decode)

    assert source.poll() == Polled(None, f"{path}: No such file or directory")
    path.write_text("one")
    assert source.poll() == Polled(GOOD, None)


def test_a_bad_file_is_reported_for_as_long_as_it_is_bad(path):
    path.write_text("bad")
    source = PlacementFile(path, decode)

    for _ in range(2):
        assert source.poll() == Polled(None, f"{path}: pods: not this")
    path.write_text("good")
    assert source.poll() == Polled(GOOD, None)


def test_a_folder_is_an_error(tmp_path):
    polled = PlacementFile(tmp_path, decode).poll()

    assert polled.placements is None
    assert "directory" in polled.error


def test_a_file_too_large_is_not_read(path, monkeypatch):
    monkeypatch.setattr("heliograph.workloads.sources.FILE_BYTES_MAX", 3)
    path.write_text("four")

    assert PlacementFile(path, decode).poll().error == f"{path}: 4 bytes, limit 3"


def test_a_document_that_could_not_be_kept_is_handed_out_again(path):
    path.write_text("one")
    source = PlacementFile(path, decode)
    source.poll()

    source.forget()

    assert source.poll() == Polled(GOOD, None)
