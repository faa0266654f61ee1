"""The options of commands that look at pods, and what they mean. An edge: it reads the kubeconfig."""

import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kecs.core.names import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from kecs.certs.kube import Kube

_OWN_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Duration(click.ParamType[float]):
    """A time, as seconds: 90, 90s, 10m, 1h30m, 2d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it; a number is seconds."""
        if isinstance(value, int | float):
            return float(value)
        match = _DURATION.fullmatch(value)
        if not value or match is None:
            self.fail(f"{value!r} is no duration, e.g. 45s, 10m or 1h30m", param, ctx)
        days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()


_DURATION: Final = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,8}(?:\.\d{1,6})?)s?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The cluster that is looked at, and where in it."""

    kube: "Kube"
    namespace: str
    """Empty for all."""
    system_namespace: str
    """Where KECS runs."""

    def path(self, name: str = "", *, namespace: str = "") -> str:
        """Return where pods, or one of them, are."""
        where = namespace or self.namespace
        pods = f"/api/v1/namespaces/{where}/pods" if where else "/api/v1/pods"
        return f"{pods}/{name}" if name else pods


CLUSTER_OPTIONS: Final = (
    click.option("--context", default="", metavar="NAME", help="Context of the kubeconfig. Default: its current one."),
    click.option(
        "--kubeconfig", default="", metavar="FILE", help="The cluster. Default: KUBECONFIG, else ~/.kube/config."
    ),
    click.option(
        "--system-namespace",
        default=SYSTEM_NAMESPACE,
        metavar="NAME",
        help=f"Namespace of KECS. Default: {SYSTEM_NAMESPACE}.",
    ),
)


def scope_of(
    *, context: str, kubeconfig: str, namespace: str, system_namespace: str, everywhere: bool = False
) -> Scope:
    """Connect to a cluster; without a namespace, that of the context."""
    from kecs.certs.kube import Kube  # noqa: PLC0415 - `kecs --help` need not load the client

    kube = Kube.load(kubeconfig=kubeconfig, context=context)
    where = "" if everywhere else namespace or _current_namespace(kubeconfig, context)
    return Scope(kube=kube, namespace=where, system_namespace=system_namespace)


def scoped(*, everywhere: bool = False, one_pod: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Give a command the options that say which cluster and namespace; `everywhere`: all if none is named."""
    default = "all" if everywhere else "the context's"

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def located(*, context: str, kubeconfig: str, namespace: str, system_namespace: str, **flags: Any) -> Any:
            each = flags.pop("each_namespace", False) or (everywhere and not namespace)
            where = {"context": context, "kubeconfig": kubeconfig, "system_namespace": system_namespace}
            return command(scope=scope_of(namespace=namespace, everywhere=each, **where), **flags)

        options = [
            click.option(
                "-n", "--namespace", default="", metavar="NAME", help=f"Namespace of the pods. Default: {default}."
            ),
            *CLUSTER_OPTIONS,
        ]
        if not one_pod and not everywhere:
            options.insert(
                1,
                click.option("-A", "--all-namespaces", "each_namespace", is_flag=True, help="Pods of all namespaces."),
            )
        decorated: Callable[..., Any] = located
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def _current_namespace(kubeconfig: str, context: str) -> str:
    """Return the namespace of the context, or of this pod; `default` where neither names one."""
    from kubernetes import config  # noqa: PLC0415 - see above
    from kubernetes.config import ConfigException  # noqa: PLC0415 - see above

    try:
        contexts, active = config.list_kube_config_contexts(kubeconfig or os.environ.get("KUBECONFIG") or None)
    except (ConfigException, OSError, ValueError):
        contexts, active = [], None
    named = next((one for one in contexts if one.get("name") == context), None) if context else active
    if named is not None:
        return str((named.get("context") or {}).get("namespace") or "default")
    try:
        return _OWN_NAMESPACE.read_text(encoding="ascii").strip() or "default"
    except OSError:
        return "default"
