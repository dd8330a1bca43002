"""Receivers: the bytes of one protocol to samples, records, lines or alerts; one module a protocol.

Each is named for what it reads (`remote_write`, `logs`), and keeps this contract:

* Pure: a result depends on the arguments and on what the same receiver was told before, which is
  never more than a cache or the beginning of something unfinished, both bounded. No clock (the
  arrival is an argument, `arrival_ns`), no I/O, no logging.
* `Refused` is raised when nothing of the body can be read or a limit of the whole is passed; it has
  the HTTP status. One bad part of a good body is a `Rejected`: listed up to a bound, counted beyond.
* What comes back is everything else that was in the body, once, in its order. Nothing is filtered
  in silence: whatever was left out, changed or guessed has a count.
* Any bytes at all give a result or `Refused`, never another exception, in time and memory bounded
  by the limits.
* Nothing is acknowledged here: the caller appends to the log first, and answers after the fsync.
"""
