"""The loads: what clients do, and what is measured meanwhile."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.relay import wrk
from benchmarks.relay.accounting import Meter
from benchmarks.relay.arms import DIRECT, OURS, Arm
from benchmarks.relay.cold import growth, idle_connections, start
from benchmarks.relay.layout import AWS_NAME, EMULATOR, FOREIGN, STUB, Backend, head_fields
from benchmarks.relay.place import APP, python, until
from benchmarks.relay.site import Running, await_line
from benchmarks.relay.transfers import download, pass_download, upload
from kecs.core.names import ADMIN_PORT, PROXY_UID

_LONGEST_S: Final = 300
_ROUNDS_OPEN: Final = 3
"""Once so many requests for each connection were served, all are open."""

type Measure = Callable[[Running, float], dict[str, float]]
"""Puts load on an arm for about so many seconds; returns figures by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One kind of traffic."""

    name: str
    title: str
    measure: Measure
    without: frozenset[str] = frozenset()
    """Arms that can't bear it, or for which it would mean nothing."""
    backend: Backend = STUB
    rounds_max: int = 1000
    times: int = 1
    """How many rounds of it make one, where the backend's own noise takes more to be averaged out."""
    warm: bool = True
    """Goes once before it counts."""

    def suits(self, arm: Arm) -> bool:
        """Tell whether it is for an arm."""
        return arm.name not in self.without and (arm.loads is None or self.name in arm.loads)


def _wrk(
    running: Running, connections: int, fields: Mapping[str, str], seconds: float, *, script: str = ""
) -> dict[str, float]:
    words = [word for key, value in fields.items() for word in ("-H", f"{key}: {value}")]
    words += ["-s", script] if script else []
    shape = ["-t1", f"-c{connections}", f"-d{_LONGEST_S}s", "--timeout", "10s", "--latency"]
    site = running.site
    started = site.requests()
    with running.pod.lasting("wrk", *shape, *words, f"{running.base}/small", stdout=subprocess.PIPE) as process:
        # what opening the connections costs is another load's to say
        until(lambda: site.requests() - started >= _ROUNDS_OPEN * connections)
        meter, before, began = Meter(running.pod, PROXY_UID), site.requests(), time.monotonic()
        time.sleep(seconds)
        took_s, count, used_s = time.monotonic() - began, site.requests() - before, meter.used_s()
        running.pod.signal(APP, signal.SIGINT)  # upon which wrk sums up
        said = process.communicate()[0]
    if not count:
        raise SystemExit("error: nothing was served in time")
    found = wrk.parse(said) | {"requests": count, "rate": count / took_s}
    return found | _cpu(used_s, count)


def _keepalive(connections: int) -> Measure:
    def measure(running: Running, seconds: float) -> dict[str, float]:
        return _wrk(running, connections, head_fields(), seconds)

    return measure


def _mixed(running: Running, seconds: float) -> dict[str, float]:
    return _wrk(running, 10, head_fields(), seconds, script=str(Path(__file__).with_name("mixed.lua")))


def _resumed(running: Running, seconds: float) -> dict[str, float]:
    before = _counted(running)
    # wrk gives each of its connections the session of the one before
    found = _wrk(running, 8, head_fields() | {"Connection": "close"}, seconds)
    counts = {name: count - before[name] for name, count in _counted(running).items()}
    if not counts:
        return found
    return found | {"resumed_share": counts["tls_resumed"] / counts["tls_handshakes"]}


def _counted(running: Running) -> dict[str, float]:
    """Return what the sidecar has counted of handshakes; nothing of others."""
    if not running.arm.name.startswith(OURS):
        return {}
    said = running.pod.run("curl", "-sS", "--fail", f"http://127.0.0.1:{ADMIN_PORT}/metrics")
    found = re.findall(r'^kecs_sidecar_relay_total{what="(tls_(?:handshakes|resumed))"} (\S+)$', said, re.MULTILINE)
    return {name: float(count) for name, count in found}


def _connections(name: str) -> Measure:
    def measure(running: Running, seconds: float) -> dict[str, float]:
        argv = python("client.py", "connect", name, f"--seconds={seconds}", f"--fields={json.dumps(head_fields())}")
        meter = Meter(running.pod, PROXY_UID)
        said = json.loads(running.pod.run(*argv))
        count = said["full"] + said["resumed"]
        found = {"rate": count / said.pop("seconds"), "resumed_share": said["resumed"] / max(1, count), **said}
        return _each(meter, count, found)

    return measure


