"""The service's own log: text on a terminal, a JSON object a line elsewhere; extra fields kept."""

import json
import logging
import sys

EVERY_S = 10.0
# Kinds of events remembered: event texts are fixed, so that only a bug makes more.
KINDS_MAX = 1000

# What every LogRecord has; all else on one came from `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str) -> None:
    """Send the root logger to standard error at *level*."""
    writer = logging.StreamHandler(sys.stderr)
    writer.setFormatter(_Text() if sys.stderr.isatty() else _Json())
    writer.addFilter(Throttle())
    root = logging.getLogger()
    root.handlers[:] = [writer]
    root.setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, root.level))
    logging.getLogger("httpx2").setLevel(max(logging.WARNING, root.level))


class Throttle(logging.Filter):
    """Lets one event of a kind through every EVERY_S seconds; the next says how many were `left_out`.

    A kind is logger, level and event text, which is fixed: what varies is in the extra fields.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether *record* goes through."""
        kind = (record.name, record.levelno, str(record.msg))
        at_s, left_out = self._last.get(kind, (float("-inf"), 0))
        # A clock that was set back ends the wait: silence must not outlast EVERY_S.
        if 0 <= record.created - at_s < EVERY_S:
            self._last[kind] = at_s, left_out + 1
            return False
        if len(self._last) >= KINDS_MAX:
            self._last.clear()
        self._last[kind] = record.created, 0
        if left_out:
            record.left_out = left_out
        return True


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _time(record: logging.LogRecord) -> str:
    """The format of its time: which was first is asked of two lines of one second, too."""
    return f"%H:%M:%S.{int(record.msecs):03d}"


class _Text(logging.Formatter):
    """`12:00:00.000 info heliograph serves  address=http://… data_dir=…`."""

    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{key}={value}" for key, value in _extra(record).items())
        at = self.formatTime(record, _time(record))
        text = f"{at} {record.levelname.lower():7} {record.getMessage()}  {extra}".rstrip()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class _Json(logging.Formatter):
    """One JSON object a line, so that a line break in a field cannot forge another line."""

    def format(self, record: logging.LogRecord) -> str:
        content: dict[str, object] = {
            "at": self.formatTime(record, f"%Y-%m-%dT{_time(record)}%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return json.dumps(content, default=str)
