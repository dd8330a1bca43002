"""How commands talk to a running service: over HTTP, with a token from the environment."""

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click

from heliograph.cli.answer import NOTHING, fits
from heliograph.cli.sendable import unsendable

URL_VARIABLE = "HELIOGRAPH_URL"
TOKEN_VARIABLE = "HELIOGRAPH_TOKEN"  # noqa: S105 - the variable's name
TIMEOUT_S = 30
TOKEN_HELP = f"its token comes from the environment, {TOKEN_VARIABLE}"
_CREDENTIALS = re.compile(r"//[^/?#]*@")

service_url = click.option(
    "--url",
    envvar=URL_VARIABLE,
    show_envvar=True,
    default="http://127.0.0.1:8989",
    show_default=True,
    help=f"The service; {TOKEN_HELP}.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the service's answer.")


def inert(text: str) -> str:
    """*text* of a sender for a terminal: what could move the cursor or colour is shown as `?`."""
    return "".join(char if char.isprintable() else "?" for char in text)


def address(url: str) -> str:
    """*url* as it may be shown."""
    return inert(_CREDENTIALS.sub("//<secret>@", url))


def token() -> str | None:
    """The token of the environment, if any. Ends the command where no header can carry it, which
    is not shown."""
    found = os.environ.get(TOKEN_VARIABLE) or None
    for place, char in enumerate(found or "", 1):
        if not " " <= char <= "~":
            raise click.ClickException(
                f"{TOKEN_VARIABLE}: character {place} of {len(found or '')} is none of a token's"
            )
    return found


def authorization() -> dict[str, str]:
    """The header that says who asks; none without a token. Ends the command as `token` does."""
    given = token()
    return {"Authorization": f"Bearer {given}"} if given else {}


def get(url: str, path: str, parameters: Mapping[str, Any], item: Any = dict) -> Any:
    """The list that GET *path* answers, of the shape *item* each. Ends the command as `ask` does."""
    shape = {"items": [item], "total": int}
    return ask("GET", url, path, shape, parameters=parameters)


def get_all(url: str, path: str, parameters: Mapping[str, Any], item: Any = dict) -> Any:
    """The whole list that GET *path* answers, page by page, as one answer."""
    answer = get(url, path, parameters, item)
    while len(answer["items"]) < answer["total"]:
        more = get(url, path, {**parameters, "offset": len(answer["items"])}, item)
        if not more["items"]:
            break
        answer["items"] += more["items"]
    return answer


def segment(name: str) -> str:
    """*name* as one segment of a path: what somebody typed must not lead elsewhere."""
    return quote(name, safe="", errors="replace")


def ask(
    method: str,
    url: str,
    path: str,
    shape: Any,
    *,
    parameters: Mapping[str, Any] | None = None,
    document: Any = None,
) -> Any:
    """What *method* *path* answers, of *shape*. Ends the command with the service's own words on an
    error, each field that it names on a line, and where what answers is no service of ours."""
    import httpx2

    given = {name: value for name, value in (parameters or {}).items() if value is not None}
    for sent in (given, document):
        if wrong := unsendable(sent):
            raise click.ClickException(wrong)
    body = {} if document is None else {"json": document}
    try:
        response = httpx2.request(
            method,
            url.rstrip("/") + path,
            params=given,
            headers=authorization(),
            timeout=TIMEOUT_S,
            # To load what is trusted takes longer than a request, which without TLS needs none.
            verify=not url.startswith("http://"),
            **body,
        )
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        why = inert(str(error) or type(error).__name__)
        raise click.ClickException(f"{address(url)}: {why}") from error
    return answered(response, shape, url)


def answered(response: Any, shape: Any, url: str) -> Any:
    """What *response* of the service at *url* says, of *shape*. ClickException: an error's words, or
    that what answers there is no service of ours."""
    status = response.status_code
    if status >= 400:
        whose = f" ({TOKEN_HELP})" if status == 401 else ""
        raise click.ClickException(f"{status}: {words(response)}{whose}")
    if shape is NOTHING and status == 204:
        return None
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        answer = None
    if shape is not NOTHING and 200 <= status < 300 and fits(answer, shape):
        return answer
    leads = response.headers.get("Location", "").partition("?")[0]
    said = f"{status}, which leads to {address(leads)}" if leads else status
    raise click.ClickException(
        f"{address(url)}: what answers there is no Heliograph (it said {said})"
    )


def words(response: Any) -> str:
    """What an error answer says, for a terminal."""
    try:
        answer = response.json()
        detail = str(answer["detail"])
        named = [
            _named(str(one["field"]), str(one["message"])) for one in answer.get("errors", [])
        ]
    except (ValueError, KeyError, TypeError, RecursionError):
        return inert(response.text[:200])
    # Its field is what to look for.
    first = [] if any(detail in one for one in named) else [detail]
    return "\n".join(inert(line) for line in [*first, *named])


def _named(field: str, message: str) -> str:
    # Many messages begin with their field.
    return message if message.startswith(field) else f"{field}: {message}"
