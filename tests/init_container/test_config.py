"""What the environment says, and what is refused."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from kecs.core.errors import ConfigError
from kecs.core.names import DNS_PORT, PROXY_GID, PROXY_UID, RELAY_PORT
from kecs.init_container.config import BackendChoice, Config, IPv6, Redirect, from_environment


def test_an_empty_environment_means_the_defaults() -> None:
    assert from_environment({}) == Config(
        redirect=Redirect(
            uid=PROXY_UID,
            gid=PROXY_GID,
            relay_port=RELAY_PORT,
            dns_port=DNS_PORT,
            capture_dns=False,
            excluded_ports=(),
            excluded_networks=(),
        ),
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
            "KECS_EXCLUDE_PORTS": "80, 80",
            "KECS_EXCLUDE_CIDRS": "10.0.0.0/8,fd00::/8,192.0.2.1",
            "KECS_TRUST_ROOTS": "PEM",
            "KECS_TRUST_DIRECTORY": "/trust",
            "KECS_PUBLIC_ROOTS": "/public.pem",
        }
    )
    assert config == Config(
        redirect=Redirect(
            capture_dns=True,
            excluded_ports=(80,),
            excluded_networks=(
                IPv4Network("10.0.0.0/8"),
                IPv6Network("fd00::/8"),
                IPv4Network("192.0.2.1/32"),
            ),
        ),
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
        pytest.param("KECS_EXCLUDE_PORTS", "http", "e.g. 80", id="a port by name"),
        pytest.param("KECS_EXCLUDE_CIDRS", "10.0.0.1/8", "e.g. 10.0.0.0/8", id="a network with host bits"),
        pytest.param("KECS_EXCLUDE_CIDRS", "amazonaws.com", "e.g. 10.0.0.0/8", id="a name"),
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
    names = (
        "DNS_CAPTURE",
        "IPTABLES_BACKEND",
        "IPV6",
        "EXCLUDE_PORTS",
        "EXCLUDE_CIDRS",
        "TRUST_DIRECTORY",
        "PUBLIC_ROOTS",
    )
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


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        pytest.param({"KECS_EXCLUDE_PORTS": "8443"}, "port 8443", id="a port that is not redirected"),
        pytest.param({"KECS_EXCLUDE_CIDRS": "0.0.0.0/0"}, "every address", id="all of IPv4"),
        pytest.param({"KECS_EXCLUDE_CIDRS": "10.0.0.0/8,::/0"}, "::/0", id="all of IPv6"),
    ],
)
def test_exclusions_that_can_not_be_meant_are_refused(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as raised:
        from_environment(environ)
    assert raised.value.hint
