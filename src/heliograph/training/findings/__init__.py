"""Findings: what a line says happened, by what it happened to. See `training.events`, the only entry.

    memory        out of memory, of a device or a host
    devices       Xid, SXid, amdgpu, ECC, links
    host          tasks and CPUs that hang, file systems that do not answer, PCIe
    workers       data-loader workers
    collectives   NCCL, RCCL, gloo
    numbers       NaN and infinite losses, loss scales at their end
    scheduler     taken off, requeued
    processes     ranks that failed, by launchers, signals, runtimes
    saving        checkpoints: begin and end, by the `sentences` of trainers
    lifecycle     training: begins and ends
    exceptions    Python's exceptions

Each of these has HINT (RE2: no line without it is one of its), RULES and `read`; its `patterns` have
bounds. What comes of several lines:

    blocks, block, pieces,   tracebacks and reports of launchers: many lines, one finding
    groups, joined
    watch                    loss scales over the rows of a stream
    causes                   which root may have caused a cascade
"""
