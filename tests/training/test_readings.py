"""What lines of a block say, made when asked for: both kernels, and the parser, say the same."""

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.kernels import log_shapes
from heliograph.training import lessons, shapes
from heliograph.training.lessons import same
from heliograph.training.parse import none, parse_line
from heliograph.training.shapes import QUIET, SIGHTINGS, Shapes
from tests.twins import plain

PLAIN = plain("log_shapes")
KERNELS = [PLAIN, *([log_shapes] if log_shapes.COMPILED else [])]
FORMS = (
    "iteration {}/ 99999 | lm loss: {}.{} | grad norm: {}.5 |",
    "NVRM: Xid (PCI:0000:03:00): {}, pid={}, GPU has fallen off the bus",
    "worker {} of {} listens at port {}",
    "saving checkpoint at iteration {} to /ckpt/{} in torch_dist format",
    "nothing é {}",
    "",
)


def shapes_of(kernel, parse, monkeypatch):
    """A reader by *kernel*, who learns as soon as it may."""
    for module, names in ((shapes, ("Memo", "Plan")), (lessons, ("Plan", "Slot"))):
        monkeypatch.setattr(module, "kernel", kernel)
        for name in names:
            monkeypatch.setattr(module, name, getattr(kernel, name))
    monkeypatch.setattr(shapes, "LINES_PER_LESSON", 1)
    monkeypatch.setattr(shapes, "SIGHTINGS", 3)
    return Shapes(parse)


@pytest.fixture(params=KERNELS, ids=lambda kernel: "compiled" if kernel.COMPILED else "plain")
def reader(request, monkeypatch):
    """A function that makes a reader of a parser."""
    return lambda parse: shapes_of(request.param, parse, monkeypatch)


def read(reader, lines, skipped=None):
    encoded = [line.encode() for line in lines]
    ends = array("I")
    for one in encoded:
        ends.append(len(one) + (ends[-1] if ends else 0))
    skips = bytes(len(lines)) if skipped is None else bytes(skipped)
    return reader.read(b"".join(encoded), memoryview(ends), skips)


NUMBERS = st.lists(
    st.one_of(st.integers(0, 9), st.integers(0, 999_999)).map(str), min_size=4, max_size=4
)
LINES = st.tuples(st.sampled_from(FORMS), NUMBERS).map(lambda made: made[0].format(*made[1]))


@settings(max_examples=25)
@given(st.lists(st.lists(st.tuples(LINES, st.booleans()), max_size=12), min_size=1, max_size=6))
def test_what_is_read_is_what_the_parser_says(blocks):
    for kernel in KERNELS:
        with pytest.MonkeyPatch.context() as patched:
            reader = shapes_of(kernel, parse_line, patched)
            for block in blocks:
                # Twice, so that shapes come often enough to be learned.
                for _ in range(3):
                    assert_says(read(reader, *zip(*block, strict=True)) if block else [], block)


def assert_says(readings, block):
    """That *readings* are what the parser says of (line, whether it is skipped), in each form."""
    expected = [None if skip else parse_line(line) for line, skip in block]
    assert all(map(same, readings, expected))
    if not block:
        return
    quiet = [said is None or said == QUIET for said in expected]
    places = [n for n, nothing in enumerate(quiet) if not nothing]
    assert list(readings.telling) == places
    assert all(map(same, readings.of(places), [expected[n] for n in places]))
    assert all(map(same, readings[1:], expected[1:]))
    assert same(readings[-1], expected[-1])
    assert len(readings) == len(block) == len(readings.plan_of)
    assert [list(readings.plan_of).count(n + 1) for n in range(len(readings.plans))] == list(
        readings.counts
    )
    for place, number in enumerate(readings.plan_of):
        if number:
            plan, text = readings.plans[number - 1], block[place][0].encode()
            assert plan.mask == text.translate(PLAIN._ZEROS)
            assert plan.literal == b"".join(text[slice(*span)] for span in plan.spans)
            template, said = plan.template, expected[place]
            assert (template.kind, template.framework, template.rule, template.gap) == (
                *(said.kind, said.framework, said.rule),
                said.gap,
            )
            assert len(template.events) == len(said.events)
        elif place in readings.said:
            assert same(readings.said[place], expected[place])
        else:
            assert quiet[place]


def test_a_place_that_is_not_there_is_an_index_error(reader):
    readings = read(reader(parse_line), ["a", "b"])
    for place in (2, -3):
        with pytest.raises(IndexError):
            readings[place]


