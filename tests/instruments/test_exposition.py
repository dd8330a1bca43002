"""The text of metrics: exact, valid to real readers, and the same from points and from cells."""

import math
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.instruments import exposition
from heliograph.instruments.family import Exemplar, Family, Point
from heliograph.instruments.metrics import Counter, Gauge, Histogram, Summary
from heliograph.kernels import cells
from heliograph.kernels import exposition as plain
from tests.peers import peer
from tools import peers

ODD = 'a"b\\c\nd'


def everything():
    counter = Counter("steps_total", 'Steps\ndone \\ "all"', {"run": "a"})
    counter.increment(2)
    counter.labels(rank="3", host=ODD).increment(0.1)
    gauge = Gauge("loss", unit="")
    gauge.set(42)
    gauge.labels(kind="nan").set(math.nan)
    gauge.labels(kind="inf").set(math.inf)
    gauge.labels(kind="minus").set(-math.inf)
    gauge.labels(kind="größe").set(1e-7)
    histogram = Histogram("wait_seconds", "Wait", [1, 0.5], {"le": "mine"}, unit="seconds")
    histogram.observe(0.7)
    histogram.labels(type="fast").observe(9)
    summary = Summary("size_bytes", "Size", quantiles=(0.5,))
    summary.observe(3)
    return [counter, gauge, histogram, summary]


TEXT = (
    rb"""# HELP steps_total Steps\ndone \\ "all"
# TYPE steps_total counter
steps_total{run="a"} 2.0
steps_total{run="a",host="a\"b\\c\nd",rank="3"} 0.1

# TYPE loss gauge
loss 42
loss{kind="nan"} NaN
loss{kind="inf"} +Inf
loss{kind="minus"} -Inf
loss{kind="gr"""
    + "ö".encode()
    + "ß".encode()
    + rb"""e"} 1e-07

# HELP wait_seconds Wait
# TYPE wait_seconds histogram
wait_seconds_bucket{exported_le="mine",le="0.5"} 0
wait_seconds_bucket{exported_le="mine",le="1"} 1
wait_seconds_bucket{exported_le="mine",le="+Inf"} 1
wait_seconds_sum{exported_le="mine"} 0.7
wait_seconds_count{exported_le="mine"} 1
wait_seconds_bucket{exported_le="mine",type="fast",le="0.5"} 0
wait_seconds_bucket{exported_le="mine",type="fast",le="1"} 0
wait_seconds_bucket{exported_le="mine",type="fast",le="+Inf"} 1
wait_seconds_sum{exported_le="mine",type="fast"} 9.0
wait_seconds_count{exported_le="mine",type="fast"} 1

# HELP size_bytes Size
# TYPE size_bytes summary
size_bytes{quantile="0.5"} 3.0
size_bytes_sum 3.0
size_bytes_count 1
"""
)


def test_text():
    assert exposition.render(everything()) == TEXT


def test_openmetrics():
    text = exposition.render(everything(), openmetrics=True)
    expected = TEXT.replace(b"\n\n", b"\n").replace(b"# TYPE steps_total", b"# TYPE steps")
    expected = expected.replace(
        rb'HELP steps_total Steps\ndone \\ "all"', rb"HELP steps Steps\ndone \\ \"all\""
    )
    expected = expected.replace(b'le="1"', b'le="1.0"').replace(
        b"# TYPE wait_seconds histogram\n",
        b"# TYPE wait_seconds histogram\n# UNIT wait_seconds seconds\n",
    )
    assert text == expected + b"# EOF\n"


def test_openmetrics_counters_always_end_in_total():
    counter = Counter("hits")
    counter.increment()
    assert exposition.render([counter], openmetrics=True) == (
        b"# TYPE hits counter\nhits_total 1.0\n# EOF\n"
    )
    assert exposition.render([counter]) == b"# TYPE hits counter\nhits 1.0\n"


def test_openmetrics_has_no_sum_that_may_go_down():
    histogram = Histogram("change", buckets=[-1, 1])
    histogram.observe(-2)
    assert exposition.render([histogram], openmetrics=True) == (
        b'# TYPE change histogram\nchange_bucket{le="-1.0"} 1\nchange_bucket{le="1.0"} 1\n'
        b'change_bucket{le="+Inf"} 1\n# EOF\n'
    )
    assert b"change_sum -2.0\n" in exposition.render([histogram])


def test_nothing():
    assert exposition.render([]) == b""
    assert exposition.render([], openmetrics=True) == b"# EOF\n"


def test_labels_for_all_give_way_to_a_samples_own():
    counter = Counter("c")
    counter.increment()
    counter.labels(rank="own").increment(2)
    text = exposition.render([counter], labels={"rank": "0", "job": ODD})
    assert text == (
        b"# TYPE c counter\n"
        rb'c{rank="0",job="a\"b\\c\nd"} 1.0' + b"\n"
        rb'c{job="a\"b\\c\nd",rank="own"} 2.0' + b"\n"
    )


def test_own_sample_is_left_out_where_only_children_count():
    counter = Counter("c")
    assert exposition.render([counter]) == b"# TYPE c counter\nc 0.0\n"
    counter.labels(a="1").increment()
    assert exposition.render([counter]) == b'# TYPE c counter\nc{a="1"} 1.0\n'
    gauge = Gauge("g")
    gauge.labels(a="1").set(0)
    gauge.set(0)
    assert exposition.render([gauge]) == b'# TYPE g gauge\ng 0\ng{a="1"} 0\n'


