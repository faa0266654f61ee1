"""The sidecar of a pod as a process, but for the redirect: its listeners say themselves where connections wanted to go.

Usage: python sidecar.py SETTINGS; a JSON object with `config`, `host` (where it listens), `chain` and `key` (files,
read again at SIGHUP), `other` (where connections to port 8444 wanted to go), `clock` (a file with seconds by which the
clock is wrong), `names` (addresses by name, resolved while the file `away` is not there), `state` (a file that is
written at SIGUSR1: what a soak looks at). The log goes to standard output.
"""

import asyncio
import gc
import json
import signal
import socket
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from kecs.calls.process import run
from kecs.certs.leaf import Intermediate
from kecs.relay.decide import Address
from kecs.sidecar.config import SidecarConfig
from kecs.sidecar.service import Sidecar

AWS: Final = Address("203.0.113.9", 443)
AWS_PLAIN: Final = Address("203.0.113.9", 80)


def intermediate(settings: dict[str, Any]) -> Intermediate:
    return Intermediate.from_pem(Path(settings["chain"]).read_bytes(), Path(settings["key"]).read_bytes())


def tell_state(sidecar: Sidecar, path: Path) -> None:
    """Write what may grow without end where something is forgotten."""
    state = {
        "open": sidecar.relay.open,
        "tasks": len(asyncio.all_tasks()),
        "objects": len(gc.get_objects()),
        "engine": sidecar.engine.pid if sidecar.engine else 0,
        "log_dropped": sidecar.log.dropped,
    }
    new = path.with_suffix(".new")
    new.write_text(json.dumps(state))
    new.rename(path)


def resolve_by(names: dict[str, str], away: Path) -> None:
    """Resolve these names ourselves, and as slowly as a resolver whose server is away while that file exists."""
    ordinary = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: Any, **options: Any) -> Any:
        if host in names:
            until = time.monotonic() + 5
            while away.exists():
                if time.monotonic() > until:
                    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
                time.sleep(0.01)
        return ordinary(names.get(host, host), *arguments, **options)

    socket.getaddrinfo = getaddrinfo  # type: ignore[assignment] # the same for whom it is called by


def listen(sidecar: Sidecar, host: str, port: int, wanted: Address) -> None:
    sidecar.serve_tcp(socket.create_server((host, port), backlog=1024), lambda _: wanted)


def start(settings: dict[str, Any]) -> Sidecar:
    wrong = Path(settings["clock"])

    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(wrong.read_text()))

    config = SidecarConfig.from_json(json.dumps(settings["config"]))
    sidecar = Sidecar(config, intermediate(settings), log_fd=sys.stdout.fileno(), clock=clock)
    other = Address(*settings["other"])
    for port, wanted in ((8443, AWS), (8080, AWS_PLAIN), (8444, other)):
        listen(sidecar, settings["host"], port, wanted)
    sidecar.serve_admin(socket.create_server((settings["host"], 9000)))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, lambda: sidecar.renew(intermediate(settings)))
    loop.add_signal_handler(signal.SIGUSR1, tell_state, sidecar, Path(settings["state"]))
    return sidecar


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    resolve_by(given["names"], Path(given["away"]))
    run(lambda: start(given))
