"""Records kept by day: files of SQLite (`folder`), or partitions of one PostgreSQL table (`table`).

Both are the same store, chosen by where the state is; one conformance suite runs over both.

    records = RecordFolder.open(data_dir / "records", clock)     # or RecordTable.open(url, clock)
    new = records.append(batch)          # durable; `new` are those that were not there yet
    items, total = records.query(streams=[pod_uid], types=["oom"], limit=50)
    records.retain(floor_ns=…, bytes_max=…)

In files, records that came together and are alike (pod, type, severity) are one row: see `chunks`.
A record lies in the day of its own time. Days further than `day.BACK_DAYS_MAX` in the past or
`day.AHEAD_DAYS_MAX` in the future get no file of their own (a clock that jumps would make
thousands): such records share one place, `other`, bounded and counted. They are found like all.
"""