def test_exemplars_are_openmetrics_only():
    histogram = Histogram("h", buckets=[1])
    histogram.observe(0.5, exemplar={"trace_id": ODD})
    counter = Counter("c_total")
    counter.increment(1.0, exemplar={"trace_id": "4bf9"})
    lines = exposition.render([histogram, counter], openmetrics=True).decode().splitlines()
    assert lines[1].startswith(r'h_bucket{le="1.0"} 1 # {trace_id="a\"b\\c\nd"} 0.5 17')
    assert lines[6].startswith('c_total 1.0 # {trace_id="4bf9"} 1.0 17')
    assert b"4bf9" not in exposition.render([histogram, counter])


def test_families_of_others():
    info = Family("build", "info", "Build", "", [Point("_info", (("v", "1"),), 1)])
    unknown = Family("room", "unknown", "", "", [Point("", (), 21.5, Exemplar((), 1.0, None))])
    created = Family(
        "hits", "counter", "", "", [Point("_total", (), 3.0), Point("_created", (), 1.7e9)]
    )
    assert exposition.render([info, unknown, created]) == (
        b'# HELP build_info Build\n# TYPE build_info gauge\nbuild_info{v="1"} 1\n\n'
        b"# TYPE room untyped\nroom 21.5\n\n"
        b"# TYPE hits_total counter\nhits_total 3.0\n"
    )
    assert exposition.render([info, unknown, created], openmetrics=True) == (
        b'# HELP build Build\n# TYPE build info\nbuild_info{v="1"} 1\n'
        b"# TYPE room unknown\nroom 21.5\n"
        b"# TYPE hits counter\nhits_total 3.0\nhits_created 1700000000.0\n# EOF\n"
    )


def test_a_label_of_a_child_that_the_kind_needs_itself():
    histogram = Histogram("h", buckets=[1])
    histogram.labels(le="mine").observe(0.5)
    summary = Summary("s", quantiles=[0.5])
    summary.labels(quantile="mine").observe(0.5)
    assert exposition.render([histogram, summary]) == (
        b"# TYPE h histogram\n"
        b'h_bucket{exported_le="mine",le="1"} 1\n'
        b'h_bucket{exported_le="mine",le="+Inf"} 1\n'
        b'h_sum{exported_le="mine"} 0.5\nh_count{exported_le="mine"} 1\n\n'
        b"# TYPE s summary\n"
        b's{exported_quantile="mine",quantile="0.5"} 0.5\n'
        b's_sum{exported_quantile="mine"} 0.5\ns_count{exported_quantile="mine"} 1\n'
    )


def test_promtool_reads_it():
    environ = {**os.environ, "LD_LIBRARY_PATH": peers.library_path()}
    # It reads the text format alone; 3 is what it says of style, such as a name without a unit.
    text = exposition.render(everything())
    done = subprocess.run(
        [peer("promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        env=environ,
        timeout=30,
        check=False,
    )
    assert b"error" not in done.stderr.lower(), done.stderr
    assert done.returncode in {0, 3}, done.stderr


TEXTS = st.text(max_size=8)
LABELS = st.dictionaries(
    st.sampled_from(["a", "b", "le", "type", "quantile", "z9"]), TEXTS.filter(bool), max_size=3
)


@given(
    st.lists(st.tuples(LABELS, st.floats()), max_size=6),
    st.lists(st.tuples(LABELS, st.floats(allow_nan=False)), max_size=4),
    LABELS,
    TEXTS,
)
def test_other_readers_read_the_same(gauges, observed, constant, description):
    parse = pytest.importorskip("prometheus_client.parser").text_string_to_metric_families
    open_parse = pytest.importorskip(
        "prometheus_client.openmetrics.parser"
    ).text_string_to_metric_families
    gauge = Gauge("g", description)
    histogram = Histogram("h", description, [1, 2.5], constant)
    for labels, value in gauges:
        gauge.labels(**labels).set(value)
    for labels, value in observed:
        histogram.observe(value, {k: v for k, v in labels.items() if k not in constant})
    ours = set()
    for family in (gauge.family(), histogram.family()):
        for point in family.points:
            ours.add((family.name + point.suffix, point.labels, number(point.value)))
    text = exposition.render([gauge, histogram]).decode()
    assert {
        (s.name, tuple(sorted(s.labels.items())), number(s.value))
        for f in parse(text)
        for s in f.samples
    } == ours
    # OpenMetrics forbids what these may be: a negative sum is no counter, and texts are theirs.
    if all(value >= 0 for _, value in observed):
        opened = exposition.render([gauge, histogram], openmetrics=True).decode()
        for family in open_parse(opened):
            assert family.documentation == description


def number(value):
    return "nan" if math.isnan(value) else float(value)


@given(st.floats())
def test_numbers_are_those_of_repr(value):
    text = plain.number(value)
    assert text == {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}.get(repr(value), repr(value))
    if cells.COMPILED:
        assert cells.number(value) == text


@pytest.mark.skipif(not cells.COMPILED, reason="the kernels are not compiled")
def test_numbers_at_the_edges():
    for exponent in range(-1074, 1024):
        for value in (2.0**exponent, math.nextafter(2.0**exponent, 0), 3.0 * 2.0**exponent):
            if math.isfinite(value):
                assert cells.number(value) == plain.number(value)
    for exponent in range(-323, 309):
        value = float(f"1e{exponent}")
        for near in (value, math.nextafter(value, 0), math.nextafter(value, math.inf), -value):
            assert cells.number(near) == plain.number(near)
    for value in range(-1000, 1000):
        assert cells.number(value / 100) == plain.number(value / 100)
        assert cells.number(float(value), True) == str(value)
