"""Bodies of a wandb client, decoded; and bodies that no client sends."""

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import Refused
from heliograph.receive import wandb_files, wandb_graphql, wandb_stream, wandb_system
from heliograph.receive.wandb_graphql import RunName

AT_NS = 1_795_343_840_559_178_000
HISTORY = (
    '{"lm loss":2.5,"inf":Infinity,"hist":{"bins":[0,1],"_type":"histogram","values":[1]},'
    '"nested":{"a":1,"b":{"c":true}},"_timestamp":1.7953438405591784e+09,"_runtime":0.137,'
    '"text":"word","bad":NaN,"word":"-Infinity","_step":7}'
)


def body(**files):
    names = {"history": "wandb-history.jsonl", "events": "wandb-events.jsonl"}
    names |= {"console": "output.log", "summary": "wandb-summary.json"}
    more = {name: files.pop(name) for name in list(files) if name not in names}
    chunks = {
        names[name]: {"offset": offset, "content": content}
        for name, (offset, content) in files.items()
    }
    return json.dumps({"files": chunks, **more}).encode()


def test_a_recorded_body():
    found = wandb_stream.decode(
        body(
            history=(120, [HISTORY, "junk", "[1]"]),
            events=(3, ['{"system.gpu.0.temp":61,"_timestamp":1.795343840e9,"_wandb":true}']),
            console=(
                9,
                [
                    "2026-11-22T10:37:20.559819 hello",
                    "ERROR 2026-11-22T10:37:20.559819 10%\r20%\n",
                    "no time",
                ],
            ),
            summary=(0, ['{"loss":2.3,"up":Infinity}']),
            uploaded=["config.yaml"],
            preempting=True,
            complete=True,
            exitcode=1,
        )
    )
    (point,) = found.history
    assert point._replace(values={}) == (120, 7, AT_NS, 0.137, {}, 2, {})
    assert math.isnan(point.values.pop("bad"))
    assert point.values == {
        "lm loss": 2.5, "inf": math.inf, "nested.a": 1.0, "nested.b.c": 1.0, "word": -math.inf,
    }  # fmt: skip
    assert found.events == [
        wandb_stream.Point(3, None, 1_795_343_840 * 10**9, None, {"system.gpu.0.temp": 61.0}, 0)
    ]
    assert found.console == [
        (9, 1_795_343_840_559_819_000, "stdout", "hello"),
        (10, 1_795_343_840_559_819_000, "stderr", "20%"),
        (11, None, "stdout", "no time"),
    ]
    assert found.summary == {"loss": 2.3, "up": math.inf}
    assert found[4:] == (123, 4, 12, True, 1, True, 1, 2, None, None)


def test_a_heartbeat_says_nothing():
    assert wandb_stream.decode(b"{}") == (
        [],
        [],
        [],
        None,
        0,
        0,
        0,
        False,
        None,
        False,
        0,
        0,
        None,
        None,
    )


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b'{"files": 3}', b"{", b"\xff\xfe{}"])
def test_what_is_no_body_is_refused(raw):
    with pytest.raises(Refused):
        wandb_stream.decode(raw)


def test_more_lines_than_one_body_may_have_are_refused(monkeypatch):
    monkeypatch.setattr(wandb_stream, "LINES_MAX", 2)
    wandb_stream.decode(body(console=(0, ["a", "b"])))
    with pytest.raises(Refused, match="3 lines, limit 2"):
        wandb_stream.decode(body(console=(0, ["a", "b"]), history=(0, ["{}"])))


def test_more_values_than_one_line_may_have_are_counted(monkeypatch):
    monkeypatch.setattr(wandb_stream, "VALUES_MAX", 2)
    found = wandb_stream.numbers({"a": 1, "b": 2, "c": 3, "d": "x"})
    assert found == ({"a": 1.0, "b": 2.0}, 1, {"too_many_names": 1})


def test_names_and_depths_have_ends():
    long = "n" * (wandb_stream.NAME_CHARS_MAX + 1)
    deep = 1
    for _ in range(wandb_stream.DEPTH_MAX + 1):
        deep = {"d": deep}
    assert wandb_stream.numbers({long: 1, "x": deep}) == ({}, 1, {"name_too_long": 1})
    twice = {"a": {"b": 2}, "a.b": 1}
    assert wandb_stream.numbers(twice) == ({"a.b": 1.0}, 0, {"same_name": 1})


def test_only_what_the_client_adds_is_its_own():
    added = {"_step": 1, "_timestamp": 2.5, "_runtime": 3.5, "_wandb": {"x": 1}}
    assert wandb_stream.numbers(added | {"_best": 4}) == ({"_best": 4.0}, 0, {})


def test_infinities_of_whole_numbers():
    assert wandb_stream.numbers({"big": 10**400, "small": -(10**400)}) == (
        {"big": math.inf, "small": -math.inf}, 0, {},
    )  # fmt: skip


