"""Alerts, silences and the ledger as JSON: our own form (`/v1`) and Alertmanager's (`/api/v2`)."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from heliograph.alert import matching, silences
from heliograph.alert.document import NO_SUPPRESSION, document, foreign_fingerprint
from heliograph.alert.model import Alert, Correlation, Entry, Silence, Suppression
from heliograph.core import instant

# What a v2 alert is never without; RFC 3339 with milliseconds, as Alertmanager writes it.
_MS = 1_000_000
# Of what a sender says beside what counts; beyond it, it is shown as the text that it was.
NESTED_MAX = 64


def alert(
    one: Alert,
    now_ns: int,
    suppression: Suppression = NO_SUPPRESSION,
    notifications: Sequence[Entry] | None = None,
) -> dict[str, Any]:
    """An alert as `GET /v1/alerts` has it; with *notifications* as `GET /v1/alerts/{id}` does."""
    view = {
        **document(one, now_ns, suppression),
        "enriched_data": _document(one.enriched),
        "raw_data": _document(one.raw),
    }
    if notifications is not None:
        view["notifications"] = [entry(item) for item in notifications]
    return view


def _document(stored: bytes) -> Any:
    # Members that nobody looked at may be no UTF-8, and deeper than what is written can be.
    try:
        found = msgspec.json.decode(stored or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if found is None or _is_deep(stored, found):
        return {"text": stored.decode("utf-8", "replace")}
    return found


def _is_deep(stored: bytes, found: Any) -> bool:
    """Whether values are within more than NESTED_MAX others."""
    if stored.count(b"[") + stored.count(b"{") <= NESTED_MAX:
        return False
    level = [found]
    for _ in range(NESTED_MAX):
        level = [
            part
            for one in level
            if isinstance(one, dict | list)
            for part in (one.values() if isinstance(one, dict) else one)
        ]
    return any(isinstance(one, dict | list) for one in level)


def entry(one: Entry) -> dict[str, Any]:
    """A line of the ledger."""
    return {
        "alert_id": one.alert_id,
        "group_key": one.group_key,
        "receiver": one.receiver,
        "integration": one.integration,
        "channel": one.channel,
        "at": instant.text_of(one.at_ns),
        "kind": one.kind,
        "status": one.status,
        "attempt": one.attempt,
        "stage": one.stage,
        "cause": one.cause,
        "answer": one.answer,
        "idempotency_key": one.key,
    }


def correlation(one: Correlation, members: Mapping[str, Alert]) -> dict[str, Any]:
    """A group of alerts that belong together; members that retention took are left out."""
    return {
        "correlation_id": one.id,
        "alerts": [
            {
                "id": found.id,
                "source": found.source,
                "alert_name": found.name,
                "starts_at": instant.text_of(found.starts_ns),
            }
            for member in one.members
            if (found := members.get(member)) is not None
        ],
        "correlation_type": one.type,
        "correlation_score": one.score,
        "reason": one.reason,
    }


def silence(one: Silence, now_ns: int) -> dict[str, Any]:
    """A silence as `/v1/silences` has it."""
    return {
        "id": one.id,
        "silence_id": one.id,
        "state": silences.state(one, now_ns),
        "matchers": [matching.to_document(matcher) for matcher in one.matchers],
        "starts_at": instant.text_of(one.starts_ns),
        "ends_at": instant.text_of(one.ends_ns),
        "created_by": one.created_by,
        "comment": one.comment,
        "created_at": instant.text_of(one.created_ns),
        "updated_at": instant.text_of(one.updated_ns),
        "schedule": one.schedule,
    }


def silence_v2(one: Silence, now_ns: int) -> dict[str, Any]:
    """A `gettableSilence`."""
    return {
        "id": one.id,
        "status": {"state": silences.state(one, now_ns)},
        "updatedAt": ms_text(one.updated_ns),
        "comment": one.comment,
        "createdBy": one.created_by,
        "startsAt": ms_text(one.starts_ns),
        "endsAt": ms_text(one.ends_ns),
        "matchers": [matching.to_v2(matcher) for matcher in one.matchers],
    }


def alert_v2(
    one: Alert, now_ns: int, suppression: Suppression, receivers: Sequence[str], horizon_ns: int
) -> dict[str, Any]:
    """A `gettableAlert`, whose *suppression* has fingerprints of what inhibits it; an end that nobody
    named is shown *horizon_ns* from now, as a guess."""
    suppressed = bool(suppression)
    ends_ns = one.ends_ns if one.ends_ns is not None else now_ns + horizon_ns
    return {
        "annotations": dict(one.annotations),
        "endsAt": ms_text(ends_ns),
        "fingerprint": foreign_fingerprint(one.labels),
        "receivers": [{"name": name} for name in receivers],
        "startsAt": ms_text(one.starts_ns),
        "status": {
            "inhibitedBy": list(suppression.inhibitors),
            "silencedBy": list(suppression.silences),
            "mutedBy": list(suppression.mutes),
            "state": "suppressed" if suppressed else "active",
        },
        "updatedAt": ms_text(one.updated_ns),
        # An empty one is none: what stands here is a URL.
        **({"generatorURL": one.generator_url} if one.generator_url else {}),
        "labels": dict(one.labels),
    }


# The alerts of a list share their times: those of one evaluation.
@lru_cache(maxsize=4096)
def ms_text(at_ns: int) -> str:
    """RFC 3339 of *at_ns* with three digits of a second."""
    whole = instant.text_of(at_ns // _MS * _MS)
    return whole if "." in whole else f"{whole[:-1]}.000Z"
