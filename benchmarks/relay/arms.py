"""The arms: what stands between client and backend. Each runs as the proxy's user of a pod, under the pod's rules."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from benchmarks.relay import programs
from benchmarks.relay.layout import Backend
from benchmarks.relay.programs import Program

DIRECT: Final = "direct"
REFERENCE: Final = "nginx-sni"
OURS: Final = "ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way from client to backend."""

    name: str
    title: str
    program: Callable[..., Program] | None
    """None: the client talks to the backend itself."""
    needs: tuple[str, ...] = ()
    """Programs that have to be installed."""
    client: Callable[[Backend], tuple[str, ...]] | None = None
    """The command that runs the client's, where the arm is one."""
    loads: frozenset[str] | None = None
    """What alone it is for; None: everything."""


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
        Arm(
            name="kecs-run",
            title="`kecs run`, on a machine without pods",
            program=None,
            client=programs.kecs_run,
            loads=frozenset({"boto3"}),
        ),
        Arm(
            name="ours-workers",
            title="the sidecar with a worker for each core",
            program=partial(programs.ours, workers="auto"),
        ),
    )
}


def find(name: str) -> Arm:
    """Return an arm by its name; `ours@REVISION` is the sidecar as it was at a revision of this project."""
    if name in ARMS:
        return ARMS[name]
    kind, _, revision = name.partition("@")
    if kind in ARMS and kind.startswith(OURS) and revision:
        return replace(at(ARMS[kind], revision), name=name)
    raise KeyError(name)


def at(arm: Arm, revision: str) -> Arm:
    """Return an arm with the sidecar of a revision; others as they are."""
    if arm.program is None or not arm.name.startswith(OURS):
        return arm
    return replace(arm, program=partial(arm.program, revision=revision), title=f"{arm.title}, {revision}")
