"""The durable log: what was acknowledged is here, until every consumer has taken it.

    log = Log(folder, table, clock)         one process, one appending thread, many readers
    log.open()
    seq = log.append_samples(batch)         nothing is promised yet
    log.commit()                            now it is: one write and one fdatasync for all appended
    frames = log.reader(after=cursor).read(bytes_max=8 << 20)
    log.trim(cursor)

A frame is refused or kept, whole. Damage costs the frames it touches and no other.
"""
