"""Runs a command and writes what it prints as a container runtime writes it to a node's disk.

    python capture.py OUT [--tty] [--signal INT --after TEXT] [--sub OLD=NEW …] -- COMMAND …

    2026-11-22T11:41:27.608123456Z stderr F [rank3]: Traceback (most recent call last):
    2026-11-22T11:41:28.101000000Z stderr P  10%|…                     P: the line goes on

A line is written when its newline is read, or 16 KiB of it (then `P`); its time is that of the read.
Without a terminal there are two pipes; with `--tty` there is one terminal, and all of it is stdout.
`--after TEXT` sends the signal to the command when TEXT was printed for the first time.
"""

import argparse
import fcntl
import os
import pty
import selectors
import signal
import struct
import subprocess
import termios
import time
from datetime import UTC, datetime
from pathlib import Path

BUFFER_BYTES = 16 * 1024
# Lines and columns of the terminal.
SIZE = (40, 100)


def main() -> None:
    """Capture one command."""
    given = arguments()
    streams, child = started(given.command, tty=given.tty)
    pending = given.after.encode()
    with Path(given.out).open("wb") as out:
        for name, read in chunks(streams):
            for text in read:
                line = text
                for sub in given.sub:
                    old, _, new = sub.partition("=")
                    line = line.replace(old.encode(), new.encode())
                out.write(stamp() + f" {name} ".encode() + line)
                if given.signal and pending and pending in text:
                    pending = b""
                    os.kill(child.pid, getattr(signal, f"SIG{given.signal}"))
    print(given.out, "exit code", child.wait())


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--tty", action="store_true")
    parser.add_argument("--signal", default="")
    parser.add_argument("--after", default="")
    parser.add_argument("--sub", action="append", default=[])
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def stamp() -> bytes:
    """The present, to the nanosecond."""
    now_ns = time.time_ns()  # noqa: TID251 - it runs by itself
    second = datetime.fromtimestamp(now_ns // 10**9, UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{now_ns % 10**9:09d}Z".encode()


def started(command: list[str], *, tty: bool) -> tuple[dict[int, str], subprocess.Popen[bytes]]:
    """({what to read: its name}, the command that runs)."""
    if not tty:
        pipes = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert pipes.stdout is not None
        assert pipes.stderr is not None
        return {pipes.stdout.fileno(): "stdout", pipes.stderr.fileno(): "stderr"}, pipes
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    return {ours: "stdout"}, child


def chunks(streams: dict[int, str]):
    """(stream, its lines as they are written) as they come, until all streams end."""
    held = dict.fromkeys(streams, b"")
    waiting = selectors.DefaultSelector()
    for one in streams:
        waiting.register(one, selectors.EVENT_READ)
    while waiting.get_map():
        for key, _ in waiting.select():
            try:
                read = os.read(key.fd, BUFFER_BYTES - len(held[key.fd]))
            except OSError:
                # A terminal whose last writer is gone.
                read = b""
            *whole, rest = (held[key.fd] + read).split(b"\n")
            lines = [b"F " + line + b"\n" for line in whole]
            if len(rest) >= BUFFER_BYTES or (rest and not read):
                lines.append((b"P " if read else b"F ") + rest + b"\n")
                rest = b""
            held[key.fd] = rest
            if not read:
                waiting.unregister(key.fd)
            yield streams[key.fd], lines


if __name__ == "__main__":
    main()
