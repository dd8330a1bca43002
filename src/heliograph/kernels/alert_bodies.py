"""One pass over a body of alerts of the v2 API: where there is no compiler, none.

    read(b'[{"labels": {"alertname": "Hot"}, "endsAt": "…"}]', …)  →  Read or None

None says that the body is not one of the usual kind, and nothing of it has been judged: the caller
reads it the general way, which gives the same for every body that `read` takes. So the plain twin
takes none; the compiled form takes arrays of objects with no keys but the five of the API, each
once, whose labels have classic names and values, and whose times and URL are good.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias

COMPILED = False
DIGEST_BYTES = 16

Pairs: TypeAlias = tuple[tuple[str, str], ...]
# As `receive.alert_repeats.Repeat`: fingerprint, said, start, end.
Repeat: TypeAlias = tuple[str, int, int | None, int | None]
# Labels, fingerprint, annotations, severity, URL, start, end, the element itself, and said.
Fresh: TypeAlias = tuple[Pairs, str, Pairs, str, str, int | None, int | None, bytes, int]


class Read(NamedTuple):
    """A body: for each alert its digest, and either what is known of its words or what it says.

    digests   `digest_of` labels, annotations and URL as they are written
    """

    digests: list[bytes]
    found: list[Repeat | None]
    fresh: list[Fresh | None]


class Words:
    """Identities and words by the digest of the bytes that said them, at most *most*; beyond it the
    older half is forgotten. The compiled form takes some 50 bytes for each. Not thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[bytes, tuple[str, int]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, digest: bytes) -> tuple[str, int] | None:
        """Fingerprint and said, or None."""
        return self._known.get(digest)

    def learn(
        self, digests: Sequence[bytes], fingerprints: Sequence[str], saids: Sequence[int]
    ) -> None:
        """Have what each of *digests* stands for, instead of what it stood for."""
        for digest, fingerprint, said in zip(digests, fingerprints, saids, strict=True):
            if digest not in self._known and len(self._known) >= self._most:
                for old in list(self._known)[: self._most // 2 + 1]:
                    del self._known[old]
            self._known[digest] = (fingerprint, said)


def digest_of(words: bytes) -> bytes:
    """Sixteen bytes that stand for *words*, in this process alone."""
    return blake2b(words, digest_size=DIGEST_BYTES).digest()


def read(
    body: bytes,
    words: Words,
    instant_of: Callable[[str], Any],
    is_url: Callable[[str], bool],
    horizon_ns: int,
) -> Read | None:
    """The alerts of *body*; None when it is not of the usual kind.

    *words* are those that are known. *instant_of* gives nanoseconds or None of a time that is not
    written plainly, NotImplemented where it is none. An alert without an end that starts after
    *horizon_ns* is not usual.
    """
    del body, words, instant_of, is_url, horizon_ns
    return None


def posts(
    make: Callable[..., Any],
    fresh: list[Fresh],
    nobody: Any,
    now_ns: int,
    resolve_after_ns: int,
) -> list[Any]:
    """What *make* (`Post`) makes of *fresh*, received at *now_ns* from outside."""
    return [
        make(
            "metric",
            labels,
            fingerprint,
            annotations,
            now_ns,
            now_ns if starts_ns is None else min(starts_ns, now_ns),
            resolve_after_ns,
            starts_ns,
            ends_ns,
            "",
            url,
            nobody,
            severity,
            raw,
        )
        for labels, fingerprint, annotations, severity, url, starts_ns, ends_ns, raw, _ in fresh
    ]
