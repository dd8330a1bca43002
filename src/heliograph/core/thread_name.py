"""Threads by name in the tools of the system: `top -H`, `ps -L`, `/proc/PID/task/*/comm`.

Python names its threads for the kernel from 3.14 on. Source: proc(5), `/proc/pid/task/tid/comm`.
"""

import contextlib
import threading
from pathlib import Path

NAME_BYTES_MAX = 15


def show() -> None:
    """Have the system show the calling thread by its own name; where it cannot, nothing happens."""
    name = threading.current_thread().name.encode()[:NAME_BYTES_MAX]
    with contextlib.suppress(OSError):
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_bytes(name)
