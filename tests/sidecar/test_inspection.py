"""Calls are shown as AWS means them, without secrets, to nobody but who has the token; addons may change them."""

import base64
import json
import os
import re
import socket
from pathlib import Path

import h2.connection
import h2.events
import pytest
from inspection_lab import Page, call, event, looked_at, told
from sidecar_service_lab import PATIENCE_S, Got, backend, laboratory

from kecs.calls.routes import ENGINE_FIELD
from kecs.sidecar import redaction_events as events
from kecs.sidecar.recording import mend, prepare
from kecs.sidecar.redaction_events import Event, Header

DYNAMODB = "dynamodb.eu-west-1.amazonaws.com"
SECRETS = "secretsmanager.eu-west-1.amazonaws.com"
KINESIS = "kinesis.eu-west-1.amazonaws.com"
S3 = "b.s3.eu-west-1.amazonaws.com"
SECRET = "SqCorrectHorse7x"
SIGNED = {
    "Authorization": f"AWS4-HMAC-SHA256 Credential=ASIA{SECRET}/20261121/eu-west-1/dynamodb/aws4_request, "
    f"SignedHeaders=host, Signature={SECRET}",
    "X_Amz_Security_Token": SECRET,
}


def put_item(lab: object, name: str = "t") -> None:
    body = json.dumps({"TableName": name, "Item": {"id": {"S": "1"}, "password": {"S": SECRET}}}).encode()
    kind = {"X_Amz_Target": "DynamoDB_20120810.PutItem", "Content_Type": "application/x-amz-json-1.0"}
    assert call(lab, DYNAMODB, "POST", "/", body, **kind, **SIGNED).status == 200  # type: ignore[arg-type]  # a Lab


def test_a_call_is_shown_once_by_what_it_is_for_and_without_secrets(tmp_path: Path) -> None:
    got: list[Got] = []
    with looked_at(tmp_path, got) as (lab, page):
        put_item(lab)
        assert call(lab, S3, "PUT", f"/seen?X-Amz-Signature={SECRET}", b"12345").body == b'{"bytes": 5}'
        flows = page.flows()
        asked, answered = page.view(flows[0], "request"), page.view(flows[0], "response")
        everything = page.everything()
    assert [flow["comment"] for flow in flows] == ["dynamodb PutItem eu-west-1", "s3 PutObject eu-west-1"]
    assert [flow["response"]["status_code"] for flow in flows] == [200, 200]
    assert [flow["request"]["pretty_host"] for flow in flows] == [DYNAMODB, S3]
    assert json.loads(asked["text"]) == {"TableName": "t", "Item": {"id": {"S": "1"}, "password": "REDACTED"}}
    assert (asked["view_name"], answered["view_name"]) == ("AWS", "AWS")
    assert SECRET.encode() not in everything
    assert base64.b64encode(SECRET.encode()) not in everything
    assert ENGINE_FIELD.lower() not in everything.lower()
    assert SECRET.encode() in got[0].body  # the emulator got all of it
    assert got[0].fields["x-amz-security-token"] == SECRET


def test_secrets_are_shown_to_who_asks_for_them(tmp_path: Path) -> None:
    with looked_at(tmp_path, [], unredacted=True) as (lab, page):
        put_item(lab)
        assert everything_of(page).count(SECRET.encode()) > 3


