"""Files of telemetry events: every shape, in pieces, with faults that name their place."""

import gzip
import io
import json

import pytest

from heliograph.projection import json_pieces, loading
from heliograph.projection.events import load_telemetry_sessions
from heliograph.projection.session import default_session, stable_legacy_session_id
from tests.projection.telemetry_samples import event

EVENTS = [event(timestamp_ns=n) for n in (3, 1, 2)]
LINES = "".join(json.dumps(one) + "\n" for one in EVENTS)
SHAPES = [
    # case                       text
    ("lines", LINES),
    ("lines without a last end", LINES.rstrip("\n")),
    ("lines of Windows", LINES.replace("\n", "\r\n")),
    ("empty lines between", LINES.replace("\n", "\n\n")),
    ("a byte order mark", "\ufeff" + LINES),
    ("a last line cut short", LINES + '{"schema_version": 3, "sess'),
    ("a last line that was never written", LINES + "\0" * 40),
    ("a list", json.dumps(EVENTS)),
    ("a list over lines", "\n " + json.dumps(EVENTS, indent=2) + "\n"),
    ("an object of events", json.dumps({"version": 1, "events": EVENTS})),
    (
        "an object with more after the events",
        json.dumps({"events": EVENTS, "version": [1, {}], "name": "x"}),
    ),
    ("an object over lines", json.dumps({"events": EVENTS}, indent=1)),
]


@pytest.mark.parametrize("text", [pytest.param(text, id=case) for case, text in SHAPES])
def test_every_shape_is_read(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_text(text, "utf-8", newline="")

    assert list(loading.records(path)) == EVENTS
    assert [one.timestamp_ns for one in loading.events(path)] == [3, 1, 2]


@pytest.mark.parametrize("text", ["", "\n", "[]", " [ ] ", '{"events": []}', '{"cut'])
def test_a_file_may_hold_nothing(tmp_path, text):
    path = tmp_path / "run.jsonl"
    path.write_text(text)

    assert list(loading.events(path)) == []


def test_a_document_may_be_one_very_long_line(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "LINE_BYTES_MAX", 100)
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"events": EVENTS}))

    assert list(loading.records(path)) == EVENTS


def test_one_event_over_several_lines(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(EVENTS[0], indent=2))

    assert list(loading.records(path)) == EVENTS[:1]


FAULTS = [
    # text                                               what is said, after the file
    (LINES + "{oops}\n" + LINES, ":4: "),
    (LINES + "{oops}\n", ":4: "),
    (LINES + "5\n", ":4: "),
    (LINES + "[" * 100_000 + "\n", ":4: "),
    (f"[{LINES}]", ": no , after element 1"),
    ("[" + LINES.splitlines()[0], ": no , after element 1"),
    ("[{]", ": element 1: "),
    ("[] 2", ": more after its end"),
    ("[", ": element 1: "),
    ('{"a":\n nothing}', ": a: "),
    ('{"a"\n 5}', ": no : after 'a'"),
    ("{5\n:5}", ": a key is no string"),
    ('{"a": 5\n"b": 5}', ": no , between members"),
    ('{"a": 5,\n', ": a key: "),
    ('{"events":\n [5', ":1: "),
    ("\n[" * 100_000, ": "),
    ("of another kind, without an end", ":1: "),
    (LINES + "\x1f of another kind", ":4: "),
]


@pytest.mark.parametrize(("text", "said"), FAULTS)
def test_a_fault_names_its_place(tmp_path, text, said):
    path = tmp_path / "run.json"
    path.write_text(text)

    with pytest.raises(ValueError, match=r".") as refused:
        list(loading.events(path))
    assert str(refused.value).startswith(f"{path}{said}")


def test_a_packed_file_is_said_not_to_be_text(tmp_path):
    path = tmp_path / "run.jsonl.gz"
    path.write_bytes(gzip.compress(b"5"))

    with pytest.raises(ValueError, match=r"run\.jsonl\.gz:1: .*decode"):
        list(loading.events(path))


def test_an_event_that_is_not_valid_names_its_line(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text(LINES + json.dumps(event(pid="x")) + "\n")

    with pytest.raises(ValueError, match=r"run\.jsonl:4: pid must be an integer$"):
        list(loading.events(path))
    old = tmp_path / "old.jsonl"
    old.write_text('{"timestamp": 1}\n')
    with pytest.raises(
        ValueError, match=r"old\.jsonl:1: Legacy record conversion is disabled$"
    ):
        list(loading.events(old, permissive_legacy=False))


def test_a_line_has_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "LINE_BYTES_MAX", 1000)
    path = tmp_path / "run.jsonl"
    path.write_text(LINES + json.dumps(event(context="x" * 1000)) + "\n")

    with pytest.raises(ValueError, match=":4: over 1000 bytes"):
        list(loading.records(path))


