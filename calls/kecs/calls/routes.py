"""Where a call goes: the control plane for ECS, the backend for everything else. Pure."""

from dataclasses import dataclass, field, replace
from typing import Final, Protocol, Self
from urllib.parse import unquote_to_bytes

from kecs.aws.head import RequestHead
from kecs.aws.profiles import PROFILES, Profile
from kecs.relay.decide import Upstream

ENGINE_FIELD: Final = b"x-kecs-engine"
"""The way back from the engine carries its secret here. Nothing else may send it on."""

_OWN_SERVICES: Final = frozenset({"ecs"})
_SECRETS: Final = frozenset({b"x-amz-security-token", b"x-amz-sso_bearer_token", b"x-amz-s3session-token"})
_SECRET_PARAMETER: Final = b"x-amz-security-token"
_BEARER: Final = b"bearer "


class Places(Protocol):
    """A configuration, as far as it says who answers calls: the sidecar's and the gateway's."""

    @property
    def backend_host(self) -> str:
        """Return a name or an address."""

    @property
    def backend_port(self) -> int:
        """Return its port."""

    @property
    def backend_tls(self) -> bool:
        """Whether TLS is spoken to it."""

    @property
    def backend_profile(self) -> Profile:
        """Return what is known of it."""

    @property
    def backend_is_local(self) -> bool:
        """Whether what is sent there stays on this machine."""

    @property
    def controlplane_host(self) -> str:
        """Return a name or an address; empty where the backend answers these calls too."""

    @property
    def controlplane_port(self) -> int:
        """Return its port."""

    @property
    def controlplane_tls(self) -> bool:
        """Whether TLS is spoken to it."""

    @property
    def controlplane_is_local(self) -> bool:
        """Whether what is sent there stays on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One place where calls are answered."""

    upstream: Upstream
    profile: Profile
    local: bool
    """What is sent there stays on this machine."""

    address: str = field(init=False)
    """Host and port, as people write them."""

    def __post_init__(self) -> None:
        host = f"[{self.upstream.host}]" if ":" in self.upstream.host else self.upstream.host
        object.__setattr__(self, "address", f"{host}:{self.upstream.port}")

    @property
    def url(self) -> str:
        """Return the endpoint as an error names it."""
        return f"http{'s' if self.upstream.tls_name else ''}://{self.address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """The allow-list: no call goes anywhere else, whatever its client says."""

    backend: Route
    controlplane: Route

    @classmethod
    def of(cls, config: Places) -> Self:
        """Build the routes from the configuration."""
        tls_name = config.backend_host if config.backend_tls else ""
        backend = Route(
            upstream=Upstream(host=config.backend_host, port=config.backend_port, tls_name=tls_name),
            profile=known_by(config.backend_profile, config.backend_host),
            local=config.backend_is_local,
        )
        if not config.controlplane_host:
            return cls(backend=backend, controlplane=backend)
        controlplane = Route(
            upstream=Upstream(
                host=config.controlplane_host,
                port=config.controlplane_port,
                tls_name=config.controlplane_host if config.controlplane_tls else "",
            ),
            profile=known_by(PROFILES["generic"], config.controlplane_host),
            local=config.controlplane_is_local,
        )
        return cls(backend=backend, controlplane=controlplane)

    def places(self) -> dict[str, Upstream]:
        """Return where calls go, each place once, by what it is."""
        found = {"backend": self.backend.upstream}
        return found if self.controlplane is self.backend else found | {"controlplane": self.controlplane.upstream}

    def choose(self, service: str) -> Route:
        """Return the route of a service's calls."""
        return self.controlplane if service in _OWN_SERVICES else self.backend


def known_by(profile: Profile, host: str) -> Profile:
    """Return the profile of a backend that may also call itself by the name under which it is reached."""
    is_name = not host.replace(".", "").isdigit() and ":" not in host
    if not profile.markers or not is_name or host in profile.markers:
        return profile
    return replace(profile, markers=(*profile.markers, host.lower()))


def _parameter(pair: bytes) -> bytes:
    return unquote_to_bytes(pair.partition(b"=")[0]).lower()


def without_secrets(head: RequestHead) -> RequestHead:
    """Return the head without session and bearer tokens, in fields and in the query: they may be real ones.

    Emulators verify none of them. The query's other parameters stay as they are, byte for byte.
    """
    target, found, query = head.target.partition(b"?")
    if found:
        kept = [one for one in query.split(b"&") if _parameter(one) != _SECRET_PARAMETER]
        target = target + b"?" + b"&".join(kept)
    fields = tuple(
        (key, value)
        for key, value in head.fields
        if key.lower() not in _SECRETS
        and not (key.lower() == b"authorization" and value[: len(_BEARER)].lower() == _BEARER)
    )
    return RequestHead(method=head.method, target=target, fields=fields)
