"""Every exception that crosses a module boundary, by who must act on it:

    HeliographError
    ├── ConfigError    the operator, before we start
    ├── Refused        the sender: the same input will fail again   (HTTP 4xx, no retry)
    └── Unavailable    nobody yet: the same input may pass later    (HTTP 503/429, retry)

One bad part inside a good batch is not here; it is a `Rejected`, plain data.
A broken invariant is not here either; it is an AssertionError and ends the task.
"""

from typing import NamedTuple


class HeliographError(Exception):
    """The root; never raised itself."""


class ConfigError(HeliographError):
    """The configuration cannot be used; the message names file and path."""


class Refused(HeliographError):
    """The sender's input can never be accepted.

    *field* names the part at fault as the sender would write it (`alerts[2].labels`), or is "".
    *status* is the HTTP status that says so: 400 unless the input is too large (413), of a kind
    we do not speak (415), unknown (404), already there (409).
    """

    def __init__(
        self, detail: str, *, field: str = "", code: str = "invalid", status: int = 400
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.code = code
        self.status = status


class Unavailable(HeliographError):
    """Not now: nothing was kept, and the same input may pass after *retry_after_s*."""

    def __init__(
        self, detail: str, *, code: str = "unavailable", retry_after_s: float = 1
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.retry_after_s = retry_after_s


class Rejected(NamedTuple):
    """One part of a batch that can never be accepted. Data: it does not cost the batch.

    index    position in the batch as it was sent, from 0
    reason   fixed short word for counters, e.g. `duplicate_label`; a bounded set
    detail   what a human needs to mend it
    """

    index: int  # type: ignore[assignment]  # a batch's index is worth tuple's method
    reason: str
    detail: str
