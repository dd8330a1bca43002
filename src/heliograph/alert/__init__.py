"""From a posted alert to what must be told to whom: a model, stages that return changes, one engine.

    posts, time ──► intake ─► enrich ─► correlate ─► route ─► group ──► (next flush)
                                                                           │
    flush: inhibit ─► mute ─► silence ─► compare with what was told ─► outbox ─► send ─► ledger

Everything here is a function of values and of an instant that is handed in: the engine runs the
same on a machine's clock and on a virtual one. Only the runner (service) opens transactions.

    model, changes     values          matching … silences    Alertmanager's semantics, a module a noun
    config             who is told     engine                 the machine
    rules              what fires      correlation            what belongs together
"""
