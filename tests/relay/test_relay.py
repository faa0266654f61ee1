"""The relay between real sockets: an HTTP client on one side, a scripted upstream on the other."""

import http.client
import socket
import ssl
from collections.abc import Iterator

import pytest
from relay_lab import NAME, Lab, Script, read_all, read_exactly, read_head, server

from kecs.aws.head import Answer
from kecs.relay.decide import Address, Look, Serve, Upstream, Wire
from kecs.relay.relay import RelayConfig

REQUEST = b"GET /k HTTP/1.1\r\nHost: s3.us-east-1.amazonaws.com\r\n\r\n"


def upstream(address: Address) -> Script:
    return Script(upstream=Upstream(host=address.host, port=address.port))


def ok(sock: socket.socket) -> None:
    """Answer every request with its own head, as long as the connection lasts; bodies of known length are read."""
    held = bytearray()
    while head := read_head(sock, held):
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
        )
        body = read_exactly(sock, length, held) if length else b""
        echo = head + body
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(echo), echo))


@pytest.fixture
def lab() -> Iterator[Lab]:
    with server(ok) as address, Lab(upstream(address)) as running:
        yield running


def test_requests_over_tls_on_one_kept_connection(lab: Lab) -> None:
    tls = lab.connect_tls()
    assert tls.selected_alpn_protocol() is None
    for number in range(3):
        tls.sendall(b"PUT /%d HTTP/1.1\r\nHost: %b\r\nContent-Length: 5\r\n\r\nhello" % (number, NAME.encode()))
        response = http.client.HTTPResponse(tls)
        response.begin()
        assert response.status == 200
        assert response.read().endswith(b"hello")
    assert lab.authority.minted == [("*.us-east-1.amazonaws.com", "us-east-1.amazonaws.com")]
    tls.close()
    lab.script.wait(lambda script: len(script.exchanges) == 3)
    assert {exchange.request_bytes for exchange in lab.script.exchanges} == {5}
    assert lab.relay.counters["upstream_dialled"] == 1
    assert lab.relay.counters["upstream_reused"] == 2


def test_plain_http_by_its_host(lab: Lab) -> None:
    with lab.connect() as sock:
        sock.sendall(REQUEST)
        response = http.client.HTTPResponse(sock)
        response.begin()
        assert response.read() == REQUEST


def test_pipelined_requests_are_answered_in_order(lab: Lab) -> None:
    with lab.connect() as sock:
        sock.sendall(b"".join(REQUEST.replace(b"/k", b"/%d" % number) for number in range(20)))
        held = bytearray()
        for number in range(20):
            head = read_head(sock, held)
            assert head.startswith(b"HTTP/1.1 200 OK")
            length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            while len(held) < length:
                held += sock.recv(65536)
            assert held.startswith(b"GET /%d " % number)
            del held[:length]


def test_a_byte_at_a_time(lab: Lab) -> None:
    request = b"POST /slow HTTP/1.1\r\nHost: s3.amazonaws.com\r\nContent-Length: 3\r\n\r\nabc"
    with lab.connect() as sock:
        for byte in request:
            sock.sendall(bytes([byte]))
        response = http.client.HTTPResponse(sock)
        response.begin()
        assert response.read() == request


SMUGGLING = [
    pytest.param(b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", id="length and coding"),
    pytest.param(b"Content-Length: 3\r\nContent-Length: 4\r\n", id="two lengths"),
    pytest.param(b"Content-Length: 3\r\nContent-Length: 3\r\n", id="the same length twice"),
    pytest.param(b"Content-Length: 3, 3\r\n", id="a list of lengths"),
    pytest.param(b"Content-Length: +3\r\n", id="signed length"),
    pytest.param(b"Content-Length: 0x3\r\n", id="hexadecimal length"),
    pytest.param(b"Content-Length: 3 \r\nContent-Length : 3\r\n", id="blank before the colon"),
    pytest.param(b"Transfer-Encoding: xchunked\r\n", id="unknown coding"),
    pytest.param(b"Transfer-Encoding: chunked, identity\r\n", id="chunked is not last"),
    pytest.param(b"Transfer-Encoding: gzip, chunked\r\n", id="two codings"),
    pytest.param(b"Transfer-Encoding:\x0bchunked\r\n", id="vertical tab"),
    pytest.param(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", id="two coding fields"),
    pytest.param(b"Transfer-Encoding\r\n : chunked\r\n", id="folded name"),
    pytest.param(b"X: a\r\n b\r\n", id="obsolete folding"),
    pytest.param(b"X: a\nContent-Length: 3\r\n", id="bare LF"),
    pytest.param(b"X: a\rContent-Length: 3\r\n", id="bare CR"),
    pytest.param(b"X: a\0b\r\n", id="NUL"),
    pytest.param(b"Host: other\r\n", id="two hosts"),
    pytest.param(b": nameless\r\n", id="no name"),
]


@pytest.mark.parametrize("fields", SMUGGLING)
def test_ambiguous_framing_is_refused_and_never_forwarded(lab: Lab, fields: bytes) -> None:
    with lab.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: s3.amazonaws.com\r\n" + fields + b"\r\nabc")
        answer = read_all(sock)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ")), answer
    assert b"Connection: close" in answer
    assert lab.script.shown == []
    assert lab.relay.counters["upstream_dialled"] == 0
    with lab.connect() as sock:
        sock.sendall(REQUEST)
        assert sock.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        pytest.param(b"http://s3.amazonaws.com/k", b"s3.amazonaws.com", 200, id="absolute form"),
        pytest.param(b"http://s3.amazonaws.com/k", b"evil.example", 400, id="another host in the target"),
        pytest.param(b"k", b"s3.amazonaws.com", 400, id="no path"),
    ],
)
def test_targets(lab: Lab, target: bytes, host: bytes, status: int) -> None:
    lab.script.verdicts = {Wire.HTTP: Serve()}
    with lab.connect() as sock:
        sock.sendall(b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % (target, host))
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert (b"GET /k HTTP/1.1" in answer) == (status == 200)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: s3.amazonaws.com\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", 431, id="10,000 fields"
        ),
        pytest.param(
            b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: s3.amazonaws.com\r\n\r\n", 431, id="endless target"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: s3.amazonaws.com\r\n" + b"X: y\r\n" * 201 + b"\r\n", 431, id="201 fields"
        ),
    ],
)
def test_oversized_heads(lab: Lab, request_: bytes, status: int) -> None:
    tls = lab.connect_tls()
    tls.sendall(request_)
    assert read_all(tls).startswith(b"HTTP/1.1 %d " % status)
    tls.close()
    again = lab.connect_tls()
    again.sendall(REQUEST)
    assert again.recv(100).startswith(b"HTTP/1.1 200")
    again.close()


