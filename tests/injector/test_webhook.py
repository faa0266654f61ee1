import base64
import copy
from collections.abc import Callable, Mapping
from typing import Any

import kubernetes_validate
import pytest

from kecs.injector.webhook import (
    ANNOTATION_WEBHOOK,
    DEBUG_WEBHOOK,
    NAMESPACE_WEBHOOK,
    POD_WEBHOOK,
    WebhookSettings,
    ca_bundle,
    configuration,
    drift,
)

VALIDATE: Any = kubernetes_validate.validate
BUNDLE = b"-----BEGIN CERTIFICATE-----\nold\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nnew\n"
WANTED = configuration(WebhookSettings(excluded_namespaces=("aws-services",)), BUNDLE)
BY_NAME = {webhook["name"]: webhook for webhook in WANTED["webhooks"]}


@pytest.mark.parametrize("version", ["1.29", "1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36"])
def test_the_schema_takes_it(version: str) -> None:
    VALIDATE(WANTED, version, strict=True)


def matches(expressions: list[dict[str, Any]], labels: Mapping[str, str]) -> bool:
    """Evaluate a label selector as documented: NotIn holds for an absent key too."""
    operators: dict[str, Callable[[str, list[str]], bool]] = {
        "In": lambda key, values: labels.get(key) in values,
        "NotIn": lambda key, values: labels.get(key) not in values,
        "Exists": lambda key, _: key in labels,
        "DoesNotExist": lambda key, _: key not in labels,
    }
    return all(operators[one["operator"]](one["key"], one.get("values", [])) for one in expressions)


def called(namespace: str | None, pod: str | None, *, asks: bool, name: str = "demo") -> list[str]:
    """List the webhooks that get the pod; `asks`: an annotation of its own names a mode."""

    def labels(value: str | None) -> dict[str, str]:
        return {} if value is None else {"kecs.io/aws-proxy": value}

    def sent(webhook: dict[str, Any]) -> bool:
        return (
            webhook["rules"][0]["operations"] == ["CREATE"]
            and matches(
                webhook["namespaceSelector"]["matchExpressions"],
                labels(namespace) | {"kubernetes.io/metadata.name": name},
            )
            and matches(webhook.get("objectSelector", {}).get("matchExpressions", []), labels(pod))
            and (asks or webhook["name"] != ANNOTATION_WEBHOOK)
        )

    return [webhook["name"] for webhook in WANTED["webhooks"] if sent(webhook)]


@pytest.mark.parametrize(
    ("namespace", "pod", "asks", "expected"),
    [
        (None, None, False, []),
        (None, None, True, [ANNOTATION_WEBHOOK]),
        (None, "enabled", False, [POD_WEBHOOK]),
        (None, "enabled", True, [POD_WEBHOOK]),
        (None, "disabled", True, []),
        (None, "misspelled", False, [POD_WEBHOOK]),
        ("enabled", None, False, [NAMESPACE_WEBHOOK]),
        ("enabled", None, True, [NAMESPACE_WEBHOOK]),
        ("enabled", "enabled", True, [NAMESPACE_WEBHOOK]),
        ("enabled", "disabled", True, []),
        ("disabled", None, False, []),
        ("disabled", None, True, [ANNOTATION_WEBHOOK]),
        ("disabled", "enabled", False, [POD_WEBHOOK]),
        ("misspelled", None, False, [NAMESPACE_WEBHOOK]),
    ],
)
def test_who_is_sent(namespace: str | None, pod: str | None, asks: bool, expected: list[str]) -> None:  # noqa: FBT001
    assert called(namespace, pod, asks=asks) == expected


@pytest.mark.parametrize("name", ["kube-system", "kube-public", "kube-node-lease", "kecs-system", "aws-services"])
def test_namespaces_that_are_never_asked_about(name: str) -> None:
    assert called("enabled", "enabled", asks=True, name=name) == []


def test_debugging_is_never_in_the_way() -> None:
    debug = BY_NAME[DEBUG_WEBHOOK]
    assert (debug["failurePolicy"], debug["timeoutSeconds"], debug["reinvocationPolicy"]) == ("Ignore", 2, "Never")
    assert debug["rules"][0]["resources"] == ["pods/ephemeralcontainers"]


def test_pods_wait_for_the_injector_unless_told_otherwise() -> None:
    assert {BY_NAME[name]["failurePolicy"] for name in BY_NAME if name != DEBUG_WEBHOOK} == {"Fail"}
    opened = configuration(WebhookSettings(fail_open=True), BUNDLE)
    assert {webhook["failurePolicy"] for webhook in opened["webhooks"]} == {"Ignore"}


def test_the_bundle_comes_back() -> None:
    assert ca_bundle(WANTED) == BUNDLE
    assert ca_bundle({"webhooks": [{"clientConfig": {"caBundle": "%%%"}}]}) == b""
    assert ca_bundle({}) == b""


def test_what_the_api_server_adds_is_no_drift() -> None:
    found = copy.deepcopy(WANTED)
    found["metadata"] |= {"uid": "1", "resourceVersion": "7", "generation": 3}
    found["webhooks"][0]["objectSelector"]["matchLabels"] = {}
    assert drift(found, WANTED) == ()


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda w: w["webhooks"][0]["clientConfig"].update(caBundle="Cg=="), "webhooks[0].clientConfig.caBundle"),
        (lambda w: w["webhooks"].pop(), "webhooks"),
        (lambda w: w["webhooks"][1].update(failurePolicy="Ignore"), "webhooks[1].failurePolicy"),
        (lambda w: w["webhooks"][2].pop("matchConditions"), "webhooks[2].matchConditions"),
        (lambda w: w.pop("webhooks"), "webhooks"),
    ],
)
def test_drift_is_named(change: Any, path: str) -> None:
    found = copy.deepcopy(WANTED)
    change(found)
    assert drift(found, WANTED) == (path,)


def test_the_bundle_is_base64_of_pem() -> None:
    assert base64.b64decode(BY_NAME[POD_WEBHOOK]["clientConfig"]["caBundle"]) == BUNDLE
