"""The first page: health, what flows in, which workloads run and how, what has no owner and why."""

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from jinja2 import Environment

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


class Check(Struct, frozen=True):
    """One line of health: *state* is `ok`, `warn` or `bad`."""

    name: str
    state: str
    text: str


class Flow(Struct, frozen=True):
    """What one protocol brought since the start; counts of parts."""

    protocol: str
    received: int
    rejected: int


class WorkloadLine(Struct, frozen=True):
    """One workload as the table shows it; empty text where nothing is known."""

    uid: str
    name: str
    namespace: str
    kind: str
    status: str
    pods: int
    devices: int
    framework: str
    run: str
    iteration: str
    progress: float | None
    loss: str
    throughput: str
    memory: str
    last_seen: str


class AlertLine(Struct, frozen=True):
    """One alert that fires; *held* is what keeps it from being told, or ""."""

    id: str
    name: str
    severity: str
    workload: str
    pod: str
    node: str
    summary: str
    since: str
    held: str


class Unowned(Struct, frozen=True):
    """Series without an owner for one *reason*, with an example."""

    reason: str
    meaning: str
    series: int
    example: str


class FirstPage(Struct, frozen=True):
    """Everything on the page."""

    version: str
    up_since: str
    now: str
    checks: Sequence[Check]
    alerts: Sequence[AlertLine]
    alerts_total: int
    flows: Sequence[Flow]
    workloads: Sequence[WorkloadLine]
    workloads_total: int
    unowned: Sequence[Unowned]
    attributed_series: int


def render(page: FirstPage) -> str:
    """The HTML of *page*."""
    return environment().get_template("first_page.html").render(page=page)


def stylesheet() -> bytes:
    """The CSS of all pages."""
    return _static("heliograph.css")


def script() -> bytes:
    """What keeps all pages new."""
    return _static("heliograph.js")


def _static(name: str) -> bytes:
    return resources.files("heliograph.web").joinpath("static", name).read_bytes()


@cache
def environment() -> "Environment":
    """Where all pages' templates are."""
    # Where nobody looks at a page it is 2 MB less.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("heliograph.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
