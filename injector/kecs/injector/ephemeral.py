"""Trust for a container that `kubectl debug` adds to a running pod: its AWS calls are intercepted too. Pure.

The API takes little there: volumes that the pod has, no subPath, no resources; annotations are dropped without a word.
A patch that it refuses would refuse the debugging, so this adds variables and one mount, and else nothing.
"""

from kecs.core.settings import ProxyMode
from kecs.injector.config import Facts, Injection
from kecs.injector.containers import TRUST_VOLUME, trust_mount
from kecs.injector.outcome import Operation, Outcome, Patched, Refused, Untouched
from kecs.injector.patch import append, put
from kecs.injector.pod import Object, Pod, metadata_problems, spec_problems
from kecs.injector.reason import Reason
from kecs.injector.variables import Given, for_sidecar

_KEY = "ephemeralContainers"


def review_ephemeral(new: Object, old: Object, facts: Facts, config: Injection, *, namespace: str) -> Outcome:
    """Decide about the containers of `new` that `old` has not. Only these can be changed."""
    del facts  # a running pod was decided about when it was made
    if namespace in config.untouched_namespaces:
        return Untouched(reasons=(Reason.OWN_NAMESPACE,))
    if problems := (*metadata_problems(new), *spec_problems(new)):
        return Refused(reasons=(Reason.BAD_POD,), sentences=problems)
    pod = Pod(new)
    if not pod.is_injected or all(volume["name"] != TRUST_VOLUME for volume in pod.list_of("volumes")):
        return Untouched(reasons=(Reason.NO_SIDECAR,))
    before = {container.get("name") for container in (old.get("spec") or {}).get(_KEY) or ()}
    operations: list[Operation] = []
    warnings: list[str] = []
    for index, container in enumerate(pod.list_of(_KEY)):
        if container["name"] not in before:
            given = for_sidecar(container, region=config.region)
            operations += _steps(("spec", _KEY, index), container, given)
            warnings += [f"container {container['name']}: {note}" for note in given.notes]
    if not operations:
        return Untouched(reasons=(Reason.ALREADY_INJECTED,), warnings=tuple(warnings))
    return Patched(
        operations=tuple(operations), mode=ProxyMode.SIDECAR, reasons=(Reason.COMPLETED,), warnings=tuple(warnings)
    )


def _steps(path: tuple[str | int, ...], container: Object, given: Given) -> list[Operation]:
    env = container.get("env") or []
    positions = {entry["name"]: position for position, entry in enumerate(env)}
    steps = [
        put((*path, "env", positions[name], "value"), f"{env[positions[name]].get('value') or ''}{suffix}")
        for name, suffix in given.extended.items()
    ]
    steps += append((*path, "env"), env, [{"name": name, "value": value} for name, value in given.added.items()])
    mounts = container.get("volumeMounts") or []
    mount = trust_mount()
    if all(one.get("mountPath") != mount["mountPath"] for one in mounts):
        steps += append((*path, "volumeMounts"), mounts, [mount])
    return steps
