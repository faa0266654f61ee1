"""Recordings are whole after each exchange, valid, private, and free of secrets."""

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # no stubs are locked
import pytest
from flows_lab import FlowReader, tflow, tnetstring
from hypothesis import given, settings
from hypothesis import strategies as st
from mitmproxy import http
from redaction_lab import CASES, spellings

from kecs.core.errors import UsageError
from kecs.sidecar import har
from kecs.sidecar.inspection_flows import exchange_of, shown
from kecs.sidecar.recording import Recording, held, mend, paths, prepare
from kecs.sidecar.redaction import Exchange, Redactor

SCHEMA = json.loads((Path(__file__).parent / "har_schema.json").read_text())
HARS = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())


def flow_like(exchange: Exchange) -> Any:
    """Make a flow that says what an exchange says, as mitmproxy would have it after a call."""
    found = tflow.tflow(resp=True)
    found.request.data.path = exchange.request.target
    found.request.data.method = exchange.request.method
    found.request.host = exchange.request.host
    found.request.headers = http.Headers(exchange.request.fields)
    found.request.raw_content = exchange.request.body
    found.comment = exchange.comment
    if exchange.response is not None:
        found.response.headers = http.Headers(exchange.response.fields)
        found.response.raw_content = exchange.response.body
    return found


def written(exchange: Exchange) -> tuple[bytes, bytes]:
    """Return what is recorded of an exchange: a frame and an entry."""
    redacted = Redactor().redact(exchange)
    state = shown(redacted, flow_like(exchange)).get_state()
    return tnetstring.dumps(state), har.line(redacted)


def valid(path: Path) -> list[dict[str, Any]]:
    """Return an archive's entries, once the archive was found to be valid."""
    archive = json.loads(path.read_bytes())
    HARS.validate(archive)
    entries: list[dict[str, Any]] = archive["log"]["entries"]
    return entries


def flows(path: Path) -> list[Any]:
    with path.open("rb") as file:
        return list(FlowReader(file).stream())


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=10)
@given(secret=st.text(st.characters(codec="ascii", min_codepoint=33), min_size=6, max_size=40).map("Sq{}7x".format))
def test_no_secret_is_in_what_is_written(name: str, secret: str) -> None:
    frame, entry = written(CASES[name].exchange(secret))
    assert [one for one in spellings(secret) if one in frame or one in entry] == []


@pytest.fixture
def record(tmp_path: Path) -> str:
    name = str(tmp_path / "calls")
    prepare(name, creator="test")
    return name


def recorded(record: str, *names: str) -> None:
    recording = Recording.open(record, creator="test")
    for name in names:
        assert recording.write(*written(CASES[name].exchange("SqSomething7x")))
    recording.close()


def test_both_files_are_whole_and_their_owner_s_alone(record: str) -> None:
    mitm, archive = Path(f"{record}.mitm"), Path(f"{record}.har")
    assert (flows(mitm), valid(archive)) == ([], [])
    recorded(record, *CASES)
    entries = valid(archive)
    assert len(flows(mitm)) == len(entries) == len(CASES)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (mitm, archive)] == [0o600, 0o600]
    assert [one.comment for one in flows(mitm)] == [one["comment"] for one in entries]


def test_mitmdump_reads_both(record: str, tmp_path: Path) -> None:
    recorded(record, *CASES)
    for ending in (".mitm", ".har"):
        command = [
            str(Path(sys.executable).parent / "mitmdump"),
            "-n",
            "-r",
            record + ending,
            "--set",
            f"confdir={tmp_path}",
        ]
        read = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert read.returncode == 0, read.stderr
        assert read.stdout.count("<< ") == len(CASES), read.stdout


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("/a/calls", ("/a/calls.mitm", "/a/calls.har")),
        ("/a/calls.mitm", ("/a/calls.mitm", None)),
        ("/a/calls.har", (None, "/a/calls.har")),
        ("/a/calls.HAR", (None, "/a/calls.HAR")),
        ("/a/app.py", ("/a/app.py.mitm", "/a/app.py.har")),
    ],
)
def test_the_ending_chooses(record: str, expected: tuple[str | None, str | None]) -> None:
    assert tuple(None if path is None else str(path) for path in paths(record)) == expected


