"""The embedded sample store: immutable, sorted, compressed files, and the samples not yet in one.

    append ──► head (memory) ──seal──► raw level 0 ──maintain──► raw 2 h ──► raw 1 day
                                            └──maintain──► 1m rows, 1h rows ──► 1 day
    select(matchers, [start, end)) = raw at or after the raw floor + rows before it

The folder is the catalogue: a file's name says its kind, level, event-time span, log span and
serial (`name`); no other list exists. `file` is the format, `head` what is in memory, `view` the
immutable picture that readers take, `select` reads it, `rollup` and `compact` rewrite it, and
`store` is the face: `SegmentStore`.

What holds, whatever dies when: a sealed sample is read once, or, when its raw file has gone,
counted once in one 1m row and one 1h row. Of equal (series, at_ns) the later in the log wins.
"""
