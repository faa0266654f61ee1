from importlib.resources import files

import aws_lab

from kecs.aws.call import Protocol
from kecs.aws.tables import rest_lines, tables


def test_every_service_of_botocore_is_in_the_table() -> None:
    assert {*tables().services} >= {*aws_lab.session().get_available_services()}


def test_every_service_speaks_a_protocol_and_is_signed_for_a_name() -> None:
    for row in tables().services.values():
        assert {*row["protocols"]} & {*Protocol}
        assert row["signing"]


def test_indices_name_known_services_only() -> None:
    known = {*tables().services}
    for index in (tables().hosts, tables().signing, tables().targets, tables().by_action):
        for names in index.values():
            assert {*names} <= known
            assert names
    assert {*tables().actions} <= known
    assert {*rest_lines()} <= known


def test_standard_spellings_are_known_prefixes() -> None:
    assert {*tables().standard.values()} <= {*tables().hosts}
    assert tables().dual_stack_only <= {*tables().hosts}
    assert tables().regionless <= {*tables().hosts}
    assert not {*tables().standard} & {*tables().standard.values()}


def test_tables_are_read_once_and_are_small() -> None:
    assert tables() is tables()
    assert rest_lines() is rest_lines()
    assert sum(len((files("kecs.aws") / "data" / name).read_bytes()) for name in ("core.json", "rest.json")) < 1_000_000
