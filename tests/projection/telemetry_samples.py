"""Events that the tests of this folder begin with."""


def event(**fields):
    """A valid event of version 3."""
    return {
        "schema_version": 3, "session_id": "run-7", "timestamp_ns": 1_700_000_000_000_000_000,
        "event_type": "sample", "collector": "x.cuda_tracker", "sampling_interval_ms": 100,
        "pid": 17, "host": "node-1", "job_id": "job-1", "rank": 1, "local_rank": 0,
        "world_size": 2, "device_id": 0, "allocator_allocated_bytes": 10,
        "allocator_reserved_bytes": 20, "allocator_active_bytes": None,
        "allocator_inactive_bytes": 3, "allocator_change_bytes": -5, "device_used_bytes": 20,
        "device_free_bytes": 80, "device_total_bytes": 100, "context": None, "metadata": {},
        **fields,
    }  # fmt: skip


def scoped(action="enter", name="forward", sequence=2, **scope):
    """An event at the edge of a phase."""
    told = {"action": action, "name": name, "path": ["train", name], "scope_id": "run-7:2",
            "parent_scope_id": "run-7:1", "sequence": sequence, **scope}  # fmt: skip
    return event(event_type=f"phase_{action}", metadata={"phase_scope": told})