def test_a_document_is_cut_to_what_stores_can_carry():
    deep = json.loads("[" * 40 + "]" * 40)
    found = wandb_stream.bounded({"deep": deep, "int": 2**70, "text": "x" * 10**5})
    assert found["int"] == float(2**70)
    assert len(found["text"]) == wandb_stream.TEXT_CHARS_MAX
    assert json.dumps(found["deep"]).count("[") == wandb_stream.DEPTH_MAX - 1
    assert wandb_stream.loads('{"half": "\\ud800"}') == {"half": "?"}


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
))  # fmt: skip
def test_any_line_is_read_or_counted(value):
    text = json.dumps(value)
    found = wandb_stream.decode(
        body(history=(0, [text]), events=(0, [text]), console=(0, [text]))
    )
    assert len(found.history) + len(found.events) + found.malformed == 2
    assert all(
        isinstance(number, float) for one in found.history for number in one.values.values()
    )


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw):
    for decode in (wandb_stream.decode, wandb_graphql.decode):
        with contextlib.suppress(Refused):
            decode(raw)


@pytest.mark.parametrize(
    ("name", "metric", "labels"),
    [
        ("system.cpu", "wandb_system_cpu", ()),
        ("system.gpu.0.temp", "wandb_system_gpu_temp", (("gpu", "0"),)),
        ("system.gpu.process.12.powerWatts", "wandb_system_gpu_process_power_watts",
         (("gpu", "12"),)),
        ("system.disk./da.ta/x.usagePercent", "wandb_system_disk_usage_percent",
         (("path", "/da.ta/x"),)),
        ("system.disk.nvme0n1.in", "wandb_system_disk_in", (("disk", "nvme0n1"),)),
        ("system.proc.memory.rssMB", "wandb_system_proc_memory_rss_mb", ()),
        ("system.cpu.3.cpu_percent", "wandb_system_cpu_cpu_percent", (("cpu", "3"),)),
        ("0", "wandb_system_0", ()),
        ("ü", "wandb_system_value", ()),
    ],
)  # fmt: skip
def test_system_metrics_have_names_and_labels(name, metric, labels):
    assert wandb_system.named(name) == (metric, labels)


def upsert(**more):
    said = {"name": "r1", "project": "p", "entity": None, "host": "vm", **more}
    return wandb_graphql.settings(said)


def test_what_a_run_says_of_itself():
    config = json.dumps({"lr": {"value": 0.1}, "_wandb": {"value": {"t": {}}}, "odd": 3})
    found = upsert(config=config, tags=["a"], displayName="nice", summaryMetrics="{bad")
    assert found.name == RunName("heliograph", "p", "r1")
    assert found.name.uid == "wandb:heliograph:p:r1"
    assert (found.config, found.summary) == ({"lr": 0.1, "_wandb": {"t": {}}, "odd": 3}, None)
    assert (found.display_name, found.tags, found.host) == ("nice", ("a",), "vm")
    assert upsert(project=None).name.project == "uncategorized"


@pytest.mark.parametrize(
    "name", ["", None, 3, "a/b", "a:b", "a\nb", "x" * 129, " ", "a\u2028b"]
)
def test_what_cannot_be_a_name_is_refused(name):
    with pytest.raises(Refused):
        upsert(name=name)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('query P {T: __type(name: "Q") {...f} viewer {id}} fragment f on Q {x}',
         {"T": "__type", "viewer": "viewer"}),
        ('{a(x: {y: "}"}) {b} # {\n c}', {"a": "a", "c": "c"}),
        ("}}} {{{ (((", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_what_an_unknown_operation_asks_for(query, expected):
    assert wandb_graphql.fields(query) == expected


def test_an_operation_is_known_by_its_name():
    raw = json.dumps({"query": "mutation  Up ($a: Int) {x}", "variables": [1]}).encode()
    assert wandb_graphql.decode(raw) == ("Up", "mutation  Up ($a: Int) {x}", {})
    with pytest.raises(Refused):
        wandb_graphql.decode(b"{}")


def test_files_that_are_read():
    raw = b'{"host": "vm", "startedAt": "2026-11-22T10:37:20.474026Z"}'
    found = wandb_files.read("wandb-metadata.json", raw)
    assert found.said == {"metadata": json.loads(raw), "host": "vm"}
    assert found.started_ns == 1_795_343_840_474_026_000
    assert wandb_files.read("config.yaml", b"lr:\n  value: 0.1\n").said == {
        "config": {"lr": 0.1}
    }
    assert wandb_files.read("requirements.txt", b"a==1\n\nb==2\n").said == {
        "packages": ["a==1", "b==2"]
    }
    assert wandb_files.read("wandb-summary.json", b'{"x": NaN}').said["summary"].keys() == {"x"}
    too_long = b"#" * (wandb_files.YAML_BYTES_MAX + 1)
    assert wandb_files.read("config.yaml", too_long) == wandb_files.NOTHING
    for name, bad in (("config.yaml", b"["), ("wandb-metadata.json", b"3")):
        with pytest.raises(Refused):
            wandb_files.read(name, bad)


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ([3, 0, 7], (3, 0, 7)), ([-1, 2, -3], (0, 2, 0)), (None, None), ([1, 2], None),
        ([1, 2, "3"], None), ([True, 2, 3], None), ([2**80, 0, 0], None), ("abc", None),
    ],
)  # fmt: skip
def test_where_lines_of_a_file_stand(told, read):
    files = {"output.log": {"offset": 0, "content": ["a"], "read": told}}
    assert wandb_stream.decode(json.dumps({"files": files}).encode()).read == read
