"""Every pod in golden/ with what it comes to, and the patch beside it. `make golden` rewrites the patches.

An input is YAML of two documents: what is given and expected, then the pod. Each is reviewed twice, the second time as
the API server leaves it; taken back; and its result is held against the schemas of Kubernetes.
"""

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from injector_lab import TRUST, applied, as_the_api_server_leaves_it, container_of, injection

from kecs.core.settings import ProxyMode
from kecs.injector.config import DnsMode, Endpoint, Facts, Images, Injection, LimitRange, RulesBackend
from kecs.injector.inject import review
from kecs.injector.mode import Marks
from kecs.injector.outcome import Outcome, Patched, Refused, Untouched
from kecs.injector.quantity import Quantity
from kecs.injector.reason import Reason
from kecs.injector.uninject import uninject

GOLDEN = Path(__file__).with_name("golden")
CASES = sorted(path.stem for path in GOLDEN.glob("*.yaml"))
VERSIONS = ("1.29", "1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36")
ENDPOINTS = ("endpoint", "environment_endpoint", "controlplane")
ENUMS: dict[str, Callable[[Any], Any]] = {"fallback_order": ProxyMode, "dns_mode": DnsMode, "rules": RulesBackend}
POD_LEVEL_RESOURCES = "1.32"
"""The first whose schema knows them."""


@cache
def case(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    given, pod = yaml.safe_load_all(GOLDEN.joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    assert set(given) <= {"about", "namespace", "serverVersion", "trust", "limitRanges", "settings", "expect"}
    return given, pod


def facts(given: dict[str, Any]) -> Facts:
    namespace = given.get("namespace", {})
    major, minor = map(int, given.get("serverVersion", "1.34").split("."))
    bounds = [
        LimitRange(
            name=one["name"],
            **{
                bound: {what: Quantity.parse(str(amount)) for what, amount in one.get(bound, {}).items()}
                for bound in ("minimum", "maximum", "ratio")
            },
        )
        for one in given.get("limitRanges", [])
    ]
    return Facts(
        namespace=Marks(labels=namespace.get("labels", {}), annotations=namespace.get("annotations", {})),
        trust=TRUST if given.get("trust", True) else None,
        server_version=(major, minor),
        limit_ranges=tuple(bounds),
    )


def settings(given: dict[str, Any]) -> Injection:
    """Read the settings of a case: fields of Injection, spelled as YAML can."""
    values: dict[str, Any] = {}
    for name, value in given.get("settings", {}).items():
        match value:
            case str() if name in ENDPOINTS:
                values[name] = Endpoint.parse(value, source=name)
            case dict():
                values[name] = {key: Endpoint.parse(url, source=name) for key, url in value.items()}
            case list():
                values[name] = tuple(map(ENUMS.get(name, lambda one: one), value))
            case _:
                values[name] = ENUMS.get(name, lambda one: one)(value)
    if "pull_secrets" in values:
        values["images"] = Images(
            init="kecs-init:0.1.0", sidecar="kecs-sidecar:0.1.0", pull_secrets=values.pop("pull_secrets")
        )
    return injection(**values)


def outcome(name: str, pod: dict[str, Any]) -> Outcome:
    given = case(name)[0]
    return review(pod, facts(given), settings(given), namespace=given.get("namespace", {}).get("name", "demo"))


def said(found: Outcome) -> dict[str, Any]:
    """Spell an outcome as `expect` does."""
    kinds = {Patched: "patched", Untouched: "untouched", Refused: "refused"}
    spelled: dict[str, Any] = {"outcome": kinds[type(found)], "reasons": [reason.value for reason in found.reasons]}
    if isinstance(found, Patched):
        spelled["mode"] = found.mode.value
    if isinstance(found, Refused):
        spelled["sentences"] = list(found.sentences)
    return spelled | ({"warnings": list(found.warnings)} if found.warnings else {})


@pytest.mark.parametrize("name", CASES)
def test_the_outcome_is_what_the_case_expects(name: str) -> None:
    given, pod = case(name)
    assert said(outcome(name, pod)) == given["expect"]


@pytest.mark.parametrize("name", CASES)
def test_the_patch_is_the_golden_one(name: str) -> None:
    found = outcome(name, case(name)[1])
    golden = GOLDEN / f"{name}.patch.json"
    if not isinstance(found, Patched):
        assert not golden.exists(), "stale: this pod is not patched"
        return
    text = "[\n" + ",\n".join(json.dumps(operation) for operation in found.operations) + "\n]\n"
    if os.environ.get("KECS_UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_no_patch_is_without_its_pod() -> None:
    assert {path.name.removesuffix(".patch.json") for path in GOLDEN.glob("*.patch.json")} <= set(CASES)


def test_the_cases_cover_what_can_be_covered() -> None:
    seen = {Reason(reason) for name in CASES for reason in case(name)[0]["expect"]["reasons"]}
    later = {Reason.ALREADY_INJECTED, Reason.COMPLETED, Reason.NO_SIDECAR}  # a second pass, an ephemeral container
    assert set(Reason) - seen == later


PATCHED = [name for name in CASES if case(name)[0]["expect"]["outcome"] == "patched"]


def injected(name: str) -> dict[str, Any]:
    pod = case(name)[1]
    found = outcome(name, pod)
    assert isinstance(found, Patched)
    return applied(pod, found.operations)


@pytest.mark.parametrize("name", PATCHED)
def test_a_second_pass_adds_nothing(name: str) -> None:
    for pod in (injected(name), as_the_api_server_leaves_it(injected(name))):
        second = outcome(name, pod)
        assert isinstance(second, Untouched)
        assert second.reasons[-1] is Reason.ALREADY_INJECTED


@pytest.mark.parametrize("name", PATCHED)
def test_taking_it_back_gives_the_pod_as_it_was(name: str) -> None:
    pod = injected(name)
    assert applied(pod, uninject(pod)) == case(name)[1]


@pytest.mark.parametrize("name", PATCHED)
def test_user_containers_are_changed_in_two_keys_alone(name: str) -> None:
    before, after = case(name)[1], injected(name)
    for key in ("initContainers", "containers"):
        for container in before["spec"].get(key) or ():
            changed = container_of(after, container["name"])
            kept = {name: value for name, value in changed.items() if name not in {"env", "volumeMounts"}}
            assert kept == {name: value for name, value in container.items() if name not in {"env", "volumeMounts"}}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
                assert json.dumps(changed.get(probe)) == json.dumps(container.get(probe))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", PATCHED)
def test_kubernetes_knows_every_field(name: str, version: str) -> None:
    pod = injected(name)
    if "resources" in pod["spec"] and version < POD_LEVEL_RESOURCES:
        del pod["spec"]["resources"]
    kubernetes_validate.validate({"apiVersion": "v1", "kind": "Pod", **pod}, version, strict=True)


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_is_one_line_each(name: str) -> None:
    found = outcome(name, case(name)[1])
    lines = (*found.warnings, *(found.sentences if isinstance(found, Refused) else ()))
    assert all(line and "\n" not in line and line == line.strip() for line in lines)
