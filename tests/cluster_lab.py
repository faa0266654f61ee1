"""A cluster without a node: the API server is a fake, everything of ours in it is the real process, and pods are real.

The calling thread enters the cluster's network namespace. Services have addresses and names as in a cluster, told by a
DNS server that knows no other names: there is no internet. What stands for the world is one address, where a server
that is not AWS speaks TLS with a certificate of its own, and another, where AWS would be: nobody may reach that one.
"""

import os
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from certs_service_lab import SERVICE_NAME, CertsService, certs_service, review, write_issuer
from identity_lab import entered
from kube_lab import ApiServer, api_server
from pod_lab import Json, Pod, pod
from relay_lab import Authority
from rules_lab import Namespace, namespace
from webhook_lab import Injector, injector, new_state, publish

from kecs.certs.kube import Kube
from kecs.certs.outcome import State
from kecs.core.names import SIDECAR_CONTAINER

EMULATOR_NAME: Final = "kecs-emulator.kecs-system.svc"
EMULATOR_PORT: Final = 4566
SITE, SITE_NAME, AWS = "203.0.113.80", "www.example.com", "203.0.113.7"
SERVICES: Final = {SERVICE_NAME: "10.96.0.2", EMULATOR_NAME: "10.96.0.3", SITE_NAME: SITE}
DNS: Final = "10.96.0.10"
_CERTS_PORT: Final = 8443
_KUBE_PROXY: Final = f"""
*nat
-A PREROUTING -d {SERVICES[SERVICE_NAME]} -p tcp --dport 443 -j REDIRECT --to-ports {_CERTS_PORT}
COMMIT
"""
PATIENCE_S: Final = 60


@dataclass(slots=True, kw_only=True)
class Cluster:
    """A running cluster."""

    directory: Path
    outside: Namespace
    api: ApiServer
    kube: Kube
    injector: Injector
    certs: CertsService
    state: State
    emulator: subprocess.Popen[bytes]
    site: Authority
    asked: list[str] = field(default_factory=list)
    """What the cluster's DNS was asked for."""
    leaked: list[str] = field(default_factory=list)
    """What reached the address that stands for AWS."""
    _pods: int = 1

    def become(self, state: State) -> None:
        """Do as the authority does: the issuer's files and the trust are others now."""
        publish(self.api, self.directory, state)
        write_issuer(self.directory / "issuer", state.authority)
        self.state = state
        self.certs.next_line("issuer_loaded")

    def admitted(self, given: Json) -> Json:
        """Create a pod through the API server, whose webhook is the injector."""
        return self.kube.create("/api/v1/namespaces/demo/pods", given)

    @contextmanager
    def pod(self, given: Json, *, poll_s: float = 0) -> Iterator[Pod]:
        """Have a pod admitted, scheduled and run; at the end it is deleted.

        `poll_s`: how often the sidecar asks for another issuer, a minute else. It is the one thing that is not the
        injector's.
        """
        manifest = self.admitted(given)
        if poll_s:
            sidecar = next(one for one in manifest["spec"]["initContainers"] if one["name"] == SIDECAR_CONTAINER)
            sidecar["env"].append({"name": "KECS_SIDECAR_POLL_S", "value": str(poll_s)})
        self._pods += 1
        ip, uid = f"10.244.0.{self._pods}", manifest["metadata"]["uid"]
        name, token = manifest["metadata"]["name"], f"token-of-{uid}"
        self.api.tokens[token] = review(name=name, uid=uid)
        manifest |= {"status": {"phase": "Running", "podIP": ip}}
        self.api.put("pods", manifest)
        place = self.directory / f"{name}-{self._pods}"
        try:
            with pod(manifest, place, outside=self.outside, ip=ip, nameservers=(DNS,), token=token) as made:
                made.start()
                yield made
        finally:
            self.api.remove("pods", name, "demo")
            self.api.tokens.pop(token)

    @contextmanager
    def told(self, document: str) -> Iterator[None]:
        """Have an injector with other settings admit pods."""
        place = self.directory / f"injector-{self._pods}"
        place.mkdir()
        with injector(self.api, place, document=document) as other:
            self.api.wait(lambda: other.health("/readyz")[0] == 200)
            before, self.api.admit = self.api.admit, other.admit
            try:
                yield
            finally:
                self.api.admit = before

    def stop_emulator(self) -> None:
        self.emulator.terminate()
        self.emulator.wait(PATIENCE_S)

    def start_emulator(self) -> None:
        self.emulator = _emulator()


