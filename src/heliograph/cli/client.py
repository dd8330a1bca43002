"""How commands talk to a running service: over HTTP, with a token from the environment."""

import os
from collections.abc import Mapping
from typing import Any

import click

URL_VARIABLE = "HELIOGRAPH_URL"
TOKEN_VARIABLE = "HELIOGRAPH_TOKEN"  # noqa: S105 - the variable's name
TIMEOUT_S = 30


def inert(text: str) -> str:
    """*text* of a sender for a terminal: what could move the cursor or colour is shown as `?`."""
    return "".join(char if char.isprintable() else "?" for char in text)


def get(url: str, path: str, parameters: Mapping[str, Any]) -> Any:
    """The list that GET *path* answers. Ends the command with the service's own words on an error."""
    import httpx2

    token = os.environ.get(TOKEN_VARIABLE)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    given = {name: value for name, value in parameters.items() if value is not None}
    try:
        response = httpx2.get(
            url.rstrip("/") + path, params=given, headers=headers, timeout=TIMEOUT_S
        )
    except httpx2.HTTPError as error:
        raise click.ClickException(f"{url}: {error}") from error
    if response.status_code >= 400:
        try:
            detail = response.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = response.text[:200]
        raise click.ClickException(f"{response.status_code}: {detail}")
    try:
        answer = response.json()
    except ValueError as error:
        raise click.ClickException(f"{url}: the answer is no JSON") from error
    if not isinstance(answer, dict) or "items" not in answer:
        raise click.ClickException(f"{url}: what answers there is no Heliograph")
    return answer
