"""What the command finds in its environment."""

import pytest

from kecs.local.environment import command_environment, region_of

TRUST = {"AWS_CA_BUNDLE": "/run/kecs/bundle.pem"}


def build(base: dict[str, str], **extra: str) -> dict[str, str]:
    environment = command_environment(
        base, trust=TRUST, region="eu-west-1", suffixes=("amazonaws.com", "api.aws"), extra=extra
    )
    return dict(environment.variables)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        pytest.param({}, ("eu-west-1", "eu-west-1"), id="neither set: both are"),
        pytest.param({"AWS_REGION": "us-west-2"}, ("us-west-2", "us-west-2"), id="AWS_REGION speaks for boto3 too"),
        pytest.param(
            {"AWS_DEFAULT_REGION": "us-west-2"},
            ("us-west-2", "us-west-2"),
            id="AWS_DEFAULT_REGION speaks for the others too",
        ),
        pytest.param({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}, ("a", "b"), id="both set: untouched"),
    ],
)
def test_region(base: dict[str, str], expected: tuple[str, str]) -> None:
    variables = build(base)
    assert (variables["AWS_REGION"], variables["AWS_DEFAULT_REGION"]) == expected


def test_the_callers_variables_stay() -> None:
    assert build({"HOME": "/home/ada", "PATH": "/bin"}).items() >= {"HOME": "/home/ada", "PATH": "/bin"}.items()


def test_env_option_wins() -> None:
    assert build({}, AWS_CA_BUNDLE="/other.pem")["AWS_CA_BUNDLE"] == "/other.pem"


@pytest.mark.parametrize("proxy", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_does_not_carry_aws_calls_away(proxy: str) -> None:
    variables = build({proxy: "http://proxy:3128", "NO_PROXY": "localhost, .corp"})
    assert variables["NO_PROXY"].startswith("localhost,.corp,amazonaws.com,api.aws,169.254.169.254")
    assert variables["no_proxy"] == variables["NO_PROXY"]
    assert variables[proxy] == "http://proxy:3128"


def test_without_a_proxy_there_are_no_exceptions() -> None:
    assert "NO_PROXY" not in build({})


@pytest.mark.parametrize(
    ("base", "word"),
    [
        pytest.param({"AWS_ENDPOINT_URL": "http://x"}, "AWS_ENDPOINT_URL is set", id="endpoint"),
        pytest.param({"AWS_EC2_METADATA_DISABLED": "true"}, "no credentials", id="metadata off, no keys"),
    ],
)
def test_what_would_surprise_is_said(base: dict[str, str], word: str) -> None:
    environment = command_environment(base, trust={}, region="r", suffixes=(), extra={})
    assert any(word in note for note in environment.notes)


def test_a_plain_environment_needs_no_note() -> None:
    assert command_environment({"AWS_ACCESS_KEY_ID": "AKIA"}, trust={}, region="r", suffixes=(), extra={}).notes == ()


@pytest.mark.parametrize(
    ("base", "config", "expected"),
    [
        pytest.param({}, "", "", id="nothing says"),
        pytest.param({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}, "", "a", id="AWS_REGION first"),
        pytest.param({}, "[default]\nregion = eu-north-1\n", "eu-north-1", id="default profile"),
        pytest.param(
            {"AWS_PROFILE": "dev"},
            "[default]\nregion=x\n[profile dev]\nregion = us-east-2",
            "us-east-2",
            id="named profile",
        ),
        pytest.param({}, "no section", "", id="a damaged file says nothing"),
    ],
)
def test_region_of(base: dict[str, str], config: str, expected: str) -> None:
    assert region_of(base, config) == expected
