"""The layers of configuration, and every way in which one can be wrong."""

from pathlib import Path

import msgspec
import pytest

from heliograph.core import config, document
from heliograph.core.config import Duration, Size
from heliograph.core.errors import ConfigError


class Limits(msgspec.Struct, frozen=True):
    body: Size = Size.of("8MiB")
    hold: Duration = Duration.of("30s")
    series: int = 1000
    per_job: dict[str, int] = {}


class Embedded(msgspec.Struct, frozen=True, tag="embedded", tag_field="backend"):
    path: Path


class Remote(msgspec.Struct, frozen=True, tag="remote", tag_field="backend"):
    url: str
    password: str = ""


class Config(msgspec.Struct, frozen=True):
    limits: Limits = Limits()
    listen: str = "127.0.0.1:8989"
    store: Embedded | Remote = Embedded(Path("data"))
    tiers: list[Limits] = []
    extra: Limits | None = None


def load(tmp_path, text="", environ=None, overrides=None):
    path = tmp_path / "heliograph.yaml"
    path.write_text(text)
    return config.load(Config, path=path, environ=environ or {}, overrides=overrides or {})


def test_nothing_given_is_the_defaults():
    assert config.load(Config, path=None, environ={}, overrides={}) == Config()


def test_an_empty_file_is_the_defaults(tmp_path):
    assert load(tmp_path, "# nothing\n") == Config()


def test_a_later_layer_wins_key_by_key_and_lists_are_replaced(tmp_path):
    loaded = load(
        tmp_path,
        "limits: {body: 1MiB, hold: 5s, series: 1}\ntiers: [{series: 1}, {series: 2}]\n",
        {"HELIOGRAPH_LIMITS__SERIES": "2", "HELIOGRAPH_TIERS": "[{series: 9}]"},
        {"limits": {"hold": "1m", "series": None}, "listen": None},
    )

    limits = Limits(body=Size(2**20), hold=Duration.of("1m"), series=2)
    assert loaded == Config(limits=limits, tiers=[Limits(series=9)])


def test_the_store_is_a_tagged_choice(tmp_path):
    loaded = load(tmp_path, "store: {backend: remote, url: 'http://x'}")
    assert loaded == Config(store=Remote(url="http://x"))


ENVIRONMENT = [
    # case                                   name             value      what it sets
    ("a number where a number is asked", "LIMITS__SERIES", "7", Config(limits=Limits(series=7))),
    ("a size", "LIMITS__BODY", "1kB", Config(limits=Limits(body=Size(1000)))),
    ("a size as a number", "LIMITS__BODY", "77", Config(limits=Limits(body=Size(77)))),
    ("digits stay text where text is asked", "LISTEN", "8080", Config(listen="8080")),
    ("true stays text where text is asked", "LISTEN", "true", Config(listen="true")),
    ("a mapping in YAML's flow form", "LIMITS__PER_JOB", "{a: 1}",
     Config(limits=Limits(per_job={"a": 1}))),
    ("a key of a mapping", "LIMITS__PER_JOB__A", "1", Config(limits=Limits(per_job={"a": 1}))),
    ("a section that may be absent", "EXTRA__SERIES", "3", Config(extra=Limits(series=3))),
    ("null where it is allowed", "EXTRA", "null", Config()),
    ("a command's own variable is not ours", "TOKEN", "x", Config()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "expected"), [pytest.param(*row, id=case) for case, *row in ENVIRONMENT]
)
def test_environment(name, value, expected):
    environ = {f"HELIOGRAPH_{name}": value, "PATH": "/bin", "OTHER_LIMITS__SERIES": "5"}
    assert config.load(Config, path=None, environ=environ, overrides={}) == expected


ERRORS = [
    # case              text                                  message after the file's name
    ("a wrong type", "limits: {series: x}", "expected int, got str - at $.limits.series"),
    ("a wrong type in a list", "tiers: [{}, {series: x}]",
     "expected int, got str - at $.tiers[1].series"),
    ("a misspelt key", "limits: {boddy: 1}",
     "unknown key boddy - at $.limits (did you mean body?)"),
    ("a foreign key", "limits: {zzz: 1}",
     "unknown key zzz - at $.limits (known: body, hold, per_job, series)"),
    ("a misspelt section", "limit: {}", "unknown key limit - at $ (did you mean limits?)"),
    ("an unknown key in a list", "tiers: [{sereis: 1}]",
     "unknown key sereis - at $.tiers[0] (did you mean series?)"),
    ("an unknown key of a choice", "store: {backend: remote, urk: x}",
     "unknown key urk - at $.store (did you mean url?)"),
    ("an unknown choice", "store: {backend: x}", "invalid value 'x' - at $.store.backend"),
    ("a key that is missing", "store: {backend: remote}",
     "object missing required field url - at $.store"),
    ("a number for a duration", "limits: {hold: 5}",
     "expected duration, got int - at $.limits.hold"),
    ("no duration", "limits: {hold: 5 s}",
     "not a duration: '5 s' (write e.g. 30s, 1h30m, 7d) - at $.limits.hold"),
    ("no size", "limits: {body: 5XB}",
     "not a size: '5XB' (write e.g. 1048576, 8MiB, 20GB) - at $.limits.body"),
    ("a negative size", "limits: {body: -1}",
     "not a size: '-1' (write e.g. 1048576, 8MiB, 20GB) - at $.limits.body"),
    ("a boolean for a size", "limits: {body: true}",
     "expected size, got bool - at $.limits.body"),
    ("a list at the top", "- 1", "expected a mapping of keys, got list - at $"),
    ("a key twice", "listen: a\nlisten: b", "line 2, column 1: key 'listen' occurs twice"),
    ("a number as key", "1: 2",
     "unknown key 1 - at $ (known: extra, limits, listen, store, tiers)"),
    ("a section that is no mapping", "limits: 3", "expected object, got int - at $.limits"),
    ("broken YAML", "a: [",
     "line 1, column 5: expected the node content, but found '<stream end>'"),
    ("an unknown YAML tag", "a: !!python/none x",
     ("line 1, column 4: could not determine a constructor for the tag "
      "'tag:yaml.org,2002:python/none'")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"), [pytest.param(*row, id=case) for case, *row in ERRORS]
)
def test_an_error_names_file_and_path(tmp_path, text, message):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)

    assert str(caught.value) == f"{tmp_path / 'heliograph.yaml'}: {message}"


