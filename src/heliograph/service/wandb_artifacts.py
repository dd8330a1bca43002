"""Artifacts of wandb clients: each is said to be there already, so that nobody uploads its files or
waits for them. None is kept; all that is known of one stands in its id:

    QXJ0aWZhY3Q6WyJ0ZWFtIiwibGxtIiwi…    Artifact:["team","llm","model","best","307b6aed…"]

which is entity, project, type, name and digest. What a client asks of an artifact that it has just
logged is answered from there; one that it wants to use is not found.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from heliograph.core import instant
from heliograph.receive.wandb_graphql import ENTITY, NAME_CHARS_MAX, PROJECT, Asked
from heliograph.service.wandb_answers import node_id

KIND = "Artifact"
# Each a part of an id, which is base64 of their JSON.
_ID_CHARS_MAX = 64 * NAME_CHARS_MAX
# How a server says that an artifact is kept for good.
_NO_TTL = -2


class Artifact(NamedTuple):
    """What an id says; *name* is its collection's."""

    entity: str = ENTITY
    project: str = PROJECT
    kind: str = "artifact"
    name: str = "artifact"
    digest: str = ""


_INPUTS = ("entityName", "projectName", "artifactTypeName", "artifactCollectionName", "digest")


def made(asked: Asked) -> dict[str, Any]:
    """`CreateArtifact`: it is there already."""
    given = asked.variables.get("input")
    said: Mapping[str, Any] = given if isinstance(given, dict) else asked.variables
    names = said.get("artifactCollectionNames")
    first = names[0] if isinstance(names, list) and names else None
    told = {**said, "artifactCollectionName": said.get("artifactCollectionName") or first}
    parts = [told.get(name) for name in _INPUTS]
    artifact = Artifact(
        *(
            part[:NAME_CHARS_MAX] if isinstance(part, str) and part else usual
            for part, usual in zip(parts, Artifact(), strict=True)
        )
    )
    return {"createArtifact": {"artifact": _shown(artifact)}}


def known(asked: Asked) -> dict[str, Any]:
    """`ArtifactByID` and the like: what its id says, null for what is no id of ours."""
    artifact = of_id(asked.variables.get("id"))
    shown = None if artifact is None else _shown(artifact)
    return {"artifact": shown, "useArtifact": {"artifact": shown}}


def of_id(given: Any) -> Artifact | None:
    """The artifact whose id *given* is; None where it is none of ours."""
    if not isinstance(given, str) or len(given) > _ID_CHARS_MAX:
        return None
    try:
        kind, _, parts = base64.b64decode(given, validate=True).partition(b":")
        said: Any = json.loads(parts) if kind == KIND.encode() else None
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(said, list) or len(said) != len(Artifact()):
        return None
    return Artifact(*said) if all(isinstance(part, str) for part in said) else None


def _shown(artifact: Artifact) -> dict[str, Any]:
    artifact_id = node_id(KIND, json.dumps(artifact))
    project_id = node_id("Project", artifact.project)
    return {
        "id": artifact_id,
        "digest": artifact.digest,
        "state": "COMMITTED",
        "versionIndex": 0,
        "size": 0,
        "fileCount": 0,
        "commitHash": artifact.digest,
        "description": None,
        "metadata": "{}",
        "labels": "[]",
        "aliases": [],
        "tags": [],
        "artifactType": {"name": artifact.kind},
        "artifactSequence": {
            "id": node_id("ArtifactSequence", artifact.name),
            "name": artifact.name,
            "project": {
                "id": project_id,
                "internalId": project_id,
                "name": artifact.project,
                "entityName": artifact.entity,
                "entity": {"name": artifact.entity},
            },
            "latestArtifact": {"id": artifact_id, "versionIndex": 0},
        },
        "currentManifest": None,
        "historyStep": None,
        "ttlDurationSeconds": _NO_TTL,
        "ttlIsInherited": True,
        # It has no time, for it is not kept; clients want one.
        "createdAt": instant.text_of(0),
        "updatedAt": None,
    }
