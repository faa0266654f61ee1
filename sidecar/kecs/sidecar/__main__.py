"""The sidecar of a pod. Everything it is told is in its environment:

KECS_SIDECAR_CONFIG             what `SidecarConfig.to_json` writes
KECS_RELAY_…                    one of its limits, stronger than the same there; see `kecs.sidecar.effective`

Its intermediate is issued by the certificate service to a key that never leaves this process:

KECS_SIDECAR_CERTS_URL          where the service is
KECS_SIDECAR_TOKEN_FILE         the pod's token for it; read anew each time, as the next is
KECS_SIDECAR_TRUST_FILE         the roots that this pod's clients trust, which the service is checked against too
KECS_SIDECAR_POLL_S             how often it is asked which issuer signs; 60 when unset
POD_NAMESPACE, POD_NAME         whose it is

or lies in files:

KECS_SIDECAR_CHAIN_FILE         the certificates from the intermediate to the issuer, PEM
KECS_SIDECAR_KEY_FILE           the intermediate's key, PEM

KECS_SIDECAR_DNS                "capture": answer DNS on DNS_PORT; anything else, or nothing: names resolve as usual
KECS_SIDECAR_ADMIN_HOST         where the admin port listens; 127.0.0.1 when unset
KECS_SIDECAR_PROBE_HOST         where /livez and /readyz are served, alone, for kubelet; nowhere when unset
KECS_SIDECAR_{RELAY,DNS,ADMIN,PROBE}_PORT   other ports than those of `kecs.core.names`
"""  # noqa: D400 - a table ends it

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kecs.calls.process import leave, run
from kecs.certs.leaf import Intermediate
from kecs.core.errors import ConfigError, KecsError, MachineError
from kecs.core.names import ADMIN_PORT, DNS_PORT, PROBE_PORT, RELAY_PORT
from kecs.relay.original import from_redirect
from kecs.sidecar.cpus import available
from kecs.sidecar.dns import bind
from kecs.sidecar.effective import CONFIG, Effective
from kecs.sidecar.identity import URL, Identity
from kecs.sidecar.identity_client import IdentityClient
from kecs.sidecar.renewal import Terms
from kecs.sidecar.service import Sidecar
from kecs.sidecar.shared_names import SharedAllocator

_LOOPBACKS: Final = ("127.0.0.1", "::1")
_PORT_MAX: Final = 65535
_PORTS: Final = (("RELAY", RELAY_PORT), ("DNS", DNS_PORT), ("ADMIN", ADMIN_PORT), ("PROBE", PROBE_PORT))


def _read(environment: Mapping[str, str], name: str) -> bytes:
    path = _value(environment, name)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{name}: {path} can't be read: {error.strerror}") from error


def _value(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise ConfigError(f"{name} is not set", hint="the injector sets it; see kecs.sidecar.__main__")
    return value


def _port(environment: Mapping[str, str], what: str, usual: int) -> int:
    name = f"KECS_SIDECAR_{what}_PORT"
    value = environment.get(name, "")
    if not value:
        return usual
    if not value.isdecimal() or not 0 < int(value) <= _PORT_MAX:
        raise ConfigError(f"{name} {value!r} is no port", hint="1 to 65535")
    return int(value)


def _addresses() -> tuple[str, ...]:
    """Return the loopback addresses that this pod has."""
    return _LOOPBACKS if _has_ipv6() else _LOOPBACKS[:1]


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=4096)
    except OSError as error:
        raise _taken(host, port, error) from error


def _bind(host: str, port: int) -> socket.socket:
    try:
        return bind(host, port)
    except OSError as error:
        raise _taken(host, port, error) from error


def _taken(host: str, port: int, error: OSError) -> MachineError:
    why = os.strerror(error.errno or 0).lower()
    return MachineError(f"port {port} of {host} can't be listened on: {why}", hint="no other program may use it")


def start(environment: Mapping[str, str]) -> Sidecar:
    """Build the sidecar on the running loop."""
    effective = Effective.read(_value(environment, CONFIG), environment)
    given = _intermediate(environment)
    ports = {what: _port(environment, what, usual) for what, usual in _PORTS}
    issued = given if isinstance(given, Intermediate) else None
    workers = effective.config.workers or available()
    names = SharedAllocator() if workers > 1 else None
    sidecar = Sidecar(effective.config, issued, log_fd=sys.stdout.fileno(), effective=effective, names=names)
    try:
        _serve(sidecar, environment, ports)
        relays = [_listen(host, ports["RELAY"]) for host in _addresses()]
        if names is not None:
            sidecar.serve_by(relays, count=workers, names_fd=names.descriptor)
        for sock in () if names is not None else relays:
            sidecar.serve_tcp(sock, from_redirect)
        if not isinstance(given, Intermediate):
            sidecar.follow(*given)
    except BaseException:
        sidecar.close()
        raise
    return sidecar


def _intermediate(environment: Mapping[str, str]) -> Intermediate | tuple[IdentityClient, Terms]:
    """Read the intermediate, or say who issues it."""
    files = [name for name in (f"KECS_SIDECAR_{what}_FILE" for what in ("CHAIN", "KEY")) if environment.get(name)]
    if not environment.get(URL):
        chain, key = (_read(environment, f"KECS_SIDECAR_{what}_FILE") for what in ("CHAIN", "KEY"))
        return Intermediate.from_pem(chain, key)
    if files:
        raise ConfigError(f"{URL} and {files[0]} are both set", hint="an intermediate is issued, or lies in files")
    return IdentityClient(Identity.read(environment)), Terms.read(environment)


def _serve(sidecar: Sidecar, environment: Mapping[str, str], ports: Mapping[str, int]) -> None:
    if environment.get("KECS_SIDECAR_DNS") == "capture":
        sidecar.serve_dns([_bind(host, ports["DNS"]) for host in _addresses()])
        for host in _addresses():
            sidecar.serve_dns_streams(_listen(host, ports["DNS"]))
    sidecar.serve_admin(_listen(environment.get("KECS_SIDECAR_ADMIN_HOST") or _LOOPBACKS[0], ports["ADMIN"]))
    if environment.get("KECS_SIDECAR_PROBE_HOST"):
        sidecar.serve_probes(_listen(environment["KECS_SIDECAR_PROBE_HOST"], ports["PROBE"]))


def main() -> int:
    """Run until told to end."""
    try:
        run(lambda: start(os.environ))
    except KecsError as error:
        print(f"error: {error.message}", file=sys.stderr)  # noqa: T201 - the process' one way to say so
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)  # noqa: T201 - the same
        return error.exit_code
    return 0


if __name__ == "__main__":
    leave(main())