@pytest.mark.parametrize("ending", [".mitm", ".har"])
def test_one_file_alone(tmp_path: Path, ending: str) -> None:
    record = tmp_path / f"calls{ending}"
    prepare(str(record), creator="test")
    recorded(str(record), "kms Decrypt")
    assert len(flows(record) if ending == ".mitm" else valid(record)) == 1
    assert list(tmp_path.iterdir()) == [record]


def test_what_was_there_before_is_begun_anew(tmp_path: Path) -> None:
    old = tmp_path / "calls.har"
    old.write_text("x" * 5000)
    old.chmod(0o644)
    prepare(str(tmp_path / "calls"), creator="test")
    assert valid(old) == []
    assert stat.S_IMODE(old.stat().st_mode) == 0o600


@pytest.mark.parametrize("ending", [".mitm", ".har"])
def test_a_file_cut_anywhere_is_mended(record: str, ending: str) -> None:
    """Whatever was whole before the cut stays, and the next exchange goes behind it."""
    path = Path(record + ending)
    sizes = [path.stat().st_size]
    for name in ("kms Decrypt", "sts AssumeRole", "CBOR"):
        recorded(record, name)
        sizes.append(path.stat().st_size)
    whole = path.read_bytes()
    for cut in {
        *range(0, len(whole), 97),
        *sizes,
        *(size - 1 for size in sizes if size),
        *(size - 5 for size in sizes if size),
    }:
        path.write_bytes(whole[:cut])
        mend(record, creator="test")
        entries = valid(path) if ending == ".har" else flows(path)
        slack = len(har.FOOTER) if ending == ".har" else 0
        least = (
            sum(size <= cut + slack - 1 for size in sizes[1:])
            if ending == ".har"
            else sum(size <= cut for size in sizes[1:])
        )
        assert len(entries) >= least
        recorded(record, "an API key")
        after = valid(path) if ending == ".har" else flows(path)
        assert len(after) == len(entries) + 1


def test_a_full_disk_loses_exchanges_and_no_file(record: str) -> None:
    """The limit of a file's size stands for the disk: a write that does not fit is cut, then refused."""
    program = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from kecs.sidecar.recording import Recording
recording = Recording.open({record!r}, creator="test")
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
frame = b"1000:" + b"x" * 1000 + b"}}"
print([recording.write(frame, b'{{"x":"' + b"x" * 1000 + b'"}}') for _ in range(5)], recording.lost, recording.trouble)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "[True, True, False, False, False] 3 file too large\n", done.stderr
    assert len(json.loads(Path(f"{record}.har").read_bytes())["log"]["entries"]) == 2
    assert Path(f"{record}.mitm").stat().st_size == 2 * 1006


KILLED = """
import sys
from kecs.sidecar.recording import Recording
recording = Recording.open(sys.argv[1], creator="test")
number = 0
while True:
    data = b"%d" % number * 5000
    recording.write(b"%d:" % len(data) + data + b"}", b'{"n":%d,"x":"%s"}' % (number, data))
    number += 1
    if number == 20:
        print("going", flush=True)
"""


def test_a_writer_that_is_killed_leaves_files_that_can_be_mended(record: str) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, record], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"going\n"
        process.kill()
    mend(record, creator="test")
    numbers = [one["n"] for one in json.loads(Path(f"{record}.har").read_bytes())["log"]["entries"]]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 20


def test_two_runs_do_not_write_the_same_file(tmp_path: Path) -> None:
    record = str(tmp_path / "calls")
    with held(record, creator="test"):
        recorded(record, "kms Decrypt")
        with pytest.raises(UsageError, match="another run"), held(record, creator="test"):
            pass
        with Path(f"{record}.mitm").open("ab") as file:
            file.write(b"500:cut")
    assert len(flows(Path(f"{record}.mitm"))) == len(valid(Path(f"{record}.har"))) == 1
    with held(record, creator="test"):
        assert valid(Path(f"{record}.har")) == []


