"""An embedded emulator for tests, and boto3 clients that reach it over loopback under AWS' own names."""

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulator:
    """A running emulator."""

    port: int
    process: subprocess.Popen[bytes]

    def client(
        self, service: str, *, region: str = "us-east-1", keys: Mapping[str, str] | None = None, **config: Any
    ) -> Any:
        """Make a boto3 client whose requests keep their URL's host in the Host header but go to the emulator."""
        keys = keys or {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "secret"}
        session = boto3.Session(region_name=region, **keys)  # type: ignore[arg-type] # keys are strings
        settings = Config(retries={"total_max_attempts": 1}, max_pool_connections=64, **config)
        client = session.client(service, config=settings)  # type: ignore[call-overload] # any service
        client.meta.events.register("before-send", self._redirect)
        return client

    def _redirect(self, request: AWSPreparedRequest, **_: Any) -> None:
        url = urlsplit(str(request.url))
        request.headers["Host"] = url.netloc
        request.url = url._replace(scheme="http", netloc=f"127.0.0.1:{self.port}").geturl()

    def ask(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send one plain request as if to the URL's host."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)  # moto loads all services for one
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target or "/", body, {"Host": parts.netloc, **(headers or {})})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()


@contextmanager
def running(*arguments: str, control: int | None = None) -> Iterator[Emulator]:
    """Run an emulator until the end of the block, ready at its beginning."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    ready, theirs = os.pipe()
    passed = [listener.fileno(), theirs, *([] if control is None else [control])]
    command = [sys.executable, "-m", "kecs.emulator", "--fd", str(passed[0]), "--ready-fd", str(theirs), *arguments]
    process = subprocess.Popen([*command], pass_fds=passed)
    os.close(theirs)
    port = listener.getsockname()[1]
    listener.close()
    with process:
        try:
            assert os.read(ready, 16) == b"ready\n"
            yield Emulator(port=port, process=process)
        finally:
            os.close(ready)
            process.terminate()
            process.wait(10)
