"""The service: receives over HTTP, keeps in the log, applies in order, answers queries.

`wiring` builds the graph; `ingest` and `applier` are the two threads that data passes through;
`http` turns the table of endpoints into an application. Only `supervisor` catches `Exception`.
"""
