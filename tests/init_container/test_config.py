"""What the environment says, and what is refused."""

from pathlib import Path

import pytest

from kecs.core.errors import ConfigError
from kecs.core.names import DNS_PORT, PROXY_GID, PROXY_UID, RELAY_PORT
from kecs.init_container.config import BackendChoice, Config, IPv6, Redirect, from_environment


def test_an_empty_environment_means_the_defaults() -> None:
    assert from_environment({}) == Config(
        redirect=Redirect(uid=PROXY_UID, gid=PROXY_GID, relay_port=RELAY_PORT, dns_port=DNS_PORT, capture_dns=False),
        backend=BackendChoice.AUTO,
        ipv6=IPv6.AUTO,
        trust_roots=b"",
        trust_directory=Path("/run/kecs/trust"),
        public_roots=Path("/etc/ssl/certs/ca-certificates.crt"),
    )


def test_every_variable_is_read() -> None:
    config = from_environment(
        {
            "KECS_DNS_CAPTURE": "true",
            "KECS_IPTABLES_BACKEND": "legacy",
            "KECS_IPV6": "off",
            "KECS_TRUST_ROOTS": "PEM",
            "KECS_TRUST_DIRECTORY": "/trust",
            "KECS_PUBLIC_ROOTS": "/public.pem",
        }
    )
    assert config == Config(
        redirect=Redirect(capture_dns=True),
        backend=BackendChoice.LEGACY,
        ipv6=IPv6.OFF,
        trust_roots=b"PEM",
        trust_directory=Path("/trust"),
        public_roots=Path("/public.pem"),
    )


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        pytest.param("KECS_DNS_CAPTURE", "yes", "true, false", id="a switch"),
        pytest.param("KECS_IPTABLES_BACKEND", "bpf", "auto, nft, legacy", id="a back end"),
        pytest.param("KECS_IPV6", "on", "auto, off", id="IPv6"),
        pytest.param("KECS_TRUST_DIRECTORY", "trust", "/run/kecs/trust", id="a relative directory"),
        pytest.param("KECS_PUBLIC_ROOTS", "roots.pem", "/etc/ssl/certs", id="a relative file"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_name(name: str, value: str, hint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        from_environment({name: value})
    assert raised.value.message.startswith(f"{name} is {value!r}")
    assert hint in raised.value.hint


def test_an_empty_variable_means_its_default() -> None:
    names = ("DNS_CAPTURE", "IPTABLES_BACKEND", "IPV6", "TRUST_DIRECTORY", "PUBLIC_ROOTS")
    assert from_environment({f"KECS_{name}": "" for name in names}) == from_environment({})


@pytest.mark.parametrize(
    "values",
    [{"uid": 0}, {"gid": 0}, {"uid": 1 << 32}, {"relay_port": 0}, {"relay_port": 65536}, {"dns_port": -1}],
)
def test_numbers_out_of_range_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ConfigError) as raised:
        Redirect(**values)  # type: ignore[arg-type]  # none of them is the switch
    assert str(*values.values()) in raised.value.message
    assert raised.value.hint
