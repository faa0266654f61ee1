"""Pages of listings, while things come and go."""

from typing import Any

import pytest
from ecs_lab import NOW, PRINCIPAL, SCOPE, FakeIds
from hypothesis import given
from hypothesis import strategies as st

from kecs.controlplane.errors import ApiError
from kecs.controlplane.operation import Request
from kecs.controlplane.pages import Page, page
from kecs.controlplane.state import Scope


def a_request(operation: str = "ListTasks", *, scope: Scope = SCOPE, **params: Any) -> Request:
    return Request(operation=operation, params=params, scope=scope, principal_arn=PRINCIPAL, now=NOW, ids=FakeIds())


def named(request: Request, names: list[str], *, descending: bool = False) -> Page[str]:
    return page(request, names, place=lambda name: name, descending=descending)


def refused(request: Request, names: list[str]) -> str:
    with pytest.raises(ApiError) as raised:
        named(request, names)
    assert raised.value.code == "InvalidParameterException"
    return raised.value.message


@given(st.sets(st.text(min_size=1, max_size=4), max_size=30), st.integers(1, 10), st.booleans())
def test_all_pages_together_are_the_listing(names: set[str], size: int, descending: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    seen: list[str] = []
    params: dict[str, Any] = {"maxResults": size}
    while True:
        found = named(a_request(**params), list(names), descending=descending)
        seen += found.items
        if found.next_token is None:
            break
        assert len(found.items) == size
        params["nextToken"] = found.next_token
    assert seen == sorted(names, reverse=descending)


@given(st.data())
def test_what_stays_comes_once_whatever_comes_and_goes(data: st.DataObject) -> None:
    names = [f"{number:02}" for number in range(40)]
    stays = set(data.draw(st.lists(st.sampled_from(names), unique=True)))
    others = st.lists(st.sampled_from(names), unique=True)
    seen: list[str] = []
    params: dict[str, Any] = {"maxResults": data.draw(st.integers(1, 7))}
    while True:
        found = named(a_request(**params), [*stays.union(data.draw(others))])
        seen += found.items
        if found.next_token is None:
            break
        params["nextToken"] = found.next_token
    assert len(seen) == len({*seen})
    assert stays <= {*seen}
    assert seen == sorted(seen)


def test_places_have_as_many_parts_as_they_need() -> None:
    revisions = [("b", 2), ("a", 10), ("a", 9), ("b", 1)]
    first = page(a_request(maxResults=3), revisions, place=lambda one: one)
    assert first.items == [("a", 9), ("a", 10), ("b", 1)]
    rest = page(a_request(maxResults=3, nextToken=first.next_token), revisions, place=lambda one: one)
    assert rest == Page(items=[("b", 2)], next_token=None)


@pytest.mark.parametrize(
    ("operation", "usual", "most"),
    [
        ("ListTasks", 100, 100),
        ("ListClusters", 100, 100),
        ("ListServices", 10, 100),
        ("ListServicesByNamespace", 10, 100),
        ("ListServiceDeployments", 20, 100),
        ("ListAccountSettings", 10, 10),
        ("DescribeCapacityProviders", 10, 10),
    ],
)
def test_sizes_are_awss(operation: str, usual: int, most: int) -> None:
    names = [f"{number:03}" for number in range(150)]
    assert named(a_request(operation), names).items == names[:usual]
    assert named(a_request(operation, maxResults=most), names).items == names[:most]
    for size in (0, -1, most + 1):
        message = refused(a_request(operation, maxResults=size), names)
        assert message == f"Invalid maxResults: {size}. It must be between 1 and {most}."


def test_a_token_belongs_to_its_listing() -> None:
    names = [f"{number:03}" for number in range(150)]
    token = named(a_request(cluster="c"), names).next_token
    assert token is not None
    assert named(a_request(cluster="c", nextToken=token), names).items == names[100:]
    assert named(a_request(cluster="c", nextToken=token, maxResults=7), names).items == names[100:107]
    other = Scope(region="eu-west-1", account=SCOPE.account)
    for request in (
        a_request(nextToken=token),
        a_request(cluster="d", nextToken=token),
        a_request("ListServices", cluster="c", nextToken=token),
        a_request(cluster="c", nextToken=token, scope=other),
    ):
        assert refused(request, names) == "Invalid nextToken."


def test_a_token_can_not_be_made_up() -> None:
    names = [f"{number:03}" for number in range(150)]
    token = named(a_request(), names).next_token
    assert token is not None
    for place in range(len(token)):
        swapped = "B" if token[place] == "A" else "A"
        changed = token[:place] + swapped + token[place + 1 :]
        assert refused(a_request(nextToken=changed), names) == "Invalid nextToken."


@given(st.text(min_size=1))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    assert refused(a_request(nextToken=text), []) == "Invalid nextToken."


def test_long_and_empty_tokens() -> None:
    assert refused(a_request(nextToken="A" * 100_000), []) == "Invalid nextToken."
    assert named(a_request(nextToken=""), ["a"]).items == ["a"]
