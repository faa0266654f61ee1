"""Backends by URL: what is refused and why, and which profile a server's health endpoints give it."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from emulator_lab import Emulator

from kecs.aws.profiles import PROFILES
from kecs.core.backends import BackendProfile
from kecs.core.errors import BackendError
from kecs.emulator.backend import Backend, detect, face


@pytest.mark.parametrize(
    ("url", "text", "local"),
    [
        pytest.param("http://localhost:4566", "http://localhost:4566", True, id="LocalStack's usual"),
        pytest.param("http://LOCALHOST:4566/", "http://localhost:4566", True, id="slash, capitals"),
        pytest.param("http://127.0.0.1", "http://127.0.0.1:80", True, id="default port"),
        pytest.param("https://emulator.example", "https://emulator.example:443", False, id="TLS"),
        pytest.param("http://[::1]:4566", "http://[::1]:4566", True, id="IPv6"),
        pytest.param("http://192.0.2.1:4566", "http://192.0.2.1:4566", False, id="elsewhere"),
        pytest.param("http://cafe:4566", "http://cafe:4566", False, id="name of hexadecimal letters"),
        pytest.param(
            "http://localstack.aws-services.svc:4566", "http://localstack.aws-services.svc:4566", False, id="k8s"
        ),
    ],
)
def test_urls(*, url: str, text: str, local: bool) -> None:
    backend = Backend.parse(url)
    assert str(backend) == text
    assert backend.is_local is local


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param("ftp://x", "it is no HTTP URL", id="other scheme"),
        pytest.param("localhost:4566", "it is no HTTP URL", id="no scheme"),
        pytest.param("", "it is no HTTP URL", id="empty"),
        pytest.param("http://", "it has no host", id="no host"),
        pytest.param("http://a b", "it has no host that can be looked up", id="blank in the host"),
        pytest.param("http://-", "it has no host that can be looked up", id="hyphen"),
        pytest.param("http://x:99999", "port out of range 0-65535", id="large port"),
        pytest.param("http://x:0", "it has port 0", id="port 0"),
        pytest.param("http://[::1", "invalid ipv6 url", id="open bracket"),
        pytest.param("http://u:p@localhost", "it holds credentials, which no backend reads", id="credentials"),
        pytest.param("http://localhost/path", "it has a path; requests have their own", id="path"),
        pytest.param("http://localhost?x=1", "it has a path; requests have their own", id="query"),
        pytest.param("https://s3.amazonaws.com", "it is AWS itself", id="AWS"),
        pytest.param("https://S3.amazonaws.com.", "it is AWS itself", id="AWS, capitals and dot"),
        pytest.param("https://sqs.us-east-1.api.aws", "it is AWS itself", id="AWS dual-stack"),
    ],
)
def test_urls_that_are_refused(url: str, reason: str) -> None:
    with pytest.raises(BackendError) as error:
        Backend.parse(url, source="KECS_RUN_BACKEND")
    assert error.value.message == f'KECS_RUN_BACKEND is "{url}": {reason}'
    assert error.value.hint


@contextmanager
def serving(answers: Mapping[str, object]) -> Iterator[Backend]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path in answers
            body = json.dumps(answers[self.path]).encode() if found else b"<Error><Code>NoSuchBucket</Code></Error>"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Backend.parse(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


HEALTH = {"services": {"s3": "available"}, "edition": "community", "version": "4.14.0"}


@pytest.mark.parametrize(
    ("answers", "profile"),
    [
        pytest.param({"/_localstack/health": HEALTH}, "localstack", id="LocalStack"),
        pytest.param(
            {"/_localstack/health": HEALTH, "/_ministack/health": HEALTH}, "ministack", id="ministack answers both"
        ),
        pytest.param({"/moto-api/config": {"batch": {}, "lambda": {}}}, "moto-server", id="moto_server"),
        pytest.param({"/moto-api/data.json": {}}, "moto-server", id="an old moto_server"),
        pytest.param({"/_kecs/health": {"status": "running"}}, "embedded", id="our own"),
        pytest.param({}, "generic", id="something else"),
        pytest.param({"/_localstack/health": [1]}, "generic", id="an answer of another form"),
    ],
)
def test_profiles_by_health_endpoints(answers: Mapping[str, object], profile: str) -> None:
    with serving(answers) as backend:
        assert detect(backend).name == profile


def test_the_embedded_emulator_is_recognised(emulator: Emulator) -> None:
    assert detect(Backend.parse(f"http://127.0.0.1:{emulator.port}")).name == "embedded"


def test_a_real_moto_server_is_recognised() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # its dashboard's data fail as soon as something stored can't be described
    broken = "from moto.moto_api._internal.responses import MotoAPIResponse as r; r.model_data = lambda *_: 1 / 0; "
    command = [
        sys.executable,
        "-c",
        f"{broken}from moto.server import main; main()",
        "-H",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            assert answering(Backend.parse(f"http://127.0.0.1:{port}")) == "moto-server"
        finally:
            server.terminate()


def answering(backend: Backend) -> str:
    deadline = time.monotonic() + 30
    while True:
        try:
            return detect(backend).name
        except BackendError:
            if time.monotonic() > deadline:
                raise
            threading.Event().wait(0.1)


def test_nothing_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(BackendError) as error:
        detect(Backend.parse(f"http://127.0.0.1:{port}"))
    assert error.value.message == f"no backend answers at http://127.0.0.1:{port}: connection refused"


def test_silence_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(BackendError) as error:
        detect(Backend.parse(f"http://127.0.0.1:{server.getsockname()[1]}"), timeout_s=0.1)
    assert error.value.message.endswith("timed out")


@pytest.mark.parametrize(
    ("scheme", "banner", "message"),
    [
        ("http", b"SSH-2.0-OpenSSH\r\n", "does not speak HTTP"),
        ("https", b"SSH-2.0-OpenSSH\r\n", "does not complete TLS"),
    ],
)
def test_a_server_of_another_protocol(scheme: str, banner: bytes, message: str) -> None:
    def answer(server: socket.socket) -> None:
        client, _ = server.accept()
        with client:
            client.sendall(banner)
            client.recv(1 << 16)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        with pytest.raises(BackendError) as error:
            detect(Backend.parse(f"{scheme}://127.0.0.1:{server.getsockname()[1]}"))
        thread.join()
    assert message in error.value.message


LOCALSTACK: Mapping[str, object] = {"services": {"s3": "running"}, "edition": "community", "version": "4.14.0"}


@pytest.mark.parametrize(
    ("answers", "said", "lack"),
    [
        pytest.param({"/_localstack/health": LOCALSTACK}, "LocalStack 4.14.0 (community)", "", id="before licences"),
        pytest.param(
            {"/_localstack/health": LOCALSTACK, "/_localstack/info": {"is_license_activated": False}},
            "LocalStack 4.14.0 (community, no licence)",
            "",
            id="none was needed",
        ),
        pytest.param(
            {
                "/_localstack/health": {**LOCALSTACK, "version": "2026.3.0"},
                "/_localstack/info": {"is_license_activated": False},
            },
            "LocalStack 2026.3.0 (community, no licence)",
            "LocalStack 2026.3.0 runs without a licence: what its open core lacks is answered 501; "
            "set LOCALSTACK_AUTH_TOKEN where it runs",
            id="one is needed",
        ),
        pytest.param(
            {
                "/_localstack/health": {**LOCALSTACK, "version": "2026.8.2", "edition": "pro"},
                "/_localstack/info": {"is_license_activated": True},
            },
            "LocalStack 2026.8.2 (pro)",
            "",
            id="it has one",
        ),
        pytest.param(
            {"/_ministack/health": {"services": {}, "edition": "light", "version": "1.5.33"}},
            "ministack 1.5.33 (light)",
            "",
            id="ministack",
        ),
        pytest.param({"/moto-api/data.json": {}}, "moto_server", "", id="moto_server has no version to tell"),
        pytest.param({"/_kecs/health": {"status": "running"}}, "the embedded emulator", "", id="our own"),
        pytest.param({}, "none that is known", "", id="something else"),
        pytest.param(
            {"/_localstack/health": {"services": {}, "version": "4.14\u001b[31m", "edition": 7}},
            "LocalStack",
            "",
            id="a version that is no word is not repeated",
        ),
    ],
)
def test_what_it_said_that_it_is(answers: Mapping[str, object], said: str, lack: str) -> None:
    with serving(answers) as backend:
        faced = face(backend)
    assert (str(faced), faced.lack) == (said, lack)


def test_who_sends_a_byte_now_and_then_is_not_waited_for() -> None:
    """The time is for all questions together: the server would go on for ever."""
    gone = threading.Event()

    def dribble(server: socket.socket) -> None:
        client, _ = server.accept()
        with client:
            client.recv(1 << 16)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            try:
                while not gone.wait(0.01):
                    client.sendall(b" ")
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=dribble, args=(server,))
        thread.start()
        try:
            with pytest.raises(BackendError) as error:
                face(Backend.parse(f"http://127.0.0.1:{server.getsockname()[1]}"), timeout_s=0.2)
        finally:
            gone.set()
            thread.join()
    assert error.value.message.endswith("timed out")


def test_settings_can_name_every_profile() -> None:
    assert {one.value for one in BackendProfile} == {"auto", *PROFILES}
