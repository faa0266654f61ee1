"""Nothing leaks: the client set runs where the outside is a recorder, which sees every packet that leaves."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kecs_run import CLIENTS, PROGRAMS, Kecs

pytestmark = pytest.mark.clients

INSIDE, OUTSIDE = "198.51.100.2", "198.51.100.1"
AWS = "203.0.113.7"
"""What the recorder's DNS answers for every AWS name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """A network namespace whose only way out leads to the recorder."""

    prefix: tuple[str, ...]
    recorder: subprocess.Popen[str]
    log: Path

    def recorded(self) -> list[dict[str, Any]]:
        """Stop recording and return all packets and DNS questions."""
        assert self.recorder.stdin
        self.recorder.stdin.close()
        assert self.recorder.wait(timeout=30) == 0
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=30)


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    near, far = f"kecs-near-{os.getpid()}", f"kecs-far-{os.getpid()}"
    resolv = tmp_path / "resolv.conf"
    resolv.write_text(f"nameserver {OUTSIDE}\n")
    log = tmp_path / "packets.jsonl"
    with contextlib.ExitStack() as stack:
        for name in (near, far):
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
        ip("-n", near, "link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", far)
        for name, link, address in ((near, "up0", INSIDE), (far, "up1", OUTSIDE)):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", link)
            ip("-n", name, "link", "set", link, "up")
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", near, "route", "add", "default", "via", OUTSIDE)
        recorder = stack.enter_context(
            subprocess.Popen(
                ["ip", "netns", "exec", far, sys.executable, PROGRAMS / "recorder.py", "up1", log, OUTSIDE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        assert recorder.stdout
        assert recorder.stdout.readline() == "ready\n"
        mount = f'mount --bind {resolv} "$(realpath /etc/resolv.conf)" && exec "$@"'
        yield Outside(
            prefix=("ip", "netns", "exec", near, "unshare", "-m", "sh", "-c", mount, "sh"), recorder=recorder, log=log
        )
        if recorder.poll() is None:
            recorder.kill()


def leaked(recorded: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what went to an address that an AWS name resolved to, and questions for AWS names."""
    return [seen for seen in recorded if seen.get("to") == AWS or "aws" in seen.get("asked", "")]


def test_the_recorder_sees_a_program_that_is_not_intercepted(kecs: Kecs, outside: Outside) -> None:
    code = (
        "import boto3; from botocore.config import Config;"
        "c = Config(connect_timeout=1, retries={'total_max_attempts': 1});"
        "boto3.client('sts', region_name='us-east-1', aws_access_key_id='a', aws_secret_access_key='b', config=c)"
        ".get_caller_identity()"
    )
    done = subprocess.run(
        [*outside.prefix, sys.executable, "-c", code],
        env=kecs.environment(),
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode != 0
    recorded = outside.recorded()
    assert {"asked": "sts.us-east-1.amazonaws.com"} in recorded or {"asked": "sts.amazonaws.com"} in recorded
    assert {"protocol": 6, "to": AWS, "port": 443} in recorded


def client_set() -> str:
    lines = [
        f"{sys.executable} {PROGRAMS / name}" for name in ("s3.py", "services.py", "sqs_query.py", "asynchronous.py")
    ]
    if shutil.which("node"):
        lines.append(f"node {CLIENTS / 'js' / 'app.mjs'}")
    return "set -e\n" + "\n".join(lines)


def test_the_whole_client_set_sends_nothing_to_aws(kecs: Kecs, outside: Outside) -> None:
    ran = kecs.run("sh", "-c", client_set(), prefix=outside.prefix)
    assert ran.code == 0, ran.out + ran.err
    assert leaked(outside.recorded()) == []


def test_names_resolved_by_others_are_intercepted_all_the_same(kecs: Kecs, outside: Outside) -> None:
    """With `--no-dns` the address is a real one: the connection must not be dialled before its name is known."""
    ran = kecs.run(sys.executable, PROGRAMS / "sqs_query.py", prefix=outside.prefix, options=["--no-dns"])
    assert ran.code == 0, ran.out + ran.err
    assert [seen for seen in outside.recorded() if seen.get("to") == AWS] == []


def test_an_address_of_aws_is_not_even_tried_on_other_ways(kecs: Kecs, outside: Outside) -> None:
    """HTTP/3, plain HTTP, and a CONNECT through a proxy that the environment names."""
    script = f"""
    curl -sS -m 5 -o /dev/null http://s3.amazonaws.com/
    curl -sS -m 5 -o /dev/null -k https://s3.amazonaws.com/ --resolve s3.amazonaws.com:443:{AWS}
    HTTPS_PROXY=http://{OUTSIDE}:3128 curl -sS -m 5 -o /dev/null -k https://sqs.eu-west-1.amazonaws.com/
    {sys.executable} -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b"quic", ("{AWS}", 443))'
    exit 0
    """
    ran = kecs.run("sh", "-c", script, prefix=outside.prefix)
    assert ran.code == 0, ran.out + ran.err
    assert leaked(outside.recorded()) == []
