"""Lines read by plan say what the parser says, with the compiled kernel and with its plain twin."""

import json
import random
from array import array

import pytest

from heliograph.kernels import log_shapes
from heliograph.training import lessons, shapes
from heliograph.training.lessons import learn, same
from heliograph.training.parse import parse_line
from heliograph.training.shapes import QUIET, SIGHTINGS, Shapes
from tests.twins import plain

MEGATRON = (
    " iteration {:8}/  100000 | consumed samples: {:12} | elapsed time per iteration (ms): {:.1f} | "
    "throughput per GPU (TFLOP/s/GPU): {:.1f} | learning rate: {:.6E} | global batch size:   512 | "
    "lm loss: {:.6E} | loss scale: 1.0 | grad norm: {:.3f} | number of skipped iterations:   0 | "
    "number of nan iterations:   {} |"
)


PLAIN = plain("log_shapes")


@pytest.fixture(params=["plain", *(["compiled"] if log_shapes.COMPILED else [])])
def kernel(request, monkeypatch):
    chosen = PLAIN if request.param == "plain" else log_shapes
    for module, names in ((shapes, ("Memo", "Plan")), (lessons, ("Plan", "Slot"))):
        monkeypatch.setattr(module, "kernel", chosen)
        for name in names:
            monkeypatch.setattr(module, name, getattr(chosen, name))
    monkeypatch.setattr(shapes, "LINES_PER_LESSON", 1)
    return chosen


def made(count):
    """Lines as a job prints them, no two alike."""
    rng = random.Random(7)
    for n in range(count):
        yield MEGATRON.format(
            *(
                n,
                n * 512,
                rng.uniform(2000, 4000),
                rng.uniform(1, 999),
                rng.uniform(1e-6, 1e-3),
            ),
            *(rng.uniform(0.1, 12), rng.uniform(0, 20), int(n % 40 == 39)),
        )
        yield f"llm-{n % 64}:{n * 7}:{n} [{n % 8}] NCCL INFO Channel {n % 32:02}/0 : 1[1] -> 0[0]"
        yield f"NVRM: Xid (PCI:0000:{n % 8:02}:00): {(63, 79, 48)[n % 3]}, pid={n}, some words"
        yield f"saving checkpoint at iteration {n:7} to /ckpt/llm-{n % 64} in torch_dist format"
        yield f"[rank{n % 16}/8]: step: {n}  loss:  {rng.uniform(1, 9):.4f}  tps: {n * 31:,}  mfu: 2.3%"


def read(reader, lines):
    encoded = [line.encode() for line in lines]
    ends = array("I")
    for one in encoded:
        ends.append(len(one) + (ends[-1] if ends else 0))
    return reader.read(b"".join(encoded), memoryview(ends), bytes(len(encoded)))


def test_lines_read_by_plan_say_what_the_parser_says(kernel):
    lines = list(made(250))
    reader = Shapes(parse_line)
    for start in range(0, len(lines), 50):
        some = lines[start : start + 50]
        for line, said in zip(some, read(reader, some), strict=True):
            assert same(said, parse_line(line)), line
    assert reader.planned > len(lines) // 3
    assert reader.disagreed == 0


def test_real_lines_with_other_numbers_are_read_alike(shared_data):
    """Each real line is learned, and then read with numbers that it was not learned with."""
    rng = random.Random(3)
    planned = 0
    for row in (shared_data / "loglines.jsonl").read_text("utf-8").splitlines():
        text = json.loads(row)["line"].encode()
        lesson = learn(text, lambda one: parse_line(one.decode()))
        if lesson is None:
            continue
        planned += 1
        for _ in range(4):
            other = bytearray(text)
            for run in lessons._RUN.finditer(text):
                if run.span() not in lesson.literal and rng.random() < 0.7:
                    other[run.start() : run.end()] = lessons._random(
                        run.end() - run.start(), rng
                    )
            assert same(lesson.plan.read(bytes(other)), parse_line(other.decode())), other
    assert planned > 100


