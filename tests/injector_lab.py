"""Pods, settings and facts for tests of the injector, and an API server's habits with a pod that it has patched."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jsonpatch

from kecs.injector.config import Endpoint, Facts, Images, Injection, Trust
from kecs.injector.mode import Marks
from kecs.injector.outcome import Outcome, Patched, Refused, Untouched

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
MODE = "kecs.io/aws-proxy-mode"
TRUST = Trust(pem="-----BEGIN CERTIFICATE-----\nR09MREVO\n-----END CERTIFICATE-----\n", sha256=("ab" * 32, "cd" * 32))
FACTS = Facts(trust=TRUST, server_version=(1, 34))


def injection(**changes: Any) -> Injection:
    given: dict[str, Any] = {
        "version": "0.1.0",
        "images": Images(init="kecs-init:0.1.0", sidecar="kecs-sidecar:0.1.0"),
        "endpoint": Endpoint.parse("http://localstack.aws-services.svc.cluster.local:4566", source="a test"),
    }
    return Injection(**given | changes)


def facts(
    *, labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None, **more: Any
) -> Facts:
    given: dict[str, Any] = {"trust": TRUST, "server_version": (1, 34)} | more
    return Facts(namespace=Marks(labels=labels or {}, annotations=annotations or {}), **given)


def a_pod(mode: str = "sidecar", *, annotations: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    container = {"name": "app", "image": "example/app:1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "app", "annotations": {MODE: mode, **(annotations or {})}},
        "spec": {"containers": [container], **spec},
    }


def a_container(name: str = "app", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": f"example/{name}:1", **more}


def applied(pod: Mapping[str, Any], operations: Iterable[Any]) -> dict[str, Any]:
    """Apply a patch as the API server does: it has only the JSON of both."""
    result: dict[str, Any] = jsonpatch.apply_patch(
        json.loads(json.dumps(pod)), json.loads(json.dumps(list(operations)))
    )
    return result


def patched(outcome: Outcome) -> Patched:
    assert isinstance(outcome, Patched), outcome
    return outcome


def untouched(outcome: Outcome) -> Untouched:
    assert isinstance(outcome, Untouched), outcome
    return outcome


def refused(outcome: Outcome) -> Refused:
    assert isinstance(outcome, Refused), outcome
    return outcome


def container_of(pod: Mapping[str, Any], name: str) -> dict[str, Any]:
    spec = pod["spec"]
    lists: Sequence[Any] = [spec.get(key) or () for key in ("initContainers", "containers", "ephemeralContainers")]
    found: dict[str, Any] = next(one for each in lists for one in each if one["name"] == name)
    return found


def env_of(pod: Mapping[str, Any], name: str = "app") -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in container_of(pod, name).get("env") or ()}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


def as_the_api_server_leaves_it(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Do what its own plugins and its defaulting do between two calls, as seen on a 1.34 server."""
    left: dict[str, Any] = _without_nulls(pod)
    for key in ("initContainers", "containers"):
        for container in left["spec"].get(key) or ():
            mounts = container.setdefault("volumeMounts", [])
            if all(mount["mountPath"] != TOKEN_PATH for mount in mounts):
                mounts.append({"name": "kube-api-access-x7k2p", "mountPath": TOKEN_PATH, "readOnly": True})
            container.setdefault("terminationMessagePath", "/dev/termination-log")
            container["imagePullPolicy"] = "Always"  # AlwaysPullImages
            container.setdefault("resources", {}).setdefault("limits", {}).setdefault("ephemeral-storage", "1Gi")
            for name in ("startupProbe", "readinessProbe", "livenessProbe"):
                if name in container:
                    container[name].setdefault("successThreshold", 1)
            for entry in container.get("env") or ():
                if entry.get("value") == "":
                    del entry["value"]
    left["spec"].setdefault("volumes", []).append({"name": "kube-api-access-x7k2p", "projected": {"sources": []}})
    metadata = left.setdefault("metadata", {})
    metadata.setdefault("annotations", {})["kubernetes.io/limit-ranger"] = "LimitRanger plugin set: …"
    return left