def test_plans_have_numbers_of_their_own(reader):
    made = reader(parse_line)
    lines = [FORMS[0].format(n, 1, 2, 3) for n in range(10, 20)]
    lines += [FORMS[2].format(n, n, n) for n in range(10, 20)]
    readings = read(made, lines * 3)
    numbers = [plan.number for plan in readings.plans]
    assert len(numbers) == len(set(numbers)) == 2
    assert min(numbers) >= 1


def counting(said):
    """A parser that says *said*, and the lines that it was asked for."""
    asked = []

    def parse(text):
        asked.append(text)
        return said(text)

    return parse, asked


def test_lines_that_say_nothing_are_known_with_numbers_of_any_length(reader):
    parse, asked = counting(parse_line)
    made = reader(parse)
    read(made, [FORMS[2].format(n, 8, 29500) for n in range(3)])
    learned = len(asked)
    others = [FORMS[2].format(7**n, 3**n, 2**n) for n in range(12)]
    assert all(one is QUIET for one in read(made, others))
    assert len(asked) == learned


def test_a_number_of_another_length_that_tells_something_is_no_noise(reader):
    made = reader(lambda text: none("torchtitan") if len(text) > 12 else none(None))
    read(made, ["seen 1234"] * 3)
    long = "seen 1234567890"
    assert read(made, [long])[0] == none("torchtitan")


def test_lines_with_a_word_that_events_have_are_no_noise_by_their_form(reader, monkeypatch):
    monkeypatch.setattr(shapes, "quiet_at_any_length", lambda *_: True)
    made = reader(parse_line)
    xid = "NVRM: Xid ({}): 79, pid=12, name=python3"
    assert list(read(made, [xid.format("PCI:0:9b:0")] * 3)) == [QUIET] * 3
    (said,) = read(made, [xid.format("PCI:0000:9b:00")])
    assert [event.event_type for event in said.events] == ["xid"]


def test_a_form_that_proves_wrong_is_forgotten(reader, monkeypatch):
    changed = []
    made = reader(lambda _: none("torchtitan" if changed else None))
    read(made, ["port 1"] * 3)
    monkeypatch.setattr(shapes.kernel, "CHECKED_EVERY", 4, raising=False)
    changed.append(1)
    said = [read(made, [f"port {'1' * n}"])[0] for n in range(2, 8)]
    assert [one is QUIET for one in said] == [True, True, True, False, False, False]


def test_forms_are_bounded(reader, monkeypatch):
    monkeypatch.setattr(shapes, "FORMS_MAX", 4)
    made = reader(parse_line)
    for letter in "abcdefgh":
        read(made, [f"{letter} 1"] * 3)
    assert 0 < len(made._quiet) <= 4


@pytest.mark.parametrize(
    "kernel", KERNELS, ids=lambda kernel: "compiled" if kernel.COMPILED else "plain"
)
def test_a_number_that_cannot_be_read_by_plan_is_left_to_the_parser(kernel):
    """A count of `1e10` is an int; one of `1e999` is none, and of the same mask as `1e100`."""
    template = parse_line("iteration 1/ 2 | lm loss: 1.0 |")
    asked = []

    def plain(text):
        asked.append(text)
        return template

    memo = kernel.Memo(lambda text, _: plain(text), plain, lambda _, said: said, None)
    slot = kernel.Slot(0, 5, kernel.WHOLE)
    plan = kernel.Plan(template, [("global_batch_size", slot)], [], [], None)
    memo.put(b"0e000", (), b"1e100", plan)
    readings = memo.read(b"1e1001e999", memoryview(array("I", [5, 10])), bytes(2))
    assert readings[0].fields["global_batch_size"] == int(1e100)
    assert readings[1] is template
    assert memo.one(b"1e999") is template
    assert asked == [b"1e999", b"1e999"]
    with pytest.raises(OverflowError):
        plan.read(b"1e999")


def test_a_count_beyond_all_bounds_is_learned_or_not_but_never_raises(reader):
    made = reader(parse_line)
    lines = [
        f"iteration {n}/ 99 | global batch size: 1e10{n} | lm loss: 2.5 |" for n in range(8)
    ]
    lines += [one.replace("1e10", "9e99") for one in lines] * SIGHTINGS
    for line, said in zip(lines, read(made, lines), strict=True):
        assert same(said, parse_line(line)), line
