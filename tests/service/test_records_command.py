"""`heliograph import` and `heliograph records` against a running service, and of a file alone."""

import contextlib
import gzip
import json
import struct
import subprocess
import sys
import zlib

import click
import pytest
from click.testing import CliRunner

from heliograph.cli import event_files, upload
from heliograph.cli.event_files import EventFile, UnreadableEvents, files_of
from heliograph.cli.import_files import import_files
from heliograph.cli.memory_lines import POINTS, Line, Stream, Thinned, amount, labelled
from heliograph.cli.picture import _INK, COLOURS, drawn
from heliograph.cli.records import records
from heliograph.core.clock import ManualClock
from heliograph.projection.memory import MemoryTracker
from heliograph.projection.memory_devices import Reading, RecordedDevice
from heliograph.ship.shipper import Shipper
from tests.cli.test_client import answering
from tests.service.running import NOW_NS


def event(place, rank=0, **more):
    return {
        "schema_version": 3, "session_id": "s-1", "timestamp_ns": NOW_NS + place * 10**9 + rank,
        "event_type": "sample", "collector": "heliograph.memory.cuda", "sampling_interval_ms": 1000,
        "pid": 1, "host": "h", "job_id": None, "rank": rank, "local_rank": 0, "world_size": 8,
        "device_id": 0, "allocator_allocated_bytes": (place + 1) * 2**20,
        "allocator_reserved_bytes": 2**30, "allocator_active_bytes": None,
        "allocator_inactive_bytes": None, "allocator_change_bytes": 0, "device_used_bytes": 2**30,
        "device_free_bytes": 2**30, "device_total_bytes": 2**31, "context": None, "metadata": {},
        **more,
    }  # fmt: skip


EVENTS = [event(place, rank) for place in range(20) for rank in range(3)]


def jsonl(path, events=EVENTS):
    path.write_text("".join(json.dumps(one) + "\n" for one in events))
    return path


def run(command, *arguments):
    return CliRunner().invoke(command, [str(one) for one in arguments])


def url(site):
    return ("--url", f"http://127.0.0.1:{site.port}")


def test_a_file_is_imported_listed_and_drawn(site, tmp_path):
    path = jsonl(tmp_path / "events.jsonl")

    told = run(import_files, path, *url(site))
    assert told.output == f"{path}: 60 read, 60 taken\n", told.output
    # The same again is the same.
    assert run(import_files, path, *url(site)).exit_code == 0

    listed = run(records, "--limit", 2, *url(site)).output.splitlines()
    assert listed[0].endswith("s-1  rank 2: 20 MiB allocated")
    assert listed[-1] == "2 of 60"
    shown = run(records, "--plot", *url(site)).output
    assert "memory allocated, MiB, since 2026-" in shown
    axis = next(line.split() for line in shown.splitlines() if line.lstrip()[2:3] == ":")
    assert [len(tick) for tick in axis] == [8] * len(axis), axis
    assert "rank 1 cuda:0                     peak 20 MiB, last 20 MiB" in shown
    picture = tmp_path / "out.png"
    assert run(records, "--plot", picture, *url(site)).output == f"{picture}: 3 lines\n"
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "nothing to draw" in run(records, "--session", "none", "--plot", *url(site)).output
    site.assert_sound()


def test_bad_items_are_told_by_their_place_and_field(site, tmp_path, monkeypatch):
    monkeypatch.setattr("heliograph.cli.import_events.BODY_ITEMS_MAX", 2)
    path = jsonl(tmp_path / "events.jsonl", [event(0), event(1), event(2, rank=9), event(3)])

    told = run(import_files, path, *url(site)).output.splitlines()

    assert told[0] == f"{path}: 4 read, 3 taken"
    assert told[1:] == [
        "  1 rejected, the first of them:",
        "  item 2: rank rank must be < world_size",
    ]


def test_skip_goes_on_where_it_was_broken_off(site, tmp_path):
    path = jsonl(tmp_path / "events.jsonl")

    assert "60 read, 10 taken" in run(import_files, path, "--skip", 50, *url(site)).output
    assert len(site.records()) == 10


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "htp://127.0.0.1", "nope", "http://[::1", "http://no.invalid"]
)
def test_an_address_where_nobody_is_ends_the_import_at_once(tmp_path, url):
    path = jsonl(tmp_path / "events.jsonl")

    told = run(import_files, path, "--url", url)

    assert (told.exit_code, told.output.count("waiting:")) == (1, 0), told.output
    assert told.output.startswith(f"Error: {url}: ")
    assert "0 are in; --skip 0 goes on" in told.output


