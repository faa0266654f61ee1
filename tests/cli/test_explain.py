"""`kecs proxy explain -f`: every reason, the evidence, and what would be added; as text and as data."""

import json

from click.testing import CliRunner, Result

from kecs.cli.explain import explain_command
from kecs.cli.proxy import proxy_group

PODS = """\
kind: Pod
metadata: {name: cli, annotations: {kecs.io/aws-proxy-mode: auto}}
spec: {hostNetwork: true, containers: [{name: a, image: amazon/aws-cli, env: [{name: AWS_REGION, value: eu-west-1}]}]}
---
kind: Pod
metadata: {name: wrong, annotations: {kecs.io/aws-proxy-mode: Sidecar}}
spec: {containers: [{name: a}]}
---
kind: Deployment
metadata: {name: quiet}
spec: {template: {spec: {containers: 7}}}
"""


def explained(*arguments: str, text: str = PODS) -> Result:
    found = CliRunner().invoke(explain_command, ["-f", "-", *arguments], input=text, standalone_mode=False)
    assert found.exception is None, found.output
    return found


def test_as_text() -> None:
    assert (
        explained().stdout
        == """\
pod/cli in default: injected, mode environment
  because:
    the pod's annotation kecs.io/aws-proxy-mode says so (pod_mode)
    the pod looks like a user of AWS (evidence)
    a pod in the host's network would have the node's own traffic redirected (host_network)
    sidecar mode is impossible here; proxy.fallbackOrder names another mode (fell_back)
  warnings:
    no sidecar, mode environment instead: spec.hostNetwork is true: a pod in the host's network would have the node's \
own traffic redirected
  evidence for AWS:
    container a: variable AWS_REGION
    container a: image amazon/aws-cli is called amazon, aws
  would be added:
    to container a: variables AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION; kept \
AWS_REGION

pod/wrong in default: refused
  because:
    an annotation or label has a value that nobody can obey (bad_annotation)
  errors:
    pod annotation kecs.io/aws-proxy-mode is "Sidecar"; it may be environment, sidecar, disabled, auto
  evidence for AWS:
    none

deployment/quiet in default: untouched
  because:
    neither pod nor namespace asks for it (label kecs.io/aws-proxy=enabled) (not_opted_in)
  evidence for AWS:
    none
"""
    )


def test_as_data() -> None:
    found = json.loads(explained("-o", "json").stdout)
    assert [one["outcome"] for one in found] == ["injected", "refused", "untouched"]
    assert found[0]["added"]["containers"][0]["kept"] == ["AWS_REGION"]
    assert found[1]["errors"]
    assert [reason["reason"] for reason in found[2]["reasons"]] == ["not_opted_in"]


def test_what_makes_no_pods() -> None:
    found = explained(text="kind: Service\n")
    assert (found.stdout, found.stderr) == ("", "no workload: nothing in there makes pods\n")


def test_it_is_part_of_kecs_proxy() -> None:
    assert {"explain", "inject", "uninject"} <= set(proxy_group.commands)
