"""Asks the emulator's ELBv2 of target groups, and tells it their targets. An edge.

boto3 is loaded with the first of these, on a thread: it takes a quarter of a second that most of us never need.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

from kecs.controlplane.emulator_client import client
from kecs.controlplane.errors import ApiError
from kecs.controlplane.load_balancers import Act, Target, TargetGroup, TargetHealth
from kecs.controlplane.operation import Question, Request
from kecs.controlplane.service_checks import TARGET_GROUP
from kecs.controlplane.state import Scope

_THREADS: Final = 4
_ATTEMPTS: Final = 2
_GONE: Final = "TargetGroupNotFound"


class TargetsError(Exception):
    """ELBv2 refused, or could not be asked. The message is what a service's history says of it."""


class TargetGroups(Protocol):
    """What knows target groups."""

    async def tell(self, act: Act, group: str, targets: Iterable[Target]) -> None:
        """Register targets, or deregister them; what is so already is no fault. Raise TargetsError."""
        ...

    async def health(self, group: str) -> Mapping[Target, TargetHealth]:
        """Return what is found of a group's targets. Raise TargetsError."""
        ...


class EmulatorTargets:
    """The emulator's target groups, by region and account of their ARNs."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="targets")
        self._clients: dict[tuple[str, str], Any] = {}

    def close(self) -> None:
        """End its threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def answer(self, question: Question, _request: Request) -> TargetGroup | None:
        """Answer what an operation asks: which target group an ARN means; None where there is none."""
        if question.kind != TARGET_GROUP:
            raise ValueError(f"nobody answers questions of kind {question.kind}")
        try:
            return await self._call(lambda: self._described(question.subject))
        except TargetsError as error:
            message = f"The load balancers' service could not be asked for {question.subject}: {error}"
            raise ApiError("ServerException", message) from error

    async def tell(self, act: Act, group: str, targets: Iterable[Target]) -> None:
        """Register targets, or deregister them. A group that is gone has none."""
        given = [{"Id": one.id, "Port": one.port} for one in targets]
        await self._call(lambda: self._tell(act, group, given))

    async def health(self, group: str) -> Mapping[Target, TargetHealth]:
        """Return what is found of a group's targets."""
        return await self._call(lambda: self._health(group))

    async def _call[T](self, function: Callable[[], T]) -> T:
        if not self._endpoint:
            raise TargetsError("there is no emulator to ask")
        return await asyncio.get_running_loop().run_in_executor(self._threads, _guarded, function)

    def _described(self, group: str) -> TargetGroup | None:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - see the module

        if not group.startswith("arn:"):
            return None
        try:
            asked = self._client(group).describe_target_groups(TargetGroupArns=[group])
        except ClientError as error:
            if error.response["Error"].get("Code") == _GONE:
                return None
            raise
        found = asked["TargetGroups"]
        if not found:
            return None
        kind = found[0].get("TargetType", "instance")
        return TargetGroup(arn=group, target_type=kind, load_balancers=tuple(found[0].get("LoadBalancerArns") or ()))

    def _tell(self, act: Act, group: str, targets: list[dict[str, Any]]) -> None:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - see the module

        elbv2 = self._client(group)
        if act is Act.REGISTER:
            elbv2.register_targets(TargetGroupArn=group, Targets=targets)
            return
        try:
            elbv2.deregister_targets(TargetGroupArn=group, Targets=targets)
        except ClientError as error:
            if error.response["Error"].get("Code") != _GONE:
                raise

    def _health(self, group: str) -> dict[Target, TargetHealth]:
        asked = self._client(group).describe_target_health(TargetGroupArn=group)
        return {
            Target(id=one["Target"]["Id"], port=int(one["Target"].get("Port", 0))): TargetHealth(
                state=one["TargetHealth"]["State"], reason=one["TargetHealth"].get("Description", "")
            )
            for one in asked["TargetHealthDescriptions"]
        }

    def _client(self, group: str) -> Any:
        scope = Scope.of(group)
        key = scope.region, scope.account
        if key not in self._clients:
            self._clients[key] = client(self._endpoint, "elbv2", *key, attempts=_ATTEMPTS)
        return self._clients[key]


def _guarded[T](function: Callable[[], T]) -> T:
    """Call a function on a thread; raise TargetsError for what goes wrong with the emulator."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see the module

    try:
        return function()
    except ClientError as error:
        said = error.response["Error"]
        raise TargetsError(f"{said.get('Code')}: {said.get('Message')}") from error
    except BotoCoreError as error:
        raise TargetsError(" ".join(str(error).split())) from error
