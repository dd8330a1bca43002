"""The service's configuration: every key, its default and its unit. `docs/configuration.md` explains.

Durations are text (`7d`, `20s`), decoded here once; sizes are mebibytes where the name ends in `_mb`.
Keys of parts that are not built yet are accepted at their default only, so that a full example
file loads and nothing asked for is silently ignored (`unbuilt`).
"""

import ipaddress
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from msgspec import Struct, convert, field, structs, to_builtins

from heliograph.alert.config import configuration, files, routing_rules
from heliograph.alert.config.setup import Setup
from heliograph.core import duration, matcher
from heliograph.core.errors import ConfigError
from heliograph.service.limits import LimitsConfig
from heliograph.service.pattern_document import PatternDocument, configured
from heliograph.training.site import Pattern

MIB = 1024 * 1024
_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")


class StateConfig(Struct, frozen=True):
    """`url` null is SQLite in the data folder; else `postgresql+psycopg://…`."""

    url: str | None = None


class SampleRetention(Struct, frozen=True, rename={"minute": "1m", "hour": "1h"}):
    """How long raw samples and each roll-up are kept."""

    raw: str = "7d"
    minute: str = "30d"
    hour: str = "400d"


class SamplesConfig(Struct, frozen=True):
    """Where samples live. `prometheus` sends them on and forwards queries; operator's own URLs.

    hold       how long `prometheus` waits after arrival, so that placements may come first
    queue_mb   bound of the log that may wait for the remote end; the oldest is dropped beyond it
    """

    backend: Literal["embedded", "prometheus"] = "embedded"
    retention: SampleRetention = field(default_factory=SampleRetention)
    write_url: str | None = None
    query_url: str | None = None
    queue_mb: int = 1024
    seal: str = "5m"
    hold: str = "0s"


class ForwardConfig(Struct, frozen=True):
    """One further remote-write copy; `match` are matchers of which all must hold."""

    url: str
    match: tuple[str, ...] = ()
    hold: str = "0s"


class MetricsConfig(Struct, frozen=True):
    """keep_original: forwards carry the original beside its `workload_` series."""

    keep_original: bool = True
    prefix: str = "workload_"
    drop_negative: tuple[str, ...] = ()


class KubernetesConfig(Struct, frozen=True):
    """The Kubernetes watch: not built yet, so `true` is refused and `auto` finds nothing."""

    enabled: Literal["auto"] | bool = "auto"


class WorkloadsConfig(Struct, frozen=True):
    """placement_file: YAML or JSON, read again when it changes, looked at every `refresh`."""

    placement_file: str | None = None
    refresh: str = "20s"
    kubernetes: KubernetesConfig = field(default_factory=KubernetesConfig)


class LogsConfig(Struct, frozen=True):
    """keep_lines: `findings` keeps lines that meant something, `all` every line, `none` no text.

    fields     further printed names → training fields
    patterns   further patterns; more are made over the API
    """

    keep_lines: Literal["findings", "all", "none"] = "findings"
    fields: dict[str, str] = {}
    patterns: tuple[PatternDocument, ...] = ()


class TokenConfig(Struct, frozen=True):
    """`sha256`: hexadecimal digest of the secret that `heliograph token new` printed."""

    id: str
    role: Literal["ingest", "viewer", "editor", "admin"]
    sha256: str


class AuthConfig(Struct, frozen=True):
    """No tokens: open on loopback, and any other bind refuses to start."""

    tokens: tuple[TokenConfig, ...] = ()


class NotifyConfig(Struct, frozen=True):
    """CIDRs that channel URLs given over the API may reach."""

    allow_private: tuple[str, ...] = ()


class AlertingConfig(Struct, frozen=True, rename={"global_": "global"}):
    """Alertmanager's own keys, which `alert.config` reads, and ours.

    resolve_after   an alert of a log, a trace or a webhook resolves so long after its last repetition
    external_url    where people reach this service; "" is its own address
    causes          further pairs of cause and effect, by which alerts are correlated
    builtin_rules   whether the built-in rules for training are in force
    evaluate_every  how often rules over series are evaluated
    """

    global_: Any = None
    route: Any = None
    receivers: list[Any] = []
    inhibit_rules: list[Any] = []
    time_intervals: list[Any] = []
    mute_time_intervals: list[Any] = []
    templates: list[Any] = []
    tracing: Any = None
    resolve_after: str = "1h"
    external_url: str = ""
    causes: list[Any] = []
    builtin_rules: bool = True
    evaluate_every: str = "15s"