def test_an_error_names_the_layer_at_fault(tmp_path):
    good = "limits: {series: 1}"
    with pytest.raises(ConfigError) as by_environment:
        load(tmp_path, good, {"HELIOGRAPH_LIMITS__SERIES": "x"})
    with pytest.raises(ConfigError) as by_flag:
        load(tmp_path, good, {}, {"limits": {"series": "x"}})
    with pytest.raises(ConfigError) as by_name:
        load(tmp_path, good, {"HELIOGRAPH_LIMITS____SERIES": "1"})

    wrong = "expected int, got str - at $.limits.series"
    assert str(by_environment.value) == f"HELIOGRAPH_LIMITS__SERIES: {wrong}"
    assert str(by_flag.value) == f"command line: {wrong}"
    assert str(by_name.value) == (
        "HELIOGRAPH_LIMITS____SERIES: write HELIOGRAPH_<SECTION>__<KEY>"
    )


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(ConfigError, match="no.yaml: No such file"):
        config.load(Config, path=tmp_path / "no.yaml", environ={}, overrides={})
    (tmp_path / "bad.yaml").write_bytes(b"listen: \xff")
    with pytest.raises(ConfigError, match="bad.yaml: not UTF-8 at byte 8"):
        config.load(Config, path=tmp_path / "bad.yaml", environ={}, overrides={})


SCALARS = [
    # written         read
    ("true", True), ("False", False), ("yes", "yes"), ("no", "no"), ("on", "on"),
    ("null", None), ("~", None), ("", None), ("'null'", "null"),
    ("17:00", "17:00"), ("1:30", "1:30"), ("2026-01-01", "2026-01-01"),
    ("0", 0), ("-12", -12), ("+12", 12), ("0x1F", 31), ("1_000", "1_000"), ("010", "010"),
    ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("-.inf", float("-inf")), ("1.2.3", "1.2.3"),
    ('{"a": [1, null]}', {"a": [1, None]}),
    ("9223372036854775807", 2**63 - 1), ("9" * 30, "9" * 30),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), SCALARS)
def test_scalars_are_those_of_yaml_1_2(text, expected):
    assert document.parse(f"x: {text}", source="t") == {"x": expected}
    assert type(document.parse(f"x: {text}", source="t")["x"]) is type(expected)


def test_aliases_and_merge_keys_work_within_bounds():
    read = document.parse("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a", source="t")
    assert read == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}}


def _bomb():
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    return "\n".join(lines)


def _tower():
    return "\n".join(
        ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, document.DEPTH_MAX))]
    )


BOMBS = [
    ("aliases that multiply", _bomb(), "more than 500000 parts with its aliases"),
    ("aliases that stack", _tower(), "nested more than 64 deep"),
    ("an alias to itself", "a: &a [*a]", "an alias refers to what contains it"),
    ("brackets without end", "[" * 100_000, "nested more than 64 deep"),
    ("more bytes than allowed", "x" * (document.DOCUMENT_BYTES_MAX + 1), "limit 4194304"),
    ("a list as key", "[a]: 1", "a key must be text"),
    ("two documents", "a: 1\n---\nb: 1", "but found another document"),
    ("an unknown alias", "a: *b", "found undefined alias"),
]


@pytest.mark.parametrize(
    ("text", "message"), [pytest.param(*row[1:], id=row[0]) for row in BOMBS]
)
def test_a_document_beyond_its_bounds_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        document.parse(text, source="t")


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("0", 0), ("1048576", 2**20), ("8MiB", 2**23), ("20 GB", 20 * 10**9), ("3B", 3)],
)
def test_sizes(text, size_bytes):
    assert Size.of(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "MiB", "1.5GB", "-1", "1mb", "8 MiB ", "9999999999999TiB"]
)
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="size"):
        Size.of(text)


def test_a_duration_reads_and_writes_itself():
    span = Duration.of("1h30m")
    assert (str(span), span.seconds, int(span)) == ("1h30m", 5400.0, 5_400_000_000_000)