def _boto3() -> Measure:
    clients: dict[int, subprocess.Popen[str]] = {}

    def measure(running: Running, seconds: float) -> dict[str, float]:
        # A client lives as long as its pod: what importing boto3 takes would stand between the arms of a round.
        client = clients.get(running.pod.pid)
        if client is None or client.poll() is not None:
            client = clients[running.pod.pid] = _boto3_client(running)
        assert client.stdin
        meter = Meter(running.pod, PROXY_UID)
        client.stdin.write(f"{seconds}\n")
        client.stdin.flush()
        said: dict[str, float] = json.loads(await_line(client))
        return _each(meter, said["requests"], said)

    return measure


def _boto3_client(running: Running) -> subprocess.Popen[str]:
    arm, backend = running.arm, running.setting.backend
    environ = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    before: tuple[str, ...] = ()
    endpoint, user = "", APP
    if arm.client is not None:
        before, user = arm.client(backend), 0
        environ |= {"HOME": str(running.setting.directory), "XDG_RUNTIME_DIR": str(running.setting.directory)}
    elif arm.program is None:
        endpoint = running.base
    else:
        environ["AWS_CA_BUNDLE"] = str(running.material.root)
    argv, pipe = (*before, *python("boto_client.py", endpoint)), subprocess.PIPE
    client = running.pod.start(*argv, user=user, environ=environ, stdin=pipe, stdout=pipe)
    await_line(client)
    return client


def _each(meter: Meter, count: float, found: dict[str, float]) -> dict[str, float]:
    used_s = meter.used_s()
    if not count:
        raise SystemExit("error: nothing was served in time")
    return found | _cpu(used_s, count)


def _cpu(used_s: float, count: float) -> dict[str, float]:
    """Return the CPU of each; nothing where nobody stands between."""
    return {"cpu_us": used_s / count * 1e6} if used_s else {}


_PLAIN: Final = frozenset({DIRECT})
_TERMINATES: Final = frozenset({"nginx-tls"})

LOADS: Final = {
    load.name: load
    for load in (
        *(
            Load(
                name=f"small-c{count}",
                title=f"1 KB GET, keep-alive, {count} connection{'s' if count > 1 else ''}",
                measure=_keepalive(count),
            )
            for count in (1, 10, 50, 200)
        ),
        Load(
            name="mixed-c10",
            title="GET, PUT of 1 KB, GET of a range, DELETE: always other keys and signatures",
            measure=_mixed,
        ),
        Load(
            name="tls-full",
            title="new TLS connections, full handshakes, one GET each",
            measure=_connections(AWS_NAME),
            without=_PLAIN,
        ),
        Load(
            name="tls-resumed",
            title="new TLS connections, resumed, one GET each",
            measure=_resumed,
            without=_PLAIN,
        ),
        Load(name="down-256", title="256 MB down", measure=download(256)),
        Load(name="up-256", title="256 MB up", measure=upload(256)),
        Load(name="down-1024", title="1 GiB down", measure=download(1024), without=frozenset({"mitmdump"})),
        Load(name="up-1024", title="1 GiB up", measure=upload(1024), without=frozenset({"mitmdump"})),
        Load(
            name="growth-1024",
            title="1 GiB down, then up, through a fresh process",
            measure=growth(1024),
            without=frozenset({DIRECT, "mitmdump"}),
            rounds_max=3,
            warm=False,
        ),
        Load(
            name="pass-new",
            title="new connections to what is not AWS, one GET each",
            measure=_connections(FOREIGN),
            without=_TERMINATES,
        ),
        Load(
            name="pass-256", title="256 MB down from what is not AWS", measure=pass_download(256), without=_TERMINATES
        ),
        Load(
            name="idle-1000",
            title="1,000 connections that do nothing",
            measure=idle_connections(1000),
            without=_PLAIN,
            rounds_max=3,
            warm=False,
        ),
        Load(
            name="start",
            title="from exec to the first answered call, then idle",
            measure=start,
            without=_PLAIN,
            warm=False,
        ),
        Load(
            name="boto3",
            title="boto3: PutItem and GetItem, embedded emulator",
            measure=_boto3(),
            backend=EMULATOR,
            times=3,
        ),
    )
}
QUICK: Final = (
    "small-c10",
    "small-c50",
    "tls-full",
    "tls-resumed",
    "down-256",
    "up-256",
    "pass-new",
    "pass-256",
    "start",
)
