"""Documents for `/v1/records`, cut into requests of a size that every service takes."""

from collections.abc import Sequence

# Of one request of records; the service takes 32 MiB.
RECORDS_BYTES_MAX = 1 << 20
RECORDS_MAX = 2000


def cut(documents: Sequence[bytes]) -> list[list[bytes]]:
    """*documents* in order, as many together as one request takes."""
    made: list[list[bytes]] = []
    room = 0
    for document in documents:
        room -= len(document) + 1
        if room < 0 or len(made[-1]) >= RECORDS_MAX:
            made.append([])
            room = RECORDS_BYTES_MAX - len(document)
        made[-1].append(document)
    return made
