"""Account settings: a principal's own, the account's defaults, and what holds where nobody has said anything. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kecs.controlplane.errors import invalid
from kecs.controlplane.operation import Operation, Outcome, Request, changed
from kecs.controlplane.pages import page
from kecs.controlplane.records import AccountSetting
from kecs.controlplane.state import Changes, Scope, State

_SWITCH: Final = ("enabled", "disabled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a setting may be."""

    values: tuple[str, ...]
    """Empty where clients can't set it."""
    default: str
    refusals: Mapping[str, str]
    """Values that AWS knows and refuses, with its sentence."""


def _setting(default: str, *values: str, refusals: Mapping[str, str] | None = None) -> Setting:
    return Setting(values=values, default=default, refusals=refusals or {})


_NO_SHORT_ARNS: Final = {"disabled": "You can no longer disable Long Arn settings"}

SETTINGS: Final[Mapping[str, Setting]] = {
    "awsvpcTrunking": _setting("disabled", *_SWITCH),
    "containerInsights": _setting("disabled", "enhanced", *_SWITCH),
    "containerInstanceLongArnFormat": _setting("enabled", "enabled", refusals=_NO_SHORT_ARNS),
    "defaultLogDriverMode": _setting("non-blocking", "blocking", "non-blocking"),
    "fargateEventWindows": _setting("disabled", *_SWITCH),
    "fargateFIPSMode": _setting("disabled", *_SWITCH),
    "fargateTaskRetirementWaitPeriod": _setting("7", "0", "7", "14"),
    "guardDutyActivate": _setting("off"),
    "serviceLongArnFormat": _setting("enabled", "enabled", refusals=_NO_SHORT_ARNS),
    "tagResourceAuthorization": _setting("on", "on", "off"),
    "taskLongArnFormat": _setting("enabled", "enabled", refusals=_NO_SHORT_ARNS),
}


def effective(state: State, scope: Scope, principal_arn: str, name: str) -> str:
    """Return the value that holds for a principal: its own, else the account's default, else AWS's."""
    for principal in dict.fromkeys((_principal(scope, principal_arn), "")):
        if (found := state.get(AccountSetting, _key(scope, principal, name))) is not None:
            return found.value
    return SETTINGS[name].default


def _root(scope: Scope) -> str:
    return f"arn:{scope.partition}:iam::{scope.account}:root"


def _principal(scope: Scope, principal_arn: str) -> str:
    """Return whose record it is: the account's root speaks for the account."""
    return "" if principal_arn == _root(scope) else principal_arn


def _key(scope: Scope, principal: str, name: str) -> str:
    return f"{scope.region}/{scope.account}/{principal}/{name}"


def _shown(scope: Scope, name: str, value: str, principal: str) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "principalArn": principal or _root(scope),
        "type": "user" if SETTINGS[name].values else "aws_managed",
    }


def _judged(name: str, value: str) -> None:
    setting = SETTINGS[name]
    if not setting.values:
        raise invalid(f"The setting {name} is managed by AWS and can't be changed.")
    if value in setting.refusals:
        raise invalid(setting.refusals[value])
    if value not in setting.values:
        raise invalid(f"Invalid value for {name}: {value}. Valid values are {', '.join(setting.values)}.")


def _put(request: Request, principal: str) -> Outcome:
    name, value = request.params["name"], request.params["value"]
    _judged(name, value)
    made = AccountSetting(
        region=request.scope.region, account=request.scope.account, principal_arn=principal, name=name, value=value
    )
    return Outcome(body={"setting": _shown(request.scope, name, value, principal)}, changes=changed(made))


def _put_own(request: Request, _state: State) -> Outcome:
    return _put(request, _principal(request.scope, request.params.get("principalArn") or request.principal_arn))


def _put_default(request: Request, _state: State) -> Outcome:
    return _put(request, "")


def _delete(request: Request, state: State) -> Outcome:
    name = request.params["name"]
    principal = _principal(request.scope, request.params.get("principalArn") or request.principal_arn)
    found = state.get(AccountSetting, _key(request.scope, principal, name))
    left = "" if found is None else found.value
    body = {"setting": _shown(request.scope, name, left, principal)}
    return Outcome(body=body, changes=Changes(delete=() if found is None else (found,)))


def _list(request: Request, state: State) -> Outcome:
    scope, params = request.scope, request.params
    asked = params.get("principalArn") or request.principal_arn
    principal = _principal(scope, asked)
    if params.get("effectiveSettings"):
        found = {name: effective(state, scope, asked, name) for name in SETTINGS}
    else:
        of_principal = state.settings_of(scope, principal)
        found = {setting.name: setting.value for setting in of_principal}
    if params.get("value") and not params.get("name"):
        raise invalid("A value can be given only along with a name.")
    wanted = [
        (name, value)
        for name, value in found.items()
        if params.get("name") in {None, "", name} and params.get("value") in {None, "", value}
    ]
    shown = page(request, wanted, place=lambda pair: pair[0])
    settings = [_shown(scope, name, value, principal) for name, value in shown.items]
    return Outcome(body={"settings": settings, "nextToken": shown.next_token})


OPERATIONS: Final[Mapping[str, Operation]] = {
    "PutAccountSetting": _put_own,
    "PutAccountSettingDefault": _put_default,
    "DeleteAccountSetting": _delete,
    "ListAccountSettings": _list,
}