def test_an_archive_of_somebody_else_s_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "calls.har"
    path.write_text('{"log": {"version": "1.2"}}')
    with pytest.raises(UsageError, match="somebody else"):
        mend(str(path), creator="test")
    assert path.read_text() == '{"log": {"version": "1.2"}}'


def test_another_version_s_archive_is_mended(record: str) -> None:
    recorded(record, "kms Decrypt")
    mend(record, creator="test 2")
    assert len(valid(Path(f"{record}.har"))) == 1


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "link"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "calls.mitm"
    match kind:
        case "missing":
            place = tmp_path / "no" / "calls.mitm"
        case "folder":
            place.mkdir()
        case "fifo":
            os.mkfifo(place)
        case "link":
            place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="--record is"):
        prepare(str(place), creator="test")


def test_an_exchange_without_an_answer(record: str) -> None:
    exchange = replace(CASES["kms Decrypt"].exchange("SqSomething7x"), response=None, error="the client left")
    recording = Recording.open(record, creator="test")
    recording.write(b"0:}", har.line(exchange))
    recording.close()
    (entry,) = valid(Path(f"{record}.har"))
    assert entry["response"]["status"] == 0
    assert entry["response"]["comment"] == "the client left"


def test_an_entry_says_what_happened() -> None:
    exchange = CASES["a presigned URL"].exchange("SqSomething7x")
    found = har.entry(Redactor().redact(exchange))
    assert found["request"]["url"].startswith("https://s3.eu-west-1.amazonaws.com/k?X-Amz-Signature=REDACTED")
    assert found["request"]["queryString"][-1] == {"name": "x", "value": "1"}
    assert found["startedDateTime"] == "2025-11-21T06:08:30.250+00:00"
    assert (found["time"], found["timings"]["wait"]) == (750.0, 250.0)
    assert found["_aws"] == {"service": "s3", "operation": "GetObject", "region": "eu-west-1"}


def test_bytes_are_spelled_so_that_none_is_lost() -> None:
    exchange = CASES["CBOR"].exchange("SqSomething7x")
    response = exchange.response
    assert response is not None
    exchange = replace(
        exchange, response=replace(response, body=b"\xff\0"), request=replace(exchange.request, body=None, size=9)
    )
    found = har.entry(exchange)
    assert found["response"]["content"] == {
        "size": 2,
        "mimeType": "application/cbor",
        "text": "/wA=",
        "encoding": "base64",
    }
    assert found["request"]["bodySize"] == 9
    assert "too long" in found["request"]["comment"]


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
def test_coded_bodies_are_looked_into(coding: str) -> None:
    flow = flow_like(CASES["secretsmanager GetSecretValue"].exchange("SqSomething7x"))
    flow.request.headers["host"] = "secretsmanager.eu-west-1.amazonaws.com"
    flow.request.headers["x-amz-target"] = "secretsmanager.GetSecretValue"
    flow.response.headers["content-encoding"] = coding
    flow.response.content = b'{"Name":"n","SecretString":"SqSomething7x"}'
    copy = shown(Redactor().redact(exchange_of(flow)), flow)
    assert copy.response is not None
    assert copy.response.headers["content-encoding"] == coding
    assert copy.response.content == b'{"Name":"n","SecretString":"REDACTED"}'
    assert flow.response.content == b'{"Name":"n","SecretString":"SqSomething7x"}'
    flow.response.raw_content = b"cut"
    copy = shown(Redactor().redact(exchange_of(flow)), flow)
    assert copy.response is not None
    assert copy.response.content is not None
    assert copy.response.content.startswith(b"REDACTED")


def test_a_flow_that_somebody_changed_hides_what_it_was() -> None:
    flow = flow_like(CASES["kms Decrypt"].exchange("SqSomething7x"))
    flow.backup()
    flow.request.headers["x"] = "y"
    flow.metadata["seen"] = "SqSomething7x"
    assert b"SqSomething7x" not in tnetstring.dumps(shown(Redactor().redact(exchange_of(flow)), flow).get_state())
