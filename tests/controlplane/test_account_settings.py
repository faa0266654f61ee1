"""Account settings, as clients meet them."""

from dataclasses import replace
from typing import Any

import pytest
from ecs_lab import SCOPE, EcsLab, ecs_client

from kecs.controlplane.account_settings import SETTINGS, effective
from kecs.controlplane.wire.model import model

ROOT = "arn:aws:iam::000000000000:root"
USER = "arn:aws:iam::000000000000:user/u"


@pytest.fixture
def lab() -> EcsLab:
    return EcsLab()


def values(lab: EcsLab, **params: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    token: dict[str, str] = {}
    while True:
        shown = lab.call("ListAccountSettings", {**params, **token})
        found |= {one["name"]: one["value"] for one in shown["settings"]}
        if "nextToken" not in shown:
            return found
        token = {"nextToken": shown["nextToken"]}


def test_every_setting_of_the_model_is_known() -> None:
    assert set(SETTINGS) == set(model().shapes["SettingName"].enum)


def test_nobody_has_said_anything(lab: EcsLab) -> None:
    assert lab.call("ListAccountSettings")["settings"] == []
    assert values(lab, effectiveSettings=True) == {name: setting.default for name, setting in SETTINGS.items()}


def test_a_default_holds_for_all_and_ones_own_before_it(lab: EcsLab) -> None:
    default = lab.call("PutAccountSettingDefault", {"name": "containerInsights", "value": "enabled"})
    assert default["setting"] == {
        "name": "containerInsights",
        "value": "enabled",
        "principalArn": ROOT,
        "type": "user",
    }
    own = lab.call("PutAccountSetting", {"name": "containerInsights", "value": "enhanced", "principalArn": USER})
    assert own["setting"]["principalArn"] == USER
    assert values(lab) == {"containerInsights": "enabled"}
    assert values(lab, principalArn=USER) == {"containerInsights": "enhanced"}
    assert values(lab, principalArn=USER, effectiveSettings=True)["containerInsights"] == "enhanced"
    assert effective(lab.state, SCOPE, USER, "containerInsights") == "enhanced"
    assert effective(lab.state, SCOPE, USER + "2", "containerInsights") == "enabled"
    assert effective(lab.state, replace(SCOPE, region="eu-west-1"), USER, "containerInsights") == "disabled"


def test_root_speaks_for_the_account(lab: EcsLab) -> None:
    lab.call("PutAccountSetting", {"name": "awsvpcTrunking", "value": "enabled"})
    assert effective(lab.state, SCOPE, USER, "awsvpcTrunking") == "enabled"


def test_what_is_deleted_holds_no_longer(lab: EcsLab) -> None:
    lab.call("PutAccountSettingDefault", {"name": "awsvpcTrunking", "value": "enabled"})
    lab.call("PutAccountSetting", {"name": "awsvpcTrunking", "value": "disabled", "principalArn": USER})
    gone = lab.call("DeleteAccountSetting", {"name": "awsvpcTrunking", "principalArn": USER})["setting"]
    assert (gone["name"], gone["value"], gone["principalArn"]) == ("awsvpcTrunking", "disabled", USER)
    assert effective(lab.state, SCOPE, USER, "awsvpcTrunking") == "enabled"
    again = lab.call("DeleteAccountSetting", {"name": "awsvpcTrunking", "principalArn": USER})["setting"]
    assert again["value"] == ""


def test_listing_by_name_and_value(lab: EcsLab) -> None:
    assert values(lab, effectiveSettings=True, name="taskLongArnFormat") == {"taskLongArnFormat": "enabled"}
    assert values(lab, effectiveSettings=True, name="taskLongArnFormat", value="disabled") == {}
    refused = lab.refused("ListAccountSettings", {"value": "enabled"})
    assert refused.message == "A value can be given only along with a name."
    shown = lab.call("ListAccountSettings", {"effectiveSettings": True, "name": "guardDutyActivate"})["settings"]
    assert shown[0]["type"] == "aws_managed"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("serviceLongArnFormat", "disabled", "You can no longer disable Long Arn settings"),
        ("taskLongArnFormat", "no", "Invalid value for taskLongArnFormat: no. Valid values are enabled."),
        (
            "fargateTaskRetirementWaitPeriod",
            "8",
            "Invalid value for fargateTaskRetirementWaitPeriod: 8. Valid values are 0, 7, 14.",
        ),
        ("guardDutyActivate", "on", "The setting guardDutyActivate is managed by AWS and can't be changed."),
    ],
)
def test_what_a_setting_can_not_be(lab: EcsLab, name: str, value: str, message: str) -> None:
    for operation in ("PutAccountSetting", "PutAccountSettingDefault"):
        error = lab.refused(operation, {"name": name, "value": value})
        assert (error.code, error.message) == ("InvalidParameterException", message)


@pytest.mark.parametrize(
    ("operation", "params"), [("PutAccountSetting", {"value": "on"}), ("DeleteAccountSetting", {})]
)
def test_an_unknown_setting_is_refused(lab: EcsLab, operation: str, params: dict[str, Any]) -> None:
    assert lab.refused(operation, {"name": "color", **params}).code == "InvalidParameterException"


def test_boto3_understands_all_of_it(lab: EcsLab) -> None:
    with lab.served() as url:
        client = ecs_client(url)
        client.put_account_setting_default(name="containerInsights", value="enabled")
        found = client.list_account_settings(name="containerInsights", effectiveSettings=True)["settings"]
        assert [(one["name"], one["value"]) for one in found] == [("containerInsights", "enabled")]
