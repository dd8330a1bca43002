"""One payload as it arrives: coercions, refusals that name the field, bounds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import Refused
from heliograph.usage import MetricProcessor, payload
from heliograph.usage.config import MetricAttribute
from heliograph.usage.types import AttributeType

TAKEN = [
    # sent                                              read
    ({}, {}),
    ({"success": "yes"}, {"success": True}),
    ({"success": 0}, {"success": False}),
    ({"success": 1.0}, {"success": True}),
    ({"user_error": "OFF"}, {"user_error": False}),
    ({"time_lapsed": "60"}, {"time_lapsed": 60}),
    ({"time_lapsed": 1.5}, {"time_lapsed": 1}),
    ({"time_lapsed": -5}, {"time_lapsed": -5}),
    ({"time_lapsed": 10**30}, {"time_lapsed": 10**30}),
    ({"time_lapsed": None}, {"time_lapsed": None}),
    ({"client_type": None, "automl_triggered": None, "user_error": None},) * 2,
    ({"gpu": []}, {"gpu": []}),
    ({"version": ""}, {"version": ""}),
]
REFUSED = [
    # sent                                        field              detail
    ("[1]", "body", "body: not an object but a list"),
    ("null", "body", "body: not an object but null"),
    ("", "body", "not JSON: Expecting value: line 1 column 1 (char 0)"),
    ({"foo": 1}, "foo", "foo: unknown field"),
    ({"version": None}, "version", "version: must not be null"),
    ({"version": 5}, "version", "version: not text but a number"),
    ({"success": None}, "success", "success: must not be null"),
    ({"success": "perhaps"}, "success", "success: not a boolean"),
    ({"success": 2}, "success", "success: not a boolean"),
    ({"success": []}, "success", "success: not a boolean"),
    ({"gpu": "A100"}, "gpu", "gpu: not a list but text"),
    ({"gpu": None}, "gpu", "gpu: must not be null"),
    ({"gpu": ["A100", None]}, "gpu[1]", "gpu[1]: not text but null"),
    ({"gpu": ["A"] * 4097}, "gpu", "gpu: 4097 entries, limit 4096"),
    ({"time_lapsed": True}, "time_lapsed", "time_lapsed: not a number but a boolean"),
    ({"time_lapsed": "1.5"}, "time_lapsed", "time_lapsed: not a whole number"),
    ({"time_lapsed": float("nan")}, "time_lapsed", "time_lapsed: nan is not finite"),
    ({"time_lapsed": 10**301}, "time_lapsed", "time_lapsed: greater than 1e+300"),
    (
        {"gpu": ["A\0 1x"]},
        "gpu[0]",
        "gpu[0]: a NUL or half a surrogate pair, which no store can hold",
    ),
    (
        '{"action": "\\ud800"}',
        "action",
        "action: a NUL or half a surrogate pair, which no store can hold",
    ),
    ({"network": "n" * 4097}, "network", "network: 4097 characters, limit 4096"),
]


@pytest.mark.parametrize(("sent", "read"), TAKEN)
def test_taken(sent, read):
    assert payload.decode(json.dumps(sent)) == read
    MetricProcessor().process({}, read)


@pytest.mark.parametrize(("sent", "field", "detail"), REFUSED)
def test_refused(sent, field, detail):
    body = sent if isinstance(sent, str) else json.dumps(sent)
    with pytest.raises(Refused) as refused:
        payload.decode(body)
    assert (refused.value.field, refused.value.detail) == (field, detail)


def test_at_the_bounds():
    longest = {"network": "n" * 4096, "gpu": ["A"] * 4096, "time_lapsed": 1e300}

    assert payload.decode(longest)["network"] == longest["network"]
    body = b" " * (payload.BODY_BYTES_MAX - 2) + b"{}"
    assert payload.decode(body) == {}
    with pytest.raises(Refused) as refused:
        payload.decode(b" " + body)
    assert refused.value.status == 413


def test_a_list():
    assert payload.decode_all(b'{"action": "train"}') == [{"action": "train"}]
    assert payload.decode_all(b'[{"action": "train"}, {}]') == [{"action": "train"}, {}]
    assert payload.decode_all(b"[]") == []
    for body, field in (
        ('[{}, {"gpu": [1]}]', "[1].gpu[0]"),
        ("[{}, 1]", "[1]"),
        ("1", "body"),
    ):
        with pytest.raises(Refused) as refused:
            payload.decode_all(body)
        assert refused.value.field == field
    with pytest.raises(Refused) as refused:
        payload.decode_all(json.dumps([{}] * (payload.PAYLOADS_MAX + 1)))
    assert refused.value.status == 413


def test_an_attribute_of_the_site_is_known(registry):
    registry.append(MetricAttribute("loss", "final_loss", AttributeType.INTEGER, 0, False, 50))
    assert payload.decode({"final_loss": 0.5}) == {"final_loss": 0}

    registry[-1].aggregation = "last"
    assert payload.decode({"final_loss": 0.5}) == {"final_loss": 0.5}
    assert payload.decode({"final_loss": None}) == {"final_loss": None}


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
bodies = st.dictionaries(
    st.sampled_from(["version", "gpu", "success", "time_lapsed", "user_error", "x"]), json_like
)


@given(bodies)
def test_any_body_is_read_or_refused(body):
    fields = []
    try:
        MetricProcessor().process({}, payload.decode(json.dumps(body)))
    except Refused as refused:
        fields.append(refused.field)
    assert all(fields)
