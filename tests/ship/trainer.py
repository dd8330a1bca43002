"""A trainer as a process of its own: counts steps, ships them, tells what it did, line by line.

python tests/ship/trainer.py URL SPOOL [--steps N] [--rank R] [--fork] [--identity] [--hang] [--end HOW]
"""

import argparse
import ctypes
import os
import signal
import sys

import heliograph.ship
from heliograph.core.clock import SystemClock
from heliograph.instruments.identity import identity
from heliograph.ship.family import Family, Point

arguments = argparse.ArgumentParser()
arguments.add_argument("url")
arguments.add_argument("spool")
arguments.add_argument("--every", type=float, default=0.05)
arguments.add_argument("--steps", type=int, default=10**9)
arguments.add_argument("--rank", default="0")
arguments.add_argument("--fork", action="store_true")
arguments.add_argument("--end", choices=["exit", "wait", "stuck", "handler", "composed"])
arguments.add_argument("--hang", action="store_true")
arguments.add_argument("--identity", action="store_true")
given = arguments.parse_args()
clock = SystemClock()
step = 0
hangs = False
# A shell that starts the tests behind itself has them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def source():
    while hangs:
        # A driver that does not answer any more.
        clock.sleep(60)
    points = [Point("_total", (), float(step)), Point("_again_total", (), float(step))]
    return [Family("trainer_steps", "counter", "", "", points)]


shipper = heliograph.ship.to(
    given.url,
    source=source,
    every_s=given.every,
    spool_dir=given.spool,
    labels={
        "rank": given.rank,
        "job": "trainer",
        **(identity(os.environ) if given.identity else {}),
    },
)
if given.fork and os.fork() == 0:
    # A worker that outlives its parent, and holds what it has inherited.
    print("child", os.getpid(), shipper.dormant, shipper.flush(1), flush=True)
    clock.sleep(20)
    os._exit(0)
while step < given.steps:
    step += 1
    clock.sleep(0.005)
    if step % 20 == 0:
        print(step, shipper.counts.collections, flush=True)
hangs = given.hang
if given.end == "handler":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
if given.end == "composed":
    # A framework that calls who was there before it, and ends when it likes.
    before = signal.getsignal(signal.SIGTERM)

    def handler(number, frame):
        before(number, frame)
        print("composed", shipper.counts.delivered > 0, flush=True)
        sys.exit(8)

    signal.signal(signal.SIGTERM, handler)
if given.end in {"wait", "handler", "composed"}:
    print("waiting", flush=True)
    clock.sleep(60)
if given.end == "stuck":
    # A lock of C's that is taken twice: no signal brings the main thread back.
    lock = ctypes.create_string_buffer(64)
    print("waiting", flush=True)
    library = ctypes.CDLL(None)
    library.pthread_mutex_lock(lock)
    library.pthread_mutex_lock(lock)
print("end", shipper.counts.collections, flush=True)
sys.exit(0)
