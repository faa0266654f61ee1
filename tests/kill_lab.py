"""A sidecar and a backend as processes, clients that check every answer, and what happened to each call.

Every call has an id of its own, in its path, its body and its answer; the backend notes each that it has read. So an
answer that is another's, and a request that was sent twice, can't hide.
"""

import contextlib
import hashlib
import http.client
import itertools
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from kecs.aws.hosts import SUFFIXES
from kecs.certs.authority import Signer, certificate_pem, issue_intermediate, issue_issuer, issue_root, new_key
from kecs.certs.leaf import Intermediate

PROGRAMS: Final = Path(__file__).parent / "kill" / "programs"
PATIENCE_S: Final = 60
NAME: Final = "kill.s3.us-east-1.amazonaws.com"
AWS, PLAIN, OTHER, ADMIN = 8443, 8080, 8444, 9000
BACKEND: Final = 4566
BACKEND_NAME: Final = "backend.example"
OTHER_SERVER: Final = 4443

OUTAGES: Final = {502: b"BadGateway", 503: b"ServiceUnavailable", 504: b"GatewayTimeout"}
"""What the sidecar answers for a backend that does not, and the code in it."""

_numbers = itertools.count()


def a_name() -> str:
    """Return an id that no other call has."""
    return f"{os.getpid()}-{next(_numbers)}"


