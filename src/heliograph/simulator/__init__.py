"""A simulated training cluster, which speaks to the service over HTTP only, as a real one would.

    cluster     the model: nodes, jobs, what happens when        (pure, time is an argument)
    metrics     its exporters: remote write series of an instant
    logs        its containers and kernels: Fluent Bit entries of what happened
    events      its control plane: placements and container events
    sender      one HTTP connection that waits and retries
    run         history first, then live

Equal seeds make equal clusters: noise is a hash of what it disturbs, there is no generator.
"""
