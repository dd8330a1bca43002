"""`to`: begin to ship a collector's metrics, or any source's, to a URL."""

import os
import platform
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Protocol

from heliograph.core.errors import ConfigError
from heliograph.ship.family import FamilyLike, Source
from heliograph.ship.post import TIMEOUT_S
from heliograph.ship.shipper import EVERY_S, EXIT_S, Shipper
from heliograph.ship.spool import BYTES_MAX

# That it stands still is an alert: a collector that nobody ever started has none.
RUNS_NAME = "telemetry_collection_runs"


class CollectorLike(Protocol):
    """What has metrics to ship: `heliograph.instruments.TelemetryCollector` is one."""

    @property
    def constant_labels(self) -> Mapping[str, str]:
        """Labels of all its series."""
        ...

    def families(self) -> Iterable[FamilyLike]:
        """All its metrics, now. Called by a thread of the shipper's."""
        ...


def to(
    url: str,
    *,
    collector: CollectorLike | None = None,
    source: Source | None = None,
    token: str | None = None,
    every_s: float = EVERY_S,
    labels: Mapping[str, str] | None = None,
    spool_dir: str | os.PathLike[str] | None = None,
    spool_bytes_max: int = BYTES_MAX,
    spool_sync: bool = False,
    exit_s: float = EXIT_S,
    timeout_s: float = TIMEOUT_S,
    headers: Mapping[str, str] | None = None,
    own_metrics: bool = True,
) -> Shipper:
    """Ship metrics to *url* every *every_s* seconds, from now until the process ends.

    url              `http://host:8989` of a Heliograph service, or the whole URL of a remote-write
                     receiver; user and password in it are sent as Basic
    collector        whose metrics; or *source*, which is called for them
    token            sent as Bearer
    labels           what every series carries besides the collector's constant labels; `instance`
                     is this host's name unless given, and an empty one leaves it out
    spool_dir        where undelivered samples wait; None: `HELIOGRAPH_SPOOL_DIR`, else a folder of
                     this user's among the temporary files; "": in memory, and lost with the process
    spool_bytes_max  beyond it the oldest are dropped and counted
    spool_sync       whether what waits survives a power cut, not only the process
    exit_s           how long the end of the process may wait, for the metrics and the receiver;
                     all shippers together take what the most patient one may
    timeout_s        how long one request may wait for it
    headers          further ones of every request, as a gateway may want them
    own_metrics      whether the shipper's own are shipped too; not where *collector* shows them

    Raises ConfigError when *url*, a number, *token* or a header cannot be meant, or there is nothing
    to ship. Whatever goes wrong later is counted, never raised.
    """
    constant = {"instance": platform.node()}
    if collector is not None:
        if source is not None:
            raise ConfigError("either a collector or a source")
        constant.update(collector.constant_labels)
        source = partial(_shown, collector)
    if source is None:
        raise ConfigError("nothing to ship: hand in a collector, or a source of families")
    return Shipper(
        url,
        source,
        token=token,
        every_s=every_s,
        labels={**constant, **(labels or {})},
        spool_dir=spool_dir,
        spool_bytes_max=spool_bytes_max,
        spool_sync=spool_sync,
        exit_s=exit_s,
        timeout_s=timeout_s,
        headers=headers,
        own_metrics=own_metrics,
    )


def _shown(collector: CollectorLike) -> list[FamilyLike]:
    """The families of *collector*, without the count of its runs while there was none."""
    return [
        family
        for family in collector.families()
        if family.name.removesuffix("_total") != RUNS_NAME
        or any(point.value for point in family.points)
    ]
