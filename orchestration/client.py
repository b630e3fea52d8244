"""Asking the service over HTTP, as any product would; its problems come back as our errors."""

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from core.errors import (
    DependencyError,
    IntegrityError,
    InvalidInputError,
    NotReadyError,
    OverloadedError,
    PlatformError,
)
from orchestration.addresses import read_addresses
from orchestration.service_environment import SERVICE_KEY
from orchestration.shell import Shell
from stores.home_id import known_home_id
from stores.layout import Layout

TIMEOUT_S = 30.0
BY_STATUS: dict[int, type[PlatformError]] = {
    429: OverloadedError,
    500: IntegrityError,
    503: NotReadyError,
}
URL, PORT = "THROUGHLINE_SERVICE_URL", "THROUGHLINE_HTTP__PORT"
CONTRACT = "throughline-contract"
MAX_FAULTS_SHOWN = 5


def service_address(shell: Shell) -> str:
    """Base address of the service: as the settings say, as `up` said, or by the port given to it.

    No port is guessed: the service of another home may listen there, and it would take our
    events.

    Raises
    ------
    NotReadyError
        If none says where it is, or another home's service has taken its place.
    """
    layout = shell.settings.layout
    if shell.settings.service_url:
        return shell.settings.service_url.rstrip("/")
    said = read_addresses(layout).service
    port = shell.environment.get(PORT)
    if not said and not port:
        raise NotReadyError(
            "the service is not running",
            found=f"no address below {layout.root}, no {URL} and no {PORT}",
            remedy="start it with `throughline up`, or say with --home whose service you mean",
            code="service_down",
        )
    if said and home_at(said, within_s=TIMEOUT_S) != known_home_id(layout):
        raise NotReadyError(
            "the service of this home is not running",
            found=f"another home's service, or another program, at {said}, where ours was",
            remedy="start ours with `throughline up`, or say with --home whose service you mean",
            code="other_home",
        )
    return said or f"http://127.0.0.1:{port}"


def home_at(address: str, *, within_s: float) -> str | None:
    """Id of the home whose service answers there; None when what answers names none.

    An address outlives who said it when `up` was killed, and its port may be given away.

    Raises
    ------
    NotReadyError, DependencyError
        If nobody answers there, or not in time.
    """
    try:
        said = ask(address, "/livez", within_s=within_s)
    except (NotReadyError, DependencyError):
        raise
    except PlatformError:
        return None
    return said.get("home") if isinstance(said, dict) else None


def is_ours(address: str, layout: Layout, *, within_s: float = 1.0) -> bool:
    """Whether the service of this home answers there."""
    try:
        return home_at(address, within_s=within_s) == known_home_id(layout)
    except PlatformError:
        return False


def record_path(record_id: str) -> str:
    """Path of a prediction record; whatever a person typed is one segment of it.

    Raises
    ------
    InvalidInputError
        If it is empty.

    Examples
    --------
    >>> record_path("../x y")
    '/v1/predictions/..%2Fx%20y'
    """
    if not record_id:
        raise InvalidInputError("an id is missing", remedy="give the prediction_id of an answer")
    return f"/v1/predictions/{urllib.parse.quote(record_id, safe='')}"


def call(shell: Shell, path: str, body: Any = None, *, contract: str = "") -> Any:
    """What this home's service answers to a GET, or to a POST of ``body``; raises as `ask`."""
    key = shell.settings.service_key.get_secret_value()
    return ask(service_address(shell), path, body, key=key, contract=contract)


def ask(
    address: str,
    path: str,
    body: Any = None,
    *,
    key: str = "",
    contract: str = "",
    within_s: float = TIMEOUT_S,
) -> Any:
    """Answer to a GET, or to a POST of ``body``.

    ``key`` is for a service that asks for one, ``contract`` the version that the body speaks.

    Raises
    ------
    PlatformError
        Of the family that the service's problem belongs to; NotReadyError when nobody
        answers at all.
    """
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    if contract:
        headers[CONTRACT] = contract
    request = urllib.request.Request(  # noqa: S310 - our own service
        address + path, data=data, headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=within_s) as answer:  # noqa: S310
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise error_of(error.code, error.read()) from None
    except TimeoutError:
        raise DependencyError(f"the service did not answer within {within_s:.0f} s") from None
    except urllib.error.URLError as error:
        raise NotReadyError(
            "the service is not running",
            found=f"{error.reason} at {address}",
            remedy="start it with `throughline up`",
            code="service_down",
        ) from None
    except (http.client.HTTPException, ConnectionError, ValueError) as error:
        raise DependencyError(
            "what answers there is not the service, or was cut off",
            found=f"{type(error).__name__} at {address}",
            remedy="look with `throughline status` what is running, and ask again",
            code="bad_answer",
        ) from None


def error_of(status: int, content: bytes) -> PlatformError:
    """Our error of a problem document; its words are the service's own."""
    try:
        problem = json.loads(content)
    except ValueError:
        problem = {}
    kind = BY_STATUS.get(status, InvalidInputError)
    problem = problem if isinstance(problem, dict) else {}
    faults = [f"{f['pointer']}: {f['message']}" for f in problem.get("errors", [])]
    order = ("title", "detail") if faults else ("detail", "title")
    text = str(next((problem[k] for k in order if problem.get(k)), f"HTTP status {status}"))
    return kind(
        text,
        found="; ".join(faults[:MAX_FAULTS_SHOWN]),
        remedy=f"put a key that opens this into {SERVICE_KEY}" if status in (401, 403) else "",
        code=str(problem.get("code", "http")),
    )