class RetentionConfig(Struct, frozen=True):
    """How long alerts, records and training rows are kept; ended alerts go into an archive then."""

    alerts: str = "90d"
    records: str = "30d"
    training: str = "400d"
    records_mb: int = 10_240
    alert_archive_mb: int = 1024
    alert_statistics: str = "1100d"


class Config(Struct, frozen=True):
    """The whole file. An empty one is valid."""

    listen: str = "127.0.0.1:8989"
    data_dir: str = "./heliograph-data"
    state: StateConfig = field(default_factory=StateConfig)
    samples: SamplesConfig = field(default_factory=SamplesConfig)
    forward: tuple[ForwardConfig, ...] = ()
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    workloads: WorkloadsConfig = field(default_factory=WorkloadsConfig)
    logs: LogsConfig = field(default_factory=LogsConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    notify: NotifyConfig = field(default_factory=NotifyConfig)
    alerting: AlertingConfig = field(default_factory=AlertingConfig)
    retention: RetentionConfig = field(default_factory=RetentionConfig)

    def beside(self, folder: Path) -> "Config":
        """This, with the files that `alerting` names looked for in *folder*, the file's own."""
        found = files.beside(to_builtins(self.alerting), folder)
        return structs.replace(self, alerting=convert(found, AlertingConfig))


def check(config: Config, *, insecure: bool = False) -> None:
    """Refuse what decodes but cannot be served. Raises ConfigError naming the key."""
    host_and_port(config.listen)
    _check_durations(config)
    _check_sizes(config)
    _check_unbuilt(config)
    _check_tokens(config.auth)
    _check_ends(config)
    alert_setup(config)
    log_patterns(config)
    if _METRIC.fullmatch(config.metrics.prefix) is None:
        raise ConfigError(f"metrics.prefix: {config.metrics.prefix!r} begins no metric's name")
    if not config.data_dir:
        raise ConfigError("data_dir: must not be empty")
    if is_open(config) and not insecure:
        raise ConfigError(
            f"listen: {config.listen} is reachable from other machines and auth.tokens is empty; "
            "add a token (heliograph token new --role admin), or start with --insecure"
        )


def host_and_port(listen: str) -> tuple[str, int]:
    """`127.0.0.1:8989`, `[::1]:8989`, `:8989` (all addresses) as host and port."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"listen: {listen!r} is not HOST:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - checked by `check`


def is_open(config: Config) -> bool:
    """Whether other machines may do everything, without any token."""
    host, _ = host_and_port(config.listen)
    return not config.auth.tokens and not _is_loopback(host)


def answered_hosts(config: Config) -> frozenset[str] | None:
    """The names in `Host` that are answered to; None for any.

    Without tokens only those of loopback: a page whose name was made to resolve to 127.0.0.1 must
    not reach what the browser's owner may.
    """
    host, _ = host_and_port(config.listen)
    if config.auth.tokens or not _is_loopback(host):
        return None
    return frozenset({"localhost", "127.0.0.1", "::1", host})


def alert_setup(config: Config) -> Setup:
    """What `alerting` says, read and checked. Raises ConfigError naming the path."""
    alerting = config.alerting
    own = ("external_url", "causes", "builtin_rules", "evaluate_every")
    document = {
        key: value
        for key, value in to_builtins(alerting).items()
        if key not in own and value not in (None, [], ())
    }
    return configuration.parse(document, external_url=external_url(config))


def shown(config: Config) -> dict[str, Any]:
    """*config* as it is written, with `<secret>` for each secret of its channels."""
    document: dict[str, Any] = to_builtins(config)
    for key in ("global", "receivers", "tracing"):
        document["alerting"][key] = routing_rules.masked_settings(document["alerting"][key])
    return document


def log_patterns(config: Config) -> list[Pattern]:
    """What `logs.patterns` says, read and checked. Raises ConfigError naming the key."""
    return configured(config.logs.fields, config.logs.patterns)


def external_url(config: Config) -> str:
    """Where people reach this service, without a slash at its end."""
    return (config.alerting.external_url or f"http://{config.listen}").rstrip("/")


def span_ns(text: str, key: str) -> int:
    """Nanoseconds of the duration under *key*. Raises ConfigError naming it."""
    try:
        return duration.parse(text)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from error


def _check_durations(config: Config) -> None:
    samples = config.samples.retention
    raw, minute, hour = (
        span_ns(samples.raw, "samples.retention.raw"),
        span_ns(samples.minute, "samples.retention.1m"),
        span_ns(samples.hour, "samples.retention.1h"),
    )
    if not 0 < raw <= minute <= hour:
        raise ConfigError("samples.retention: needs 0 < raw <= 1m <= 1h")
    for key, text in (
        ("samples.seal", config.samples.seal),
        ("workloads.refresh", config.workloads.refresh),
        ("retention.alerts", config.retention.alerts),
        ("retention.alert_statistics", config.retention.alert_statistics),
        ("retention.records", config.retention.records),
        ("retention.training", config.retention.training),
        ("alerting.resolve_after", config.alerting.resolve_after),
        ("alerting.evaluate_every", config.alerting.evaluate_every),
    ):
        if span_ns(text, key) <= 0:
            raise ConfigError(f"{key}: must be longer than 0")
    for number, forward in enumerate(config.forward):
        span_ns(forward.hold, f"forward[{number}].hold")
    span_ns(config.samples.hold, "samples.hold")


def _check_sizes(config: Config) -> None:
    limits = config.limits
    sizes = {f"limits.{key}": getattr(limits, key) for key in limits.__struct_fields__}
    sizes["samples.queue_mb"] = config.samples.queue_mb
    sizes["retention.records_mb"] = config.retention.records_mb
    sizes["retention.alert_archive_mb"] = config.retention.alert_archive_mb
    for key, size in sizes.items():
        if size <= 0:
            raise ConfigError(f"{key}: must be greater than 0")
    if limits.reserved_mb >= limits.in_flight_mb:
        raise ConfigError("limits.reserved_mb: must be less than in_flight_mb")
    if limits.decoded_mb > 1024:
        raise ConfigError("limits.decoded_mb: at most 1024")
    if limits.body_mb > limits.in_flight_mb - limits.reserved_mb:
        raise ConfigError("limits.body_mb: more than in_flight_mb leaves beside reserved_mb")
    forwards = config.forward or config.samples.backend == "prometheus"
    if forwards and config.samples.queue_mb >= limits.log_mb:
        # A dead remote end would fill the log, and stop all writers, before its oldest goes.
        raise ConfigError("samples.queue_mb: must be less than limits.log_mb")


def _check_ends(config: Config) -> None:
    """What is at the other ends: of the state, of samples and of what is sent on."""
    samples = config.samples
    if samples.backend == "prometheus" and not (samples.write_url and samples.query_url):
        raise ConfigError("samples: backend prometheus needs write_url and query_url")
    if config.state.url is not None:
        # Late, for few have one.
        from heliograph.store.state.engines import parse_url

        try:
            parsed = parse_url(config.state.url)
        except ValueError as error:
            raise ConfigError("state.url: not a database URL") from error
        if "@" in (parsed.host or ""):
            # Half of a password would be taken for the host, and told as that.
            raise ConfigError("state.url: write an @ of the user or the password as %40")
    urls = {"samples.write_url": samples.write_url, "samples.query_url": samples.query_url}
    urls["alerting.external_url"] = config.alerting.external_url or None
    urls |= {f"forward[{i}].url": forward.url for i, forward in enumerate(config.forward)}
    for number, forward in enumerate(config.forward):
        for index, text in enumerate(forward.match):
            try:
                matcher.parse(text)
            except ValueError as error:
                raise ConfigError(f"forward[{number}].match[{index}]: {error}") from error
    for key, url in urls.items():
        if url is not None and not _is_url(url):
            # Not quoted: it may hold a password.
            raise ConfigError(f"{key}: not a URL that begins with http:// or https://")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _check_unbuilt(config: Config) -> None:
    unbuilt = {
        "workloads.kubernetes.enabled": config.workloads.kubernetes.enabled is True,
    }
    for key, asked in unbuilt.items():
        if asked:
            raise ConfigError(f"{key}: not built yet in this version; remove it")
    for number, cidr in enumerate(config.notify.allow_private):
        try:
            ipaddress.ip_network(cidr)
        except ValueError as error:
            raise ConfigError(f"notify.allow_private[{number}]: {error}") from error


def _check_tokens(auth: AuthConfig) -> None:
    for number, token in enumerate(auth.tokens):
        digest = token.sha256.lower()
        if len(digest) != 64 or any(c not in "0123456789abcdef" for c in digest):
            raise ConfigError(f"auth.tokens[{number}].sha256: not 64 hexadecimal digits")
    ids = [token.id for token in auth.tokens]
    if len(set(ids)) != len(ids):
        raise ConfigError("auth.tokens: an id occurs twice")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
