"""What every process shows of itself without being asked: interpreter, GC, process.

add_platform(collector)

python_info{implementation="CPython",major="3",minor="11",patchlevel="7",version="3.11.7"} 1
"""

import sys
from collections.abc import Callable, Iterable
from typing import Protocol

from heliograph.instruments.family import Family, Point
from heliograph.instruments.gc_metrics import gc_metrics
from heliograph.instruments.process_metrics import ProcessMetrics


class TakesSources(Protocol):
    """A collector, as far as platform metrics need one."""

    def add_source(self, source: Callable[[], Iterable[Family]]) -> Callable[[], None]:
        """Show the families of *source* too; the answer undoes it."""
        ...


def platform_metrics() -> list[Family]:
    """`python_info`."""
    major, minor, patch = sys.version_info[:3]
    labels = (
        (
            "implementation",
            _IMPLEMENTATIONS.get(sys.implementation.name, sys.implementation.name),
        ),
        ("major", str(major)),
        ("minor", str(minor)),
        ("patchlevel", str(patch)),
        ("version", sys.version.split()[0]),
    )
    text = "Python platform information"
    return [Family("python_info", "gauge", text, "", [Point("", labels, 1.0)])]


# As `platform.python_implementation` says it, whose import costs more than all of this module.
_IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalVM"}


def add_platform(collector: TakesSources) -> Callable[[], None]:
    """Show interpreter, GC and process in *collector*; the answer undoes it."""
    undo = [
        collector.add_source(source)
        for source in (gc_metrics, platform_metrics, ProcessMetrics())
    ]

    def end() -> None:
        for one in undo:
            one()

    return end
