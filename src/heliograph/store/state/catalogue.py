"""The whole schema: importing this module makes every table known to `metadata`.

A module that adds a table is named here and gets a migration; a test holds the two equal.
"""

from heliograph.store.state import (
    alert_correlations,
    alert_counts,
    alert_events,
    alert_groups,
    alert_kinds,
    alert_ledger,
    alert_outbox,
    alert_routes,
    alert_rules,
    alert_sheets,
    alert_silences,
    alert_sums,
    columns,
    cursors,
    dirty,
    findings,
    frameworks,
    log_patterns,
    meta,
    owners,
    partials,
    rule_states,
    training,
    usage,
    versions,
    wandb_runs,
)

MODULES = (
    *(alert_correlations, alert_counts, alert_events, alert_groups, alert_kinds, alert_ledger),
    *(alert_outbox, alert_routes, alert_rules, alert_sheets, alert_silences, alert_sums),
    *(cursors, dirty, findings, frameworks, log_patterns, meta, owners, partials, rule_states),
    *(training, usage, versions),
    wandb_runs,
)
metadata = columns.metadata
