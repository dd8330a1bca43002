import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.receive import pieces
from heliograph.receive.lines import (
    LINE_BYTES_MAX,
    Line,
    PartialLines,
    cut,
    decode_lines,
    encode_lines,
    source,
)


def line(text, at_ns=1, *, partial=False, pod="p-1", container="main", stream="stdout"):
    return Line(at_ns, pod, "train", "llm-0", "n1", container, stream, text, partial)


def joined(*lines, limit=100):
    partial = PartialLines(limit=limit)
    out = [whole for part in lines for whole in partial.join(part)]
    return out, partial


def test_a_whole_line_is_itself():
    out, partial = joined(line("a"))
    assert (out, len(partial), partial.unfinished()) == ([line("a")], 0, ())


def test_pieces_are_joined_under_the_time_of_the_first():
    out, partial = joined(
        line("a", 1, partial=True), line("b", 2, partial=True), line("c", 3), line("d", 4)
    )
    assert (out, partial.unfinished()) == ([line("abc", 1), line("d", 4)], ())


@pytest.mark.parametrize("other", [{"pod": "p-2"}, {"container": "side"}, {"stream": "stderr"}])
def test_only_the_same_source_is_joined(other):
    out, partial = joined(line("a", partial=True), line("x", **other))
    assert out == [line("x", **other)]
    assert partial.unfinished() == (line("a", partial=True),)


def test_unfinished_lines_go_on_in_another_batch():
    _, first = joined(line("a", partial=True), line("b", partial=True))
    second = PartialLines(first.unfinished())
    assert second.join(line("c", 9)) == (line("abc", 1),)


@pytest.mark.parametrize(
    ("texts", "kept", "cuts"),
    [
        (["x" * (LINE_BYTES_MAX - 1), "y"], "x" * (LINE_BYTES_MAX - 1) + "y", 0),
        (["x" * LINE_BYTES_MAX, "y"], "x" * LINE_BYTES_MAX, 1),
        (["x" * LINE_BYTES_MAX, ""], "x" * LINE_BYTES_MAX, 0),
        (["x" * (LINE_BYTES_MAX - 1), "yy", "z", "z"], "x" * (LINE_BYTES_MAX - 1) + "y", 1),
        (["x" * (LINE_BYTES_MAX - 1), "ä", "z"], "x" * (LINE_BYTES_MAX - 1), 1),
    ],
)
def test_a_line_that_is_too_long_loses_its_end_and_is_counted_once(texts, kept, cuts):
    *heads, tail = texts
    out, partial = joined(*(line(head, partial=True) for head in heads), line(tail))
    assert (out, partial.cut) == ([line(kept)], cuts)


def test_beyond_the_limit_the_oldest_beginning_is_given_up():
    out, partial = joined(*(line("a", partial=True, pod=f"p-{n}") for n in range(3)), limit=2)
    assert out == [line("a", partial=True, pod="p-0")]
    assert (len(partial), partial.evicted) == (2, 1)


def test_beginnings_of_the_dead_are_given_up_by_name():
    _, partial = joined(line("a", 1, partial=True), line("b", 5, partial=True, pod="p-2"))
    assert partial.give_up([source(line("a"))]) == (line("a", 1, partial=True),)
    assert partial.unfinished() == (line("b", 5, partial=True, pod="p-2"),)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x" * LINE_BYTES_MAX, "x" * LINE_BYTES_MAX),
        ("x" * (LINE_BYTES_MAX + 1), "x" * LINE_BYTES_MAX),
        ("ä" * (LINE_BYTES_MAX // 2), "ä" * (LINE_BYTES_MAX // 2)),
        ("x" + "ä" * (LINE_BYTES_MAX // 2), "x" + "ä" * (LINE_BYTES_MAX // 2 - 1)),
    ],
)
def test_cut(text, kept):
    assert cut(text) == kept


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LINES = st.builds(
    Line,
    st.integers(1, 2**63 - 1),
    *[TEXTS] * 7,
    st.booleans(),
    st.booleans(),
)


@given(st.lists(LINES, max_size=20))
def test_lines_survive_the_log(sent):
    assert decode_lines(encode_lines(sent)) == sent


@given(st.binary(max_size=100))
def test_other_bytes_are_a_value_error(payload):
    with pytest.raises(ValueError):
        decode_lines(b"junk" + payload)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), TEXTS, st.booleans()), max_size=30),
    st.integers(0, 30),
)
def test_joining_loses_nothing_wherever_the_batch_ends(told, split_at):
    sent_lines = [
        msgspec.structs.replace(line(text, partial=partial, pod=pod), at_ns=number)
        for number, (pod, text, partial) in enumerate(told)
    ]
    first, held = joined(*sent_lines[:split_at])
    rest = PartialLines(held.unfinished())
    out = first + [whole for part in sent_lines[split_at:] for whole in rest.join(part)]
    out += rest.unfinished()
    for pod in "ab":
        sent = "".join(text for name, text, _ in told if name == pod)
        assert "".join(part.text for part in out if part.pod_uid == pod) == sent


