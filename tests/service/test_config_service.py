"""The service's configuration: what is taken, what is refused and by which name."""

from pathlib import Path

import msgspec
import pytest

from heliograph.core import config as layers
from heliograph.core.errors import ConfigError
from heliograph.service import config as settings
from heliograph.service.config import Config

SHA = "a" * 64


def of(document, environ=()):
    config = layers.load(Config, path=None, environ=dict(environ), overrides=document)
    settings.check(config)
    return config


def test_an_empty_file_is_valid(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("")

    config = layers.load(Config, path=path, environ={}, overrides={})

    settings.check(config)
    assert config == Config()
    assert (config.listen, config.data_dir) == ("127.0.0.1:8989", "./heliograph-data")
    assert (config.limits.body_mb, config.limits.decoded_mb, config.limits.labels) == (
        32,
        128,
        64,
    )


# A whole file, as it is documented; of what is not built yet, the defaults.
WHOLE = """
listen: 127.0.0.1:8989
data_dir: ./heliograph-data
state: {url: null}
samples: {backend: embedded, retention: {raw: 7d, 1m: 30d, 1h: 400d}}
forward: [{url: "http://vm:8428/api/v1/write", match: ['job="a"']}]
metrics: {keep_original: true, prefix: workload_, drop_negative: []}
workloads: {placement_file: null, refresh: 20s, kubernetes: {enabled: auto}}
logs: {keep_lines: findings, fields: {}, patterns: []}
auth: {tokens: []}
limits: {body_mb: 32, decoded_mb: 128, labels: 64, label_value_bytes: 4096, series: 300000, list: 1000}
notify: {allow_private: [10.0.0.0/8]}
alerting: {resolve_after: 1h}
retention: {alerts: 90d, records: 30d, training: 400d}
"""


def test_the_documented_file_is_taken(tmp_path):
    path = tmp_path / "whole.yaml"
    path.write_text(WHOLE)

    config = layers.load(Config, path=path, environ={}, overrides={})

    settings.check(config)
    assert config.forward[0].match == ('job="a"',)
    assert msgspec.structs.replace(config, forward=(), notify=Config().notify) == Config()


# document, what the message begins with
REFUSED = [
    ({"listne": "127.0.0.1:1"}, "command line: unknown key listne - at $ (did you mean listen?)"),
    ({"limits": {"boddy_mb": 1}}, "command line: unknown key boddy_mb - at $.limits (did you mean body_mb?)"),
    ({"limits": {"body_mb": "32"}}, "command line: expected int, got str - at $.limits.body_mb"),
    ({"limits": {"body_mb": 1.5}}, "command line: expected int, got float - at $.limits.body_mb"),
    *(({"limits": {key: size}}, f"limits.{key}: must be greater than 0") for key in ("body_mb", "decoded_mb", "labels", "label_value_bytes", "series", "list", "in_flight_mb", "reserved_mb", "log_mb") for size in (0, -1)),
    ({"limits": {"reserved_mb": 256}}, "limits.reserved_mb: must be less than in_flight_mb"),
    ({"limits": {"decoded_mb": 1025}}, "limits.decoded_mb: at most 1024"),
    ({"samples": {"queue_mb": 0}}, "samples.queue_mb: must be greater than 0"),
    ({"retention": {"records_mb": -1}}, "retention.records_mb: must be greater than 0"),
    *(({"listen": text}, f"listen: '{text}' is not HOST:PORT") for text in ("127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:٣")),
    *(({"retention": {"records": text}}, "retention.records: ") for text in ("-10m", "1e9y", "nan", "inf", "30", "0", "0s", "", "1y", "101w99999999d")),
    *(({"samples": {"retention": {key: "x"}}}, f"samples.retention.{key}: not a duration") for key in ("raw", "1m", "1h")),
    ({"samples": {"retention": {"raw": "31d"}}}, "samples.retention: needs 0 < raw <= 1m <= 1h"),
    ({"samples": {"seal": "0"}}, "samples.seal: must be longer than 0"),
    ({"workloads": {"refresh": "0"}}, "workloads.refresh: must be longer than 0"),
    ({"samples": {"backend": "influx"}}, "command line: invalid enum value 'influx' - at $.samples.backend"),
    ({"samples": {"backend": "prometheus"}}, "samples: backend prometheus needs write_url and query_url"),
    ({"samples": {"backend": "prometheus", "write_url": "vm:8428", "query_url": "http://vm"}}, "samples.write_url: not a URL"),
    ({"forward": [{"url": "ftp://user:secret@vm"}]}, "forward[0].url: not a URL"),
    ({"forward": [{"match": []}]}, "command line: object missing required field url - at $.forward[0]"),
    ({"forward": [{"url": "http://vm", "hold": "soon"}]}, "forward[0].hold: not a duration"),
    ({"metrics": {"prefix": ""}}, "metrics.prefix: '' begins no metric's name"),
    ({"logs": {"keep_lines": "some"}}, "command line: invalid enum value 'some' - at $.logs.keep_lines"),
    ({"logs": {"patterns": [{"name": "x", "kind": "blacklist", "pattern": "("}]}}, "logs.patterns[0].pattern: "),
    ({"alerting": {"route": {"receiver": "x"}}}, "alerting.route.receiver: receiver 'x' is not defined"),
    ({"alerting": {"receivers": [{"name": "x", "pagerduty_configs": []}]}}, "alerting.receivers[0].pagerduty_configs"),
    ({"alerting": {"evaluate_every": "0"}}, "alerting.evaluate_every: must be longer than 0"),
    ({"alerting": {"external_url": "vm"}}, "alerting.external_url: not a URL"),
    ({"workloads": {"kubernetes": {"enabled": True}}}, "workloads.kubernetes.enabled: not built yet"),
    ({"notify": {"allow_private": ["10.0.0.0/33"]}}, "notify.allow_private[0]: "),
    ({"auth": {"tokens": [{"id": "a", "role": "root", "sha256": SHA}]}}, "command line: invalid enum value 'root' - at $.auth.tokens[0].role"),
    ({"auth": {"tokens": [{"id": "a", "role": "admin", "sha256": "hunter2"}]}}, "auth.tokens[0].sha256: not 64 hexadecimal digits"),
    ({"auth": {"tokens": [{"id": "a", "role": "admin", "sha256": "٣" * 64}]}}, "auth.tokens[0].sha256: not 64 hexadecimal digits"),
    ({"auth": {"tokens": [{"id": "a", "role": "admin", "sha256": SHA}] * 2}}, "auth.tokens: an id occurs twice"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "told"), REFUSED)
def test_what_cannot_be_served_is_refused_by_name(document, told):
    with pytest.raises(ConfigError) as refused:
        of(document)

    assert str(refused.value).startswith(told)
    assert "secret" not in str(refused.value)


def test_the_environment_is_a_layer():
    config = of({}, {"HELIOGRAPH_LIMITS__BODY_MB": "7", "HELIOGRAPH_LISTEN": "localhost:0"})

    assert (config.limits.body_mb, config.listen) == (7, "localhost:0")


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:8989", ("127.0.0.1", 8989)),
        ("[::1]:0", ("::1", 0)),
        (":8989", ("0.0.0.0", 8989)),
        ("node-1:65535", ("node-1", 65535)),
    ],
)
def test_host_and_port(listen, expected):
    assert settings.host_and_port(listen) == expected


def test_every_key_is_documented():
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    missing = [
        field.encode_name
        for section in (
            Config,
            *(type(getattr(Config(), name)) for name in Config.__struct_fields__),
        )
        if section not in {str, tuple}
        for field in msgspec.structs.fields(section)
        if field.encode_name not in text
    ]

    assert missing == []
