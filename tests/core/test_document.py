"""Documents of operators: JSON's escapes of one character are that character."""

import json
from typing import Any

import msgspec
import pytest

from heliograph.core import config, document
from heliograph.core.errors import ConfigError


@pytest.mark.parametrize(
    "value",
    [
        {"receiver": "on call 🔥", "matchers": ['team="训练🔥"']},
        {"🔥": {"𝄞": "𝄞🔥"}},
        "🔥",
        ["a", {"b": ["x 🔥 y"]}],
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_json_writes_is_read_as_it_was(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert document.parse(text, source="t") == value


def test_aliases_and_longer_escapes_are_joined_too():
    text = 'a: &x "\\ud83d\\udd25"\nb: *x\nc: "\\U0000d83d\\udd25"'
    assert document.parse(text, source="t") == {"a": "🔥", "b": "🔥", "c": "🔥"}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (r'"\ud83d"', "\ud83d"),
        (r'"\udd25\ud83d"', "\udd25\ud83d"),
        (r'"\ud83d\ud83d\udd25\udd25"', "\ud83d🔥\udd25"),
    ],
)
def test_half_of_one_is_left(text, read):
    assert document.parse(text, source="t") == read


def test_a_key_written_both_ways_is_one_key():
    with pytest.raises(ConfigError, match="key '🔥' occurs twice"):
        document.parse(r'{"\ud83d\udd25": 1, "🔥": 2}', source="t")


HALVES = [
    (r'{"extra": {"a": ["x", {"b": "z\ud83d"}]}}', "$.extra.a[1].b"),
    (r'{"listen": "\udd25\ud83d"}', "$.listen"),
    (r'{"extra": {"\ud83d": 1}}', "$.extra"),
    (r'{"extra": [[0, "\udfff"]]}', "$.extra[0][1]"),
    (r'{"\ud800": 1}', "$"),
]


class Config(msgspec.Struct):
    """What a configuration may be."""

    listen: str = ""
    extra: Any = None


@pytest.mark.parametrize(("text", "place"), HALVES)
def test_in_a_configuration_it_is_an_error_that_names_file_and_place(tmp_path, text, place):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load(Config, path=path, environ={}, overrides={})
    assert str(caught.value) == f"{path}: half a surrogate pair - at {place}"


def test_in_the_environment_it_names_the_variable():
    environ = {"HELIOGRAPH_EXTRA": r'{"a": "\ud800"}'}
    with pytest.raises(ConfigError, match=r"HELIOGRAPH_EXTRA: half a surrogate pair - at \$.a"):
        config.load(Config, path=None, environ=environ, overrides={})
