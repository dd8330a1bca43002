"""When two descriptions mean one device: sources name what they know, and know different things.

A placement may say `gpu 0, GPU-aaaa`, the agent on the node `gpu 0, serial S0`. They are one
device where type and id agree and no stronger identifier that both know tells them apart.
"""

from heliograph.core.owner import Device

# InfiniBand and RDMA are two names of one kind of device, known by its link (`mlx5_0`).
FAMILIES = {"gpu": "gpu", "ib": "link", "rdma": "link", "asic": "asic"}


def alike(a: Device, b: Device) -> bool:
    """Whether *a* and *b* (on one node) are one device, as far as both say."""
    return (
        FAMILIES[a.type] == FAMILIES[b.type]
        and a.id == b.id
        and all(
            mine is None or theirs is None or mine.casefold() == theirs.casefold()
            for mine, theirs in zip(a[2:], b[2:], strict=True)
        )
    )


def merged(known: Device, said: Device) -> Device:
    """*known*, with the identifiers that *said* adds."""
    return known._replace(
        uuid=known.uuid or said.uuid,
        serial=known.serial or said.serial,
        partition=known.partition or said.partition,
    )
