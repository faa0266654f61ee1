"""A backend that somebody else runs: its URL, and which profile it has. The edge that asks its health endpoints."""

import http.client
import json
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, NamedTuple, Self
from urllib.parse import SplitResult, urlsplit

from kecs.aws.hosts import is_aws_name
from kecs.aws.profiles import PROFILES, Profile
from kecs.core.errors import BackendError

_PORTS: Final = {"http": 80, "https": 443}
_EXAMPLE: Final = "give a URL like http://localhost:4566"
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?")
_ANSWER_LIMIT: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Where a backend listens."""

    scheme: str
    host: str
    """A name or an address; IPv6 without brackets."""
    port: int

    @classmethod
    def parse(cls, url: str, *, source: str = "--backend") -> Self:
        """Read a URL; `source` says in errors where it came from."""
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError as error:
            raise BackendError(f'{source} is "{url}": {str(error).lower()}', hint=_EXAMPLE) from error
        _refuse_wrong(parts, url, source)
        host = parts.hostname or ""
        return cls(scheme=parts.scheme, host=host, port=_PORTS[parts.scheme] if port is None else port)

    @property
    def is_local(self) -> bool:
        """Say whether it is on this machine, so that tokens may be sent to it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def _refuse_wrong(parts: SplitResult, url: str, source: str) -> None:
    host = parts.hostname or ""
    reasons = (
        (parts.scheme not in _PORTS, "is no HTTP URL", _EXAMPLE),
        (not host, "has no host", _EXAMPLE),
        (not _is_host(host), "has no host that can be looked up", _EXAMPLE),
        (parts.port == 0, "has port 0", _EXAMPLE),
        (parts.username is not None, "holds credentials, which no backend reads", "leave out what stands before the @"),
        (
            parts.path not in {"", "/"} or bool(parts.query) or bool(parts.fragment),
            "has a path; requests have their own",
            "end the URL after the port",
        ),
        (is_aws_name(host), "is AWS itself", f"an emulator answers, never AWS: {_EXAMPLE}"),
    )
    for holds, reason, hint in reasons:
        if holds:
            raise BackendError(f'{source} is "{url}": it {reason}', hint=hint)


def _is_host(host: str) -> bool:
    if _HOST.fullmatch(host):
        return True
    try:
        return bool(ip_address(host.partition("%")[0]))
    except ValueError:
        return False


class Probe(NamedTuple):
    """One question that only backends of one profile answer so."""

    path: str
    profile: str
    recognises: Callable[[dict[str, object]], bool]


PROBES: Final = (
    Probe("/_kecs/health", "embedded", lambda answer: answer.get("status") == "running"),
    Probe("/_ministack/health", "ministack", lambda answer: "services" in answer),  # also answers LocalStack's path
    Probe("/_localstack/health", "localstack", lambda answer: "services" in answer),
    Probe("/moto-api/data.json", "moto-server", lambda _: True),
)
"""Asked in this order; the first that is recognised decides."""


def detect(backend: Backend, *, timeout_s: float = 3.0) -> Profile:
    """Return the profile of a backend by asking it; `generic` when it answers but is none we know.

    Raises BackendError when nothing answers at the address.
    """
    for probe in PROBES:
        answer = _ask(backend, probe.path, timeout_s)
        if answer is not None and probe.recognises(answer):
            return PROFILES[probe.profile]
    return PROFILES["generic"]


def _ask(backend: Backend, path: str, timeout_s: float) -> dict[str, object] | None:
    """Return the JSON object at a path; None when there is something else, an error for one."""
    connection = _connection(backend, timeout_s)
    try:
        connection.request("GET", path, headers={"Accept": "application/json", "Connection": "close"})
        response = connection.getresponse()
        body = response.read(_ANSWER_LIMIT)
        found = json.loads(body) if response.status == http.client.OK else None
    except ssl.SSLError as error:
        raise BackendError(
            f"backend {backend} does not complete TLS: {error.reason or error}", hint=_TLS_HINT
        ) from error
    except OSError as error:
        reason = (error.strerror or str(error) or "no answer").lower()
        raise BackendError(
            f"no backend answers at {backend}: {reason}", hint="start it, or check the address"
        ) from error
    except http.client.HTTPException as error:
        raise BackendError(f"backend {backend} does not speak HTTP: {error!r}", hint="check scheme and port") from error
    except ValueError:
        return None
    finally:
        connection.close()
    return found if isinstance(found, dict) else None


_TLS_HINT: Final = "use http://, or have its certificate's root in SSL_CERT_FILE"


def _connection(backend: Backend, timeout_s: float) -> http.client.HTTPConnection:
    if backend.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(backend.host, backend.port, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(backend.host, backend.port, timeout=timeout_s)