def test_a_service_that_goes_away_is_waited_for_and_then_given_up(monkeypatch):
    monkeypatch.setattr(upload, "SystemClock", ManualClock)
    waits = []
    with contextlib.ExitStack() as server:
        at, _ = server.enter_context(answering(503, b"{}"))

        def waiting(why):
            waits.append(why)
            server.close()

        with (
            upload.Upload(at, waiting=waiting) as to,
            pytest.raises(click.ClickException, match="gave up"),
        ):
            to.post("/v1/records", b"{}", shape=dict)
    assert len(waits) == upload.ATTEMPTS_MAX - 1


def items(path):
    file = EventFile(path)
    try:
        return [json.loads(item) for item in file.items()]
    finally:
        file.close()


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("lines", "\n".join(map(json.dumps, EVENTS)) + "\n"),
        ("lines without a last newline", "\n".join(map(json.dumps, EVENTS))),
        ("lines, the last torn", "\n".join(map(json.dumps, EVENTS)) + '\n{"schema_ver'),
        ("a list", json.dumps(EVENTS)),
        ("an indented list", json.dumps(EVENTS, indent=2)),
        ("a wrapped list", json.dumps({"events": EVENTS})),
        ("an indented wrapped list", json.dumps({"events": EVENTS}, indent=1)),
        (
            "an indented wrapped list with more",
            json.dumps({"a": 1, "events": EVENTS}, indent=1),
        ),
    ],
)
@pytest.mark.parametrize("piece_bytes", [100, 1 << 20])
@pytest.mark.parametrize("packed", [False, True])
def test_the_kinds_of_files(tmp_path, monkeypatch, case, text, piece_bytes, packed):
    monkeypatch.setattr(event_files, "PIECE_BYTES", piece_bytes)
    path = tmp_path / "events"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())

    assert items(path) == EVENTS, case


def test_one_event_alone(tmp_path):
    path = tmp_path / "one.json"
    path.write_text(json.dumps(EVENTS[0], indent=2))

    assert items(path) == EVENTS[:1]


def test_a_sinks_folder_is_its_segments_in_order(tmp_path):
    for number in (2, 1):
        jsonl(tmp_path / f"segment-{number:06}.jsonl", [event(number)])
    (tmp_path / "manifest.json").write_text("{}")

    for path in (tmp_path, tmp_path / "manifest.json"):
        assert [one.name for one in files_of(path)] == [
            "segment-000001.jsonl",
            "segment-000002.jsonl",
        ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableEvents):
        files_of(tmp_path / "empty")


DAMAGED = [
    b"[1, 2",
    b"[{]",
    b"\0\0",
    gzip.compress(b"[]", mtime=0)[:-4],
    b"<html>",
    b'\n{"schema',
]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_said_to_be(tmp_path, text):
    path = tmp_path / "events"
    path.write_bytes(text)

    with pytest.raises(UnreadableEvents):
        items(path)


def test_a_sinks_segment_may_be_one_line_that_is_still_written(tmp_path):
    path = tmp_path / "segment-000003.jsonl"
    path.write_text('{"schema_ver')

    assert items(path) == []


def test_a_file_is_listed_and_drawn_without_a_service(tmp_path):
    legacy = {"timestamp": NOW_NS / 10**9, "event_type": "allocation", "memory_mb": 12}
    path = jsonl(tmp_path / "events.jsonl", [*EVENTS, legacy, {"nonsense": 1}])

    listed = run(records, path, "--limit", 1)
    assert listed.output.splitlines()[-2:] == [
        listed.output.splitlines()[-2],
        "1 of 61",
    ]
    assert "rank 2: 20 MiB allocated" in listed.output
    assert "1 of 62 items are no memory events" in listed.output
    answer = json.loads(run(records, jsonl(path), "--json", "--limit", 2).output)
    assert [one["timestamp_ns"] for one in answer["items"]] == [
        EVENTS[-1]["timestamp_ns"],
        EVENTS[-2]["timestamp_ns"],
    ]
    end = NOW_NS // 10**9 + 2
    assert "of 6\n" in run(records, path, "--end", end).output
    assert "of 0\n" in run(records, path, "--kind", "cpu").output
    assert "of 60\n" in run(records, path, "--kind", "cuda", "--severity", "info").output
    assert "peak 1 GiB" in run(records, path, "--plot", "-", "--counter", "reserved").output
    picture = tmp_path / "out.png"
    assert run(records, path, "--plot", picture).output == f"{picture}: 3 lines\n"
    wrong = run(records, path, "--plot", tmp_path / "out.gif")
    assert wrong.exit_code == 2
    assert "into a .png" in wrong.output


