"""A site's own words and patterns: order, fields, units, what is refused."""

import pytest

from heliograph.core.errors import Refused
from heliograph.training.events import Event
from heliograph.training.parse import LINE_CHARS_MAX, parse_line
from heliograph.training.site import (
    FIELDS_MAX,
    PATTERN_BYTES_MAX,
    PATTERNS_MAX,
    Pattern,
    Site,
    check,
)

STEP = Pattern("step", "performance", r"it=(?P<CurrentIteration>\d+) mem=(?P<MemUsage>\S+)")
NOTICE = Pattern(
    "notice",
    "event",
    r"NOTICE of (?P<node>\S+) in (?P<seconds>\d+)",
    event_type="preempted",
    severity="warning",
)
QUIET = Pattern("quiet", "blacklist", "^DEBUG ")
MEGATRON = " iteration 5/ 10 | lm loss: 2.5 |"
EVENT = Event("preempted", "warning", {"node": "n1", "seconds": 30})


def read(text, *patterns, fields=None):
    found = Site.of(fields or {}, patterns).parse(text)
    return found.kind, found.fields, found.rule


def test_a_pattern_reads_fields_by_name_and_unit():
    assert read("it=5 mem=1024MiB", STEP) == (
        "performance",
        {"current_iteration": 5, "mem_usage_gb": 1.0},
        "pattern:step",
    )


@pytest.mark.parametrize(
    ("group", "printed", "fields"),
    [
        ("MemUsage", "153.5", {"mem_usage_gb": 153.5}),
        ("MemUsages", "0.5", {"mem_usage_ratio": 50.0}),
        ("mem_usages", "75%", {"mem_usage_ratio": 75.0}),
        ("MemUsageRatio", "60.25", {"mem_usage_ratio": 60.25}),
        ("MemFree", "2GB", {"mem_free_gb": 2.0}),
        ("ElapsedTimePerIterationMS", "12.5", {"elapsed_time_per_iteration_ms": 12.5}),
        ("ElapsedTimePerIterationMS", "1.5s", {"elapsed_time_per_iteration_ms": 1500.0}),
        ("TokensPerGPU", "1,234.5", {"tokens_per_gpu": 1234.5}),
        ("TFLOPS", "567.5", {"tflops": 567.5}),
        ("tflops_avg", "568.5", {"tflops_avg": 568.5}),
        ("SkippedIterationsNumber", "3", {"skipped_iterations": 3}),
        ("loss", "nan%", None),
        ("iteration", "7", {"current_iteration": 7}),
        ("iteration", "7.5", None),
        ("GpuTemperature", "61.5", {"extra": {"gpu_temperature": 61.5}}),
        ("mfu", "41.5", {"mfu": 41.5}),
        ("LearningRate", "3e-4", {"learning_rate": 3e-4}),
        ("LearningRate", "lots", None),
    ],
)
def test_groups(group, printed, fields):
    found = read(
        f"value {printed};", Pattern("p", "performance", rf"value (?P<{group}>[^;]*);")
    )
    wanted = ("none", {}, "none") if fields is None else ("performance", fields, "pattern:p")
    assert found == wanted


def test_what_does_not_parse_is_absent():
    assert read("it=5 mem=lots", STEP)[1] == {"current_iteration": 5}


def test_a_blacklisted_line_says_nothing():
    assert read("DEBUG it=5 mem=3", STEP, QUIET) == ("none", {}, "pattern:quiet")
    assert read("DEBUG" + MEGATRON, QUIET._replace(enabled=False))[0] == "performance"


def test_priority_then_name_then_the_grammar():
    low = Pattern("low", "performance", r"it=(?P<step>\d+)", priority=10)
    high = Pattern("high", "performance", r"it=(?P<consumed_samples>\d+)", priority=90)
    assert read("it=5", low, high)[2] == "pattern:high"
    assert read("it=5", low, high._replace(priority=10))[2] == "pattern:high"
    assert read(MEGATRON, low)[2] == "piped"


