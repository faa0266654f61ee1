"""The MutatingWebhookConfiguration: which pods the API server asks about, and what to mend in a changed one. Pure.

One webhook per way to opt in. Their selectors exclude each other, so a pod is sent once:

| webhook    | namespace's label  | pod's label         | and                                       |
|------------|--------------------|---------------------|-------------------------------------------|
| namespace  | there, not disabled | not disabled       |                                           |
| pod        | not enabled        | there, not disabled |                                           |
| annotation | not enabled        | absent              | an annotation of the pod asks for a mode  |
| debug      | any                | any                 | an ephemeral container of an injected pod |

A label with an unknown value is sent too, to be refused with a sentence: a spelling mistake must not let a pod out. A
namespace whose label is misspelled may be sent twice, and is refused the first time.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kecs.core.names import (
    ENABLED_ANNOTATION,
    INJECTOR_SERVICE,
    LEGACY_ENABLED_ANNOTATION,
    MODE_ANNOTATION,
    SELECTOR_LABEL,
    SELECTOR_LABEL_VALUE,
    SIDECAR_CONTAINER,
    SYSTEM_NAMESPACE,
    UNTOUCHED_NAMESPACES,
)

DISABLED_LABEL_VALUE: Final = "disabled"
MUTATE_PATH: Final = "/mutate"
NAMESPACE_WEBHOOK: Final = "namespace.inject.kecs.io"
POD_WEBHOOK: Final = "pod.inject.kecs.io"
ANNOTATION_WEBHOOK: Final = "annotation.inject.kecs.io"
DEBUG_WEBHOOK: Final = "debug.inject.kecs.io"

_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
"""Put on every namespace by the API server since 1.22, and protected from changes."""
_DEBUG_TIMEOUT_S: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """What an operator decides about the registration."""

    system_namespace: str = SYSTEM_NAMESPACE
    excluded_namespaces: tuple[str, ...] = ()
    """Further namespaces that are never asked about; the emulator's own belongs here."""
    service: str = INJECTOR_SERVICE
    port: int = 443
    fail_open: bool = False
    """Let pods start without the proxy while the injector is away. They then reach real AWS."""
    timeout_s: int = 10

    @property
    def untouched(self) -> tuple[str, ...]:
        """Every namespace that is never asked about, each once."""
        names = (*UNTOUCHED_NAMESPACES, self.system_namespace, *self.excluded_namespaces)
        return tuple(dict.fromkeys(names))


def configuration(settings: WebhookSettings, ca_bundle: bytes) -> dict[str, Any]:
    """Return the whole object. `ca_bundle` is PEM: whoever signs the injector's certificate, old and new."""
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    debug = {**pods, "operations": ["UPDATE"], "resources": ["pods/ephemeralcontainers"]}
    policy = "Ignore" if settings.fail_open else "Fail"
    enabled, disabled = [SELECTOR_LABEL_VALUE], [DISABLED_LABEL_VALUE]
    there, not_disabled = _label("Exists"), _label("NotIn", disabled)
    not_enabled = _label("NotIn", enabled)

    def webhook(name: str, namespaces: Sequence[Any], objects: Sequence[Any], conditions: Sequence[Any]) -> Any:
        found: dict[str, Any] = {
            "name": name,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",  # events and certificates are left out on dry runs
            "matchPolicy": "Equivalent",
            "failurePolicy": policy,
            "reinvocationPolicy": "IfNeeded",
            "timeoutSeconds": settings.timeout_s,
            "clientConfig": _client(settings, ca_bundle),
            "rules": [{**pods, "scope": "Namespaced"}],
            "namespaceSelector": {"matchExpressions": [*namespaces, _not_ours(settings)]},
            "matchConditions": list(conditions),
        }
        if objects:
            found["objectSelector"] = {"matchExpressions": list(objects)}
        return found

    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": INJECTOR_SERVICE, "labels": {"app.kubernetes.io/name": "kecs"}},
        "webhooks": [
            webhook(NAMESPACE_WEBHOOK, [there, not_disabled], [not_disabled], [_NOT_SWITCHED_OFF]),
            webhook(POD_WEBHOOK, [not_enabled], [there, not_disabled], [_NOT_SWITCHED_OFF]),
            webhook(ANNOTATION_WEBHOOK, [not_enabled], [_label("DoesNotExist")], [_NOT_SWITCHED_OFF, _ASKED_FOR]),
            webhook(DEBUG_WEBHOOK, [], [], [_HAS_SIDECAR])
            | {
                # debugging must never be in an outage's way
                "failurePolicy": "Ignore",
                "reinvocationPolicy": "Never",
                "timeoutSeconds": _DEBUG_TIMEOUT_S,
                "rules": [{**debug, "scope": "Namespaced"}],
            },
        ],
    }


def _label(operator: str, values: Sequence[str] = ()) -> dict[str, Any]:
    return {"key": SELECTOR_LABEL, "operator": operator} | ({"values": list(values)} if values else {})


def _not_ours(settings: WebhookSettings) -> dict[str, Any]:
    return {"key": _NAMESPACE_NAME, "operator": "NotIn", "values": list(settings.untouched)}


def _client(settings: WebhookSettings, ca_bundle: bytes) -> dict[str, Any]:
    return {
        "service": {
            "namespace": settings.system_namespace,
            "name": settings.service,
            "path": MUTATE_PATH,
            "port": settings.port,
        },
        "caBundle": base64.b64encode(ca_bundle).decode(),
    }


_ANNOTATIONS: Final = "object.metadata.annotations"


def _is(annotation: str, word: str) -> str:
    return f"'{annotation}' in {_ANNOTATIONS} && {_ANNOTATIONS}['{annotation}'] == '{word}'"


_NOT_SWITCHED_OFF: Final = {
    "name": "not-switched-off",
    "expression": f"!has({_ANNOTATIONS}) || !({_is(ENABLED_ANNOTATION, 'false')})",
}
_ASKED_FOR: Final = {
    "name": "asked-for",
    "expression": f"has({_ANNOTATIONS}) && ("
    + " || ".join(
        f"'{annotation}' in {_ANNOTATIONS}"
        for annotation in (MODE_ANNOTATION, ENABLED_ANNOTATION, LEGACY_ENABLED_ANNOTATION)
    )
    + ")",
}
_HAS_SIDECAR: Final = {
    "name": "has-our-sidecar",
    "expression": "has(object.spec.initContainers) && "
    f"object.spec.initContainers.exists(c, c.name == '{SIDECAR_CONTAINER}')",
}


def drift(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """List the paths whose value is not what we wrote. What the API server or others added is no drift."""
    return tuple(_differences(found, wanted, ""))


def _differences(found: Any, wanted: Any, path: str) -> list[str]:
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return [path]
        return [
            one
            for key, value in wanted.items()
            for one in _differences(found.get(key), value, f"{path}.{key}".strip("."))
        ]
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            return [path]
        pairs = enumerate(zip(found, wanted, strict=True))
        return [one for index, (ours, theirs) in pairs for one in _differences(ours, theirs, f"{path}[{index}]")]
    return [] if found == wanted else [path]


def ca_bundle(found: Mapping[str, Any]) -> bytes:
    """Read the PEM that the API server trusts today: of the first webhook, empty when there is none."""
    for webhook in found.get("webhooks") or ():
        try:
            return base64.b64decode(webhook["clientConfig"]["caBundle"], validate=True)
        except (KeyError, TypeError, ValueError):
            return b""
    return b""
