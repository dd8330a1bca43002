"""The page of usage: jobs by network, version, GPU and status, in all and over a window of time."""

from collections.abc import Sequence

from msgspec import Struct

from heliograph.web import first_page

CONTENT_SECURITY_POLICY = first_page.CONTENT_SECURITY_POLICY


class UsageLine(Struct, frozen=True):
    """One value of a label.

    share    of all jobs, 0..1
    bars     jobs in each part of the window, oldest first, as shares of the greatest part
    recent   jobs in the window
    """

    value: str
    jobs: int
    share: float
    recent: int
    bars: Sequence[float]


class UsageTable(Struct, frozen=True):
    """The most frequent values of one label; *more* have no line."""

    title: str
    lines: Sequence[UsageLine]
    more: int


class UsagePage(Struct, frozen=True):
    """Everything on the page. *note* says what could not be drawn, or is ""."""

    now: str
    window: str
    windows: Sequence[str]
    jobs: int
    keys: int
    tables: Sequence[UsageTable]
    note: str


def render(page: UsagePage) -> str:
    """The HTML of *page*."""
    return first_page.environment().get_template("usage_page.html").render(page=page)
