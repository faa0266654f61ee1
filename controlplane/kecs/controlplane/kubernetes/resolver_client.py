"""Fetches what a task's definition only names from the emulator: secrets, environment files, credentials. An edge."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from kecs.controlplane.emulator_client import client
from kecs.controlplane.kubernetes.effective import Resolved, containers
from kecs.controlplane.kubernetes.logs import Destination, destination
from kecs.controlplane.kubernetes.references import (
    Parameter,
    Secret,
    UnresolvedError,
    bucket_and_key,
    credentials,
    login,
    picked,
    reference,
    variables,
)
from kecs.controlplane.kubernetes.runtime import ResolveError
from kecs.controlplane.runtime import Launch
from kecs.controlplane.state import Scope

type Json = dict[str, Any]

_PULL: Final = (
    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: "
)
_LOGS: Final = (
    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
    "failed to create Cloudwatch log stream: "
)
_THERE: Final = "ResourceAlreadyExistsException"
_FILES: Final = "ResourceInitializationError: failed to download env files: "
_AT_ONCE: Final = 10
"""Names that GetParameters takes."""
_THREADS: Final = 4
ATTEMPTS: Final = 3
_NAMES: Final = ("environmentFiles", "secrets", "repositoryCredentials")


class EmulatorResolver:
    """See the module. What was fetched is not kept: a secret that changes is another one for the next task."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolve")
        self._clients: dict[tuple[str, str, str], Any] = {}

    async def resolve(self, launch: Launch) -> Resolved:
        """Fetch everything; raise ResolveError with the reason why the task can't start."""
        named = any(one.get(name) for one in containers(launch) for name in _NAMES)
        if not named and not (self._endpoint and list(_streams(launch))):
            return Resolved()
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(self._resolved, launch))

    def close(self) -> None:
        """End its threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _client(self, service: str, region: str, account: str) -> Any:
        key = service, region, account
        if key not in self._clients:
            self._clients[key] = client(self._endpoint, *key, attempts=ATTEMPTS)
        return self._clients[key]

    def _resolved(self, launch: Launch) -> Resolved:
        scope, running = Scope.of(launch.task.arn), containers(launch)
        if not self._endpoint:
            raise ResolveError(f"{_PULL}there is no emulator to ask")
        files = _told(_FILES, lambda: {one["name"]: self._files(one, scope) for one in running})
        _told(_LOGS, lambda: self._make_streams(launch))
        return Resolved(
            files={name: found for name, found in files.items() if found},
            secrets=_told(_PULL, lambda: self._secrets(running, scope)),
            registries=_told(_PULL, lambda: dict(self._registries(running, scope))),
        )

    def _make_streams(self, launch: Launch) -> None:
        """Make the streams of logs before anything is written: a group that is not there ends the task on ECS, too."""
        for to in _streams(launch):
            logs = self._client("logs", to.region, to.account)
            if to.create_group:
                make(logs.create_log_group, logGroupName=to.group)
            make(logs.create_log_stream, logGroupName=to.group, logStreamName=to.stream)

    def _files(self, container: Json, scope: Scope) -> dict[str, str]:
        """Return what files set. The first file that has a variable wins; `environment` wins over all."""
        found: dict[str, str] = {}
        for one in container.get("environmentFiles") or ():
            bucket, key = bucket_and_key(one["value"])
            body = self._client("s3", scope.region, scope.account).get_object(Bucket=bucket, Key=key)["Body"].read()
            found = dict(variables(body.decode(errors="replace"))) | found
        set_anyway = {one["name"] for one in container.get("environment") or ()}
        set_anyway |= {one["name"] for one in container.get("secrets") or ()}
        return {name: value for name, value in found.items() if name not in set_anyway}

    def _secrets(self, running: list[Json], scope: Scope) -> dict[str, dict[str, str]]:
        wanted = {
            (container["name"], one["name"]): reference(one["valueFrom"], scope)
            for container in running
            for one in container.get("secrets") or ()
        }
        parameters = self._parameters([one for one in wanted.values() if isinstance(one, Parameter)])
        found: dict[str, dict[str, str]] = {}
        for (container, name), one in wanted.items():
            value = self._secret(one) if isinstance(one, Secret) else parameters[one]
            found.setdefault(container, {})[name] = value
        return found

    def _parameters(self, wanted: list[Parameter]) -> dict[Parameter, str]:
        values: dict[tuple[str, str, str], str] = {}
        for region, account in dict.fromkeys((one.region, one.account) for one in wanted):
            names = [name for one in wanted if (one.region, one.account) == (region, account) for name in one.names]
            for part in _parts(list(dict.fromkeys(names))):
                asked = self._client("ssm", region, account).get_parameters(Names=part, WithDecryption=True)
                values |= {(region, account, one["Name"]): one["Value"] for one in asked["Parameters"]}
        found: dict[Parameter, str] = {}
        for one in wanted:
            value = next(
                (values[key] for name in one.names if (key := (one.region, one.account, name)) in values), None
            )
            if value is None:
                raise UnresolvedError(f"unable to retrieve secrets from ssm: invalid parameters: {one.names[0]}")
            found[one] = value
        return found

    def _secret(self, one: Secret) -> str:
        which = {name: value for name, value in (("VersionStage", one.stage), ("VersionId", one.version)) if value}
        try:
            asked = self._client("secretsmanager", one.region, one.account).get_secret_value(SecretId=one.id, **which)
        except ClientError as error:
            said = error.response["Error"]
            why = f"failed to fetch secret {one.id} from secrets manager: {said['Code']}: {said['Message']}"
            raise UnresolvedError(f"unable to retrieve secret from asm: {why}") from error
        return picked(str(asked.get("SecretString") or ""), one.json_key, one.id)

    def _registries(self, running: list[Json], scope: Scope) -> Iterator[tuple[str, Mapping[str, str]]]:
        for container in running:
            if said := (container.get("repositoryCredentials") or {}).get("credentialsParameter"):
                one = login(said, scope)
                yield container["name"], credentials(self._secret(one), one.id)


def _streams(launch: Launch) -> Iterator[Destination]:
    for one in containers(launch):
        if (to := destination(one, launch.task.arn)) is not None:
            yield to


def make(create: Callable[..., Any], **arguments: str) -> bool:
    """Make a log group or a stream; say whether it was not there before."""
    try:
        create(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != _THERE:
            raise
        return False
    return True


def _parts(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]


def _told[T](what: str, function: Callable[[], T]) -> T:
    """Turn every way in which fetching fails into the reason that ECS gives."""
    try:
        return function()
    except UnresolvedError as error:
        raise ResolveError(f"{what}{error.message}") from error
    except ClientError as error:
        said = error.response["Error"]
        raise ResolveError(f"{what}{said.get('Code')}: {said.get('Message')}") from error
    except BotoCoreError as error:
        raise ResolveError(f"{what}{' '.join(str(error).split())}") from error
