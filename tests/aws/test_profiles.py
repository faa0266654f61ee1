import pytest

from kecs.aws.profiles import PROFILES, Profile


def test_every_backend_has_a_profile_under_its_name() -> None:
    assert {*PROFILES} == {"embedded", "localstack", "ministack", "moto-server", "generic"}
    assert all(name == profile.name for name, profile in PROFILES.items())


def test_profiles_can_not_be_changed() -> None:
    with pytest.raises(TypeError):
        PROFILES["mine"] = Profile(name="mine")  # type: ignore[index]  # that it can't be done is the test


def test_backends_that_route_by_scope_get_one_for_everything() -> None:
    assert PROFILES["moto-server"].sign == PROFILES["generic"].sign == "all"
    assert not PROFILES["embedded"].markers  # its answers carry the names that were asked