def everything_of(page: Page) -> bytes:
    return page.everything()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param({}, 200, id="this machine's name"),
        pytest.param({"Host": "localhost:18080"}, 200, id="a forwarded port"),
        pytest.param({"Host": "[::1]:18080"}, 200, id="a forwarded port of IPv6"),
        pytest.param({"Host": "evil.example"}, 403, id="somebody's name for 127.0.0.1"),
        pytest.param({"Host": "127.0.0.1.evil.example"}, 403, id="a name that begins like this machine's"),
        pytest.param({"Host": ""}, 403, id="no name"),
        pytest.param({"Origin": "http://evil.example"}, 403, id="somebody's page"),
        pytest.param({"Origin": "http://127.0.0.1:1"}, 403, id="another server's page on this machine"),
        pytest.param({"Origin": "null"}, 403, id="a page without an origin"),
        pytest.param({"Authorization": "Bearer 0"}, 403, id="a wrong token"),
        pytest.param({"Authorization": ""}, 403, id="no token"),
    ],
)
@pytest.mark.parametrize("path", ["/flows", "/updates"])
def test_who_may_ask(opened: Page, path: str, fields: dict[str, str], status: int) -> None:
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "eA==",
    }
    if path == "/flows":
        assert opened.ask("GET", path, **fields).status == status
    elif status == 403:
        assert opened.ask("GET", path, **upgrade, **fields).status == 403


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> object:
    with looked_at(tmp_path_factory.mktemp("page"), []) as (lab, page):
        put_item(lab)
        yield page


def test_a_websocket_opens_with_the_token(opened: Page) -> None:
    with socket.create_connection(("127.0.0.1", opened.port), timeout=PATIENCE_S) as sock:
        sock.sendall(
            f"GET /updates?token={opened.token} HTTP/1.1\r\nHost: 127.0.0.1:{opened.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n".encode()
        )
        assert sock.recv(100).startswith(b"HTTP/1.1 101")


@pytest.mark.parametrize(
    ("method", "path", "value", "status"),
    [
        ("PUT", "/options", {"intercept": "~all"}, 403),
        ("PUT", "/options", {"scripts": ["/tmp/x.py"]}, 403),
        ("PUT", "/options", {"mode": ["regular"]}, 403),
        ("PUT", "/options.json", {"web_columns": ["path"], "server": True}, 403),
        ("PUT", "/options", {"web_columns": ["comment", "path"]}, 200),
        ("POST", "/commands/script.run", {"arguments": ["@all", "/tmp/x.py"]}, 403),
        ("POST", "/commands/save.file", {"arguments": ["@all", "/tmp/x"]}, 403),
        ("POST", "/commands/view.flows.load", {"arguments": ["/tmp/x"]}, 403),
        ("POST", "/flows/dump", None, 403),
        ("POST", "/flows/resume", None, 403),
        ("POST", "/flows/kill", None, 403),
        ("POST", "/flows/{id}/replay", None, 403),
        ("POST", "/flows/{id}/kill", None, 403),
        ("PUT", "/flows/{id}", {"marked": ":red_circle:"}, 200),
        ("GET", "/executable-icon?path=/etc/passwd", None, 403),
        ("GET", "/processes", None, 403),
        ("GET", "/", None, 200),
    ],
)
def test_the_page_shows_and_changes_nothing(opened: Page, method: str, path: str, value: object, status: int) -> None:
    path = path.replace("{id}", opened.flows()[0]["id"])
    answer = opened.ask(method, path, value)
    assert answer.status == status, answer.body


def test_the_page_has_room_for_what_a_call_is_for(opened: Page) -> None:
    assert b".col-comment { width:" in opened.ask("GET", "/").body
    columns = opened.ask("GET", "/options").json()["web_columns"]
    assert columns["value"][0] == "comment"


# addons

CURIOUS = """
import json
from mitmproxy import ctx, http

def requestheaders(flow):
    seen = {"url": flow.request.pretty_url, "fields": dict(flow.request.headers), "aws": flow.metadata["aws"]}
    print("SEEN", json.dumps(seen))

def request(flow):
    assert flow.comment.startswith("s3 ")
    flow.comment = "mine"
    if flow.metadata["aws"]["operation"] == "PutObject":
        flow.request.content = b"changed"
        flow.request.headers["x-amz-meta-by"] = "addon"

def response(flow):
    if flow.metadata["aws"]["operation"] == "GetObject":
        flow.response.status_code = 404
        flow.response.content = b"gone"
"""


