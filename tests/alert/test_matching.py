"""What matchers see of an alert, and matchers as /v1 and Alertmanager's API write them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.alert import matching
from heliograph.alert.model import NOBODY, Context
from heliograph.core.errors import Refused
from heliograph.core.matcher import Matcher

OWNED = Context(
    workload_id="train-7",
    workload_name="llama",
    workload_uid="u-7",
    pod_name="worker-0",
    pod_id="p-0",
    node_name="n1",
    cluster_name="prod",
)


def test_matchers_see_the_labels_and_the_context_where_they_lack_it():
    labels = (("alertname", "OOM"), ("node_name", "as labelled"), ("severity", "critical"))

    assert matching.seen(labels, OWNED, "log") == {
        "alertname": "OOM",
        "severity": "critical",
        "source": "log",
        "workload_id": "train-7",
        "workload_name": "llama",
        "workload_uid": "u-7",
        "pod_name": "worker-0",
        "node_name": "as labelled",
        "cluster_name": "prod",
    }


def test_what_nobody_knows_is_absent():
    assert matching.seen((("a", "b"),), NOBODY, "") == {"a": "b"}
    assert matching.seen((("source", "mine"),), NOBODY, "log") == {"source": "mine"}


DOCUMENTS = [
    # document                                              matcher                     warned
    ({"name": "a", "value": "b"}, ("a", "=", "b"), False),
    ({"name": "a", "value": "b", "is_regex": False}, ("a", "=", "b"), False),
    ({"name": "a", "value": "b", "is_equal": False}, ("a", "!=", "b"), False),
    ({"name": "a", "value": "b.*", "is_regex": True}, ("a", "=~", "b.*"), False),
    ({"name": "a", "value": "b.+", "is_regex": True, "is_equal": False}, ("a", "!~", "b.+"), False),
    ({"name": "a", "value": ""}, ("a", "=", ""), False),
    ({"name": "a", "value": None, "op": "="}, None, False),
    # globs
    ({"name": "a", "value": "test-job-*"}, ("a", "=~", "test-job-.*"), False),
    ({"name": "a", "value": "gpu-0?"}, ("a", "=~", "gpu-0."), False),
    ({"name": "a", "value": "test-*", "is_equal": False}, ("a", "!~", "test-.*"), False),
    ({"name": "a", "value": "*"}, ("a", "=~", ".*"), False),
    ({"name": "a", "value": "v1.2*(x)"}, ("a", "=~", r"v1\.2.*\(x\)"), False),
    ({"name": "a", "value": r"5\*3*"}, ("a", "=~", r"5\*3.*"), False),
    ({"name": "a", "value": r"C:\d*"}, ("a", "=~", r"C:\\d.*"), False),
    ({"name": "a", "value": "a*", "is_glob": False}, ("a", "=", "a*"), False),
    ({"name": "a", "value": "a", "is_glob": True}, ("a", "=~", "a"), False),
    # patterns that were meant as globs
    ({"name": "a", "value": "prod-*", "is_regex": True}, ("a", "=~", "prod-.*"), True),
    ({"name": "a", "value": "*", "is_regex": True}, ("a", "=~", ".*"), True),
    ({"name": "a", "value": "*-x-*", "is_regex": True, "is_equal": False},
     ("a", "!~", ".*-x-.*"), True),
    ({"name": "a", "value": "prod-*", "is_regex": True, "is_glob": False},
     ("a", "=~", "prod-*"), False),
    ({"name": "a", "value": "prod-.*", "is_regex": True}, ("a", "=~", "prod-.*"), False),
    ({"name": "a", "value": "(prod)*", "is_regex": True}, ("a", "=~", "(prod)*"), False),
    ({"name": "a", "value": "prod?", "is_regex": True}, ("a", "=~", "prod?"), False),
    ({"name": "a", "value": "[a]*", "is_regex": True}, ("a", "=~", "[a]*"), False),
    # operators, and Alertmanager's text
    ({"name": "a", "value": "x.*", "operator": "=~"}, ("a", "=~", "x.*"), False),
    ({"name": "a", "value": "x", "op": "!="}, ("a", "!=", "x"), False),
    ('a=~"x.*"', ("a", "=~", "x.*"), False),
    ('a="x*"', ("a", "=", "x*"), False),
    # refused
    ({"name": "a", "value": "x", "op": "~"}, None, False),
    ({"name": "a", "value": "x", "is_regexp": True}, None, False),
    ({"name": "a", "value": 3}, None, False),
    ({"name": "a"}, None, False),
    ({"value": "x"}, None, False),
    ({"name": "", "value": "x"}, None, False),
    ({"name": "00", "value": "x"}, None, False),
    ({"name": "a", "value": "(", "is_regex": True}, None, False),
    ({"name": "a", "value": "x", "is_regex": "yes"}, None, False),
    ({"name": "a", "value": "x", "is_equal": 0}, None, False),
    ("a=x,b=y", None, False),
    (["a", "x"], None, False),
    (None, None, False),
]  # fmt: skip


@pytest.mark.parametrize(("document", "triple", "warned"), DOCUMENTS)
def test_matchers_of_v1(document, triple, warned):
    if triple is None:
        with pytest.raises(Refused) as caught:
            matching.from_document(document, field="matchers[3]")
        assert caught.value.field.startswith("matchers[3]")
        assert caught.value.status == 400
    else:
        matcher, warnings = matching.from_document(document)
        assert matching.triple(matcher) == triple
        assert bool(warnings) is warned


def test_the_warning_says_what_was_understood_and_what_to_write():
    _, warnings = matching.from_documents(
        [{"name": "a", "value": "b"}, {"name": "w", "value": "prod-*", "is_regex": True}]
    )
    assert len(warnings) == 1
    assert all(part in warnings[0] for part in ("matchers[1]", "'prod-*'", "glob", "'prod-.*'"))


@pytest.mark.parametrize("documents", [None, {}, "a=b", [{}] * 65])
def test_no_list_of_matchers(documents):
    with pytest.raises(Refused) as caught:
        matching.from_documents(documents)
    assert caught.value.field == "matchers"


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_star_matches_whatever_stands_in_its_place(before, text):
    glob = before.replace("\\", "").replace("*", "").replace("?", "") + "*"
    pattern = matching.glob_pattern(glob)
    matcher = Matcher("a", "=~", pattern) if max(glob) < "\ud800" else None
    if matcher is not None and "\n" not in text:
        assert matcher.matches(glob[:-1] + text)


V2 = [
    # document                                                              matcher, or status
    ({"name": "a", "value": "b", "isRegex": False, "isEqual": True}, ("a", "=", "b")),
    ({"name": "a", "value": "b", "isRegex": False}, ("a", "=", "b")),
    ({"name": "a", "value": "b", "isRegex": True}, ("a", "=~", "b")),
    ({"name": "a", "value": "b", "isRegex": True, "isEqual": False}, ("a", "!~", "b")),
    ({"name": "a", "value": "test-*", "isRegex": False}, ("a", "=", "test-*")),
    ({"name": "a", "value": "prod-*", "isRegex": True}, ("a", "=~", "prod-*")),
    ({"name": "a", "value": "b", "isRegex": False, "new": 1}, ("a", "=", "b")),
    ({"name": "a", "value": "(", "isRegex": True}, 400),
    ({"name": "", "value": "b", "isRegex": False}, 400),
    ({"name": "a", "value": "b"}, 422),
    ({"name": "a", "isRegex": False}, 422),
    ({"name": "a", "value": None, "isRegex": False}, 422),
    ({"name": 1, "value": "b", "isRegex": False}, 400),
    ({"name": 1, "isRegex": False}, 400),
    ({"name": "a", "value": "b", "isRegex": 0}, 400),
    ({"name": "a", "value": "b", "isRegex": False, "isEqual": "no"}, 400),
    ("a=b", 400),
]


@pytest.mark.parametrize(("document", "expected"), V2)
def test_matchers_of_alertmanagers_api(document, expected):
    if isinstance(expected, int):
        with pytest.raises(Refused) as caught:
            matching.from_v2(document)
        assert caught.value.status == expected
    else:
        assert matching.triple(matching.from_v2(document)) == expected


@pytest.mark.parametrize(
    "triple", [("a", "=", "b*"), ("a", "!=", "?"), ("a", "=~", "b.*"), ("a", "!~", "")]
)
def test_documents_are_read_back(triple):
    assert matching.triple(matching.from_v2(matching.to_v2(triple))) == triple
    matcher, warnings = matching.from_document(matching.to_document(triple))
    assert (matching.triple(matcher), warnings) == (triple, [])


# Where the reference's own reading is not ours: a missing label equals "" (R-M1).
DIFFERENT = {"empty-vs-missing": True, "regex-missing-label": True}


def test_the_references_route_matchers(shared_data):
    vectors = json.loads((shared_data / "lens_vectors" / "matchers_silences.json").read_text())
    cases = [case for case in vectors["cases"] if case["kind"] == "route"]
    for case in cases:
        matchers, _ = matching.from_documents(case["matchers"])
        matches = matching.all_match(matchers, case["labels"])
        assert matches is DIFFERENT.get(case["id"], case["observed"]), case["id"]
    assert len(cases) == 8


def test_alertmanagers_table_of_matches(shared_data):
    table = json.loads((shared_data / "tables" / "am_matcher_eval.json").read_text())
    for case in table["cases"]:
        document = {
            "name": "x",
            "value": case["pattern"],
            "isRegex": case["op"].endswith("~"),
            "isEqual": case["op"].startswith("="),
        }
        matcher = matching.from_v2(document)
        assert matching.all_match([matcher], {"x": case["value"]}) is case["match"], case
    assert len(table["cases"]) == 17
