"""Bodies as a person reads them, in each form that AWS speaks; the page keeps the newest calls only."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from flows_lab import ContentviewRegistry, Metadata, View, prettify_message, raw, tflow, views_context
from hypothesis import given
from hypothesis import strategies as st

from kecs.sidecar import redaction_cbor as cbor
from kecs.sidecar import redaction_events as events
from kecs.sidecar.inspection_page import Page
from kecs.sidecar.inspection_views import Aws

CHUNK = events.Event(
    headers=(
        events.Header(name=":event-type", kind=7, value="SubscribeToShardEvent"),
        events.Header(name="raw", kind=6, value=b"\xff\xfe"),
    ),
    payload=b'{"Records":[],"MillisBehindLatest":0}',
)


def view(data: bytes, kind: str) -> str:
    return str(Aws().prettify(data, Metadata(content_type=kind)))


@pytest.mark.parametrize(
    ("data", "kind", "lines"),
    [
        pytest.param(
            b'{"TableName":"t","Key":{"id":{"S":"\xc3\xa9"}}}',
            "application/x-amz-json-1.0",
            ['  "TableName": "t",', '      "S": "\u00e9"'],
            id="JSON",
        ),
        pytest.param(
            b"Action=CreateStack&Parameters.member.1.ParameterKey=a%20b&Parameters.member.2=x&Parameters=y",
            "application/x-www-form-urlencoded",
            ['  "Action": "CreateStack",', '        "ParameterKey": "a b"'],
            id="a form",
        ),
        pytest.param(
            b"a=1&a.b=2", "application/x-www-form-urlencoded", ['    "": "1",', '    "b": "2"'], id="a name twice"
        ),
        pytest.param(
            b'<R xmlns="https://sts.amazonaws.com/doc/"><A><B>1</B></A></R>',
            "text/xml",
            ["  <A>", "    <B>1</B>"],
            id="XML",
        ),
        pytest.param(
            cbor.encode(cbor.Pairs([("n", cbor.Tagged(number=1, value=1.5)), ("b", b"\0\1"), ("l", [b"text"])])),
            "application/cbor",
            ['  "n": 1.5,', '  "b": "0x0001",', '    "text"'],
            id="CBOR",
        ),
        pytest.param(
            events.encode([CHUNK, events.Event(headers=(), payload=events.encode([CHUNK])), CHUNK]),
            events.TYPE,
            ['  ":event-type": "SubscribeToShardEvent",', '  "raw": "0xfffe"', '  "MillisBehindLatest": 0'],
            id="an event stream",
        ),
        pytest.param(
            events.encode([events.Event(headers=(), payload=b"\xff" * 300), events.Event(headers=(), payload=b"")]),
            events.TYPE,
            ["0x" + "ff" * 256 + "\u2026 (300 bytes)"],
            id="sound in an event stream",
        ),
    ],
)
def test_it_is_spelled_for_a_person(data: bytes, kind: str, lines: list[str]) -> None:
    shown = view(data, kind).splitlines()
    assert [line for line in lines if line not in shown] == []


@pytest.mark.parametrize(
    ("data", "kind", "chosen"),
    [
        (b"{}", "application/x-amz-json-1.1", True),
        (b"{}", "application/json", True),
        (b"\xa0", "application/x-amz-cbor-1.1", True),
        (b"<a/>", "text/xml", True),
        (b'{"a":1}', "", True),
        (events.encode([CHUNK]), "application/octet-stream", True),
        (b"", "application/json", False),
        (b"hello", "text/plain", False),
        (b"\x89PNG", "image/png", False),
        (b"hello", "", False),
    ],
)
def test_it_is_chosen_for_what_aws_says(data: bytes, kind: str, chosen: bool) -> None:  # noqa: FBT001 - a table's column
    assert (Aws().render_priority(data, Metadata(content_type=kind or None)) > 1) is chosen


@given(
    st.binary(),
    st.sampled_from(["application/json", "application/cbor", "text/xml", "application/x-www-form-urlencoded"]),
)
def test_what_is_something_else_is_mitmproxy_s_to_show(data: bytes, kind: str) -> None:
    flow = tflow.tflow(resp=True)
    flow.response.headers["content-type"] = kind
    flow.response.raw_content = data
    registry = ContentviewRegistry()
    registry.register(raw)
    registry.register(Aws())
    with views_context():
        shown = prettify_message(flow.response, flow, registry=registry)
    assert shown.syntax_highlight != "error"


def page_of(**bounds: int) -> tuple[Page, Any]:
    view = View()
    master = SimpleNamespace(
        view=view, app=SimpleNamespace(find_handler=None), options=SimpleNamespace(update=lambda **_: None)
    )
    page = Page(**bounds)
    page.start(master)
    return page, view


def flow_of(size: int) -> Any:
    flow = tflow.tflow(resp=True)
    flow.request.raw_content, flow.response.raw_content = b"", b"x" * size
    return flow


def test_the_oldest_calls_leave_the_page_first() -> None:
    page, view = page_of(flows_max=3)
    flows = [flow_of(10) for _ in range(5)]
    for flow in flows:
        page.put(flow)
        page.put(flow)
    assert {one.id for one in view} == {one.id for one in flows[2:]}


def test_the_page_is_bounded_by_bodies_too() -> None:
    page, view = page_of(bytes_max=1000)
    flows = [flow_of(400) for _ in range(3)]
    for flow in flows:
        page.put(flow)
    assert {one.id for one in view} == {one.id for one in flows[1:]}
    view.remove([flows[1]])  # by hand, on the page
    page.put(large := flow_of(5000))
    assert [one.id for one in view] == [large.id]


def test_only_copies_are_shown() -> None:
    page, view = page_of()
    copy, original = flow_of(1), flow_of(2)
    original.id = copy.id
    page.put(copy)
    for hook in ("requestheaders", "response", "error"):
        getattr(view, hook)(original)
        getattr(view, hook)(flow_of(3))
    view.update([original, flow_of(4)])
    assert list(view) == [copy]
    copy.comment = "mine"
    view.update([copy])
    assert json.dumps([one.comment for one in view]) == '["mine"]'