def test_a_slow_head_is_answered_408() -> None:
    config = RelayConfig(peek_timeout_s=0.2, head_timeout_s=0.3)
    with server(ok) as address, Lab(upstream(address), config) as lab:
        tls = lab.connect_tls()
        tls.sendall(b"GET / HTTP/1.1\r\nHost: s3.ama")
        assert read_all(tls).startswith(b"HTTP/1.1 408 ")
        tls.close()


def test_a_body_that_stops_is_answered_408() -> None:
    config = RelayConfig(peek_timeout_s=0.2, body_timeout_s=0.3)
    with server(ok) as address, Lab(upstream(address), config) as lab, lab.connect() as sock:
        sock.sendall(b"PUT / HTTP/1.1\r\nHost: s3.amazonaws.com\r\nContent-Length: 10\r\n\r\nabc")
        assert read_all(sock).startswith(b"HTTP/1.1 408 ")


def test_the_decider_sees_the_beginning_of_a_body() -> None:
    with server(ok) as address:
        script = upstream(address)
        script.wants = 8
        with Lab(script) as lab, lab.connect() as sock:
            body = b"Action=ListQueues&Version=2012-11-05"
            sock.sendall(
                b"POST / HTTP/1.1\r\nHost: sqs.amazonaws.com\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            response = http.client.HTTPResponse(sock)
            response.begin()
            assert response.read().endswith(body)
        assert script.shown == [b"Action=L"]


def test_an_answer_of_the_deciders_own_drains_the_body_and_keeps_the_connection() -> None:
    with server(ok) as address:
        script = upstream(address)
        script.answer = Answer(status=404, fields=((b"X-Own", b"1"),), body=b"nothing here")
        with Lab(script) as lab, lab.connect() as sock:
            for _ in range(2):
                sock.sendall(
                    b"PUT / HTTP/1.1\r\nHost: s3.amazonaws.com\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000
                )
                response = http.client.HTTPResponse(sock)
                response.begin()
                assert (response.status, response.read(), response.headers["X-Own"]) == (404, b"nothing here", "1")


def test_when_the_upstream_is_away_the_answer_says_so_and_the_connection_lives() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = Address(*gone.getsockname()[:2])
    with Lab(upstream(address)) as lab:
        tls = lab.connect_tls()
        for _ in range(2):
            tls.sendall(REQUEST)
            response = http.client.HTTPResponse(tls)
            response.begin()
            assert response.status == 503
            assert response.read().startswith(b"upstream_connect: ")
        tls.close()


def test_what_is_not_intercepted_passes_to_its_destination(lab: Lab) -> None:
    def greet(sock: socket.socket) -> None:
        sock.sendall(b"220 mail\r\n")
        sock.sendall(b"you said " + read_all(sock))

    with server(greet) as destination:
        lab.destination = destination
        with lab.connect() as sock:
            assert sock.recv(100) == b"220 mail\r\n"  # the server speaks first
            sock.sendall(b"helo")
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock) == b"you said helo"


def test_dialling_first_costs_no_peek_time_and_still_sees_connect(lab: Lab) -> None:
    lab.script.looks = Look.DIAL

    def proxy(sock: socket.socket) -> None:
        read_all(sock)

    with server(proxy) as destination:
        lab.destination = destination
        sock = lab.connect()
        sock.sendall(b"CONNECT %b:443 HTTP/1.1\r\nHost: x\r\n\r\n" % NAME.encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
        tls = lab.authority.client_context().wrap_socket(sock, server_hostname=NAME)
        tls.sendall(REQUEST)
        assert tls.recv(100).startswith(b"HTTP/1.1 200")
        tls.close()


def test_a_refused_destination_resets_the_client(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        lab.destination = Address(*gone.getsockname()[:2])
    with lab.connect() as sock:
        sock.sendall(b"\x00not tls")
        with pytest.raises(ConnectionResetError):
            sock.recv(10)
    lab.script.wait(lambda script: [reason for _, reason, _, _ in script.ends] == ["dial_refused"])


def test_a_client_that_does_not_trust_us_is_recognised(lab: Lab) -> None:
    context = ssl.create_default_context()  # reading the roots may take longer than a silent client is waited for
    with lab.connect() as sock, pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(sock, server_hostname=NAME)
    lab.script.wait(lambda script: [reason for _, reason, _, _ in script.ends] == ["tls_alert_unknown_ca"])
