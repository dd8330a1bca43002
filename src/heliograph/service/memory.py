"""Memory that goes back to the system: one body of 100 MiB must not make the process large for good.

glibc keeps freed blocks of up to 32 MiB in the arena of the thread that asked for them, where one
small block behind keeps them from ever being returned. Told a threshold, it maps larger blocks one
by one, and unmaps them when they are freed. Other C libraries do so already, or have no such knob.
Source: mallopt(3).

What is smaller leaves holes: columns that grow move on, and of 100,000 new alerts 12 MiB of free
pages stay between what is in use. `give_back` lets the system have them, now and then.
Source: malloc_trim(3).

And collections of cyclic garbage, which look at every container there is, less often than Python's
own habit of one for every 700: what is made of requests dies without them, and with 100,000 alerts
they took a seventh of all the time.
"""

import ctypes
import gc

M_MMAP_THRESHOLD = -3
LARGE_BYTES = 1024 * 1024
# What is free at the end of the heap and stays: glibc's own 128 KiB would have every answer of a few
# hundred kilobytes take its pages anew (measured: 3 ms where it takes 0.3).
M_TRIM_THRESHOLD = -1
KEPT_BYTES = 8 * 1024 * 1024
COLLECT_AFTER = (20_000, 20, 20)


def return_large_blocks() -> bool:
    """Have freed blocks over LARGE_BYTES returned at once; whether the C library took it."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE_BYTES) & mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))


def give_back() -> None:
    """Let the system have every free page, where the C library can. It takes 2 ms where there are
    12 MiB of them, a tenth of one where there are none; and not the interpreter."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(KEPT_BYTES))


def collect_rarely() -> None:
    """Have garbage collected after COLLECT_AFTER, and what there is now left out of it for good."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