def answer_to(name: str, body: bytes, size: int) -> bytes:
    """Say what the backend must answer; see `programs/backend.py`."""
    seed = hashlib.sha256(name.encode()).digest()
    start = f"{name}|{hashlib.sha256(body).hexdigest()}|".encode()
    return start + (seed * (size // len(seed) + 1))[:size]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a call ended."""

    name: str
    method: str
    kind: str
    """`ok`, `503`, another status, or the class of an error; `wrong` for an answer that is not this call's."""
    began: float
    ended: float
    detail: str = ""


class Connection(http.client.HTTPConnection):
    """A client's connection to a sidecar, under an AWS name; TLS where it has a context."""

    def __init__(self, world: "World", context: ssl.SSLContext | None, name: str = NAME) -> None:
        super().__init__(name, timeout=PATIENCE_S)
        self.name = name
        self._world, self._context = world, context

    def connect(self) -> None:
        """Connect to the sidecar, whatever the name resolves to."""
        sock = socket.create_connection((self._world.host, AWS if self._context else PLAIN), PATIENCE_S)
        try:
            self.sock = self._context.wrap_socket(sock, server_hostname=self.host) if self._context else sock
        except BaseException:
            sock.close()
            raise


def call(  # noqa: PLR0917 - called with names
    connection: http.client.HTTPConnection,
    method: str = "PUT",
    behaviour: str = "ok",
    body: bytes = b"",
    size: int = 500,
    name: str = "",
    keep: bool = True,  # noqa: FBT001, FBT002 - the same
) -> Outcome:
    """Make one call and judge it."""
    name = name or a_name()
    began = time.monotonic()

    def outcome(kind: str, detail: str = "") -> Outcome:
        return Outcome(name=name, method=method, kind=kind, began=began, ended=time.monotonic(), detail=detail)

    try:
        said = body + name.encode() if method in {"PUT", "POST"} else b""
        fields = {"Host": connection.name} if isinstance(connection, Connection) else {}
        connection.request(method, f"/{behaviour}/{name}?size={size}", said or None, fields)
        response = connection.getresponse()
        got = response.read()
        if not keep:
            connection.close()
        if response.status != 200:
            code = OUTAGES.get(response.status, b"")
            fits = not code or method == "HEAD" or (code in got and b"RequestId" in got)
            return outcome(str(response.status) if fits else "wrong", got.decode("latin-1"))
        wanted = b"" if method == "HEAD" else answer_to(name, said, size)
        right = got == wanted and response.headers["X-Name"] == name
        return outcome("ok" if right else "wrong", "" if right else f"{response.headers['X-Name']} {got[:200]!r}")
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return outcome("hang" if isinstance(error, TimeoutError) else type(error).__name__, str(error))


def intermediate_of(issuer: Signer) -> tuple[bytes, bytes]:
    """Issue an intermediate: its chain and its key, PEM."""
    key = new_key()
    certificate = issue_intermediate(issuer, key.public_key(), datetime.now(UTC), subject="sidecar-test")
    return Intermediate(signer=Signer(certificate=certificate, key=key), above=(issuer.certificate,)).to_pem()


@dataclass
class World:
    """A backend and a sidecar, each a process that can be ended and started again at the same address."""

    folder: Path
    settings: dict[str, Any]
    root: str
    host: str
    issuer: Signer
    log: int | None = None
    sidecar: subprocess.Popen[bytes] | None = None
    backend: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextlib.contextmanager
    def running(cls, folder: Path, *, log: int | None = None, **config: Any) -> Iterator[Self]:
        """Run both until the end of the block; the log goes to a file of the folder unless a descriptor is given."""
        now = datetime.now(UTC)
        root = issue_root(now, permitted=SUFFIXES)
        issuer = issue_issuer(root, now)
        chain, key = intermediate_of(issuer)
        (folder / "chain").write_bytes(chain)
        (folder / "key").write_bytes(key)
        (folder / "clock").write_text("0")
        host = f"127.{random.randint(20, 250)}.{random.randint(1, 250)}.{random.randint(1, 250)}"  # noqa: S311 - an address nobody else listens on
        backend = {"backend_host": host, "backend_port": BACKEND, "profile": "localstack", "engine": "off"}
        settings = {
            "config": backend | config,
            "host": host,
            "chain": str(folder / "chain"),
            "key": str(folder / "key"),
            "clock": str(folder / "clock"),
            "other": [host, OTHER_SERVER],
            "state": str(folder / "state"),
            "names": {BACKEND_NAME: host},
            "away": str(folder / "away"),
        }
        world = cls(folder, settings, certificate_pem(root.certificate).decode(), host, issuer, log)
        try:
            world.start_backend()
            world.start_sidecar()
            yield world
        finally:
            for process in (world.sidecar, world.backend):
                if process is not None:
                    process.kill()
                    process.wait(PATIENCE_S)
                    if process.stdout is not None:
                        process.stdout.close()

    # the processes

    def start_backend(self) -> None:
        """Start the backend, and wait until it listens."""
        command = [sys.executable, str(PROGRAMS / "backend.py"), self.host, str(BACKEND), str(self.folder / "journal")]
        self.backend = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.backend.stdout is not None
        assert self.backend.stdout.readline() == b"ready\n"

    def kill_backend(self) -> None:
        """End the backend as the kernel does when there is no memory."""
        assert self.backend is not None
        assert self.backend.stdout is not None
        self.backend.kill()
        self.backend.wait(PATIENCE_S)
        self.backend.stdout.close()

    def start_sidecar(self) -> None:
        """Start the sidecar, and wait until it is ready."""
        log = self.log if self.log is not None else os.open(self.folder / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        command = [sys.executable, str(PROGRAMS / "sidecar.py"), json.dumps(self.settings)]
        self.sidecar = subprocess.Popen(command, stdout=log)
        if self.log is None:
            os.close(log)
        deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
        while self.ask("/readyz")[0] != 200:
            assert self.sidecar.poll() is None
            assert time.monotonic() < deadline
            pause.wait(0.01)

    def renew(self) -> None:
        """Have the sidecar go on with a new intermediate of the same root."""
        chain, key = intermediate_of(self.issuer)
        (self.folder / "chain").write_bytes(chain)
        (self.folder / "key").write_bytes(key)
        self.signal(signal.SIGHUP)

    def set_clock_wrong_by(self, seconds: str) -> None:
        """Have the sidecar's clock jump; it never meets a file that is half written."""
        new = self.folder / "clock.new"
        new.write_text(seconds)
        new.rename(self.folder / "clock")

    def signal(self, number: signal.Signals) -> None:
        """Send the sidecar a signal."""
        assert self.sidecar is not None
        self.sidecar.send_signal(number)

    # what it says

    def ask(self, path: str) -> tuple[int, str]:
        """Ask the admin port; 0 where nobody answers."""
        connection = http.client.HTTPConnection(self.host, ADMIN, timeout=PATIENCE_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (ConnectionError, http.client.BadStatusLine):
            return 0, ""
        finally:
            connection.close()

    def metrics(self) -> dict[str, float]:
        """Return every sample of /metrics by its name and labels."""
        lines = self.ask("/metrics")[1].splitlines()
        return {key: float(value) for key, _, value in (one.rpartition(" ") for one in lines if one[:1] != "#")}

    def relay(self, what: str) -> float:
        """Return one of the relay's counters."""
        return self.metrics().get(f'kecs_sidecar_relay_total{{what="{what}"}}', 0.0)

    def journal(self) -> Counter[tuple[str, str]]:
        """Return how often the backend has read which request."""
        path = self.folder / "journal"
        lines = path.read_text().splitlines() if path.exists() else []
        return Counter((method, name) for method, _, name in (line.partition(" ") for line in lines))

    def records(self) -> list[dict[str, Any]]:
        """Return what the log file holds."""
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]

    def failures(self) -> list[dict[str, Any]]:
        """Return what the log says of calls that did not go well."""
        return [one for one in self.records() if one.get("reason")][-5:] if (self.folder / "log").exists() else []

    # clients

    def trust(self) -> ssl.SSLContext:
        """Make a context that trusts the root and nothing else."""
        return ssl.create_default_context(cadata=self.root)

    def connection(self, *, plain: bool = False, name: str = NAME) -> Connection:
        """Make a client's connection, which connects when it is used."""
        return Connection(self, None if plain else self.trust(), name)


type Worker = Callable[["Load", random.Random], None]


def kept(load: "Load", luck: random.Random) -> None:
    """Make calls of all methods on one connection, which is opened again when it was closed."""
    connection = load.world.connection(plain=luck.random() < 0.2)
    with contextlib.closing(connection):
        while load.goes_on():
            method = luck.choice(("PUT", "POST", "GET", "HEAD", "DELETE"))
            behaviour = luck.choice(("ok", "ok", "ok", "chunked", "closing", "slow"))
            load.add(
                call(
                    connection,
                    method,
                    "ok" if method == "HEAD" else behaviour,
                    luck.randbytes(luck.choice((0, 900, 70_000))),
                )
            )


def anew(load: "Load", luck: random.Random) -> None:
    """Make each call on a connection of its own."""
    del luck
    context = load.world.trust()
    while load.goes_on():
        connection = Connection(load.world, context)
        load.add(call(connection, keep=False))
        connection.close()


def bulk(load: "Load", luck: random.Random) -> None:
    """Move megabytes both ways."""
    with contextlib.closing(load.world.connection()) as connection:
        while load.goes_on():
            load.add(call(connection, "PUT", "ok", luck.randbytes(1_000_000), 1_000_000))


@dataclass
class Load:
    """Clients that make calls until the end of a block, and what came of each."""

    world: World
    outcomes: list[Outcome] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _threads: list[threading.Thread] = field(default_factory=list)
    _over: bool = False

    @classmethod
    @contextlib.contextmanager
    def on(cls, world: World, *workers: Worker) -> Iterator[Self]:
        """Run the workers; at the end of the block each finishes its last call."""
        load = cls(world)
        load._threads += [
            threading.Thread(target=worker, args=(load, random.Random(number)), daemon=True)  # noqa: S311 - a test's
            for number, worker in enumerate(workers or (kept, kept, kept, anew, anew, bulk))
        ]
        for thread in load._threads:
            thread.start()
        try:
            yield load
        finally:
            load.end()

    def end(self) -> None:
        """Let each worker finish its last call."""
        self._over = True
        for thread in self._threads:
            thread.join(2 * PATIENCE_S)
            assert not thread.is_alive(), "a call has no end"

    def goes_on(self) -> bool:
        """Tell workers whether to make another call."""
        return not self._over

    def add(self, outcome: Outcome) -> None:
        """Take note of a call."""
        with self._changed:
            self.outcomes.append(outcome)
            self._changed.notify_all()
        if outcome.kind not in {"ok", *map(str, OUTAGES)}:
            threading.Event().wait(0.01)  # where nobody listens, connecting again at once is a busy loop

    def wait(self, count: int, kind: str = "ok", *, since: float = 0.0) -> None:
        """Wait until this many calls that began later than that have ended so."""

        def holds() -> bool:
            return sum(one.kind == kind and one.began >= since for one in self.outcomes) >= count

        with self._changed:
            assert self._changed.wait_for(holds, PATIENCE_S), self.kinds()

    def kinds(self) -> Counter[str]:
        """Return how many calls ended how."""
        return Counter(one.kind for one in self.outcomes)

    def judge(self, *allowed: str) -> None:
        """Assert that no answer was wrong, nothing hung or failed in another way, and nothing was done twice."""
        bad = [one for one in self.outcomes if one.kind not in {"ok", *allowed}]
        assert not bad, (bad[:5], self.world.failures())
        hung = [one for one in self.outcomes if one.ended - one.began >= PATIENCE_S]
        assert not hung, hung
        repeated = {
            key: count
            for key, count in self.world.journal().items()
            if count > 1 and key[0] in {"PUT", "POST", "DELETE"}
        }
        assert not repeated

    def recovered(self, since: float) -> tuple[float, float]:
        """Return seconds from a moment to the ends of the first good call begun later, and of the last bad one."""
        first = min(one.ended for one in self.outcomes if one.kind == "ok" and one.began >= since)
        last = max((one.ended for one in self.outcomes if one.kind != "ok"), default=since)
        return first - since, max(0.0, last - since)


def tell(what: str, load: Load, since: float, **facts: object) -> None:
    """Print a row for `make kill`."""
    first, last = load.recovered(since)
    more = " ".join(f"{key}={value}" for key, value in facts.items())
    counts = " ".join(f"{kind}={count}" for kind, count in sorted(load.kinds().items()))
    sys.stdout.write(
        f"\n{what:42} first good call {first:6.3f} s, last bad one {last:6.3f} s after | {counts} {more}\n"
    )
