"""The whole schema: importing this module makes every table known to `metadata`.

A module that adds a table is named here and gets a migration; a test holds the two equal.
"""

from heliograph.store.state import (
    columns,
    cursors,
    dirty,
    meta,
    owners,
    partials,
    training,
    versions,
)

MODULES = (cursors, dirty, meta, owners, partials, training, versions)
metadata = columns.metadata
