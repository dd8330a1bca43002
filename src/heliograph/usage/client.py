"""Report a finished job to a usage server, and never be in its way.

    send_telemetry_data("resnet50", "train", [{"name": "NVIDIA A100"}], time_lapsed=3600,
                        pass_status=True)

The environment decides, at each call:

    TELEMETRY_OPT_OUT       no (default), false or 0 reports; anything else does not
    TAO_TELEMETRY_SERVER    default http://127.0.0.1:8989, our own service; nobody else's
    TELEMETRY_TIMEOUT       seconds for all of it, default 30
    TAO_TOOLKIT_VERSION     default 5.3.0
    TAO_CLIENT_TYPE         default container; TAO_AUTOML_TRIGGERED   true or 1
    HELIOGRAPH_TOKEN        sent as Bearer; user:password@ in the server's URL as Basic

One attempt. No credential is in the source, none is logged, redirects are not followed.
Source: spec 000's repository, its client.
"""

import base64
import json
import logging
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from heliograph.core.clock import SystemClock

DEFAULT_SERVER = "http://127.0.0.1:8989"
DEFAULT_VERSION = "5.3.0"
PATH = "/api/v1/metrics"
TIMEOUT_S = 30.0
TIMEOUT_S_MAX = 600.0
GPUS_MAX = 4096
STATUS_LINE_BYTES_MAX = 64 * 1024

log = logging.getLogger(__name__)


def send_telemetry_data(
    network: str,
    action: str,
    gpu_data: Sequence[Mapping[str, Any] | str],
    num_gpus: int | None = 1,
    time_lapsed: float | None = None,
    pass_status: bool = False,
    user_error: bool = False,
    client_type: str | None = None,
    automl_triggered: bool | None = None,
) -> None:
    """Report one job. Whatever goes wrong is logged, and nothing is raised.

    gpu_data      devices, each with its `name`; the first *num_gpus* count, all where that is None
    time_lapsed   seconds
    pass_status   whether the job succeeded
    """
    try:
        if os.environ.get("TELEMETRY_OPT_OUT", "no").strip().lower() not in {
            "no",
            "false",
            "0",
        }:
            log.info("Opted out of telemetry reporting. Skipped.")
            return
        log.info("================> Start Reporting Telemetry <================")
        payload = _payload(
            network, action, gpu_data[:num_gpus], time_lapsed, pass_status, user_error
        )
        payload |= _of_client(client_type, automl_triggered)
        log.info("Sending %s", payload)
        failed = post(payload)
        if failed is None:
            log.info("Telemetry sent successfully.")
        else:
            log.info("Failed with reponse: %s", failed)
        log.info("================> End Reporting Telemetry <================")
    except Exception as error:  # a report must not end the job it is about
        log.warning("Failed with reponse: %s", type(error).__name__)


def post(payload: Mapping[str, Any], *, server: str | None = None) -> str | None:
    """POST *payload*; None where it was taken, else what went wrong, without credentials.

    Raises ValueError for a server that is no http URL.
    """
    import http.client  # costs as much as all the rest, and many never report

    url = urlsplit(server or os.environ.get("TAO_TELEMETRY_SERVER") or DEFAULT_SERVER)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError("TAO_TELEMETRY_SERVER is no http or https URL")
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    timeout_s = _timeout_s()
    clock = SystemClock()
    until_s = clock.monotonic_s() + timeout_s
    connection = kinds[url.scheme](url.hostname, url.port, timeout=timeout_s)
    try:
        connection.request(
            "POST",
            url.path.rstrip("/") + PATH,
            json.dumps(payload).encode(),
            {"Content-Type": "application/json", **_authorization(url)},
        )
        status = _status(connection.sock, until_s, clock)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"error {type(error).__name__}"
    finally:
        connection.close()
    return None if 200 <= status < 300 else f"error {status}"


def _status(sock: socket.socket, until_s: float, clock: SystemClock) -> int:
    """The status of the answer on *sock*, of which no more is read. Raises OSError when it is not
    there at *until_s*, ValueError where there is none.

    By itself: `getresponse` waits anew for each byte, and a server may send one a second for ever.
    """
    head = b""
    while b"\n" not in head and len(head) < STATUS_LINE_BYTES_MAX:
        left_s = until_s - clock.monotonic_s()
        if left_s <= 0:
            raise TimeoutError
        sock.settimeout(left_s)
        more = sock.recv(4096)
        if not more:
            raise ConnectionResetError
        head += more
    version, _, rest = head.partition(b" ")
    if not version.startswith(b"HTTP/"):
        raise ValueError("no answer of HTTP")
    return int(rest[:3])


def _payload(
    network: str,
    action: str,
    devices: Iterable[Mapping[str, Any] | str],
    time_lapsed: float | None,
    pass_status: bool,
    user_error: bool,
) -> dict[str, Any]:
    names = [device if isinstance(device, str) else str(device["name"]) for device in devices]
    payload: dict[str, Any] = {
        "version": os.environ.get("TAO_TOOLKIT_VERSION", DEFAULT_VERSION),
        "action": action,
        "network": network,
        "gpu": names[:GPUS_MAX],
        "success": pass_status,
        "user_error": user_error,
    }
    if time_lapsed is not None:
        payload["time_lapsed"] = time_lapsed
    return payload


def _of_client(client_type: str | None, automl_triggered: bool | None) -> dict[str, Any]:
    if client_type is None:
        client_type = os.environ.get("TAO_CLIENT_TYPE", "container")
    if automl_triggered is None:
        automl_triggered = os.environ.get("TAO_AUTOML_TRIGGERED", "").lower() in {"true", "1"}
    return {"client_type": client_type, "automl_triggered": automl_triggered}


def _authorization(url: SplitResult) -> dict[str, str]:
    if token := os.environ.get("HELIOGRAPH_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    if url.username is None:
        return {}
    pair = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _timeout_s() -> float:
    try:
        timeout_s = float(os.environ.get("TELEMETRY_TIMEOUT", TIMEOUT_S))
    except ValueError:
        return TIMEOUT_S
    return min(timeout_s, TIMEOUT_S_MAX) if timeout_s > 0 else TIMEOUT_S
