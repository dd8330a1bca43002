"""The page of /metrics, read by a parser as strict as the format: every name typed, every bucket counted."""

import math
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.service import measure
from heliograph.service.measure import CHILDREN_MAX, QUANTILES, Registry
from heliograph.service.meters import Meters
from tests.service.running import NOW_MS

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
NUMBER = re.compile(r"[+-]?Inf|NaN|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
KINDS = {"counter": ("",), "gauge": ("",), "summary": ("", "_sum", "_count"), "histogram": ("_bucket", "_sum", "_count")}  # fmt: skip


def parsed(text):
    """{family: (kind, help, {(sample name, labels): value})}; any breach of the format fails."""
    assert text.endswith("\n")
    assert "\n\n" not in text
    families, current = {}, None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            _, _, name, said = line.split(" ", 3)
            assert NAME.fullmatch(name)
            assert name not in families, f"{name} twice"
            assert not re.search(r"\\(?![\\n])", said), said
            families[name] = current = [name, None, said, {}]
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert current is not None
            assert (name, current[1]) == (current[0], None)
            assert kind in KINDS
            current[1] = kind
        else:
            _sample(line, current)
    for family in families.values():
        if family[1] == "histogram":
            _check_histogram(family)
    return {name: tuple(family[1:]) for name, family in families.items()}


def _sample(line, family):
    head, _, number = line.rpartition(" ")
    assert NUMBER.fullmatch(number), line
    name, brace, rest = head.partition("{")
    labels = []
    if brace:
        assert rest.endswith("}")
        at, rest = 0, rest[:-1]
        while at < len(rest):
            match = LABEL.match(rest, at)
            assert match, line
            labels.append((match[1], re.sub(r"\\(.)", _unescaped, match[2])))
            at = match.end()
            assert at == len(rest) or rest[at] == ",", line
            at += 1
    names = [label for label, _ in labels]
    assert len(set(names)) == len(names), line
    assert name.removeprefix(family[0]) in KINDS[family[1]], line
    assert (name, tuple(labels)) not in family[3], f"{line} twice"
    family[3][name, tuple(labels)] = float(number)


def _unescaped(match):
    return {"n": "\n", '"': '"', "\\": "\\"}[match[1]]


def _check_histogram(family):
    name, _, _, samples = family
    children = {}
    for (sample, labels), value in samples.items():
        rest = tuple(pair for pair in labels if pair[0] != "le")
        children.setdefault(rest, {}).setdefault(sample, []).append(
            (dict(labels).get("le"), value)
        )
    for child in children.values():
        buckets = [(float(bound), count) for bound, count in child[f"{name}_bucket"]]
        assert [bound for bound, _ in buckets] == sorted({bound for bound, _ in buckets})
        assert buckets[-1][0] == math.inf
        counts = [count for _, count in buckets]
        assert counts == sorted(counts), "not cumulative"
        ((_, count),) = child[f"{name}_count"]
        assert count == counts[-1]
        assert len(child[f"{name}_sum"]) == 1


HOSTILE = [
    'a"b',
    "back\\slash",
    "new\nline",
    "\\n",
    "}",
    'x",y="z',
    "\ud800",
    "",
    "é\u2028\r\t\0",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_label_value_comes_back_as_it_was(value):
    registry = Registry()
    registry.counter("c_total", "Help.", ("one", "two")).add(1, value, "plain")
    registry.histogram("h", "Help.", ("one",)).observe(0.5, value)
    registry.summary("s", "Help.", ("one",)).observe_all([0.5], value)
    registry.gauge("g", "Help.", lambda: [((value,), 1.0)], ("one",))
    known = "?" if value == "\ud800" else value

    families = parsed(registry.exposition())
    assert families["c_total"][2] == {("c_total", (("one", known), ("two", "plain"))): 1.0}
    assert families["g"][2] == {("g", (("one", known),)): 1.0}
    assert ("h_count", (("one", known),)) in families["h"][2]
    assert ("s_sum", (("one", known),)) in families["s"][2]


def test_help_is_one_line():
    registry = Registry()
    registry.counter("c_total", 'a "quoted"\nand \\ escaped help')

    assert registry.exposition() == (
        '# HELP c_total a "quoted"\\nand \\\\ escaped help\n# TYPE c_total counter\nc_total 0\n'
    )


NUMBERS = [
    0.0,
    -0.0,
    1.0,
    1e15,
    1e16,
    2.0**63,
    0.1,
    1e-9,
    1e300,
    math.inf,
    -math.inf,
    math.nan,
    3,
]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_come_back(number):
    registry = Registry()
    registry.gauge("g", "Help.", lambda: [((), number)])

    (value,) = parsed(registry.exposition())["g"][2].values()
    assert value == number or (math.isnan(value) and math.isnan(number))


def test_a_histogram_counts_on_its_bounds_and_beyond_them():
    registry = Registry()
    histogram = registry.histogram("h", "Help.", (), (1, 2.5))
    for value in (0, 1, 1.0001, 2.5, 3, math.inf):
        histogram.observe(value)

    samples = parsed(registry.exposition())["h"][2]
    assert [samples["h_bucket", (("le", bound),)] for bound in ("1", "2.5", "+Inf")] == [
        2,
        4,
        6,
    ]
    assert samples["h_count", ()] == 6
    assert samples["h_sum", ()] == math.inf


def test_a_summary_has_quantiles_of_what_came_last():
    registry = Registry()
    summary = registry.summary("s", "Help.", ("node",))
    for value in range(1, 101):
        summary.observe_all([value], "n1")

    samples = parsed(registry.exposition())["s"][2]
    shown = [samples["s", (("node", "n1"), ("quantile", str(q)))] for q in QUANTILES]
    assert shown == [51, 91, 96, 100]
    assert (samples["s_sum", (("node", "n1"),)], samples["s_count", (("node", "n1"),)]) == (
        5050,
        100,
    )


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from("abc"), st.lists(st.floats(0, 9), min_size=1, max_size=40)
            )
        ),
        max_size=5,
    )
)
def test_many_observations_together_are_those_one_by_one(bodies):
    together, alone = (
        (
            registry.histogram("h", "Help.", ("node",), (0.5, 1.0, 2.0, 5.0)),
            registry.summary("s", "Help.", ("node",)),
        )
        for registry in (Registry(), Registry())
    )
    for body in bodies:
        for family, other in zip(together, alone, strict=True):
            family.observe_each(body)
            for node, seconds in body:
                for one in seconds:
                    other.observe_all([one], node)
    for family, other in zip(together, alone, strict=True):
        assert values_of(family) == pytest.approx(values_of(other))


