"""Running a coroutine in a test."""

import asyncio
from concurrent.futures import ThreadPoolExecutor


def run(coroutine):
    """What *coroutine* gives, in an event loop and a thread of its own: where a browser's tests ran,
    this thread has a loop already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
