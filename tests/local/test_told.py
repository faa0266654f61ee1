"""What the sidecar of a run is told, from the options of the run."""

import pytest

from kecs.emulator.backend import Backend
from kecs.local.options import RunOptions
from kecs.local.run import _config

BACKEND = Backend(scheme="http", host="127.0.0.1", port=4566)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://plane.example", ("plane.example", 443, True)),
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080, False)),
        ("", ("", 0, False)),
    ],
)
def test_the_control_planes_scheme_is_told(url: str, told: tuple[str, int, bool]) -> None:
    controlplane = Backend.parse(url, source="--controlplane") if url else None
    config = _config(RunOptions(command=("true",), controlplane=url), BACKEND, controlplane, "eu-west-1", [])
    assert (config.controlplane_host, config.controlplane_port, config.controlplane_tls) == told
