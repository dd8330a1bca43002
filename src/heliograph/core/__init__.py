"""The shapes and laws that every other part shares: samples, records, labels, time, limits, errors.

Nothing here does I/O but `clock`, which reads the machine's time, and `config`, which reads the
configuration file and the environment. Modules that an SDK user would import need the standard
library alone; the server-side ones (`samples`, `matcher`, `config`) say what more they need.
"""
