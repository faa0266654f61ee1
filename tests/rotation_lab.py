"""A rotation while real TLS stacks connect: who trusts what, in which phase, and what failed.

As a program it runs in a network and mount namespace of its own, where the AWS name leads to loopback, and prints a
report as JSON. The sidecar is the real one; the authority is rotated in its files by the keeper; the sidecar goes on
live, as it does in a pod, with an intermediate of what then holds.
"""

import argparse
import asyncio
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop
from constraint_lab import HOSTS, judge
from handshake_lab import HOST, KINDS, Client, Flow, Kind, Tools, Trusted
from paced_lab import Backend

from kecs.aws.hosts import SUFFIXES
from kecs.certs.authority import certificate_pem
from kecs.certs.keeper import Keeper
from kecs.certs.leaf import Intermediate
from kecs.certs.outcome import Action, Refused, Workload
from kecs.certs.state import Authority
from kecs.certs.store import FileStore
from kecs.relay.decide import Address
from kecs.sidecar.config import EngineMode, SidecarConfig
from kecs.sidecar.service import Sidecar

OLD, BOTH, NEW = "old", "both", "new"
STABLE, PREPARED, SWITCHED, RETIRED, AGAIN = "stable", "prepared", "switched", "retired", "switched again"
_TRICKLE_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is done."""

    kinds: Sequence[str] = ()
    """Names of clients; all when empty."""
    per_phase: int = 20
    """How many connections each client makes in each phase, at least."""
    built: str = ""
    """Where clients are that were built before."""


@dataclass
class Row:
    """What one client process did in one phase."""

    client: str
    trust: str
    phase: str
    connections: int = 0
    failures: int = 0
    reasons: list[str] = field(default_factory=list)


class Board:
    """The phase that holds, and what came of every connection."""

    def __init__(self) -> None:
        self.phase = STABLE
        self.quota = 1
        self.rows: dict[tuple[str, str, str], Row] = {}
        self.straddling = 0
        self.ended = False
        self._moved = asyncio.Event()
        self._filled = asyncio.Event()

    def record(self, client: Client, trust: str, phase: str, error: str) -> None:
        row = self.rows.setdefault((client.kind.name, trust, phase), Row(client.kind.name, trust, phase))
        row.connections += 1
        self.straddling += phase != self.phase
        if error:
            row.failures += 1
            row.reasons.append(error)
        if row.connections >= self.quota:
            self._filled.set()

    def is_filled(self, client: str, trust: str) -> bool:
        row = self.rows.get((client, trust, self.phase))
        return row is not None and row.connections >= self.quota

    def move(self, phase: str, quota: int) -> None:
        self.phase, self.quota = phase, quota
        self._turn()

    def end(self) -> None:
        self.ended = True
        self._turn()

    def _turn(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def pause(self) -> None:
        """Rest for a moment, but not beyond the phase."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_TRICKLE_S):
                await self._moved.wait()

    async def filled(self, members: Iterable[tuple[str, str]]) -> None:
        """Wait until each of these has its share of the phase."""
        waiting = set(members)
        while waiting := {one for one in waiting if not self.is_filled(*one)}:
            self._filled.clear()
            await self._filled.wait()


async def drive(client: Client, trust: str, board: Board) -> None:
    """Connect, one after the other, until the end; after its share, only now and then."""
    while not board.ended:
        phase = board.phase
        board.record(client, trust, phase, await client.connect())
        if board.is_filled(client.kind.name, trust):
            await board.pause()


# --- the sidecar and what is behind it