def learned(line):
    """All that is learned of *line*, as text."""
    lesson = learn(line.encode(), lambda one: parse_line(one.decode()))
    plan = None if lesson is None else lesson.plan
    return lesson and (
        *(plan.fields, plan.extra, plan.events, plan.label, repr(plan.template)),
        list(lesson.literal),
    )


def test_to_look_only_at_what_changed_teaches_the_same(monkeypatch):
    lines = [
        *made(2),
        "iteration 7/ 7 | lm loss: 7.0 | grad norm: 7.0 | loss scale: 7.0 | a: 7 | b: 1e7 |",
    ]
    few = [learned(line) for line in lines]
    monkeypatch.setattr(
        lessons,
        "_narrowed_at",
        lambda run, base, held, explained, told: lessons._narrowed(base, explained, told),
    )
    assert few == [learned(line) for line in lines]
    assert None not in few


def test_many_equal_numbers_are_not_looked_at_each_for_each(monkeypatch):
    looks, reads = [], lessons._reads
    monkeypatch.setattr(lessons, "_reads", lambda *given: looks.append(1) or reads(*given))
    equal = 40
    line = "iteration 5/ 9 | lm loss: 1.5 | " + " | ".join(
        f"n{chr(97 + n % 26)}{'ab'[n // 26]}: 1000000000000000" for n in range(equal)
    )
    assert learned(line) is not None
    # Once for each number and what it is changed to; not for each number again.
    assert len(looks) < 10 * equal**2


def test_a_number_that_is_a_name_is_part_of_the_shape():
    text = b"NVRM: Xid (PCI:0000:03:00): 79, pid=12, GPU has fallen off the bus"
    lesson = learn(text, lambda one: parse_line(one.decode()))
    at = text.index(b"79")
    assert lesson.literal == [(at, at + 2)]


def counted(text):
    """A parser of whom no plan can be made: what it says hangs on numbers together."""
    said = parse_line("lm loss: 1.0 | grad norm: 2.0 | iteration 5/ 9 |")
    first, second = (int(one) for one in text.split())
    return said._replace(fields={"lm_loss": float(first > second)})


def test_what_no_place_explains_is_parsed(kernel):
    reader = Shapes(counted)
    lines = [f"{n:03} {n * 7 % 100:03}" for n in range(1, 4 * SIGHTINGS)]
    assert all(map(same, read(reader, lines), map(counted, lines)))
    assert reader.planned == 0


def test_a_plan_that_proves_wrong_is_forgotten(kernel, monkeypatch):
    changed = []

    def parse(text):
        said = parse_line("iteration 5/ 9 | lm loss: 1.0 |")
        return said._replace(fields={"lm_loss": float(text) + len(changed)})

    reader = Shapes(parse)
    lines = [str(n) for n in range(100, 100 + SIGHTINGS)]
    read(reader, lines)
    changed.append(1)
    every = kernel.CHECKED_EVERY
    found = read(reader, ["123"] * (every + 2))
    assert [one.fields["lm_loss"] for one in found[:2]] == [123.0, 123.0]
    assert (reader.disagreed, found[-1].fields["lm_loss"]) == (1, 124.0)


def test_what_says_nothing_is_one_and_the_same(kernel):
    reader = Shapes(parse_line)
    noise = [f"worker {n} says hello" for n in range(3 * SIGHTINGS)]
    assert all(one is QUIET for one in read(reader, noise))