def test_what_the_service_answers_is_a_file_too(site, tmp_path):
    run(import_files, jsonl(tmp_path / "events.jsonl"), *url(site))
    answer = run(records, "--json", "--limit", 60, *url(site)).output
    kept = tmp_path / "kept.jsonl"
    kept.write_text("".join(json.dumps(one) + "\n" for one in json.loads(answer)["items"]))

    assert "60 read, 60 taken" in run(import_files, kept, *url(site)).output
    assert len(site.records()) == 60
    listed = run(records, kept, "--kind", "cuda", "--limit", 1).output
    assert "rank 2: 20 MiB allocated" in listed
    assert listed.endswith("1 of 60\n")
    assert "peak 20 MiB" in run(records, kept, "--plot").output


def test_a_short_drawing_of_a_device_without_a_number(tmp_path):
    host = {"collector": "heliograph.memory.cpu", "device_id": -1}
    path = jsonl(tmp_path / "events.jsonl", [event(place, **host) for place in range(4)])

    shown = run(records, path, "--plot").output.splitlines()

    assert shown[-2].split() == [
        "0",
        "s",
        "0.5",
        "s",
        "1",
        "s",
        "1.5",
        "s",
        "2",
        "s",
        "2.5",
        "s",
        "3",
        "s",
    ]
    assert shown[-1] == "rank 0 cpu                        peak 4 MiB, last 4 MiB"


def pixels(png):
    """Rows of (red, green, blue)."""
    width, height = struct.unpack(">II", png[16:24])
    data = zlib.decompress(png[png.index(b"IDAT") + 4 : -16])
    rows = [data[row * (1 + width * 3) + 1 :][: width * 3] for row in range(height)]
    return [list(zip(row[::3], row[1::3], row[2::3], strict=True)) for row in rows]


def line(label, *readings):
    return Line(label, [at * 10**9 for at, _ in readings], [v for _, v in readings], 0.0)


def test_a_picture_is_a_png_of_its_size():
    png = drawn("memory", [line("rank 0", (0, 1.0), (1, 5.0)), line("rank 1", (0, 2.0))])

    assert struct.unpack(">II", png[16:24]) == (1200, 540)
    assert png[-12:] == b"\0\0\0\0IEND\xaeB`\x82"


@pytest.mark.parametrize("peak", [954 * 2**20, -1001.0 * 2**30, 2.0**62])
def test_no_label_of_an_axis_is_drawn_across_the_picture(peak):
    drawing = pixels(drawn("memory", [line("rank 0", (0, peak), (9, peak))]))

    ink = max(row[:110].count(_INK) for row in drawing)
    assert 0 < ink < 60, "letters are some of a row's pixels"


def test_a_line_of_one_reading_is_seen():
    drawing = pixels(drawn("memory", [line("rank 0", (5, 2.0**30))]))

    assert sum(row.count(COLOURS[0]) for row in drawing[:450]) == 49


def test_names_in_the_legend_are_whole_however_long_they_are():
    def legend(session):
        lines = [line(f"rank 0 cuda_tracker:0 {session}-{n}", (0, 1.0)) for n in (1, 2)]
        return pixels(drawn("memory", lines))[490:]

    short, long = (legend("s" * chars) for chars in (8, 40))
    # Beside each other, or below: what tells them apart, the last letter, is there.
    assert short[:20] != [row[:600] + row[:600] for row in short[:20]]
    assert (len(short), len(long)) == (50, 70)
    # The names begin right of their colours.
    below = [[row[140:] for row in long[at : at + 20]] for at in (0, 20)]
    assert below[0] != below[1]


def test_lines_keep_their_peaks_however_long_they_are():
    thinned = Thinned()
    for place in range(50_000):
        thinned.add(place * 10**7, 9e9 if place == 31_234 else place % 100)

    found = thinned.line()

    assert max(found.value) == 9e9
    assert POINTS / 2 < len(found.value) <= 2 * POINTS
    assert found.at_ns == sorted(found.at_ns)


def test_the_last_reading_is_told_however_high_the_peak_beside_it():
    thinned = Thinned()
    for place in range(5000):
        thinned.add(place * 10**9, 10.0 if place % 2 else 1.0)
    thinned.add(5000 * 10**9, 2.0)
    thinned.add(7 * 10**9, 99.0)

    assert (max(thinned.line().value), thinned.line().last) == (99.0, 2.0)


def streams(*named):
    return {Stream(session, rank, "cuda:0"): line("", (0, 1.0)) for session, rank in named}


@pytest.mark.parametrize(
    ("sessions", "names"),
    [
        (["session-0001", "session-0002"], ["session-0001", "session-0002"]),
        (["run-a-20260101-120000", "run-b-20260101-120000"],
         ["run-a-20260101-120000", "run-b-20260101-120000"]),
        (["x" * 40 + "0123456789abcdef", "y" * 40 + "fedcba9876543210"],
         ["…0123456789abcdef", "…fedcba9876543210"]),
        (["a\x1b[2J", "b"], ["a?[2J", "b"]),
    ],
)  # fmt: skip
def test_sessions_are_named_by_as_much_as_tells_them_apart(sessions, names):
    chart = labelled(streams(*((session, "0") for session in sessions)))

    assert [one.label for one in chart.lines] == [f"rank 0 cuda:0 {name}" for name in names]


