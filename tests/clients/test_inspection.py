"""What a person gets to see of a run: a page in their own browser, recordings, their own addons."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from browser_lab import browser, document, screenshot
from inspection_lab import Page
from kecs_run import Kecs

SECRET = "SqCorrectHorse7x"
CALLS = f"""
import boto3
boto3.client("s3").create_bucket(Bucket="seen")
boto3.client("secretsmanager").create_secret(Name="app/db", SecretString="{SECRET}")
assert boto3.client("secretsmanager").get_secret_value(SecretId="app/db")["SecretString"] == "{SECRET}"
keys = boto3.client("sts").assume_role(RoleArn="arn:aws:iam::000000000000:role/r", RoleSessionName="rr")["Credentials"]
print(keys["SessionToken"], flush=True)
"""
TITLES = [
    "s3 CreateBucket us-east-1",
    "secretsmanager CreateSecret us-east-1",
    "secretsmanager GetSecretValue us-east-1",
    "sts AssumeRole us-east-1",
]


@dataclass
class Running:
    """A run whose command has made its calls and waits for a line."""

    process: subprocess.Popen[str]
    said: Path
    token: str

    @property
    def url(self) -> str:
        found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\w+", self.said.read_text())
        assert found is not None, self.said.read_text()
        return found[0]

    def finish(self) -> int:
        self.process.communicate("\n")
        return self.process.returncode


@contextmanager
def running(kecs: Kecs, *options: str) -> Iterator[Running]:
    said = kecs.scratch / "said"
    argv = [sys.executable, "-m", "kecs.cli", "run", *options, "--", sys.executable, "-c", CALLS + "input()"]
    with said.open("w") as errors:
        process = subprocess.Popen(
            argv,
            env=kecs.environment(),
            cwd=kecs.scratch,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    with process:
        try:
            assert process.stdout is not None
            yield Running(process, said, process.stdout.readline().strip())
        finally:
            if process.poll() is None:
                process.terminate()


def test_the_calls_of_a_run_are_seen_in_a_browser(kecs: Kecs, tmp_path: Path) -> None:
    with running(kecs, "--inspect") as run:
        page = Page.of(run.url)
        assert [flow["comment"] for flow in page.flows()] == TITLES
        everything = page.everything()
        assert SECRET.encode() not in everything
        assert run.token.encode() not in everything
        assert page.ask("GET", "/flows", Authorization="").status == 403
        if browser():  # else who asked above stands for it
            shown = document(run.url, tmp_path, lambda text: all(title in text for title in TITLES))
            assert re.findall(r'<td class="col-comment">([^<]*)<', shown) == TITLES
            assert screenshot(run.url, tmp_path).startswith(b"\x89PNG")
            flow = page.flows()[2]["id"]
            answered = f"{run.url}#/flows/{flow}/response"
            text = document(answered, tmp_path, lambda text: "SecretString" in text)
            assert "SecretString" in text
            assert SECRET not in text
        assert run.finish() == 0
    assert len(re.findall("mitmweb shows the calls", run.said.read_text())) == 1


@pytest.mark.parametrize("unredacted", [False, True])
def test_a_run_is_recorded(kecs: Kecs, *, unredacted: bool) -> None:
    with running(kecs, "--record", "calls", *(["--unredacted"] if unredacted else [])) as run:
        assert run.finish() == 0
    archive, mitm = (kecs.scratch / f"calls{ending}" for ending in (".har", ".mitm"))
    entries = json.loads(archive.read_bytes())["log"]["entries"]
    assert [entry["comment"] for entry in entries] == TITLES
    for secret in (SECRET, run.token):
        assert (secret.encode() in archive.read_bytes() + mitm.read_bytes()) is unredacted
    assert "mitmweb" not in run.said.read_text()
    assert {oct(path.stat().st_mode & 0o777) for path in (archive, mitm)} == {"0o600"}


def test_a_run_that_is_killed_loses_no_call_that_was_answered(kecs: Kecs) -> None:
    with running(kecs, "--record", "calls.har", "--quiet") as run:
        run.process.send_signal(signal.SIGKILL)
        run.process.wait()
        entries = json.loads((kecs.scratch / "calls.har").read_bytes())["log"]["entries"]
    assert [entry["comment"] for entry in entries] == TITLES


def test_an_addon_of_the_user_s_is_in_the_way_of_calls(kecs: Kecs) -> None:
    (kecs.scratch / "beside.py").write_text("BODY = b'from the addon'\n")
    (kecs.scratch / "addon.py").write_text(
        "from beside import BODY\nfrom mitmproxy import http\n\n"
        "def request(flow):\n"
        "    if flow.metadata['aws']['operation'] == 'GetObject':\n"
        "        flow.response = http.Response.make(200, BODY)\n"
    )
    code = "import boto3; print(boto3.client('s3').get_object(Bucket='none', Key='k')['Body'].read())"
    ran = kecs.run(sys.executable, "-c", code, options=["--addon", "addon.py"])
    assert ran.out == "b'from the addon'\n", ran.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(["--addon", "broken.py"], "line 3: SyntaxError: invalid syntax", id="an addon that is no Python"),
        pytest.param(["--addon", "missing.py"], '--addon is "missing.py": no such file or directory', id="no addon"),
        pytest.param(["--record", "no/calls"], "no such file or directory", id="a folder that is not there"),
        pytest.param(["--unredacted"], "--unredacted has nothing to show", id="nothing to show"),
    ],
)
def test_nothing_runs_where_it_can_not_be_looked_at_as_asked(kecs: Kecs, options: list[str], says: str) -> None:
    (kecs.scratch / "broken.py").write_text("import os\n\ndef f(:\n")
    ran = kecs.run("touch", "ran", options=options)
    assert ran.code == 2
    assert says in ran.err
    assert not (kecs.scratch / "ran").exists()
