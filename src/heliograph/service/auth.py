"""Who may do what: bearer tokens with roles.

    role      may
    ingest    send data in, nothing else
    viewer    read
    editor    read and change rules, silences, placements
    admin     everything

A token is `hg_<role>_<id>_<secret>`; only its SHA-256 is in the configuration. It comes as
`Authorization: Bearer …`, or as the password of Basic (wandb's clients and browsers know nothing
else).
With no token configured everything is open, which `config.check` allows on loopback only.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Literal, NamedTuple

from heliograph.core.errors import HeliographError
from heliograph.service.config import TokenConfig

# `known` is for whoever has a token, of whatever role: what is asked says which it takes.
Permission = Literal["open", "known", "ingest", "view", "edit", "admin"]

GRANTS: dict[str, frozenset[str]] = {
    "ingest": frozenset({"known", "ingest"}),
    "viewer": frozenset({"known", "view"}),
    "editor": frozenset({"known", "view", "edit"}),
    "admin": frozenset({"known", "ingest", "view", "edit", "admin"}),
}
SECRET_BYTES = 32
KEY_BYTES = 20


class Denied(HeliographError):
    """The request lacks a valid token (401) or its role does not reach (403)."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = "unauthenticated" if status == 401 else "forbidden"


class Caller(NamedTuple):
    """Who sent a request: the token's id ("" when the service is open) and role."""

    id: str
    role: str


class Gate:
    """Decides requests. Immutable; comparison takes the same time whatever the secret."""

    def __init__(self, tokens: Sequence[TokenConfig]) -> None:
        self._tokens = tuple(tokens)

    def allows(self, authorization: str | None, permission: Permission) -> bool:
        """Whether `check` would let it pass."""
        try:
            self.check(authorization, permission)
        except Denied:
            return False
        return True

    def check(self, authorization: str | None, permission: Permission) -> Caller:
        """The caller, when the *authorization* header reaches *permission*; else raises Denied."""
        if permission == "open" or not self._tokens:
            return Caller("", "admin")
        secret = _secret(authorization)
        if not secret:
            raise Denied(
                401, "a token is needed: Authorization: Bearer …, or as the password of Basic"
            )
        digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for token in self._tokens:
            if hmac.compare_digest(digest, token.sha256.lower()):
                found = token
        if found is None:
            raise Denied(401, "this token is not known")
        if permission not in GRANTS[found.role]:
            raise Denied(403, f"role {found.role} may not {permission}")
        return Caller(found.id, found.role)


def new_token(role: str, token_id: str) -> tuple[str, str]:
    """A fresh (token, sha256): the first is shown once, the second goes into the configuration."""
    token = f"hg_{role}_{token_id}_{secrets.token_hex(SECRET_BYTES)}"
    return token, hashlib.sha256(token.encode()).hexdigest()


def new_key() -> tuple[str, str]:
    """The same of 40 characters, which older wandb clients insist on."""
    key = secrets.token_hex(KEY_BYTES)
    return key, hashlib.sha256(key.encode()).hexdigest()


def _secret(authorization: str | None) -> str:
    scheme, _, rest = (authorization or "").partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer":
        return rest
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(rest, validate=True).decode("utf-8", "surrogateescape")
        except (binascii.Error, ValueError):
            return ""
        return decoded.partition(":")[2]
    return ""