def test_lines_beyond_the_bound_are_told(tmp_path):
    chart = labelled(streams(*(("s", str(rank)) for rank in range(100))))
    assert (len(chart.lines), chart.streams) == (64, 100)

    events = [event(0, rank, world_size=100) for rank in range(100)]
    path = jsonl(tmp_path / "events.jsonl", events)
    picture = tmp_path / "out.png"
    one = jsonl(tmp_path / "one.jsonl", events[:1])
    assert run(records, one, "--plot", picture).output == f"{picture}: 1 line\n"
    said = "64 of 100 lines, those with the highest peaks\n"
    assert run(records, path, "--plot", picture).output == f"{picture}: {said}"
    assert run(records, path, "--plot").output.endswith(said)


def test_a_reading_that_is_no_count_of_bytes_is_left_out_and_told(tmp_path):
    wrong = [event(place, allocator_allocated_bytes=2**1100) for place in (5, 6)]
    path = jsonl(tmp_path / "events.jsonl", [event(0), *wrong])

    assert run(records, path).output.endswith("3 of 3\n")
    shown = run(records, path, "--plot")
    assert shown.output.startswith("2 readings are left out: 2^63 bytes or more")
    assert shown.output.endswith("peak 1 MiB, last 1 MiB\n")


def test_an_old_event_beyond_all_bounds_is_none(tmp_path):
    wrong = [{"timestamp": 1e300, "memory_mb": 1}, {"timestamp": 1e200, "memory_mb": 1}]
    path = jsonl(tmp_path / "events.jsonl", [event(0), *wrong])

    assert run(records, path).output.startswith("2 of 3 items are no memory events\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--kind", "cuda"], "--kind"),
        (["--type", "sample", "--severity", "info"], "--type, --severity"),
        (["--json"], "one of them"),
    ],
)
def test_what_a_drawing_cannot_heed_is_refused(options, said):
    done = run(records, "--plot", "--url", "http://127.0.0.1:1", *options)

    assert done.exit_code == 2
    assert said in done.output


def test_a_rank_that_moved_is_one_line_of_a_service_as_of_a_file(site, tmp_path):
    gib = 2**30
    moved = [
        event(place, host=host, allocator_allocated_bytes=size)
        for place, host, size in [(0, "a", 40 * gib), (1, "a", 3 * gib), (2, "b", 10 * gib),
                                  (3, "b", 1 * gib)]
    ]  # fmt: skip
    # The last instant there is has none after it.
    path = jsonl(tmp_path / "events.jsonl", [*moved, event(0, timestamp_ns=2**63 - 1, rank=1)])
    run(import_files, path, *url(site))

    for where in ([path], url(site)):
        for options in ([], ["--session", "s-1"]):
            shown = run(records, *where, "--plot", *options)
            assert "rank 0 cuda:0                     peak 40 GiB, last 1 GiB" in shown.output


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1.5 * 2**30, "1.5 GiB"),
        (2**50, "1 PiB"),
    ],
)
def test_amounts(size, text):
    assert amount(size) == text


def test_a_trackers_events_arrive_by_the_shipper(site, tmp_path):
    gib = 1 << 30
    reading = Reading(10 * gib, 11 * gib, 10 * gib, 0, 12 * gib, 68 * gib, 80 * gib, 0)
    shipper = Shipper(
        f"http://127.0.0.1:{site.port}", list, spool_dir=tmp_path, own_metrics=False
    )
    try:
        with (
            MemoryTracker(
                ship=shipper,
                devices=[RecordedDevice([reading])],
                every_s=0,
                session_id="run-9",
                environ={"RANK": "1", "WORLD_SIZE": "2"},
            ) as tracker,
            tracker.phase("forward"),
        ):
            tracker.sample()
        assert shipper.flush(20)
    finally:
        shipper.close()

    # All of one moment or nearly: by the kind of event.
    kinds = [one["event_type"] for one in site.records(session_id="run-9")]
    assert sorted(kinds) == ["phase_enter", "phase_exit", "sample", "start", "stop"]
    assert shipper.counts.records == {
        "collected": 5, "delivered": 5, "dropped": 0, "refused": 0,
    }  # fmt: skip
    assert tracker.counts()["events"] == 5


def test_the_commands_stay_light():
    code = (
        "import heliograph.cli.records, heliograph.cli.import_files, sys;"
        "print([m for m in ('rich', 'plotext', 'numpy', 'httpx2', 'msgspec') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