def test_lessons_are_as_many_as_lines_pay_for(kernel, monkeypatch):
    monkeypatch.setattr(shapes, "LINES_PER_LESSON", 40)
    learned = []
    monkeypatch.setattr(shapes, "learn", lambda text, *_, **__: learned.append(text))
    reader, shape = Shapes(parse_line), iter("abcdefghijklmnopqrstuvwxyz")

    def lessons_of(kinds):
        """How many of some new shapes are learned from, of SIGHTINGS lines each."""
        learned.clear()
        for kind in (next(shape) for _ in range(kinds)):
            for n in range(SIGHTINGS):
                reader.one(f"step: {n % 10} {kind}_loss: {n % 10}.25")
        return len(learned)

    # At first all that were saved, though no line came before; then one for each 40 lines.
    assert lessons_of(10) == shapes.LESSONS_AT_ONCE + 10 * SIGHTINGS // 40 - 1
    assert lessons_of(5) in {5 * SIGHTINGS // 40, 5 * SIGHTINGS // 40 + 1}
    # Lines with a plan pay too, a little each, and not for more than may be saved.
    assert lessons_of(1) <= 1
    monkeypatch.setattr(Shapes, "planned", 10**6)
    assert lessons_of(9) in {shapes.LESSONS_AT_ONCE + 9 * SIGHTINGS // 40 - k for k in (0, 1)}


def test_a_lesson_of_a_line_of_many_numbers_is_paid_for_as_many(kernel, monkeypatch):
    monkeypatch.setattr(shapes, "LINES_PER_LESSON", 40)
    learned = []
    monkeypatch.setattr(shapes, "learn", lambda text, *_, **__: learned.append(text))

    def lines_until_the_next(odd):
        """How many lines without a plan come before a second lesson, after one of *odd*."""
        learned.clear()
        reader = Shapes(parse_line)
        for _ in range(SIGHTINGS):
            reader.one(odd)
        for n in range(10**4):
            if len(learned) > 1:
                return n
            reader.one("step: 1 some_loss: 1.25")
        raise AssertionError

    usual = "step: 1 other_loss: 2.5"
    many = "step: 1 | " + " | ".join(f"{chr(97 + n % 26) * 9}: 1.5" for n in range(39))
    beyond = "step: 1 | " + " | ".join(f"{chr(97 + n % 26) * 9}: 1.5" for n in range(99))
    assert lines_until_the_next(usual) == SIGHTINGS
    # 79 numbers in 670 bytes are six lessons' worth, of which four are saved: the rest is owed.
    assert lines_until_the_next(many) == 3 * 40
    # Of this nothing is learned, which is soon seen.
    assert lines_until_the_next(beyond) == SIGHTINGS


def test_masks_are_bounded(kernel):
    memo = kernel.Memo(
        lambda text, mask: (text, mask), lambda text: text, lambda text, said: said
    )
    for n in range(kernel.MASKS_MAX + 1):
        memo.refuse(b"x" * (n // 256 + 1) + bytes([97 + n % 16, 97 + n // 16 % 16]))
    assert memo.one(b"xaa") == (b"xaa", b"xaa")
    last = b"x" * (kernel.MASKS_MAX // 256 + 1) + b"aa"
    assert memo.one(last) == last
    assert memo.one(b"y" * (kernel.TEXT_BYTES_MAX + 1)) == b"y" * (kernel.TEXT_BYTES_MAX + 1)


@pytest.mark.skipif(not log_shapes.COMPILED, reason="no compiler")
@pytest.mark.parametrize(
    "text",
    [b"1", b"-0", b"007", b"1,829", b"123456789012345678", b"1234567890123456789012", b"+5"],
)
def test_both_kernels_read_whole_numbers_alike(text):
    slot = (0, len(text), PLAIN.INT)
    assert same(
        log_shapes.value(text, log_shapes.Slot(*slot)), PLAIN.value(text, PLAIN.Slot(*slot))
    )


@pytest.mark.skipif(not log_shapes.COMPILED, reason="no compiler")
@pytest.mark.parametrize("op", range(1, 5))
@pytest.mark.parametrize(
    "text",
    [
        *(b"1.5", b"-0.0", b"2.345678E+00", b"1e-5", b"1,234.5", b"9007199254740993", b"1e22"),
        *(b"1e23", b"0.1", b"123456789.123456789", b"1E-400", b"4.9e-324", b"00012.50", b"1."),
    ],
)
def test_both_kernels_read_fractions_alike(text, op):
    slot = (0, len(text), op, 1 / 1024, 3)
    assert same(
        log_shapes.value(text, log_shapes.Slot(*slot)), PLAIN.value(text, PLAIN.Slot(*slot))
    )
