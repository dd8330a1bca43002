"""Whose a log line or record is: by its pod's uid, else by namespace and name at its own time."""

from heliograph.enrich.attribute import Span, attribute_identity, span_at
from heliograph.enrich.identity import Identity
from heliograph.workloads.directory import Directory


def whose(
    directory: Directory,
    *,
    pod_uid: str = "",
    pod_name: str = "",
    namespace: str = "",
    at_ns: int,
) -> Span:
    """The span that the line's instant *at_ns* is in: owner, by and pod uid, or the reason.

    The rules are those of series: a uid decides at any time, and an unknown one is nobody's
    whatever the name says; a name counts while its pod runs.
    """
    who = Identity(pod_uid=pod_uid, pod_name=pod_name, namespace=namespace)
    return span_at(attribute_identity(who, directory), at_ns)