def test_an_addon_sees_calls_as_they_were_made_and_may_change_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    got: list[Got] = []
    addon = tmp_path / "addon.py"
    addon.write_text(CURIOUS)
    record = tmp_path / "calls.har"
    prepare(str(record), creator="test")
    settings: dict[str, object] = {"engine": "watch", "addons": (str(addon),), "record": str(record)}
    with backend(got) as port, laboratory(tmp_path, port=port, **settings) as lab:
        event(lab, "engine_started")
        assert call(lab, S3, "PUT", "/k", b"12345").body == b'{"bytes": 7}'
        answer = call(lab, S3, "GET", "/k")
        assert (answer.status, answer.body) == (404, b"gone")
    assert (got[0].body, got[0].fields["x-amz-meta-by"], got[0].fields["content-length"]) == (b"changed", "addon", "7")
    seen = [json.loads(line.removeprefix("SEEN ")) for line in capfd.readouterr().err.splitlines() if "SEEN" in line]
    assert [one["url"] for one in seen] == [f"https://{S3}/k"] * 2
    assert seen[0]["aws"]["operation"] == "PutObject"
    assert {name.lower() for name in seen[0]["fields"]} == {"host", "accept-encoding", "content-length"}
    assert [one["comment"] for one in json.loads(record.read_bytes())["log"]["entries"]] == ["mine", "mine"]


STRAYING = """
from mitmproxy import ctx
from mitmproxy.net import server_spec

PORT = %(port)d

def load(loader):
    ctx.options.connection_strategy = "eager"

def requestheaders(flow):
    name = flow.request.headers["Host"] if "other" not in flow.request.path else "example.com"
    flow.request.host, flow.request.port, flow.request.scheme = "127.0.0.1", PORT, "http"
    flow.request.headers["Host"] = name
    flow.server_conn.via = server_spec.parse("http://127.0.0.1:%(port)d", "http")

def request(flow):
    name = flow.request.headers["Host"]
    flow.request.url = "http://127.0.0.1:%(port)d" + flow.request.path
    flow.request.headers["Host"] = name
    ctx.master.commands.call("replay.client", [flow.copy()])
"""
CONNECTING = """

def server_connect(data):
    data.server.address = ("127.0.0.1", PORT)
    data.server.via = server_spec.parse("http://127.0.0.1:%(port)d", "http")
    data.server.error = None
"""


@pytest.mark.parametrize(
    ("program", "statuses"),
    [
        pytest.param(STRAYING, [200, 421], id="a request's address means nothing, its name is looked at"),
        pytest.param(STRAYING + CONNECTING, [502, 502], id="another server is not dialled"),
    ],
)
def test_an_addon_can_not_make_calls_go_elsewhere(tmp_path: Path, program: str, statuses: list[int]) -> None:
    got: list[Got] = []
    strayed: list[Got] = []
    with backend(got) as port, backend(strayed) as elsewhere:
        addon = tmp_path / "addon.py"
        addon.write_text(program % {"port": elsewhere})
        with laboratory(tmp_path, port=port, engine="watch", addons=(str(addon),)) as lab:
            event(lab, "engine_started")
            answers = [call(lab, S3, "PUT", path, b"12345").status for path in ("/k", "/other")]
    assert strayed == []
    assert answers == statuses
    assert len(got) == statuses.count(200)


