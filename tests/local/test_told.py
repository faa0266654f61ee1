"""What the sidecar of a run is told, from the options of the run."""

from contextlib import ExitStack

import emulator_lab
import pytest

from kecs.core.backends import BackendProfile
from kecs.core.errors import UsageError
from kecs.emulator.backend import Backend
from kecs.local.options import RunOptions
from kecs.local.run import _config, _controlplane

BACKEND = Backend(scheme="http", host="127.0.0.1", port=4566)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://plane.example", ("plane.example", 443, True)),
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080, False)),
        ("backend", ("", 0, False)),
    ],
)
def test_the_control_planes_scheme_is_told(url: str, told: tuple[str, int, bool]) -> None:
    options = RunOptions(command=("true",), controlplane=url)
    with ExitStack() as stack:
        plane, controlplane = _controlplane(stack, options, BACKEND, "eu-west-1")
    assert plane is None
    config = _config(options, BACKEND, controlplane, "eu-west-1", [])
    assert (config.controlplane_host, config.controlplane_port, config.controlplane_tls) == told


@pytest.mark.parametrize(
    ("asked", "profile", "told"),
    [
        pytest.param(BackendProfile.AUTO, "embedded", "its profile is embedded", id="as it said"),
        pytest.param(BackendProfile.GENERIC, "generic", "its profile is generic as --profile says", id="as was asked"),
    ],
)
def test_the_backend_s_profile(asked: BackendProfile, profile: str, told: str) -> None:
    notes: list[str] = []
    with emulator_lab.running() as emulator:
        url = f"http://127.0.0.1:{emulator.port}"
        options = RunOptions(command=("true",), backend=url, profile=asked)
        config = _config(options, Backend.parse(url), None, "eu-west-1", notes)
    assert (config.profile, config.backend_found) == (profile, "the embedded emulator")
    assert notes == [f"backend {url} is the embedded emulator; {told}"]


def test_a_backend_that_is_away_keeps_the_profile_that_was_asked_for() -> None:
    notes: list[str] = []
    url = "http://127.0.0.1:1"
    options = RunOptions(command=("true",), backend=url, profile=BackendProfile.LOCALSTACK)
    config = _config(options, Backend.parse(url), None, "eu-west-1", notes)
    assert (config.profile, config.backend_found) == ("localstack", "")
    assert notes == [f"no backend answers at {url}: connection refused; calls fail until it does"]


def test_what_is_set_of_accounts_is_told() -> None:
    accounts = ("AKIAIOSFODNN7EXAMPLE=111122223333", "*=444455556666")
    options = RunOptions(command=("true",), accounts=accounts)
    assert _config(options, BACKEND, None, "eu-west-1", []).accounts == accounts


def test_a_profile_without_a_backend_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        RunOptions(command=("true",), profile=BackendProfile.MINISTACK)
    assert error.value.message == '--profile is "ministack", and there is no backend'
