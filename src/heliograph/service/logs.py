"""The service's own log: text on a terminal, a JSON object a line elsewhere; extra fields kept."""

import json
import logging
import sys

# What every LogRecord has; all else on one came from `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str) -> None:
    """Send the root logger to standard error at *level*."""
    writer = logging.StreamHandler(sys.stderr)
    writer.setFormatter(_Text() if sys.stderr.isatty() else _Json())
    root = logging.getLogger()
    root.handlers[:] = [writer]
    root.setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, root.level))
    logging.getLogger("httpx2").setLevel(max(logging.WARNING, root.level))


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class _Text(logging.Formatter):
    """`12:00:00 info heliograph serves  address=http://… data_dir=…`."""

    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{key}={value}" for key, value in _extra(record).items())
        at = self.formatTime(record, "%H:%M:%S")
        text = f"{at} {record.levelname.lower():7} {record.getMessage()}  {extra}".rstrip()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class _Json(logging.Formatter):
    """One JSON object a line, so that a line break in a field cannot forge another line."""

    def format(self, record: logging.LogRecord) -> str:
        content: dict[str, object] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return json.dumps(content, default=str)