def values_of(family):
    """The samples of *family* as they are written."""
    return {
        name: float(value) for name, _, value in (one.rpartition(" ") for one in family.lines())
    }


def test_observations_that_wait_are_bounded(monkeypatch):
    monkeypatch.setattr(measure, "WAITING_MAX", 10)
    family = Registry().histogram("h", "Help.", ("node",), (1.0,))
    for _ in range(20):
        family.observe_each([("a", (0.5, 2.0))])
        assert family._waiting_size < 10
    assert values_of(family)['h_count{node="a"}'] == 40


@pytest.mark.parametrize("kind", ["counter", "histogram", "summary"])
def test_children_fold_into_other_and_nothing_is_lost(kind):
    registry = Registry()
    family = getattr(registry, kind)("m", "Help.", ("a", "b"))
    if kind == "summary":

        def count(value, *values):
            family.observe_all([value], *values)
    else:
        count = family.add if kind == "counter" else family.observe
    for number in range(CHILDREN_MAX + 500):
        count(1, f"v{number}", "x")
    count(1, "v0", "x")

    samples = parsed(registry.exposition())["m"][2]
    name = "m" if kind == "counter" else "m_count"
    counted = {labels: value for (sample, labels), value in samples.items() if sample == name}
    assert len(counted) == CHILDREN_MAX + 1
    assert counted[("a", "other"), ("b", "other")] == 500
    assert counted[("a", "v0"), ("b", "x")] == 2
    assert sum(counted.values()) == CHILDREN_MAX + 501


def test_counting_from_many_threads_loses_nothing():
    registry = Registry()
    counter = registry.counter("c_total", "Help.", ("who",))
    histogram = registry.histogram("h", "Help.", ("who",))

    def work():
        for number in range(2000):
            counter.add(1, str(number % 3))
            histogram.observe(0.1, str(number % 3))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        parsed(registry.exposition())
    for thread in threads:
        thread.join()

    families = parsed(registry.exposition())
    assert sum(families["c_total"][2].values()) == 8000
    assert sum(v for (n, _), v in families["h"][2].items() if n == "h_count") == 8000


def test_an_empty_registry_of_ours_is_well_formed():
    families = parsed(Meters().registry.exposition())

    assert {
        "http_requests_total",
        "log_consume_latency_seconds",
        "log_pattern_match_total",
    } <= set(families)
    for name, (kind, said, _) in families.items():
        assert said, name
        # Two histograms are named so by those who read them.
        counts = name.endswith(("_total", "_count")) and not name.endswith("_datapoint_count")
        assert (kind == "counter") == counts, name


def test_the_page_of_a_service_is_well_formed(site):
    site.write([({"__name__": "up"}, [(NOW_MS, 1.0)])])
    site.log({"log": "x", "kubernetes": {"host": 'n"1\n\\'}})
    site.place()
    site.get("/v1/query/range", metric="up")
    site.get('/v1/nowhere"/%0A')

    answer = site.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = parsed(answer.body.decode())
    assert families["heliograph_received_total"][2]["heliograph_received_total", (("protocol", "remote_write"), ("kind", "samples"))] == 1  # fmt: skip
    paths = {dict(labels)["path"] for _, labels in families["http_requests_total"][2]}
    assert not any("nowhere" in path for path in paths), "a client's paths grow our memory"
