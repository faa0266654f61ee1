"""Requests that no service is known for: what is said of them, and that they are told apart in bounded memory."""

import aws_lab
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws.classify import classify
from kecs.aws.head import RequestHead
from kecs.aws.unclassified import Sighting, Sightings

SIGNED = (b"Authorization", b"AWS4-HMAC-SHA256 Credential=AK/20260101/eu-west-1/novel/aws4_request, Signature=00")
URL = "https://novel.eu-west-1.amazonaws.com"


def sighting(url: str, *fields: tuple[bytes, bytes], method: bytes = b"GET") -> Sighting:
    head = aws_lab.get_head(url, method, *fields)
    return Sighting.of(classify(head), head)


def test_what_was_seen_is_said() -> None:
    seen = sighting(f"{URL}/v1/things?X-Amz-Signature=secret", SIGNED, (b"X-Amz-Target", b"Novel_20260101.List"))
    assert seen.sentence == (
        "no AWS service is known for this request: host 'novel.eu-west-1.amazonaws.com', signed for 'novel', "
        "X-Amz-Target 'Novel_20260101.List', GET /v1/things"
    )
    assert "not signed for any service, GET /v1" in sighting(f"{URL}/v1").sentence


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        pytest.param("/v1/things/0123abc", "/v1/things/77", True, id="other ids"),
        pytest.param("/v1/things", "/v2/things", False, id="other versions"),
        pytest.param("/2015-03-31/things", "/2016-03-31/things", False, id="versions that are dates"),
        pytest.param("/things/list", "/things/get", False, id="other words"),
        pytest.param("/a/b/c/d/e/f", "/a/b/c/d/e", False, id="another length"),
        pytest.param("/a/b/c/d/e/f/g", "/a/b/c/d/e/h/i/j", True, id="beyond the length that counts"),
        pytest.param("/a?b=1", "/a?c=2", True, id="the query does not count"),
    ],
)
def test_kinds_of_paths(one: str, other: str, *, alike: bool) -> None:
    seen = Sightings()
    assert seen.first(sighting(URL + one))
    assert seen.first(sighting(URL + other)) is not alike
    assert not seen.first(sighting(URL + one))


@pytest.mark.parametrize(
    ("host", "alike"),
    [
        pytest.param("d-0123456789.novel.eu-west-1.amazonaws.com", False, id="a resource before it"),
        pytest.param("novel.eu-west-2.amazonaws.com", False, id="another region"),
        pytest.param("NOVEL.eu-west-1.amazonaws.com", True, id="the same in capitals"),
    ],
)
def test_kinds_of_hosts(host: str, *, alike: bool) -> None:
    seen = Sightings()
    assert seen.first(sighting(URL))
    assert seen.first(sighting(f"https://{host}")) is not alike


def test_resources_are_not_told_apart() -> None:
    seen = Sightings()
    assert seen.first(sighting("https://d-0123.novel.eu-west-1.amazonaws.com"))
    assert not seen.first(sighting("https://d-4567.novel.eu-west-1.amazonaws.com"))


def test_memory_is_bounded() -> None:
    seen = Sightings(kept=3)
    letters = "abcdefgh"
    assert [seen.first(sighting(f"{URL}/{letter}")) for letter in letters] == [True] * 3 + [False] * 5


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_give_one_bounded_line(method: bytes, target: bytes, host: bytes, named: bytes) -> None:
    head = RequestHead(method=method, target=target, fields=((b"Host", host), (b"X-Amz-Target", named), SIGNED))
    seen = Sighting.of(classify(head), head)
    assert seen.sentence.isprintable()
    assert seen.sentence.isascii()
    assert len(seen.sentence) < 1000
    assert Sightings().first(seen)
