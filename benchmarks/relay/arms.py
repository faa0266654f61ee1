"""The arms: what stands between client and backend. Each runs as the proxy's user of a pod, under the pod's rules."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks.relay import programs
from benchmarks.relay.programs import Program, Setting

DIRECT: Final = "direct"
REFERENCE: Final = "nginx-sni"
OURS: Final = "ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way from client to backend."""

    name: str
    title: str
    program: Callable[[Setting], Program] | None
    """None: the client talks to the backend itself."""
    needs: tuple[str, ...] = ()
    """Programs that have to be installed."""


ARMS: Final = {
    arm.name: arm
    for arm in (
        Arm(name=DIRECT, title="no proxy: plain HTTP to the backend", program=None),
        Arm(
            name=REFERENCE,
            title="nginx: stream ssl_preread, then TLS",
            program=programs.nginx_sni,
            needs=("nginx",),
        ),
        Arm(name="nginx-tls", title="nginx: TLS alone, nothing else passes", program=programs.nginx_tls),
        Arm(name="haproxy", title="haproxy: split by name, TLS", program=programs.haproxy_sni, needs=("haproxy",)),
        Arm(name="mitmdump", title="stock mitmdump, transparent, ten-line addon", program=programs.mitmdump),
        Arm(name=OURS, title="the sidecar as in a pod", program=programs.ours),
    )
}


def find(name: str) -> Arm:
    """Return an arm by its name; `ours@REVISION` is the sidecar as it was at a revision of this project."""
    kind, at, revision = name.partition("@")
    if not at and name in ARMS:
        return ARMS[name]
    if kind == OURS and revision:
        return Arm(name=name, title=f"the sidecar at {revision}", program=partial(programs.ours, revision=revision))
    raise KeyError(name)
