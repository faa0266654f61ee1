"""Options of `kecs run` as values."""

import pytest

from kecs.core.errors import UsageError
from kecs.local.options import Publish, RunOptions, publishes, variables


def test_publish() -> None:
    assert publishes(["8080", "9000:80"]) == (
        Publish(host_port=8080, inside_port=8080),
        Publish(host_port=9000, inside_port=80),
    )


@pytest.mark.parametrize("value", ["", "0", "65536", "a", "80:", ":80", "1:2:3", "99999:80", "-1"])
def test_a_wrong_port_is_refused_with_its_value(value: str) -> None:
    with pytest.raises(UsageError, match="--publish is") as error:
        publishes([value])
    assert f'"{value}"' in error.value.message
    assert error.value.hint


def test_a_host_port_can_be_given_once() -> None:
    with pytest.raises(UsageError, match="8080 twice"):
        publishes(["8080", "8080:81"])


def test_variables() -> None:
    assert variables(["A=1", "B=x=y", "A=", "_c=ü"]) == {"A": "", "B": "x=y", "_c": "ü"}


@pytest.mark.parametrize("value", ["A", "=1", "1A=2", "A B=1"])
def test_a_wrong_variable_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="--env is"):
        variables([value])


@pytest.mark.parametrize("account", ["", "12", "12345678901a", "0000000000000"])
def test_account(account: str) -> None:
    with pytest.raises(UsageError, match="--account is"):
        RunOptions(command=("true",), account=account)


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "us-isob-east-1", "eusc-de-east-1", ""])
def test_regions_of_all_partitions(region: str) -> None:
    assert RunOptions(command=("true",), region=region).region == region


@pytest.mark.parametrize("region", ["US-EAST-1", "useast1", "us-east", "a b", "../etc"])
def test_a_wrong_region_is_refused(region: str) -> None:
    with pytest.raises(UsageError, match="--region is"):
        RunOptions(command=("true",), region=region)


def test_no_command() -> None:
    with pytest.raises(UsageError, match="no command") as error:
        RunOptions(command=())
    assert error.value.exit_code == 2
