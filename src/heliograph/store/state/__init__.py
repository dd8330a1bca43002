"""State: all that changes under a transaction, on SQLite (default) or PostgreSQL (by URL).

One `State` (`state.py`) a process. Write transactions go one after the other, in lanes: control before
alerts before applier before retention; on a thread of the state's own, or on the caller's where it
waits for the end (`run`) and nobody else for the writer. Readers run in their own thread on a short
read-only snapshot. Everything else here is one module a noun: a table and plain functions over a
transaction (`cursors.advance(tx, "effects", 7)`), one SQL text for both engines, no ORM.

    state = State.open(None, data_dir, clock)
    done = state.write(lambda tx: cursors.advance(tx, "effects", 7), lane=Lane.APPLIER)
    done.result()                                  # committed and on disk
    state.run(lambda tx: cursors.advance(tx, "effects", 8), lane=Lane.APPLIER)      # the same
    state.read(cursors.get_all)                    # {"effects": 7}

Errors leave as `core.errors`: Unavailable (busy, lost, full), Refused (a value that no engine can
keep, a key that is already there), ConfigError (at open). A transaction is all or nothing under
`kill -9` and power loss. A function that takes a batch states its bound (`training.ROWS_MAX`), so
that no transaction holds the writer for more than 20 ms; the caller cuts with `batches.cut`.
"""
