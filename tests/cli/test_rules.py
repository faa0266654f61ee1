"""`kecs proxy rules`: what the init container's log says, read back from what the init container writes."""

import json
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_lab import Fault
from live_lab import Lab, code, lab, pod

from kecs.cli import rules_view
from kecs.init_container.config import Redirect
from kecs.init_container.rules import Family, wanted

DONE = {"state": {"terminated": {"exitCode": 0}}, "ready": True, "restartCount": 0}


def written(redirect: Redirect, *families: Family) -> str:
    texts = "".join(f"# {family}\n{wanted(redirect, family)}" for family in families)
    return f"trust files written to /kecs/trust\nrules applied by nft for {' and '.join(families)}\n{texts}"


LOG = written(Redirect(), Family.IPV4)
FAILED = "error: iptables-nft-restore refused (IPv4): not permitted\n\nhint: the init container needs NET_ADMIN\n"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        yield made


def initialised(status: dict[str, Any] = DONE) -> dict[str, Any]:
    made = pod("app")
    made["status"]["initContainerStatuses"].append({"name": "aws-proxy-init", **status})
    return made


def test_the_rules_of_a_pod(cluster: Lab) -> None:
    cluster.add(initialised())
    cluster.init_log("app", LOG)
    result = cluster.kecs("rules", "pod/app", "-n", "shop")
    assert code(result) == 0
    assert (
        result.output
        == """\
shop/app: rules applied by nft for IPv4
trust files in /kecs/trust

IPv4, table nat
  OUTPUT
    everything                KECS_OUTPUT     redirect
  KECS_OUTPUT
    uid 14566:14566           RETURN          the proxy itself
    inside the pod            RETURN          inside the pod
    127.0.0.0/8               RETURN          loopback addresses stay
    169.254.169.254 tcp 80    KECS_REDIRECT   metadata
    169.254.170.2 tcp 80      KECS_REDIRECT   metadata
    169.254.170.23 tcp 80     KECS_REDIRECT   metadata
    tcp 443                   KECS_REDIRECT   HTTPS
    tcp 80                    KECS_REDIRECT   HTTP
  KECS_REDIRECT
    tcp                       REDIRECT 14571  to the relay

IPv4, table filter
  OUTPUT
    everything                KECS_GUARD      guard
  KECS_GUARD
    uid 14566:14566           RETURN          the proxy itself
    inside the pod            RETURN          inside the pod
    udp 443                   REJECT          HTTP/3 would bypass the relay
"""
    )


EXCLUDED = (ip_network("10.0.0.0/8"), ip_network("2001:db8:1234:5678:9abc:def0:1234:5000/116"))


@pytest.mark.parametrize("redirect", [Redirect(), Redirect(capture_dns=True, excluded_networks=EXCLUDED)])
def test_every_rule_is_read_and_no_line_is_too_long(redirect: Redirect) -> None:
    text = written(redirect, *Family)
    found = rules_view.read(text)
    assert [one.text for one in found.rules] == [line for line in text.splitlines() if line.startswith(("-A ", "-I "))]
    assert all(one.comment and one.target and one.match for one in found.rules)
    assert {one.family for one in found.rules} == set(Family)
    shown = "\n".join(rules_view.lines("shop/app", found)).splitlines()
    assert max(map(len, shown)) <= 80
    told = sorted(line[46:] for line in shown if line.startswith("    ") and line[46:])
    assert told == sorted(one.comment for one in found.rules)


def test_as_data_and_raw(cluster: Lab) -> None:
    cluster.add(initialised())
    cluster.init_log("app", LOG)
    found = json.loads(cluster.kecs("rules", "app", "-n", "shop", "-o", "json").output)
    assert found == yaml.safe_load(cluster.kecs("rules", "app", "-n", "shop", "-o", "yaml").output)
    assert (found["pod"], found["backend"], found["families"]) == ("app", "nft", ["IPv4"])
    assert found["rules"][0] == {
        "family": "IPv4", "table": "nat", "chain": "KECS_REDIRECT", "match": "tcp", "target": "REDIRECT 14571",
        "comment": "to the relay",
        "rule": '-A KECS_REDIRECT -p tcp -m comment --comment "kecs: to the relay" -j REDIRECT --to-ports 14571',
    }  # fmt: skip
    assert cluster.kecs("rules", "app", "-n", "shop", "--raw").output == LOG


def test_an_init_container_that_failed(cluster: Lab) -> None:
    cluster.add(initialised({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 3}))
    cluster.init_log("app", FAILED)
    result = cluster.kecs("rules", "app", "-n", "shop")
    assert code(result) == 1
    assert result.output == (
        "shop/app: no rules were installed\n"
        "  error: iptables-nft-restore refused (IPv4): not permitted\n"
        "  hint: the init container needs NET_ADMIN\n"
    )


def test_an_older_image_says_less(cluster: Lab) -> None:
    cluster.add(initialised())
    cluster.init_log("app", "rules applied by legacy for IPv4 and IPv6\n")
    result = cluster.kecs("rules", "app", "-n", "shop")
    assert code(result) == 0
    assert result.output.splitlines()[1].startswith("the image of this init container is older")


@pytest.mark.parametrize("line", ["-A", '-A X -m comment --comment "', "-I OUTPUT", "*", "# ", "-A X --comment"])
def test_a_log_that_is_cut_is_read_as_far_as_it_goes(line: str) -> None:
    assert rules_view.read(f"{LOG}{line}\n").backend == "nft"


@pytest.mark.parametrize(
    ("made", "log", "said"),
    [
        pytest.param(pod("app", sidecar=None), None, "pod shop/app has no init container of ours", id="not injected"),
        pytest.param(
            initialised({"state": {"waiting": {"reason": "PodInitializing"}}}),
            None,
            "has not run: PodInitializing",
            id="has not run",
        ),
        pytest.param(pod("app"), None, "has not run: the pod is not on a node yet", id="is pending"),
        pytest.param(initialised(), "unable to retrieve container logs", "tells of no rules", id="log is gone"),
    ],
)
def test_nothing_to_show(cluster: Lab, made: dict[str, Any], log: str | None, said: str) -> None:
    cluster.add(made)
    if log is not None:
        cluster.init_log("app", log)
    result = cluster.kecs("rules", "app", "-n", "shop")
    assert said in str(result.exception)
    assert getattr(result.exception, "exit_code", 0) == 1


def test_a_log_that_may_not_be_read(cluster: Lab) -> None:
    cluster.add(initialised())
    cluster.api.faults.append(Fault(path="/log", status=403, message="pods/log is forbidden"))
    assert "pods/log is forbidden" in str(cluster.kecs("rules", "app", "-n", "shop").exception)