def test_a_piece_that_comes_again_is_one_piece():
    first, held = joined(line("iteration 60 | lm loss: 1.", partial=True))
    for _ in range(2):
        assert held.join(line("234", partial=True)) == ()
    (whole,) = held.join(line(" | grad norm: 0.5 |"))

    assert (first, whole.text) == ([], "iteration 60 | lm loss: 1.234 | grad norm: 0.5 |")


P0, P1 = line("0" * 9, 10, partial=True), line("1" * 9, 11, partial=True)
END, AFTER = line("end", 12), line("after", 13)
WHOLE = line("0" * 9 + "1" * 9 + "end", 10)


@pytest.mark.parametrize(
    "sent",
    [
        [P0, P1, END, AFTER],
        [P0, P0, P1, END, AFTER],
        [P0, P1, P1, END, AFTER],
        [P0, P1, P0, P1, END, AFTER],
        # What one request has is joined before.
        [P0, line(P0.text + P1.text, 10, partial=True), END, AFTER],
        [P0, P1, line(P0.text + P1.text, 10, partial=True), END, AFTER],
        [P0, line(WHOLE.text, 10), AFTER],
        [P0, P1, line(WHOLE.text, 10), AFTER],
        # A request whose lines were there already, also such as came before others.
        [P0, P1, END, END, AFTER],
        [P0, P1, END, P1, END, AFTER],
        [P0, P1, END, P0, AFTER],
        [P0, line(P1.text + END.text, 11), line(P1.text + END.text, 11), AFTER],
    ],
)
def test_pieces_that_come_again_make_one_line(sent):
    out, partial = joined(*sent)
    assert (out, partial.unfinished()) == ([WHOLE, AFTER], ())


def test_a_piece_of_before_is_none_of_a_line_that_waits():
    later = line("later", 20, partial=True)
    out, partial = joined(P0, END, later, END, line(" on", 21))
    assert out == [line(P0.text + END.text, 10), line("later on", 20)]
    assert partial.unfinished() == ()


def test_nor_is_a_whole_line_of_before():
    before = line("before", 5)
    out, partial = joined(before, P0, before, P0, END)
    assert out == [before, before, line(P0.text + END.text, 10)]
    assert partial.unfinished() == ()


def test_the_same_end_at_the_same_second_ends_another_line_too():
    sent = [line("{1", partial=True), line("}"), line("{2", partial=True), line("}")]
    assert joined(*sent)[0] == [line("{1}"), line("{2}")]


def test_pieces_that_are_known_again_have_a_bound(monkeypatch):
    monkeypatch.setattr(pieces, "ENDED_MAX", 2)
    _, partial = joined(P0, END, line("x", 20, partial=True), line("y", 21))
    assert (partial.join(line("y", 21)), partial.join(END)) == ((), (END,))
    partial.ended.forget()
    assert partial.join(line("y", 21)) == (line("y", 21),)


def test_msgpack_of_something_else_is_a_value_error():
    import cramjam

    with pytest.raises(ValueError):
        decode_lines(bytes(cramjam.zstd.compress(msgspec.msgpack.encode({"a": 1}))))