@dataclass
class Stage:
    """The authority, the sidecar that lives on through everything, and the clients."""

    plan: Plan
    directory: Path
    tools: Tools
    keeper: Keeper
    sidecar: Sidecar
    backend: Backend
    board: Board = field(default_factory=Board)
    clients: list[tuple[Client, str]] = field(default_factory=list)
    workloads: list[Workload] = field(default_factory=list)
    drivers: list[asyncio.Task[None]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    renewals: int = 0
    notes: dict[str, Any] = field(default_factory=dict)

    async def act(self, action: Action, phase: str, *, force: bool = False) -> Authority:
        """Do one act of the rotation on the files, then let the sidecar go on with what holds, live."""
        step = await asyncio.to_thread(self.keeper.rotate, action, now(), workloads=tuple(self.workloads), force=force)
        if isinstance(step, Refused):
            raise step.error()
        assert step.changed
        authority = await self.renew()
        self.board.move(phase, self.plan.per_phase)
        return authority

    async def renew(self) -> Authority:
        authority = await asyncio.to_thread(self.keeper.load_or_create, now(), tuple(self.workloads))
        self.sidecar.renew(authority.new_intermediate(now(), subject="default/rotation"))
        self.renewals += 1
        return authority

    async def refused(self) -> list[str]:
        """Say why retiring is refused while workloads trust the old root alone."""
        plan = await asyncio.to_thread(self.keeper.plan, Action.RETIRE, now(), workloads=tuple(self.workloads))
        return [reason.value for reason in plan.reasons] if isinstance(plan, Refused) else []

    async def join(self, trust: str, roots: bytes, fingerprints: Sequence[str]) -> None:
        """Start a process of every kind that trusts these roots, for as long as it lives."""
        trusted = Trusted.of(self.directory / trust, roots)
        made = [self.make(kind, command, trust, trusted) for kind, command in self.installed()]
        for start in range(0, len(made), 4):
            await asyncio.gather(*(client.start() for client in made[start : start + 4]))
        for client in made:
            self.clients.append((client, trust))
            self.workloads.append(Workload(name=client.label, kind="pod", trusted=tuple(fingerprints)))
            self.drivers.append(asyncio.create_task(drive(client, trust, self.board)))

    def installed(self) -> list[tuple[Kind, list[str]]]:
        wanted = [kind for kind in KINDS if not self.plan.kinds or kind.name in self.plan.kinds]
        found = [(kind, kind.command(self.tools)) for kind in wanted]
        self.missing = [kind.name for kind, command in found if command is None]
        return [(kind, command) for kind, command in found if command is not None]

    def make(self, kind: Kind, command: list[str], trust: str, trusted: Trusted) -> Client:
        client = Client(kind, command, f"{kind.name} {trust}", trusted, self.directory)
        self.backend.turnstiles[client.label.replace(" ", "_")] = client.turnstile
        return client

    async def fill(self, share: int) -> None:
        """Hold the phase until every client has made its share of connections in it."""
        self.board.move(self.board.phase, share)
        await self.board.filled((client.kind.name, trust) for client, trust in self.clients)

    async def close(self) -> None:
        self.board.end()
        done = await asyncio.gather(*self.drivers, return_exceptions=True)
        self.notes["driver_errors"] = [repr(one) for one in done if isinstance(one, BaseException)]

    def relay_counts(self) -> Counter[str]:
        names = ("tls_handshakes", "tls_handshakes_failed", "tls_resumed")
        return Counter({name: self.sidecar.relay.counters[name] for name in names})


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def staged(plan: Plan, directory: Path) -> AsyncIterator[Stage]:
    """Have an authority, a backend and a sidecar that listens where the AWS name leads to."""
    keeper = FileStore(directory / "authority", permitted=SUFFIXES).keeper
    authority = keeper.load_or_create(now())
    backend = Backend()
    listening = await asyncio.start_server(backend.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    config = SidecarConfig(backend_host="127.0.0.1", backend_port=port, region="eu-west-1", engine=EngineMode.OFF)
    log = os.open(os.devnull, os.O_WRONLY)
    sidecar = Sidecar(config, authority.new_intermediate(now()), log_fd=log)
    sidecar.serve_tcp(socket.create_server(("127.0.0.1", 443), backlog=1024), lambda _: Address("203.0.113.9", 443))
    stage = Stage(plan, directory, Tools(directory, Path(plan.built or directory)), keeper, sidecar, backend)
    try:
        yield stage
    finally:
        await asyncio.gather(*(client.close() for client, _ in stage.clients))
        sidecar.close()
        listening.close()
        os.close(log)


# --- the run


async def rotate(stage: Stage) -> dict[str, Any]:
    """Go through the phases; return the report."""
    share = stage.plan.per_phase
    longer = share + share // 2  # the new root alone is trusted from the switch on: two phases make up for three
    first = await stage.renew()
    await stage.join(OLD, first.bundle_pem, first.trust_sha256)
    await stage.fill(2)
    prepared = await stage.act(Action.PREPARE, PREPARED)
    await stage.join(BOTH, prepared.bundle_pem, prepared.trust_sha256)
    await stage.fill(share)
    second = await stage.act(Action.SWITCH, SWITCHED)
    await stage.join(NEW, certificate_pem(second.root), second.trust_sha256[:1])
    await stage.fill(longer)
    stage.notes["retire_refused"] = await stage.refused()
    retired = await stage.act(Action.RETIRE, RETIRED, force=True)
    await stage.fill(longer)
    uncrossed = bare(retired)
    await stage.act(Action.PREPARE, RETIRED)  # what is served stays the same
    latest = await stage.act(Action.SWITCH, AGAIN)
    stage.notes["crosses"] = len(latest.crosses)
    await stage.fill(max(2, share // 4))
    await stage.close()
    served = stage.relay_counts()
    roots = {OLD: first.root, NEW: second.root}
    constraints = await judge(stage.directory, stage.installed(), retired, roots)
    return report(stage, served, await without_cross(stage, uncrossed), constraints)


def bare(authority: Authority) -> Intermediate:
    """Make what would be served if nothing had been cross-signed."""
    crossed = authority.new_intermediate(now())
    return Intermediate(signer=crossed.signer, above=(authority.issuer.certificate,))


async def without_cross(stage: Stage, uncrossed: Intermediate) -> list[dict[str, Any]]:
    """Let every process connect once more, to a chain without a cross-certificate: it must fail for the old root."""
    stage.sidecar.renew(uncrossed)
    found = []
    for client, trust in stage.clients:
        error = await client.connect()
        found.append({"client": client.kind.name, "trust": trust, "refused": bool(error), "reason": error})
    return found


def report(
    stage: Stage, served: Counter[str], control: list[dict[str, Any]], constraints: list[dict[str, Any]]
) -> dict[str, Any]:
    rows = [asdict(row) for row in stage.board.rows.values()]
    processes: dict[str, int] = defaultdict(int)
    for row in rows:
        processes[f"{row['client']} {row['trust']}"] += row["connections"]
    flows = {kind.name: kind.flow.value for kind in KINDS}
    return {
        "rows": rows,
        "missing": stage.missing,
        "versions": {client.kind.name: client.version for client, _ in stage.clients},
        "one_process": {name: flow != Flow.EACH for name, flow in flows.items()},
        "least_per_process": min(processes.values()),
        "processes": len(stage.clients),
        "renewals": stage.renewals,
        "straddling": stage.board.straddling,
        "server": dict(served),
        "control": control,
        "constraints": constraints,
        **stage.notes,
    }


# --- the namespace


def enter(hosts: Path) -> None:
    """Have loopback, and let the names of the run lead there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        fcntl.ioctl(one, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
    lines = [("127.0.0.1", f"localhost {HOST}"), *HOSTS.values()]
    hosts.write_text("".join(f"{address} {names}\n" for address, names in lines if address != names))
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)


def run(plan: Plan) -> dict[str, Any]:
    """Run the program in namespaces of its own; return its report."""
    ours = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    argv = ["unshare", *ours, "--mount", "--net", "--", sys.executable, __file__, json.dumps(asdict(plan))]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise AssertionError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "stderr": done.stderr}


async def _main(plan: Plan, directory: Path) -> dict[str, Any]:
    begun = time.monotonic()
    async with staged(plan, directory) as stage:
        found = await rotate(stage)
    return {**found, "seconds": round(time.monotonic() - begun, 1)}


def main() -> None:
    """Be inside: run the plan, print the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("plan", type=json.loads)
    plan = Plan(**parser.parse_args().plan)
    with tempfile.TemporaryDirectory(prefix="kecs-rotation-") as name:
        enter(Path(name) / "hosts")
        found = uvloop.run(_main(plan, Path(name)))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
