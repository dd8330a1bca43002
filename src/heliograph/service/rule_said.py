"""Whose it is what streams in, and what of it rules see as labels: the same for those in force and for
one that is tried."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from msgspec import structs

from heliograph.alert.model import Context, Post
from heliograph.alert.rules.metrics import Whose
from heliograph.alert.rules.rule import Said, known
from heliograph.core.labels import Labels, fingerprint
from heliograph.core.record import Record
from heliograph.receive.lines import Source
from heliograph.service.alert_posts import Enrich
from heliograph.service.line_records import speaker
from heliograph.training import clean
from heliograph.training.clean import PREFIX_CHARS_MAX
from heliograph.training.parse import Parsed

# Whose a pod is, by its uid, its name and its node.
Owner = Callable[[str, str, str], Context]


class Speaker(NamedTuple):
    """What is the same for all lines of one source: by whose clock they are, whose they are, their
    labels, and all that is known of them as labels."""

    client: str
    context: Context
    labels: Mapping[str, str]
    values: Mapping[str, str]


def speaker_of(pod_uid: str, teller: Source, owner: Owner) -> Speaker:
    """Who printed the lines of *teller*, which are the pod's of *pod_uid*, "" where nobody knows."""
    _, namespace, pod_name, node, container, stream = teller
    context = owner(pod_uid, pod_name, node)
    labels = {"namespace": namespace, "container": container, "stream": stream}
    # Not the node's: of what a node ships, one pod may tell times of its own.
    client = pod_uid or _pod(namespace, pod_name) or node
    return Speaker(client, context, labels, known(Said(0, client, context, labels)))


def told_by(text: str, parsed: Parsed | None) -> Mapping[str, str]:
    """The rank and the device that *text*, a line without colours, tells of; *parsed* is what was read
    of it."""
    told = {} if parsed is None else speaker(parsed)
    if "rank" not in told and (rank := clean.speaker(text[:PREFIX_CHARS_MAX]).rank) is not None:
        told = {**told, "rank": str(rank)}
    return told


def said_by(record: Record, owner: Owner) -> Said:
    """*record*, as rules are told it."""
    resource = record.resource

    def text(*names: str) -> str:
        return next((str(resource[name]) for name in names if resource.get(name)), "")

    pod_uid, node = text("pod_uid", "pod_id"), text("node", "node_name")
    context = owner(pod_uid, text("pod_name"), node)
    if not context.workload_id and (workload := text("workload_id")):
        context = structs.replace(context, workload_id=workload)
    client = (
        pod_uid
        or _pod(text("namespace", "pod_namespace"), text("pod_name"))
        or node
        or text("workload_id", "workload_uid")
        or record.session_id
    )
    return Said(record.timestamp_ns, client, context, {}, record.body or "")


def alert_owner(enrich: Enrich) -> Whose:
    """Whose an alert of some labels is at an instant, as the engine will know it."""

    def whose(labels: Labels, at_ns: int) -> Mapping[str, str]:
        post = Post("metric", labels, fingerprint(labels), (), at_ns, at_ns, 0)
        return known(Said(at_ns, "", enrich(post).context))

    return whose


def _pod(namespace: str, name: str) -> str:
    """By whose clock something was told whose pod is known by its name only."""
    return f"{namespace}/{name}" if name else ""