def test_the_documents_addon_does_what_it_says(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "inspect.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    addon = tmp_path / "slow.py"
    addon.write_text(program)
    kind = {"X_Amz_Target": "DynamoDB_20120810.GetItem", "Content_Type": "application/x-amz-json-1.0"}
    with backend([]) as port, laboratory(tmp_path, port=port, engine="watch", addons=(str(addon),)) as lab:
        answers = [call(lab, DYNAMODB, "POST", "/", b"{}", **kind) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 400, 200, 400]
    assert b"ProvisionedThroughputExceededException" in answers[1].body


@pytest.mark.parametrize(
    ("program", "line", "reason"),
    [
        pytest.param("import os\n\ndef f(:\n", 3, "SyntaxError: invalid syntax", id="no Python"),
        pytest.param("x = 1\nimport nonesuch\n", 2, "ModuleNotFoundError: No module named 'nonesuch'", id="an import"),
        pytest.param("\n\nraise SystemExit('no')\n", 3, "SystemExit: no", id="an exit"),
        pytest.param("def f():\n    return 1 / 0\nf()\n", 2, "ZeroDivisionError: division by zero", id="an error"),
        pytest.param("def load(loader):\n    loader.no()\n", 2, "AttributeError", id="an error when it is added"),
        pytest.param("class Core:\n    pass\naddons = [Core()]\n", 0, "already exists", id="a name that is taken"),
    ],
)
def test_an_addon_that_can_not_be_loaded_is_told_of_by_its_line(
    tmp_path: Path, program: str, line: int, reason: str
) -> None:
    addon = tmp_path / "addon.py"
    addon.write_text(program)
    with backend([]) as port, laboratory(tmp_path, port=port, engine="watch", addons=(str(addon),)) as lab:
        failed = event(lab, "addon_failed")
        assert call(lab, S3, "PUT", "/k", b"1").status == 200
    assert (failed["file"], failed["line"]) == (str(addon), line)
    assert reason in failed["reason"]


def test_an_addon_that_fails_at_a_call_is_told_of_once_and_the_call_goes_on(tmp_path: Path) -> None:
    addon = tmp_path / "addon.py"
    addon.write_text("def request(flow):\n    helper(flow)\n\ndef helper(flow):\n    flow.nothing()\n")
    with backend([]) as port, laboratory(tmp_path, port=port, engine="watch", addons=(str(addon),)) as lab:
        for _ in range(3):
            assert call(lab, S3, "PUT", "/k", b"1").status == 200
        failed = event(lab, "addon_error")
        records = lab.records()
    assert (failed["file"], failed["line"]) == (str(addon), 5)
    assert "nothing" in failed["reason"]
    assert len([one for one in records if one["event"] == "addon_error"]) == 1


# recordings


def test_what_was_answered_is_recorded_whatever_becomes_of_the_engine(tmp_path: Path) -> None:
    record = str(tmp_path / "calls")
    prepare(record, creator="test")
    with backend([]) as port, laboratory(tmp_path, port=port, engine="watch", record=record) as lab:
        for index in range(5):
            put_item(lab, f"t{index}")
        engine = lab.sidecar.engine
        assert engine is not None
        os.kill(engine.pid, 9)
        told(lab, lambda one: one["event"] == "engine_failed")
        for index in range(5, 10):
            put_item(lab, f"t{index}")
    archive = json.loads(Path(f"{record}.har").read_bytes())
    texts = [json.loads(entry["request"]["postData"]["text"]) for entry in archive["log"]["entries"]]
    assert [one["TableName"] for one in texts] == [f"t{index}" for index in range(10)]
    assert {one["_aws"]["operation"] for one in archive["log"]["entries"]} == {"PutItem"}
    written = Path(f"{record}.har").read_bytes() + Path(f"{record}.mitm").read_bytes()
    assert SECRET.encode() not in written
    mend(record, creator="test")
    assert Path(f"{record}.mitm").stat().st_size + Path(f"{record}.har").stat().st_size == len(written)


def test_a_recording_that_can_not_be_written_is_told_of(tmp_path: Path) -> None:
    record = str(tmp_path / "no" / "calls")
    with backend([]) as port, laboratory(tmp_path, port=port, engine="watch", record=record) as lab:
        failed = event(lab, "record_failed")
        put_item(lab)
    assert "no such file or directory" in failed["reason"]


def test_bodies_without_a_length_are_recorded_too(tmp_path: Path) -> None:
    record = str(tmp_path / "calls.har")
    prepare(record, creator="test")
    with backend([]) as port, laboratory(tmp_path, port=port, engine="watch", record=record) as lab:
        with lab.tls(S3, ("http/1.1",)) as tls:
            tls.sendall(
                f"PUT /k HTTP/1.1\r\nHost: {S3}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
                + b"5\r\nhello\r\n0\r\n\r\n"
            )
            assert tls.recv(65536).startswith(b"HTTP/1.1 200")
        put_item(lab)
    entries = json.loads(Path(record).read_bytes())["log"]["entries"]
    assert entries[0]["request"]["postData"]["text"] == "hello"


def test_long_bodies_are_counted_and_not_kept(tmp_path: Path) -> None:
    record = str(tmp_path / "calls.har")
    prepare(record, creator="test")
    with backend([]) as port, laboratory(tmp_path, port=port, engine="watch", record=record) as lab:
        assert call(lab, S3, "PUT", "/k", b"x" * 3_000_000).body == b'{"bytes": 3000000}'
    (entry,) = json.loads(Path(record).read_bytes())["log"]["entries"]
    assert entry["request"]["bodySize"] == 3_000_000
    assert "too long" in entry["request"]["comment"]
    assert "postData" not in entry["request"]


def test_an_event_stream_passes_as_it_comes_and_is_shown_frame_by_frame(tmp_path: Path) -> None:
    """The second event is sent when the client has the first: nothing waits for the end of the answer."""
    names = ["InitialResponse", "SubscribeToShardEvent"]
    heads = [(Header(name=":event-type", kind=7, value=one),) for one in names]
    frames = [events.encode([Event(headers=one, payload=b"{}")]) for one in heads]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with laboratory(tmp_path, port=port, engine="inspect") as lab, lab.tls(KINESIS, ("http/1.1",)) as tls:
            page = Page.of(event(lab, "inspect")["url"])
            kind = "Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: Kinesis_20131202.SubscribeToShard"
            tls.sendall(f"POST / HTTP/1.1\r\nHost: {KINESIS}\r\n{kind}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
            server, _ = listener.accept()
            with server:
                server.settimeout(PATIENCE_S)
                until(server, b"{}")
                server.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
                    b"Transfer-Encoding: chunked\r\n\r\n"
                )
                for frame in frames:
                    server.sendall(b"%x\r\n%b\r\n" % (len(frame), frame))
                    until(tls, frame)
                server.sendall(b"0\r\n\r\n")
                until(tls, b"0\r\n\r\n")
            (flow,) = page.flows()
            shown = page.view(flow, "response")["text"]
    assert flow["comment"] == "kinesis SubscribeToShard eu-west-1"
    assert [name in shown for name in names] == [True, True]


def until(sock: socket.socket, end: bytes) -> None:
    """Read until this came."""
    got = b""
    while end not in got:
        data = sock.recv(65536)
        assert data, got
        got += data


def test_a_client_of_http_2_alone_is_shown_too(tmp_path: Path) -> None:
    with looked_at(tmp_path, []) as (lab, page):
        with lab.tls(S3, ("h2",)) as tls:
            client = h2.connection.H2Connection()
            client.initiate_connection()
            fields = [(":method", "PUT"), (":scheme", "https"), (":authority", S3), (":path", "/k")]
            client.send_headers(1, [*fields, ("x-amz-security-token", SECRET)])
            client.send_data(1, b"hello", end_stream=True)
            tls.sendall(client.data_to_send())
            ended = False
            while not ended:
                got = client.receive_data(tls.recv(65536))
                ended = any(isinstance(one, h2.events.StreamEnded) for one in got)
        (flow,) = page.flows()
        body = page.ask("GET", f"/flows/{flow['id']}/request/content.data").body
        everything = page.everything()
    assert (flow["comment"], flow["request"]["http_version"], body) == ("s3 PutObject eu-west-1", "HTTP/2.0", b"hello")
    assert SECRET.encode() not in everything