@pytest.mark.parametrize("piece", [1, 2, 7, 1000])
def test_a_list_is_read_in_pieces(monkeypatch, piece):
    monkeypatch.setattr(json_pieces, "PIECE_BYTES", piece)
    items = [1234, -5.5e3, "é\u2028\U0001f600", {"a": [1, {}]}, None, True, 77]
    for text in (json.dumps(items, ensure_ascii=False), json.dumps(items, indent=3)):
        opened = io.BytesIO(text.encode())
        assert list(json_pieces.events(opened)) == list(enumerate(items, 1))


@pytest.mark.parametrize("piece", [1, 5, 1000])
def test_an_object_is_read_in_pieces(monkeypatch, piece):
    monkeypatch.setattr(json_pieces, "PIECE_BYTES", piece)
    members = {"version": 12, "ok": True, "events": [{"a": 1}, 25], "more": [[]], "n": 1e3}
    for one, wanted in (
        (members, [(1, {"a": 1}), (2, 25)]),
        ({"a": 12, "events": 7}, [(1, {"a": 12, "events": 7})]),
        ({}, [(1, {})]),
    ):
        opened = io.BytesIO(json.dumps(one).encode())
        assert list(json_pieces.events(opened)) == wanted


def test_an_element_has_a_bound(monkeypatch):
    monkeypatch.setattr(json_pieces, "PIECE_BYTES", 10)
    monkeypatch.setattr(json_pieces, "ELEMENT_CHARS_MAX", 100)
    opened = io.BytesIO(b'["' + b"x" * 10_000)

    with pytest.raises(ValueError, match="^element 1: "):
        list(json_pieces.events(opened))
    assert opened.tell() < 200


def test_a_folder_of_files_is_read_in_their_order(tmp_path):
    (tmp_path / "b.jsonl").write_text(json.dumps(event(timestamp_ns=2)))
    (tmp_path / "a.json").write_text(json.dumps([event(timestamp_ns=1)]))
    (tmp_path / "rollups.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("x")

    assert [one.timestamp_ns for one in loading.events(tmp_path)] == [1, 2]


def test_records_of_one_old_process_are_one_session(tmp_path):
    path = tmp_path / "old.jsonl"
    old = [{"timestamp": n, "host": "h", "pid": pid} for n, pid in ((1, 7), (2, 8), (3, 7))]
    path.write_text("".join(json.dumps(one) + "\n" for one in old))

    sessions = load_telemetry_sessions(path)
    assert [(one.session_id, len(one.events)) for one in sessions] == [
        (stable_legacy_session_id("old.jsonl", "h", 7), 2),
        (stable_legacy_session_id("old.jsonl", "h", 8), 1),
    ]


def test_sessions_are_told_apart_and_sorted(tmp_path):
    path = tmp_path / "run.jsonl"
    more = [
        event(session_id="run-8", timestamp_ns=n, event_type=t)
        for n, t in ((9, "stop"), (8, "start"))
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in [*more, *EVENTS]))

    first, second = load_telemetry_sessions(path)
    assert (first.session_id, first.status) == ("run-7", "incomplete")
    assert [one.timestamp_ns for one in first.events] == [1, 2, 3]
    assert (second.session_id, second.status) == ("run-8", "completed")
    assert (second.started_at_ns, second.ended_at_ns) == (8, 9)
    assert len(second.telemetry_records()) == 2
    assert second.resources() == [dict(second.telemetry_records()[0].resource)]
    assert second.correlations() == [dict(second.telemetry_records()[0].correlation)]
    assert default_session([first, second]) is second


def test_the_session_that_is_shown_unasked():
    def session(status, at_ns):
        events = () if at_ns is None else (event(timestamp_ns=at_ns),)
        of = [loading.TelemetryEvent(**one) for one in events]
        return loading.LoadedTelemetrySession("s", status, tuple(of))

    ordered = [
        session("completed", 2), session("completed", 1), session("interrupted", 9),
        session("incomplete", 9), session("running", 99), session("completed", None),
    ]  # fmt: skip
    for n in range(len(ordered)):
        assert default_session(list(reversed(ordered[n:]))) is ordered[n]
    assert default_session([]) is None


def test_texts_that_repeat_are_kept_once(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text(LINES)
    one, other, _ = loading.events(path)

    assert one.collector is other.collector
    assert one.host is other.host


def test_files_are_not_held_in_memory(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text(LINES)
    events = loading.events(path)
    next(events)
    events.close()
