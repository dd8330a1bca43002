"""Python's exceptions: the last line of a traceback, or one that stands alone.

    [rank5]: Exception: Simulating a crash at step 17!
    safetensors_rust.SafetensorError: Error while serializing: IoError(…)
    ray.exceptions.RayTaskError(SafetensorError): ray::main_task() (pid=19799, …)

They begin their line, behind a launcher's sign for the rank at most: what a logger prints with a
time and a level before it was caught by somebody. Warnings are none. Attributes: exception,
message. The joining of the lines before it is `blocks`.
"""

from heliograph.training.findings.event import (
    CONFIRMATION,
    ERROR,
    INFO,
    ROOT,
    TEXT_CHARS_MAX,
    Found,
    cut,
    found,
)
from heliograph.training.findings.patterns import compiled

HINT = (
    r"(?:Error|Exception|Exit|Interrupt|Failure|Fault|Timeout|Expired|Died|Stop\w+)"
    r"(?:\(\w+\))?(?:: |:?(?:\s|\x1b|\[0?m)*$)|"
    r"\b(?:Error|Exception)Group: |exceptions?\.\w+: |errors\.\w+: "
)
RULES = ("exception",)

# A runner's name for the task, a launcher's for the rank, Ray's for the worker, a runtime's time.
_PREFIX = (
    r"(?:\S*[/\d]\S* )?(?:\[\w+\]:?\s*|\(\w+ pid=\d+[^)]*\)\s*|\d{1,7}:\s+|"
    r"\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?\s+)*"
)
_ENDINGS = (
    r"(?:Error|Exception|ExceptionGroup|Exit|Interrupt|Failure|Fault|Timeout|Expired|Died)"
)
_EXCEPTION = compiled(
    rf"\A\s*{_PREFIX}(?P<exception>(?:[A-Za-z_]\w*\.)*"
    rf"(?:(?:[A-Z]\w*?)?{_ENDINGS}|StopIteration|StopAsyncIteration|"
    r"(?:[a-z_]\w*\.)+(?:exceptions?|errors?)\.[A-Z]\w*))"
    r"(?P<inner>\(\w+\))?(?:: (?P<message>[^\n]*)|:?\s*\Z)"
)
# A program's own words may end so: `Total Error: 0.3`.
_WORDS = frozenset(
    {"Error", "Exit", "Interrupt", "Failure", "Fault", "Timeout", "Expired", "Died"}
)
_ASKED_FOR = frozenset({"KeyboardInterrupt", "SystemExit", "GeneratorExit"})


def read(text: str) -> Found | None:
    """The exception whose line *text* is, or None. Of several lines, the last counts."""
    text = text.rstrip()
    start = text.rfind("\n") + 1
    match = _EXCEPTION.match(text[start:])
    if match is None or match["exception"] in _WORDS:
        return None
    exception = match["exception"] + (match["inner"] or "")
    attributes = {
        "exception": exception[:TEXT_CHARS_MAX],
        # All of it: the pattern sees no more than its bound.
        "message": cut(text[start + match.start("message") :]) if match["message"] else "",
    }
    severity, role = by_name(exception)
    return found(
        "traceback", severity, "exception", start + match.start("exception"), role, attributes
    )


def by_name(exception: str) -> tuple[str, str]:
    """The severity and the role of *exception*, as its name alone tells them."""
    name, inner, _ = exception.partition("(")
    if name.rpartition(".")[2] in _ASKED_FOR:
        return INFO, CONFIRMATION
    return ERROR, CONFIRMATION if inner else ROOT
