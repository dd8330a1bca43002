"""How commands talk to a running service: over HTTP, with a token from the environment."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import click

URL_VARIABLE = "HELIOGRAPH_URL"
TOKEN_VARIABLE = "HELIOGRAPH_TOKEN"  # noqa: S105 - the variable's name
TIMEOUT_S = 30
# Columns whose cells are copied from the screen.
IDS = {"id", "uid"}


def inert(text: str) -> str:
    """*text* of a sender for a terminal: what could move the cursor or colour is shown as `?`."""
    return "".join(char if char.isprintable() else "?" for char in text)


def get(url: str, path: str, parameters: Mapping[str, Any]) -> Any:
    """The list that GET *path* answers. Ends the command with the service's own words on an error."""
    answer = ask("GET", url, path, parameters=parameters)
    if not isinstance(answer, dict) or "items" not in answer:
        raise click.ClickException(f"{url}: what answers there is no Heliograph")
    return answer


def get_all(url: str, path: str, parameters: Mapping[str, Any]) -> Any:
    """The whole list that GET *path* answers, page by page, as one answer."""
    answer = get(url, path, parameters)
    while len(answer["items"]) < answer["total"]:
        more = get(url, path, {**parameters, "offset": len(answer["items"])})
        if not more["items"]:
            break
        answer["items"] += more["items"]
    return answer


def segment(name: str) -> str:
    """*name* as one segment of a path: what somebody typed must not lead elsewhere."""
    return quote(name, safe="")


def ask(
    method: str,
    url: str,
    path: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    document: Any = None,
) -> Any:
    """What *method* *path* answers, None where it is empty. Ends the command with the service's own
    words on an error, each field that it names on a line."""
    import httpx2

    token = os.environ.get(TOKEN_VARIABLE)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    given = {name: value for name, value in (parameters or {}).items() if value is not None}
    body = {} if document is None else {"json": document}
    try:
        response = httpx2.request(
            method,
            url.rstrip("/") + path,
            params=given,
            headers=headers,
            timeout=TIMEOUT_S,
            # To load what is trusted takes longer than a request, which without TLS needs none.
            verify=not url.startswith("http://"),
            **body,
        )
    except httpx2.HTTPError as error:
        raise click.ClickException(f"{url}: {error}") from error
    return answered(response, foreign=f"{url}: the answer is no JSON")


def answered(response: Any, *, foreign: str) -> Any:
    """What *response* says, None for nothing. ClickException: an error's words, or *foreign* where
    what answers is no service of ours."""
    if response.status_code >= 400:
        raise click.ClickException(f"{response.status_code}: {words(response)}")
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError as error:
        raise click.ClickException(foreign) from error


def words(response: Any) -> str:
    """What an error answer says, for a terminal."""
    try:
        answer = response.json()
        detail = str(answer["detail"])
        named = [_named(one["field"], one["message"]) for one in answer.get("errors", [])]
    except (ValueError, KeyError, TypeError):
        return inert(response.text[:200])
    # Its field is what to look for.
    first = [] if any(detail in one for one in named) else [detail]
    return "\n".join(inert(line) for line in [*first, *named])


def _named(field: str, message: str) -> str:
    # Many messages begin with their field.
    return message if message.startswith(field) else f"{field}: {message}"


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print *rows* under *columns*, a line each; an id is never cut, so that it can be copied."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    cells = [["" if cell is None else inert(str(cell)) for cell in row] for row in rows]
    shown = Table(box=None, pad_edge=False)
    for name in columns:
        shown.add_column(name, no_wrap=True, overflow="ignore" if name in IDS else "ellipsis")
    for row in cells:
        shown.add_row(*map(escape, row))
    # A pipe has no width: what reads it wants the lines whole.
    whole = sum(max(map(len, column)) + 2 for column in zip(columns, *cells, strict=True))
    Console(width=None if sys.stdout.isatty() else max(80, whole)).print(shown)
