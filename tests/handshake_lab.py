"""Real TLS stacks as long-lived processes that make one new connection each time they are told to.

Three flows. LINES: a program of tests/certs/clients reads a URL from its standard input and answers with a line. PACED:
curl and wget read no orders once they run, so one process has a long list of URLs, and the backend holds each answer
until the next connection is wanted. EACH: `openssl s_client` makes one connection in its life.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from paced_lab import Turnstile

from kecs.init_container.bundle import trust

HOST = "sts.eu-west-1.amazonaws.com"
PATIENCE_S = 30.0
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The version of this interpreter, which may be neither of the two that are always tried."""
PROGRAMS = Path(__file__).parent / "certs" / "clients"
_MODULES = Path(__file__).parent / "clients" / "js"
_ASIDE: Final = re.compile("Picked up JAVA_TOOL_OPTIONS| URL:http|^(?:More details|curl failed|establish|how to fix)")
"""What is said beside complaints: the JVM's options, wget's successes, curl's advice after the one line that counts."""
_LISTED = 3000
"""How many URLs a PACED process is given: more than any run asks for."""


class Flow(StrEnum):
    """How a client is told to connect."""

    LINES = "lines"
    """A URL per line on its standard input."""
    PACED = "paced"
    """The backend's answer to one request lets it make the next connection."""
    EACH = "each"
    """A process for each connection."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """What one generation of workloads was given: the files and variables that the init container makes."""

    directory: Path
    variables: Mapping[str, str]

    @property
    def bundle(self) -> str:
        return str(self.directory / "bundle.pem")

    @classmethod
    def of(cls, directory: Path, roots: bytes) -> "Trusted":
        """Write the files of a workload that trusts these roots and no others."""
        made = trust(directory, own_roots=roots, public_roots=b"", existing={}, read=lambda _: None)
        for path, content in made.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return cls(directory, made.variables)


@dataclass(frozen=True, slots=True)
class Kind:
    """One TLS stack and the way to it. `command` is None where it is not installed."""

    name: str
    flow: Flow
    command: Callable[["Tools"], list[str] | None]
    trusts: Callable[[Trusted], list[str]] = lambda _: []
    """Arguments that say whom to trust, for what has no variable for it."""


@dataclass
class Tools:
    """Finds and builds what the clients need. `built` holds what was built before, `made` what is built now."""

    made: Path
    built: Path
    _compiled: bool = False

    def python(self, version: str, *modules: str) -> list[str] | None:
        """Find an interpreter of a version that has these modules."""
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
        homes = sorted(pyenv.glob(f"versions/{version}.*/bin/python"))
        candidates = map(shutil.which, (sys.executable, f"python{version}", "python3", *map(str, homes)))
        found = (self._interpreter(one, version, modules) for one in candidates if one)
        return next(([one] for one in found if one), None)

    @staticmethod
    def _interpreter(python: str, version: str, modules: Iterable[str]) -> str:
        """Return the file of the interpreter, for shims need variables of theirs; "" if it does not suit."""
        wanted = "".join(f"; import {module}" for module in modules)
        program = f"import sys{wanted}; '%d.%d' % sys.version_info[:2] == {version!r} and print(sys.executable)"
        done = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    def java(self) -> list[str] | None:
        """Compile the Java program once."""
        java, javac = shutil.which("java"), shutil.which("javac")
        if not java or not javac:
            return None
        if not self._compiled:
            subprocess.run([javac, "-d", self.made, PROGRAMS / "Handshakes.java"], check=True)
            self._compiled = True
        quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx64m"]
        return [java, *quick, "-cp", str(self.made), "Handshakes"]

    def go(self) -> list[str] | None:
        """Find the Go program, which benchmarks/rotation_clients/install.sh builds."""
        program = self.built / "handshakes-go"
        return [str(program)] if program.exists() else None

    def sdk(self) -> list[str] | None:
        """Find Node and the JavaScript SDK."""
        node = which("node")(self)
        there = (_MODULES / "node_modules/@aws-sdk/client-sts").exists()
        return [*node, str(PROGRAMS / "handshakes.mjs"), "sdk", str(_MODULES)] if node and there else None


def which(program: str, *arguments: str) -> Callable[[Tools], list[str] | None]:
    def find(_: Tools) -> list[str] | None:
        found = shutil.which(program)
        return [found, *arguments] if found else None

    return find


def _python(version: str, how: str) -> Callable[[Tools], list[str] | None]:
    def find(tools: Tools) -> list[str] | None:
        found = tools.python(version, how)
        return [*found, str(PROGRAMS / "handshakes.py"), how] if found else None

    return find


def _java(how: str) -> Callable[[Tools], list[str] | None]:
    def find(tools: Tools) -> list[str] | None:
        found = tools.java()
        return [*found, how] if found else None

    return find


_CURL = (
    *("--disable", "--silent", "--show-error", "--no-sessionid"),
    *("--header", "Connection: close", "--output", os.devnull),
)
_WGET = (
    *("--no-config", "--no-verbose", "--no-http-keep-alive", "--tries=1", "--timeout=60"),
    *("--output-document", os.devnull),
)
_OPENSSL = ("s_client", "-quiet", "-verify_return_error", "-no-CApath", "-no-CAstore")

KINDS: Final = (
    *(
        Kind(f"Python {version} {how}", Flow.LINES, _python(version, how))
        for version in dict.fromkeys(("3.11", "3.13", PYTHON))
        for how in ("ssl", "requests", "boto3")
    ),
    Kind("Node https", Flow.LINES, which("node", str(PROGRAMS / "handshakes.mjs"), "https")),
    Kind("Node AWS SDK 3", Flow.LINES, Tools.sdk),
    Kind("JDK HttpsURLConnection", Flow.LINES, _java("urlconnection")),
    Kind("JDK java.net.http", Flow.LINES, _java("httpclient")),
    Kind("Go net/http", Flow.LINES, Tools.go),
    Kind("Ruby Net::HTTP", Flow.LINES, which("ruby", str(PROGRAMS / "handshakes.rb"))),
    Kind("curl (OpenSSL)", Flow.PACED, which("curl", *_CURL)),
    Kind("wget (GnuTLS)", Flow.PACED, which("wget", *_WGET), lambda one: ["--ca-certificate", one.bundle]),
    Kind("openssl s_client", Flow.EACH, which("openssl", *_OPENSSL), lambda one: ["-CAfile", one.bundle]),
)


def _version(program: str) -> str:
    flag = "version" if Path(program).name == "openssl" else "--version"
    done = subprocess.run([program, flag], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+[\w.]*", done.stdout)
    return found[0] if found else "?"


# --- the clients


class Client:
    """One process (EACH: one after the other) of one kind, trusting one set of roots."""

    def __init__(self, kind: Kind, command: list[str], label: str, trusted: Trusted, home: Path) -> None:
        self.kind, self.command, self.label, self.trusted = kind, command, label, trusted
        self.turnstile = Turnstile()
        self.version = ""
        self._home = home
        self._process: asyncio.subprocess.Process | None = None
        self._count = 0
        self._complaints: asyncio.Queue[str] = asyncio.Queue()
        self._reading: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start a process that lives on, and wait until it can take orders."""
        match self.kind.flow:
            case Flow.LINES:
                self._process = await self._spawn()
                line = await self._line()
                if not line.startswith("ready"):
                    raise AssertionError(f"{self.label} did not start: {line}")
                self.version = line.removeprefix("ready ").removeprefix("v")
            case Flow.PACED:
                base = f"https://{HOST}/paced/{self.label.replace(' ', '_')}"
                self._process = await self._spawn(*self._listed(base))
                self.version = await asyncio.to_thread(_version, self.command[0])
            case Flow.EACH:
                self.version = await asyncio.to_thread(_version, self.command[0])

    async def connect(self) -> str:
        """Make one new connection to the AWS name; return "" or why it failed."""
        if self.kind.flow is not Flow.PACED:
            return await self.ask(f"https://{HOST}/")
        self._count += 1
        if self._count > 1:
            self.turnstile.release()
        return await self._arrival()

    async def ask(self, url: str) -> str:
        """Make one new connection to any URL, in a process of its own where the flow knows no other way."""
        if self.kind.flow is Flow.LINES:
            assert self._process is not None
            assert self._process.stdin is not None
            with suppress(ConnectionError):
                self._process.stdin.write(url.encode() + b"\n")
                await self._process.stdin.drain()
            line = await self._line()
            return "" if line == "ok" else line.removeprefix("refused ")
        return await self._once(url)

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if self.kind.flow is Flow.PACED and process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await asyncio.gather(*self._reading, return_exceptions=True)

    # parts

    async def _spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self.command, *self.kind.trusts(self.trusted), *arguments,
            env=self._environment(), cwd=self._home, stdin=pipe, stdout=pipe, stderr=pipe,
        )  # fmt: skip
        assert process.stderr is not None
        self._reading.append(asyncio.create_task(self._listen(process.stderr)))
        return process

    def _environment(self) -> dict[str, str]:
        account = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-west-1"}
        plain = {"PATH": os.environ["PATH"], "HOME": str(self._home), "LANG": "C.UTF-8"}
        return {**plain, **account, "AWS_EC2_METADATA_DISABLED": "true", **self.trusted.variables}

    def _listed(self, base: str) -> list[str]:
        if self.command[0].endswith("curl"):
            return [f"{base}/[1-{_LISTED}]"]
        listing = self._home / f"{self.label.replace(' ', '_')}.urls"
        listing.write_text("".join(f"{base}/{number}\n" for number in range(1, _LISTED + 1)))
        return ["--input-file", str(listing)]

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        """Keep what it complains about."""
        async for raw in stream:
            line = raw.decode(errors="replace").strip()
            if line and not _ASIDE.search(line):
                self._complaints.put_nowait(line)

    async def _line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                line = (await self._process.stdout.readline()).decode(errors="replace").strip()
        except TimeoutError:
            return f"no answer in {PATIENCE_S:.0f} s"
        return line or f"it has ended: {self._said()}"

    def _said(self) -> str:
        lines = []
        while not self._complaints.empty():
            lines.append(self._complaints.get_nowait())
        return " / ".join(lines)[:300]

    async def _arrival(self) -> str:
        """Wait for the request of this connection, or for the client's complaint that there will be none."""
        waits = [asyncio.create_task(self.turnstile.arrived.get()), asyncio.create_task(self._complaints.get())]
        done, pending = await asyncio.wait(waits, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        for one in pending:
            one.cancel()
        if waits[0] in done:
            number = waits[0].result()
            return "" if number == self._count else f"connection {self._count} was skipped, {number} came"
        return str(waits[1].result()) if waits[1] in done else f"no request in {PATIENCE_S:.0f} s"

    async def _once(self, url: str) -> str:
        parts = urlsplit(url)
        host, path = parts.hostname or "", parts.path
        wants, asks = [url], b""
        if self.kind.flow is Flow.EACH:
            is_address = host.replace(".", "").isdecimal()
            verify = ["-verify_ip", host] if is_address else ["-verify_hostname", host, "-servername", host]
            wants = ["-connect", f"{host}:443", *verify]
            asks = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        process = await self._spawn(*wants)
        try:
            async with asyncio.timeout(PATIENCE_S):
                said, _ = await _talk(process, asks)
        except TimeoutError:
            process.kill()
            await process.wait()
            return f"no answer in {PATIENCE_S:.0f} s"
        await self._reading.pop()
        complaints = self._said()
        good = process.returncode == 0 and (not asks or said.startswith(b"HTTP/1.1 200"))
        return "" if good else complaints or f"exit code {process.returncode}"


async def _talk(process: asyncio.subprocess.Process, asks: bytes) -> tuple[bytes, int]:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(ConnectionError):
        process.stdin.write(asks)
        await process.stdin.drain()
    said = await process.stdout.read()
    return said, await process.wait()