def _emulator() -> subprocess.Popen[bytes]:
    """Start it as its image does; return once it answers."""
    ready, theirs = os.pipe()
    words = ["--listen", f"*:{EMULATOR_PORT}", "--ready-fd", str(theirs)]
    environment = {"PATH": os.environ["PATH"]}
    started = subprocess.Popen([sys.executable, "-m", "kecs.emulator", *words], pass_fds=[theirs], env=environment)
    os.close(theirs)
    with os.fdopen(ready, "rb") as told:
        assert told.readline() == b"ready\n"
    return started


@contextmanager
def cluster(directory: Path) -> Iterator[Cluster]:
    assert os.geteuid() == 0, "pods take root"
    with ExitStack() as stack:
        outside = stack.enter_context(namespace())
        outside.ip("".join(f"addr add {one}/32 dev lo\n" for one in (*SERVICES.values(), DNS, AWS)))
        outside.run("iptables-restore", stdin=_KUBE_PROXY)
        stack.enter_context(entered(outside.pid))
        api = stack.enter_context(api_server())
        api.put("namespaces", {"metadata": {"name": "demo"}})
        state = new_state()
        publish(api, directory, state)
        issuer = directory / "issuer"
        issuer.mkdir()
        write_issuer(issuer, state.authority)
        made = Cluster(
            directory=directory,
            outside=outside,
            api=api,
            kube=Kube.load(kubeconfig=str(api.kubeconfig(directory))),
            injector=stack.enter_context(injector(api, directory)),
            certs=stack.enter_context(certs_service(api, issuer, directory, port=_CERTS_PORT)),
            state=state,
            emulator=_emulator(),
            site=Authority(),
        )
        stack.callback(made.stop_emulator)
        for answer, stream in zip(_names(made), (False, True), strict=True):
            stack.enter_context(_serving((DNS, 53), answer, stream=stream))
        stack.enter_context(_serving((SITE, 443), _site(made.site), stream=True))
        stack.enter_context(_serving((SITE, 443), lambda one: one[1].sendto(b"the site", one[2]), stream=False))
        stack.enter_context(_serving((AWS, 443), lambda one: made.leaked.append(str(one)), stream=True))
        api.wait(lambda: made.injector.health("/readyz")[0] == 200)
        api.admit = made.injector.admit
        yield made


# --- the world


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Udp(socketserver.UDPServer):
    allow_reuse_address = True


@contextmanager
def _serving(address: tuple[str, int], answer: Callable[[Any], object], *, stream: bool) -> Iterator[None]:
    """Answer on threads: a connected socket, or a datagram with the socket to answer from and its sender."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                answer(self.request if stream else (*self.request, self.client_address))

    with (_Tcp if stream else _Udp)(address, Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(PATIENCE_S)


def _names(made: Cluster) -> tuple[Callable[[Any], object], Callable[[Any], object]]:
    """Answer as a cluster's DNS without any other to ask: datagrams, and streams."""
    known = {f"{name}{end}": address for name, address in SERVICES.items() for end in (".", ".cluster.local.")}

    def answer(asked: bytes) -> bytes:
        query = dns.message.from_wire(asked)
        question = query.question[0]
        name = question.name.to_text().lower()
        made.asked.append(name)
        response = dns.message.make_response(query)
        if name not in known:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            response.answer.append(dns.rrset.from_text(question.name, 5, "IN", "A", known[name]))
        return response.to_wire()

    def stream(connection: socket.socket) -> None:
        length = int.from_bytes(connection.recv(2))
        said = answer(connection.recv(length))
        connection.sendall(len(said).to_bytes(2) + said)

    return (lambda one: one[1].sendto(answer(one[0]), one[2])), stream


def _site(site: Authority) -> Callable[[socket.socket], None]:
    """Speak TLS with a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    chain, key, _ = site.mint((SITE_NAME,))
    with tempfile.NamedTemporaryFile() as file:
        file.write(chain + key)
        file.flush()
        context.load_cert_chain(file.name)

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(4096)
            tls.sendall(b"the site")

    return answer
