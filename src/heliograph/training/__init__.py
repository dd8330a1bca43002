"""Training performance and events out of log lines, and runs out of rows. Pure: no I/O, no clock.

    parse       `parse_line(text)`: the one entry; everything else serves it
    clean       colour codes off; rank and launcher label off the front
    grammar     cleaned text → (key, value) pairs; value → numbers with units
    fields      keys → training field names, one unit each
    vocabulary  the words of trainers; those of rates in `rates`, of `evaluations` there
    framework   who prints such lines; what a whole stream is
    events      lines that start, save, load or end
    rows        what was parsed → rows with an identity
    runs        the set of rows → runs; the same whatever order the rows came in

Imports `heliograph.core` and the standard library alone.
"""
