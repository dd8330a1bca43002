"""Alerts about nobody that is known: where there is no compiler, none is found to be that.

    strangers([post of {alertname="Hot", node="n1", pod="p"}], …)
        == [Enriched(Context(pod_name="p", node_name="n1"), ("pod:/p", "node:n1"), documents[1])]

None, for an alert, says that somebody may be known, or that its labels say more than the usual, and
nothing of it has been judged: the caller finds its owner in the general way, which gives the same
for every alert that is found here. So the plain twin finds none.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

COMPILED = False

# Of a label that says more than what follows: an alert that has it is not looked at.
AWAY = -1
# What a label says: a node, where it was read, a device by its uuid, its index, its link, its asic, a
# pod, a namespace, a cluster. Of two that say the same the one of the lesser place counts.
NODES, INSTANCE, UUIDS, INDICES, LINK, ASIC, PODS, NAMESPACES, CLUSTERS = (
    *(0, 6, 7, 10, 12, 13, 14, 16, 18),
)
WIDTH = 20


def strangers(
    posts: Sequence[Any],
    places: Mapping[str, int],
    pods_named: Callable[[str, str | None], Sequence[Any]] | None,
    is_node: Callable[[str, bool], bool] | None,
    nobody: Any,
    context: Callable[..., Any],
    enriched: Callable[..., Any],
    documents: tuple[bytes, bytes, bytes],
) -> list[Any]:
    """What is known of each of *posts*, or None.

    *places* of label names, as above. *pods_named* and *is_node* (a name, and whether it is that of
    an instance) are None where no pod or node is known at all. *documents*: of alerts that name a
    device, of others that name a pod, and of the rest.
    """
    del places, pods_named, is_node, nobody, context, enriched, documents
    return [None] * len(posts)
