"""The injector as it runs in a cluster: its own process beside a fake API server that calls it as a real one does."""

import contextlib
import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from certs_service_lab import SCOPE
from kube_lab import ApiError, ApiServer
from process_lab import Logged

from kecs.certs.kube import Kube
from kecs.certs.outcome import State
from kecs.certs.publisher import Publisher
from kecs.certs.rotation import create
from kecs.injector.webhook import ca_bundle

NAME = "kecs-injector.kecs-system.svc"
DOCUMENT = """
images: {init: kecs-init:1, sidecar: kecs-sidecar:1}
proxy: {mode: sidecar, localstackEndpoint: "http://kecs-emulator.kecs-system.svc:4566", profile: embedded}
dns: {mode: capture}
injector: {excludedNamespaces: [emulators]}
"""


def publisher_of(api: ApiServer, directory: Path) -> Publisher:
    """Return what the authority publishes with."""
    return Publisher(kube=Kube.load(kubeconfig=str(api.kubeconfig(directory))), namespace="kecs-system")


def publish(api: ApiServer, directory: Path, state: State) -> None:
    """Do as the authority does."""
    publisher = publisher_of(api, directory)
    publisher.trust(state.authority)
    publisher.serving(state.authority, datetime.now(UTC))


@dataclass(slots=True)
class Injector(Logged):
    """A running injector."""

    api: ApiServer = field(default_factory=ApiServer)
    port: int = 0
    health_port: int = 0

    @property
    def registered(self) -> dict[str, Any] | None:
        return self.api.at("mutatingwebhookconfigurations", "kecs-injector")

    @contextmanager
    def connection(self, roots: bytes = b"") -> Iterator[http.client.HTTPSConnection]:
        """Connect as the API server does: with the registered caBundle, to the Service's name."""
        bundle = roots or ca_bundle(self.registered or {})
        context = ssl.create_default_context(cadata=bundle.decode())
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        port = self.port

        class Connection(http.client.HTTPSConnection):
            def connect(self) -> None:
                plain = socket.create_connection(("127.0.0.1", port), timeout=20)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as Go's client does
                self.sock = context.wrap_socket(plain, server_hostname=NAME)

        with contextlib.closing(Connection(NAME)) as found:
            yield found

    def post(self, body: bytes, path: str = "/mutate") -> tuple[int, bytes]:
        with self.connection() as connection:
            connection.request("POST", path, body=body, headers={"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()

    def admit(self, review: dict[str, Any]) -> dict[str, Any]:
        """Be the webhook call of the API server."""
        try:
            status, body = self.post(json.dumps(review).encode(), "/mutate?timeout=10s")
        except OSError as error:
            said = (
                f'failed calling webhook "pod.inject.kecs.io": failed to call webhook: Post "https://{NAME}": {error}'
            )
            raise ApiError(500, "InternalError", said) from error
        assert status == 200, body
        answer: dict[str, Any] = json.loads(body)["response"]
        assert answer["uid"] == review["request"]["uid"]
        return answer

    def health(self, path: str) -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.health_port, timeout=20)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()


def new_state() -> State:
    return create(SCOPE, datetime.now(UTC))


@contextmanager
def injector(api: ApiServer, directory: Path, *, document: str = DOCUMENT) -> Iterator[Injector]:
    path = directory / "injector.yaml"
    path.write_text(document)
    variables = {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(api.kubeconfig(directory)),
        "KECS_INJECTOR_CONFIG": str(path),
        "KECS_INJECTOR_PORT": "0",
        "KECS_INJECTOR_HEALTH_PORT": "0",
        "POD_NAME": "kecs-injector-0",
        "POD_NAMESPACE": "kecs-system",
    }
    with Injector.module("kecs.injector", environment=variables) as found:
        found.api = api
        found.port, found.health_port = found.next_line("serving")["ports"]
        yield found
