"""Who may still come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.relay.config import RelayConfig
from kecs.relay.occupancy import Entry, Limit, Occupancy, room_for

MANY = 1 << 20


def occupancy(*, descriptors: int = MANY, **limits: int) -> Occupancy:
    return Occupancy(RelayConfig(**limits), descriptors=descriptors)


def test_a_client_is_carried_while_there_is_room() -> None:
    room = occupancy(connections_max=2)
    assert [room.enter(number, "10.0.0.1") for number in (1, 2)] == [Entry(), Entry()]
    assert room.limit_of(1) is None
    assert room.clients == 2


def test_above_the_limit_the_reserve_is_answered_and_then_nobody() -> None:
    room = occupancy(connections_max=1, connections_reserve=2)
    room.enter(1, "a")
    answered = Entry(limit=Limit.CONNECTIONS)
    assert [room.enter(number, "a") for number in (2, 3, 4)] == [
        answered,
        answered,
        Entry(limit=Limit.CONNECTIONS, answered=False),
    ]
    assert [room.limit_of(number) for number in (1, 2, 3, 4)] == [None, Limit.CONNECTIONS, Limit.CONNECTIONS, None]
    assert room.clients == 1


def test_who_leaves_makes_room_of_its_own_kind() -> None:
    room = occupancy(connections_max=1, connections_reserve=1)
    for number in (1, 2):
        room.enter(number, "a")
    room.leave(2, "a")
    assert room.enter(3, "a") == Entry(limit=Limit.CONNECTIONS)
    room.leave(1, "a")
    assert room.enter(4, "a") == Entry()
    assert room.limit_of(3) is Limit.CONNECTIONS, "who was told to go is not carried after all"


def test_one_address_does_not_take_the_room_of_others() -> None:
    room = occupancy(client_connections_max=2)
    for number in (1, 2):
        room.enter(number, "10.0.0.1")
    assert room.enter(3, "10.0.0.1") == Entry(limit=Limit.CLIENT_CONNECTIONS)
    assert room.enter(4, "10.0.0.2") == Entry()
    room.leave(1, "10.0.0.1")
    assert room.enter(5, "10.0.0.1") == Entry()


@pytest.mark.parametrize(
    ("descriptors", "connections", "reserve"),
    [(1 << 20, 8192, 64), (1024, 432, 64), (128, 12, 8), (96, 1, 0), (10, 1, 0)],
    ids=str,
)
def test_descriptors_bound_it_too(descriptors: int, connections: int, reserve: int) -> None:
    assert room_for(RelayConfig(), descriptors) == (connections, reserve)
    assert occupancy(descriptors=descriptors).most == connections


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=60), st.integers(0, 3), st.integers(0, 3))
def test_whoever_comes_and_goes_nothing_is_left_behind(
    acts: list[tuple[bool, str]], reserve: int, per_client: int
) -> None:
    room = occupancy(connections_max=3, connections_reserve=reserve, client_connections_max=per_client)
    inside: list[tuple[int, str]] = []
    for number, (enters, client) in enumerate(acts):
        if enters:
            if room.enter(number, client).answered:
                inside.append((number, client))
        elif inside:
            room.leave(*inside.pop(0))
        assert room.clients <= 3
        assert len(inside) <= 3 + reserve
    for number, client in inside:
        room.leave(number, client)
    assert (room.clients, dict(room._by_client), room._over) == (0, {}, {})
