"""Signals by every name that a line may give them, and what the end by one tells.

of_exitcode(-11) == of_exitcode(139) == named("Segmentation fault") == "SIGSEGV"
"""

from heliograph.training.findings.event import CASCADE, CONFIRMATION, ROOT

_NUMBERS = {
    1: "SIGHUP",
    2: "SIGINT",
    3: "SIGQUIT",
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    9: "SIGKILL",
    10: "SIGUSR1",
    11: "SIGSEGV",
    12: "SIGUSR2",
    13: "SIGPIPE",
    15: "SIGTERM",
}
_WORDS = {
    "segmentation fault": "SIGSEGV",
    "general protection fault": "SIGSEGV",
    "bus error": "SIGBUS",
    "aborted": "SIGABRT",
    "killed": "SIGKILL",
    "terminated": "SIGTERM",
    "floating point exception": "SIGFPE",
    "illegal instruction": "SIGILL",
    "hangup": "SIGHUP",
    "interrupt": "SIGINT",
}
# SIGKILL may be the kernel's for memory; SIGABRT follows an uncaught error or a watchdog.
_ROLES = {
    "SIGTERM": CASCADE,
    "SIGINT": CASCADE,
    "SIGHUP": CASCADE,
    "SIGPIPE": CASCADE,
    "SIGABRT": CONFIRMATION,
    "SIGUSR1": CASCADE,
    "SIGUSR2": CASCADE,
}


def of_number(number: int) -> str | None:
    """The name of signal *number*; None when it has none that ends a job."""
    return _NUMBERS.get(number)


def of_exitcode(code: int) -> str | None:
    """The signal that ended a process with *code*: `-11` as Python says, 139 as a shell does."""
    if code < 0:
        return of_number(-code)
    return of_number(code - 128) if code > 128 else None


def named(words: str) -> str | None:
    """The signal that *words* name (`Killed`, `SIGSEGV`, `Signals.SIGTERM`); None for others."""
    lowered = words.strip().lower()
    upper = lowered.rpartition(".")[2].upper()
    if upper in _NUMBERS.values():
        return upper
    return next((name for word, name in _WORDS.items() if lowered.startswith(word)), None)


def role(signal: str | None, otherwise: str = ROOT) -> str:
    """How the end by *signal* stands to what went wrong; *otherwise* where there was none."""
    return otherwise if signal is None else _ROLES.get(signal, ROOT)
