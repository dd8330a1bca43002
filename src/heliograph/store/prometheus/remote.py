"""Asking a Prometheus-compatible server: GET, an answer of bounded size and time, errors in words.

    {"status": "error", "errorType": "bad_data", "error": "invalid parameter …"}    refused: 400, 422
Source: Prometheus HTTP API v1, format overview.
"""

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec

from heliograph.core.clock import Clock
from heliograph.core.errors import HeliographError, Refused, Unavailable
from heliograph.store.prometheus import answer

TIMEOUT_S = 30.0
RETRY_AFTER_S = 5.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
WORDS_CHARS_MAX = 300

Kind = TypeVar("Kind")


class TooLarge(HeliographError):
    """The answer is larger than was allowed."""


class _Failure(msgspec.Struct):
    error: str = ""


class Remote:
    """The server at *url*, which may carry credentials. Thread-safe. Raises ConfigError."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = answer.checked(url).rstrip("/")
        self._host = urlsplit(url).hostname
        self._clock = clock
        self._client = httpx2.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)

    def get(
        self,
        path: str,
        asked: Mapping[str, str],
        kind: type[Kind],
        *,
        bytes_max: int | None = None,
    ) -> Kind:
        """The answer to *asked* at *path*, of at most *bytes_max* bytes, else ANSWER_BYTES_MAX.

        Raises TooLarge, Refused, Unavailable.
        """
        bytes_max = ANSWER_BYTES_MAX if bytes_max is None else bytes_max
        until_s = self._clock.monotonic_s() + TIMEOUT_S
        try:
            with self._client.stream("GET", self._url + path, params=dict(asked)) as response:
                body = b"".join(answer.chunks(response, self._clock, until_s, bytes_max))
        except httpx2.HTTPError as error:
            # Words of the library may repeat the URL, and what it carries.
            raise self.silent(type(error).__name__) from error
        except answer.CutShort as cut:
            if cut.too_long:
                raise self.silent(cut.detail) from cut
            raise TooLarge(cut.detail) from cut
        if response.is_success:
            return self._decoded(body, kind)
        words = _words(body)
        if response.status_code in {400, 422}:
            raise Refused(f"the sample store refused: {words}", field="query")
        raise Unavailable(
            f"the sample store at {self._host} answered {response.status_code} {words}".strip(),
            code="sample_store",
            retry_after_s=RETRY_AFTER_S,
        )

    def listed(self, path: str, asked: Mapping[str, str], kind: type[Kind]) -> Kind:
        """`get` for a list of names: one that is too large is the asker's to narrow."""
        try:
            return self.get(path, asked, kind)
        except TooLarge:
            raise Refused(
                f"over {ANSWER_BYTES_MAX} bytes of names; narrow it by match[]",
                field="match[]",
                code="too_large",
            ) from None

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def silent(self, why: str) -> Unavailable:
        """The error of an answer that did not come, or made no sense."""
        return Unavailable(
            f"the sample store at {self._host} did not answer: {why}",
            code="sample_store",
            retry_after_s=RETRY_AFTER_S,
        )

    def _decoded(self, body: bytes, kind: type[Kind]) -> Kind:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self.silent(f"no answer to PromQL: {error}") from error


def _words(body: bytes) -> str:
    """What the server says of an error, as far as it is text."""
    try:
        return msgspec.json.decode(body, type=_Failure).error[:WORDS_CHARS_MAX]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:WORDS_CHARS_MAX].decode("utf-8", "replace").strip()
