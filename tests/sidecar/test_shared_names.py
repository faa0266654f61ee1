"""Names and addresses, between processes."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from kecs.sidecar.shared_names import SharedAllocator, SharedNames

NETWORK = "198.19.0.0/24"


@pytest.fixture
def writer() -> Iterator[SharedAllocator]:
    made = SharedAllocator(NETWORK)
    yield made
    made.close()


def test_who_reads_knows_a_name_as_soon_as_its_address_is_told(writer: SharedAllocator) -> None:
    reader = SharedNames(writer.descriptor, NETWORK)
    assert reader.name_of("198.19.0.1") is None
    for index, name in enumerate(("s3.amazonaws.com", "sqs.eu-west-1.amazonaws.com", "x" * 253), start=1):
        address = writer.address_of(name)
        assert address == f"198.19.0.{index}"
        assert reader.name_of(address) == writer.name_of(address) == name
        assert writer.address_of(name) == address
    assert reader.address_of("s3.amazonaws.com") is None, "only one gives out"


@pytest.mark.parametrize(
    "address",
    ["198.19.0.0", "198.19.0.2", "198.19.0.255", "198.19.1.1", "198.18.0.1", "10.0.0.1", "::1", "198.19.0.x", ""],
)
def test_what_was_not_given_out_is_nobodys(address: str, writer: SharedAllocator) -> None:
    writer.address_of("s3.amazonaws.com")
    assert SharedNames(writer.descriptor, NETWORK).name_of(address) is None


def test_a_name_that_no_slot_holds_gets_no_address(writer: SharedAllocator) -> None:
    assert writer.address_of("x" * 256) is None
    assert len(writer) == 0


def test_the_range_ends_before_the_table_does(writer: SharedAllocator) -> None:
    given = [writer.address_of(f"n{index}.amazonaws.com") for index in range(300)]
    reader = SharedNames(writer.descriptor, NETWORK)
    assert given[253] == "198.19.0.254"
    assert given[254:] == [None] * 46
    assert [reader.name_of(f"198.19.0.{index}") for index in (1, 254, 255)] == [
        "n0.amazonaws.com",
        "n253.amazonaws.com",
        None,
    ]


def test_another_process_reads_it(writer: SharedAllocator) -> None:
    address = writer.address_of("sts.amazonaws.com")
    text = (
        "import sys; from kecs.sidecar.shared_names import SharedNames;"
        f" print(SharedNames(int(sys.argv[1]), {NETWORK!r}).name_of({address!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, str(writer.descriptor)],
        pass_fds=(writer.descriptor,),
        capture_output=True,
        text=True,
        check=True,
        timeout=40,
    )
    assert done.stdout == "sts.amazonaws.com\n"