def test_a_pattern_of_which_nothing_can_be_read_has_not_hit():
    bad = Pattern("bad", "performance", r"lm loss: (?P<learning_rate>2\.5 \|)", priority=90)
    assert read(MEGATRON, bad)[2] == "piped"


def test_an_event_keeps_the_values_of_its_line():
    text = "[rank3]:" + MEGATRON + " NOTICE of n1 in 30 |"
    found = Site.of({}, [NOTICE]).parse(text)
    assert (found.kind, found.rule, found.events) == ("performance", "pattern:notice", (EVENT,))
    assert found.fields == {
        "current_iteration": 5,
        "target_iteration": 10,
        "lm_loss": 2.5,
        "rank": 3,
    }


def test_an_event_alone():
    found = Site.of({}, [NOTICE]).parse("[rank3]: NOTICE of n1 in 30")
    assert (found.kind, found.fields, found.events) == ("event", {"rank": 3}, (EVENT,))
    assert (found.rule, found.label) == ("pattern:notice", "3")


def test_colours_are_off_before_a_pattern_looks():
    assert read("\x1b[32mit=\x1b[0m5 mem=2GB", STEP)[1] == {
        "current_iteration": 5,
        "mem_usage_gb": 2.0,
    }


def test_a_lone_surrogate_is_survived():
    assert read("\ud800 it=5 mem=2GB", STEP)[0] == "performance"


def test_own_field_names():
    fields = {"my Tokens-rate": "tokens_per_gpu", "acc@1": "accuracy", "cost": "total_loss"}
    assert read("step: 5  my_tokens_rate: 33.5  acc@1: 0.5  cost: 2.5", fields=fields) == (
        "performance",
        {
            "current_iteration": 5,
            "tokens_per_gpu": 33.5,
            "total_loss": 2.5,
            "extra": {"accuracy": 0.5},
        },
        "spaced",
    )


def test_a_framework_of_the_pattern_wins():
    found = Site.of({}, [STEP._replace(framework="ours")]).parse("it=5 mem=2", "primus")
    assert found.framework == "ours"
    assert Site.of({}, [STEP]).parse("it=5 mem=2", "primus").framework == "primus"


def test_a_site_of_nothing_is_the_grammar():
    assert Site.of({}, []).parse(MEGATRON, "x") == parse_line(MEGATRON, "x")


def test_long_lines_are_not_searched():
    assert read("it=5 mem=2" + " " * LINE_CHARS_MAX, STEP)[0] == "none"


@pytest.mark.parametrize(
    ("pattern", "field"),
    [
        (STEP._replace(name=""), "name"),
        (STEP._replace(name="n" * 129), "name"),
        (STEP._replace(kind="perf"), "kind"),
        (STEP._replace(pattern="(?P<a>"), "pattern"),
        (STEP._replace(pattern=r"(?P<a>\d)(?=x)"), "pattern"),
        (STEP._replace(pattern=r"it=\d+"), "pattern"),
        (STEP._replace(pattern="(?P<a>.*)"), "pattern"),
        (STEP._replace(pattern="x" * (PATTERN_BYTES_MAX + 1)), "pattern"),
        (STEP._replace(priority=10**7), "priority"),
        (NOTICE._replace(event_type=""), "event_type"),
        (NOTICE._replace(severity="loud"), "severity"),
    ],
)
def test_refused(pattern, field):
    with pytest.raises(Refused) as refused:
        check(pattern)
    assert refused.value.field == field


def test_a_site_is_refused_by_its_first_bad_part():
    for fields, patterns, field in (
        ({}, [STEP, STEP], "name"),
        ({}, [STEP._replace(name=f"p{n}") for n in range(PATTERNS_MAX + 1)], "patterns"),
        ({f"k{n}": "total_loss" for n in range(FIELDS_MAX + 1)}, [], "fields"),
        ({"--": "total_loss"}, [], "fields['--']"),
        ({"cost": "a b"}, [], "fields['cost']"),
    ):
        with pytest.raises(Refused) as refused:
            Site.of(fields, patterns)
        assert refused.value.field == field
