"""A backend that somebody else runs: its URL, and which profile it has. The edge that asks its health endpoints."""

import http.client
import json
import re
import ssl
import time
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
_FOUND: Final = frozenset({http.client.OK, http.client.CREATED})
"""moto_server's configuration is answered 201."""
_LEAST_S: Final = 0.01


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
    Probe("/moto-api/config", "moto-server", lambda answer: "batch" in answer),
    Probe("/moto-api/data.json", "moto-server", lambda _: True),  # has all that it stores: may fail, or never end
)
"""Asked in this order; the first that is recognised decides."""

_NAMES: Final = {
    "embedded": "the embedded emulator",
    "ministack": "ministack",
    "localstack": "LocalStack",
    "moto-server": "moto_server",
    "generic": "none that is known",
}
_LICENCE: Final = "/_localstack/info"
_WORD: Final = re.compile(r"[\w.+-]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faced:
    """What a backend said that it is."""

    profile: Profile
    version: str = ""
    edition: str = ""
    licensed: bool | None = None
    """Whether LocalStack's licence is active; None where it did not tell."""

    def __str__(self) -> str:
        details = ", ".join(word for word in (self.edition, "no licence" if self.licensed is False else "") if word)
        return " ".join(
            part for part in (_NAMES[self.profile.name], self.version, f"({details})" if details else "") if part
        )

    @property
    def lack(self) -> str:
        """Say what a person should do about it; empty when there is nothing."""
        year = self.version.partition(".")[0]
        if self.licensed is not False or not year.isdecimal() or int(year) < _CALENDAR:
            return ""
        return (
            f"LocalStack {self.version} runs without a licence: what its open core lacks is answered 501; "
            "set LOCALSTACK_AUTH_TOKEN where it runs"
        )


_CALENDAR: Final = 2026
"""Since its versions are years, LocalStack's images want an account's token; before, there was nothing to activate."""


def detect(backend: Backend, *, timeout_s: float = 3.0) -> Profile:
    """Return the profile of a backend by asking it; see `face`."""
    return face(backend, timeout_s=timeout_s).profile


def face(backend: Backend, *, timeout_s: float = 3.0) -> Faced:
    """Ask a backend what it is, within this time for all questions; `generic` when it answers but is none we know.

    Raises BackendError when nothing answers at the address.
    """
    deadline = time.monotonic() + timeout_s
    for probe in PROBES:
        answer = _ask(backend, probe.path, deadline)
        if answer is not None and probe.recognises(answer):
            told = _licence(backend, deadline) if probe.profile == "localstack" else None
            return Faced(
                profile=PROFILES[probe.profile],
                version=_word(answer.get("version")),
                edition=_word(answer.get("edition")),
                licensed=told,
            )
    return Faced(profile=PROFILES["generic"])


def _word(value: object) -> str:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def _licence(backend: Backend, deadline: float) -> bool | None:
    try:
        told = (_ask(backend, _LICENCE, deadline) or {}).get("is_license_activated")
    except BackendError:  # it answered a moment ago: who it is, is known
        return None
    return told if isinstance(told, bool) else None


def _ask(backend: Backend, path: str, deadline: float) -> dict[str, object] | None:
    """Return the JSON object at a path; None when there is something else, an error for one."""
    connection = _connection(backend, max(deadline - time.monotonic(), _LEAST_S))
    try:
        connection.request("GET", path, headers={"Accept": "application/json", "Connection": "close"})
        response = connection.getresponse()
        body = _read(connection, response, deadline)
        found = json.loads(body) if response.status in _FOUND else None
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


def _read(connection: http.client.HTTPConnection, response: http.client.HTTPResponse, deadline: float) -> bytes:
    """Read a body up to the limit; who sends a byte now and then is not waited for any longer than who sends none."""
    body = b""
    while len(body) < _ANSWER_LIMIT and (part := response.read1(_ANSWER_LIMIT - len(body))):
        body += part
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        if connection.sock is not None:
            connection.sock.settimeout(left)
    return body


_TLS_HINT: Final = "use http://, or have its certificate's root in SSL_CERT_FILE"


def _connection(backend: Backend, timeout_s: float) -> http.client.HTTPConnection:
    if backend.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(backend.host, backend.port, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(backend.host, backend.port, timeout=timeout_s)
