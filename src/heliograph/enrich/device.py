"""Which holds a device label means, from the strongest identifier to the weakest.

    uuid > serial (and partition) > gpu index > link name > asic

A UUID is one device wherever it is; the others mean something on their node only. A hold known
under a stronger identifier that differs from the series' own is never matched by a weaker one:
GPU 0 of today may be another card than GPU 0 of yesterday.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from heliograph.core.owner import Hold
from heliograph.enrich.identity import Identity
from heliograph.workloads.directory import Directory

UUID, SERIAL, GPU, LINK, ASIC = range(5)


class Match(NamedTuple):
    """A hold that the labels may mean; *strength* 0 (uuid) is the strongest."""

    strength: int
    hold: Hold


def node_of(identity: Identity, directory: Directory) -> str | None:
    """The first of the named nodes that is known, or None."""
    for name in identity.nodes:
        node = directory.node_of(name)
        if node is not None:
            return node
    return None


def matches(identity: Identity, node: str | None, directory: Directory) -> list[Match]:
    """All holds, of any time, of the device that *identity* names; a hold once."""
    found: dict[int, Match] = {}
    for strength, hold in _named(identity, node, directory):
        if id(hold) not in found and not _contradicts(identity, hold, strength):
            found[id(hold)] = Match(strength, hold)
    return list(found.values())


def holders(alive: Iterable[Match]) -> set[str]:
    """Pods that hold the device, of *alive* matches: one, or several that share it.

    The strongest identifier decides; a match by a weaker one counts beside it only where it is
    about the same slot of the node.
    """
    alive = list(alive)
    best = min((match.strength for match in alive), default=0)
    slots = {
        (match.hold.node, match.hold.device.id) for match in alive if match.strength == best
    }
    return {
        match.hold.pod_uid
        for match in alive
        if match.strength == best
        or (match.strength <= GPU and (match.hold.node, match.hold.device.id) in slots)
    }


def _named(
    identity: Identity, node: str | None, directory: Directory
) -> Iterator[tuple[int, Hold]]:
    if identity.uuid:
        for hold in directory.holds_of_uuid(identity.uuid):
            if node is None or hold.node == node:
                yield UUID, hold
    if node is None:
        return
    if identity.serial:
        for hold in directory.holds_of_serial(node, identity.serial):
            yield SERIAL, hold
    by_index = ((GPU, "gpu", identity.gpu), (LINK, "link", identity.link))
    for strength, family, device_id in (*by_index, (ASIC, "asic", identity.asic)):
        if device_id:
            for hold in directory.holds_of_index(node, family, device_id):
                yield strength, hold


def _contradicts(identity: Identity, hold: Hold, strength: int) -> bool:
    device = hold.device
    if device.partition and identity.partition and device.partition != identity.partition:
        return True
    if strength > UUID and _differ(device.uuid, identity.uuid):
        return _kind(device.uuid) == _kind(identity.uuid)
    return strength > SERIAL and _differ(device.serial, identity.serial)


def _differ(known: str | None, said: str) -> bool:
    return bool(known and said) and (known or "").casefold() != said.casefold()


def _kind(uuid: str | None) -> str:
    # MIG-… is a part of GPU-…: the two do not contradict each other.
    head = (uuid or "").partition("-")[0].casefold()
    return head if head in ("gpu", "mig") else ""
