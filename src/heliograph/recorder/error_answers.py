"""Answers that say no: their shape, and the code of each exception.

    {"status": "error", "error": {"code": "INVALID_VALUE", "message": "…", "details": {…}}}

Exceptions go by the name of their class, whatever they inherit from; others are UNEXPECTED_ERROR.
"""

import traceback
from typing import Any

from heliograph.recorder.journal import EXHAUSTED, BridgeLogger

UNEXPECTED = "UNEXPECTED_ERROR"
SOURCE = "Bridge_Telemetry"
CODES = {
    "ValueError": "INVALID_VALUE",
    "TypeError": "TYPE_ERROR",
    "KeyError": "MISSING_KEY",
    "IndexError": "INDEX_OUT_OF_RANGE",
    "FileNotFoundError": "FILE_NOT_FOUND",
    "PermissionError": "PERMISSION_DENIED",
    "TimeoutError": "OPERATION_TIMEOUT",
    "ConnectionError": "CONNECTION_ERROR",
    "ImportError": "IMPORT_ERROR",
    "RuntimeError": "RUNTIME_ERROR",
    "NotImplementedError": "NOT_IMPLEMENTED",
    "AssertionError": "ASSERTION_FAILED",
    "AttributeError": "ATTRIBUTE_ERROR",
    "OSError": "OPERATING_SYSTEM_ERROR",
    "ZeroDivisionError": "DIVISION_BY_ZERO",
    "MemoryError": "MEMORY_ERROR",
    "StopIteration": "ITERATION_STOPPED",
    "SyntaxError": "SYNTAX_ERROR",
    "UnboundLocalError": "UNBOUND_LOCAL",
    "NameError": "NAME_ERROR",
}


def error_answer(
    code: str, message: str, details: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The answer of *code*."""
    return {
        "status": "error",
        "error": {"code": code, "message": message, "details": details or {}},
    }


def code_of(error: BaseException) -> str:
    """The code of *error*, by the name of its class."""
    return CODES.get(type(error).__name__, UNEXPECTED)


class ErrorHandler:
    """Makes answers and writes them to the journal."""

    def __init__(self, logger: BridgeLogger) -> None:
        self._logger = logger

    def create_error_response(
        self,
        code: str,
        message: str,
        details: dict[str, Any] | None = None,
        *,
        payload: Any = None,
    ) -> dict[str, Any]:
        """The answer of *code*, which is written down with *payload*."""
        self._write(code, message, payload if payload is not None else details, "")
        return error_answer(code, message, details)

    def handle_exception(
        self, error: Exception, context: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The answer of *error*: its code, its words, its class and *context*."""
        code, message = code_of(error), str(error)
        trace = "".join(traceback.format_exception(error, limit=-20))
        self._write(code, message, context, trace)
        if isinstance(error, RecursionError):
            self._write(EXHAUSTED, message, context, trace, level="FATAL")
        details = {"exception_type": type(error).__name__, "context": context or {}}
        return error_answer(code, message, details)

    def _write(
        self, code: str, message: str, payload: Any, trace: str, *, level: str = "ERROR"
    ) -> None:
        entry = {
            "source": SOURCE,
            "status": level,
            "payload": payload or {},
            "message": message,
            "errorDetails": {
                "errorCode": code,
                "errorMessage": message,
                "errorTraceback": trace,
            },
        }
        self._logger.log(entry, log_level=level)
