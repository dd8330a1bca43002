"""Where data is kept: `log`, `segments`, `records`, `state`, and `prometheus` for a remote store.

`protocol` is what the rest of the house relies on; only `service.wiring` names a backend.
Outside this package nobody has heard of `sqlite3.OperationalError` or an HTTP status of a remote:
what can be tried again is `Unavailable`, what can never work is `Refused`.
"""
