"""Settings, facts, amounts and annotations: what is taken, and the sentence about what is not."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from injector_lab import injection

from kecs.certs.authority import certificate_pem, issue_root
from kecs.certs.bundle import fingerprint
from kecs.core.errors import ConfigError, KecsError
from kecs.injector import limits, wishes
from kecs.injector.config import Endpoint, Facts, Images, LimitRange, Resources, RulesBackend, Trust
from kecs.injector.mode import Marks
from kecs.injector.quantity import Quantity


@pytest.mark.parametrize(
    ("text", "value", "canonical"),
    [
        ("1000m", "1", "1"),
        ("0.5", "0.5", "500m"),
        ("1.", "1", "1"),
        (".5", "0.5", "500m"),
        ("1024Mi", str(2**30), "1Gi"),
        ("1.5Gi", str(3 * 2**29), "1536Mi"),
        ("0.1", "0.1", "100m"),
        ("100u", "0.0001", "100u"),
        ("128974848", "128974848", "128974848"),
        ("1e3", "1000", "1k"),
        ("12E-1", "1.2", "1200m"),
        ("2E", "2e18", "2E"),
        ("0", "0", "0"),
        ("0Mi", "0", "0"),
        ("+7k", "7000", "7k"),
    ],
)
def test_amounts(text: str, value: str, canonical: str) -> None:
    found = Quantity.parse(text)
    assert found.value == Decimal(value)
    assert str(found) == canonical
    assert Quantity.parse(canonical) == found


@pytest.mark.parametrize("text", ["", "lots", "1 Gi", "1GiB", "-1", "1e", "--1", "1e99", "9E19", None, 7, "\u0661"])
def test_impossible_amounts(text: object) -> None:
    with pytest.raises(ConfigError, match="amount") as caught:
        Quantity.parse(text)
    assert "64Mi" in caught.value.hint


@given(st.integers(0, 2**62), st.sampled_from(["m", "", "k", "M", "Ki", "Mi"]))
def test_every_amount_survives_its_canonical_form(number: int, suffix: str) -> None:
    try:
        found = Quantity.parse(f"{number}{suffix}")
    except ConfigError:
        return
    assert Quantity.parse(str(found)) == found


def test_amounts_compare_as_numbers() -> None:
    assert Quantity.parse("1") == Quantity.parse("1000m") != Quantity.parse("2")
    assert Quantity.parse("1Gi") > Quantity.parse("1G")
    assert len({Quantity.parse("1"), Quantity.parse("1000m")}) == 1
    assert Quantity.parse("1") != "1"


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("http://ls:4566", "ls", 4566, False),
        ("http://ls/", "ls", 80, False),
        ("https://ls.example", "ls.example", 443, True),
        ("http://[::1]:1", "::1", 1, False),
    ],
)
def test_endpoints(url: str, host: str, port: int, tls: bool) -> None:  # noqa: FBT001 - a column
    found = Endpoint.parse(url, source="x")
    assert (found.host, found.port, found.tls) == (host, port, tls)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "no HTTP URL"),
        ("ls:4566", "no HTTP URL"),
        ("ftp://ls", "no HTTP URL"),
        ("http://", "no HTTP URL"),
        ("http://ls:0", "no HTTP URL"),
        ("http://ls:99999", "no HTTP URL"),
        ("http://a b", "no HTTP URL"),
        ("http://ls\n", "no HTTP URL"),
        ("http://[::1", "no HTTP URL"),
        ("http://ls/path", "more than scheme, host and port"),
        ("http://me@ls", "more than scheme, host and port"),
        ("http://ls?x=1", "more than scheme, host and port"),
        ("https://s3.eu-west-1.amazonaws.com", "AWS itself"),
        ("https://sqs.cn-north-1.amazonaws.com.cn:443", "AWS itself"),
    ],
)
def test_endpoints_that_no_call_can_be_sent_to(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Endpoint.parse(url, source="annotation x")
    assert caught.value.message.startswith("annotation x is ")
    assert caught.value.hint


def test_settings_that_are_impossible() -> None:
    with pytest.raises(ConfigError, match=r"images\.init"):
        Images(init="", sidecar="s")
    with pytest.raises(ConfigError, match="pullPolicy"):
        Images(init="i", sidecar="s", pull_policy="Sometimes")
    with pytest.raises(ConfigError, match="request 2 is above the limit 1"):
        Resources.of("2", "1", "1Mi", "1Mi")
    with pytest.raises(KecsError, match=r"trust\.extraCAs"):
        injection(extra_cas="no certificate")
    assert injection().capabilities == ("NET_ADMIN",)
    assert injection(rules=RulesBackend.LEGACY).capabilities == ("NET_ADMIN", "NET_RAW")


def test_roots_are_read_with_their_fingerprints_and_a_companys_own_come_after() -> None:
    roots = [issue_root(datetime(2026, 1, 1, tzinfo=UTC), permitted=("amazonaws.com",)).certificate for _ in range(2)]
    trust = Trust.from_pem(certificate_pem(*roots), source="kecs-trust")
    assert trust.sha256 == tuple(map(fingerprint, roots))
    extra = certificate_pem(roots[1]).decode()
    assert trust.with_extra(extra) == f"{trust.pem.strip()}\n{extra.strip()}\n"
    assert trust.with_extra("") == trust.pem
    with pytest.raises(KecsError, match="kecs-trust"):
        Trust.from_pem(b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", source="kecs-trust")
    with pytest.raises(ConfigError, match="bytes, above"):
        injection(extra_cas=extra * 200)
    with pytest.raises(ConfigError, match="bytes, above"):
        trust.with_extra(extra * 300)


@pytest.mark.parametrize(
    ("label", "default", "level"),
    [
        (None, "", "privileged"),
        ("baseline", "", "baseline"),
        (None, "restricted", "restricted"),
        ("privileged", "restricted", "privileged"),
        ("nonsense", "", "privileged"),
    ],
)
def test_pod_security(label: str | None, default: str, level: str) -> None:
    labels = {} if label is None else {"pod-security.kubernetes.io/enforce": label}
    assert Facts(namespace=Marks(labels=labels), psa_default=default).pod_security == level


def asked(**annotations: str) -> wishes.Wishes | tuple[str, ...]:
    return wishes.read({f"kecs.io/{name.replace('_', '-')}": value for name, value in annotations.items()}, injection())


@pytest.mark.parametrize(
    ("annotation", "value", "said"),
    [
        ("localstack_endpoint", "nonsense", "it may|give one like http://"),
        ("aws_proxy_debug", "True", "it may be true, false"),
        ("trust_overlay", "", "absolute paths of files"),
        ("trust_overlay", "/a/", "absolute paths of files"),
        ("trust_overlay", "/a,b", 'names "b"'),
        ("trust_overlay", "/a/../b", "absolute paths of files"),
        ("trust_overlay", "AUTO", "it may be auto, off"),
        ("init_cpu_request", "1\n", "give an amount"),
        ("sidecar_memory_limit", "64MB", "give an amount"),
    ],
)
def test_annotations_that_can_not_be_obeyed(annotation: str, value: str, said: str) -> None:
    found = asked(**{annotation: value})
    assert isinstance(found, tuple)
    (sentence,) = found
    assert f"kecs.io/{annotation.replace('_', '-')}" in sentence
    assert any(word in sentence for word in said.split("|"))
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("annotations", "spelled"),
    [
        ({}, {"requests": {"cpu": "20m", "memory": "48Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}),
        (
            {"sidecar_cpu_request": "2", "sidecar_memory_limit": "16Mi"},
            {"requests": {"cpu": "2", "memory": "16Mi"}, "limits": {"cpu": "2", "memory": "16Mi"}},
        ),
        (
            {"sidecar_cpu_request": "0", "sidecar_cpu_limit": "0.25"},
            {"requests": {"cpu": "0", "memory": "48Mi"}, "limits": {"cpu": "250m", "memory": "128Mi"}},
        ),
    ],
)
def test_one_bound_alone_moves_the_other(annotations: dict[str, str], spelled: dict[str, dict[str, str]]) -> None:
    found = asked(**annotations)
    assert isinstance(found, wishes.Wishes)
    assert found.sidecar.spell() == spelled


def test_a_limit_range_is_read_as_the_api_gives_it() -> None:
    container = {"type": "Container", "min": {"cpu": "10m"}, "max": {"memory": "1Gi", "ephemeral-storage": "1Gi"}}
    limits_given = [container | {"maxLimitRequestRatio": {"cpu": "4"}}, {"type": "Pod", "max": {"cpu": "1"}}]
    assert LimitRange.of({"metadata": {"name": "r"}, "spec": {"limits": limits_given}}) == LimitRange(
        name="r", minimum=amounts(cpu="10m"), maximum=amounts(memory="1Gi"), ratio=amounts(cpu="4")
    )
    assert LimitRange.of({"metadata": {"name": "r"}, "spec": {"limits": None}}) == LimitRange(name="r")


def amounts(**values: str) -> dict[str, Quantity]:
    return {name: Quantity.parse(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("bounds", "shown"),
    [
        pytest.param({}, ("10m", "500m", "32Mi", "64Mi"), id="none"),
        pytest.param({"minimum": amounts(memory="128Mi")}, ("10m", "500m", "128Mi", "128Mi"), id="a high minimum"),
        pytest.param({"maximum": amounts(cpu="5m")}, ("5m", "5m", "32Mi", "64Mi"), id="a low maximum"),
        pytest.param({"ratio": amounts(cpu="3", memory="1")}, ("167m", "500m", "64Mi", "64Mi"), id="ratios"),
        pytest.param(
            {"minimum": amounts(cpu="20m"), "maximum": amounts(cpu="100m"), "ratio": amounts(cpu="4")},
            ("25m", "100m", "32Mi", "64Mi"),
            id="all",
        ),
    ],
)
def test_limit_ranges(bounds: dict[str, dict[str, Quantity]], shown: tuple[str, ...]) -> None:
    resources = Resources.of("10m", "500m", "32Mi", "64Mi")
    found, sentences = limits.fitted(resources, (LimitRange(name="r", **bounds),))
    assert found == Resources.of(*shown)
    assert len(sentences) == (found != resources)
    assert limits.fitted(found, (LimitRange(name="r", **bounds),)) == (found, ())
