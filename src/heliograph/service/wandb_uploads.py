"""Where a wandb client puts its files: addresses below our own, each signed for one file of one run.

    /files/{entity}/{project}/{run}/upload/{signature}/{name}

A client sends no key with an upload, so that the address itself is the permission. The secret that
signs is made once and kept in state: an address that was given before a restart is good after it.
"""

import hashlib
import hmac
import secrets
from urllib.parse import quote

from sqlalchemy import Connection

from heliograph.receive.wandb_graphql import RunName
from heliograph.store.state import meta
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State

SECRET = "wandb_upload_secret"  # noqa: S105 - its name, not its value
SIGNATURE_CHARS = 40
NAME_CHARS_MAX = 1024


class Uploads:
    """Signs addresses and checks them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._secret = b""

    def url(self, root: str, name: RunName, file: str) -> str:
        """The address of *file* of run *name*, below *root* (`http://host:8989`)."""
        parts = (*name, "upload", self.signature(name, file))
        path = "/".join(quote(part, safe="") for part in parts)
        return f"{root}/files/{path}/{quote(file[:NAME_CHARS_MAX], safe='/')}"

    def valid(self, name: RunName, file: str, signature: str) -> bool:
        """Whether `url` gave *signature* for this file."""
        return hmac.compare_digest(
            self.signature(name, file).encode(), signature.encode("utf-8", "replace")
        )

    def signature(self, name: RunName, file: str) -> str:
        """Hexadecimal digits that only we can compute."""
        if not self._secret:
            self._secret = self._kept()
        said = "\0".join((*name, file[:NAME_CHARS_MAX])).encode("utf-8", "replace")
        return hmac.new(self._secret, said, hashlib.sha256).hexdigest()[:SIGNATURE_CHARS]

    def _kept(self) -> bytes:
        """The secret that is kept, or one made now: in one transaction, that two threads make one."""
        new = secrets.token_hex(32)

        def kept(tx: Connection) -> str:
            known = meta.get(tx, SECRET)
            if known is None:
                meta.put(tx, SECRET, new)
            return known or new

        return self._state.run(kept, lane=Lane.CONTROL).encode()
