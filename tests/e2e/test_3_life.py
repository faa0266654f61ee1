"""Under load: nothing is lost by a rotation, an upgrade or the restart of a component; an emulator's outage ends."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from docs_lab import Document
from e2e_lab import SYSTEM, TIMEOUT_S, Space, follow, get, install, kubectl, python, wait_for
from helm_lab import ROOT

PAGE = Document.read(ROOT / "docs" / "kubernetes.md")
LOAD = """
import boto3, json, sys, time
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
once = Config(retries={"total_max_attempts": 1})  # a second attempt would hide what was lost
kept = boto3.client("sts", config=once)
done, failed, last = 0, [], ""
while True:
    # every second call is a new connection and so a new handshake
    for client in (kept, boto3.client("sts", config=once)):
        try:
            client.get_caller_identity()
            done += 1
        except (BotoCoreError, ClientError) as error:
            failed.append(f"{type(error).__name__}: {error}"[:200])
    print(json.dumps({"done": done, "failed": len(failed), "last": failed[-1:]}), flush=True)
    time.sleep(0.05)
"""


class Load:
    """Programs that call all the time."""

    def __init__(self, space: Space) -> None:
        self._space = space

    def counts(self) -> list[dict[str, object]]:
        """Return what each program has counted so far."""
        found = []
        for pod in self._space.pods("app=load"):
            lines = self._space.log(pod["metadata"]["name"], "app", "--tail=1").split("\n")
            found.append(json.loads(lines[0]) if lines[0] else {"done": 0, "failed": 0, "last": []})
        return found

    def failed(self) -> int:
        return sum(int(str(count["failed"])) for count in self.counts())

    def done(self) -> int:
        return sum(int(str(count["done"])) for count in self.counts())

    def goes_on(self, calls: int = 20) -> None:
        """Wait until more calls were answered."""
        before = self.done()
        wait_for("more calls", lambda: self.done() > before + calls, timeout_s=2 * TIMEOUT_S)


@pytest.fixture(scope="module")
def load(space: Space) -> Iterator[Load]:
    space.deployment("load", python(LOAD), replicas=2)
    running = Load(space)
    wait_for("the first calls", lambda: running.done() > 20)
    yield running
    kubectl("-n", space.name, "delete", "deployment/load", "--wait=true")


def roots() -> set[str]:
    text = get("-n", SYSTEM, "configmap", "kecs-trust")["data"]["ca.crt"]
    return {block for block in text.split("-----END CERTIFICATE-----") if block.strip()}


def phase() -> str:
    return str(get("-n", SYSTEM, "configmap", "kecs-trust")["data"]["phase"])


def test_a_rotation_loses_no_call(load: Load, space: Space, tmp_path: Path) -> None:
    """Pods that run go on with the new chain; the old root is retired when they have been made anew."""
    old = roots()
    with ThreadPoolExecutor(max_workers=1) as others:
        section = PAGE.section("Certificates")
        rotating = others.submit(lambda: list(follow(section, PAGE.files, tmp_path)))
        wait_for("the new generation", lambda: phase() == "switched")
        load.goes_on(calls=1000)  # longer than sidecars take to see it and to renew
        assert load.failed() == 0, load.counts()
        kubectl("-n", space.name, "rollout", "restart", "deployment/load")
        space.rolled_out("load")
        status, rotated = rotating.result(timeout=700)
    assert (status[0].words[-2:], rotated[0].words[3]) == (["status", "--cluster"], "rotate")
    load.goes_on()
    assert load.failed() == 0, load.counts()
    assert phase() == "stable"
    assert not roots() & old


@pytest.mark.parametrize("component", ["kecs-authority", "kecs-certs", "kecs-injector"])
def test_the_restart_of_a_component_loses_no_call_and_no_pod(load: Load, space: Space, component: str) -> None:
    before = load.failed()
    kubectl("-n", SYSTEM, "rollout", "restart", f"deployment/{component}")
    name = f"during-{component}"
    space.job(name, python("import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"))
    assert "000000000000" in space.completed(name)
    Space(SYSTEM).rolled_out(component)
    load.goes_on()
    assert load.failed() == before, load.counts()


def test_killed_pods_of_every_component_come_back(load: Load, space: Space) -> None:
    before = load.failed()
    selector = "app.kubernetes.io/name in (kecs-authority,kecs-certs,kecs-injector)"
    kubectl("-n", SYSTEM, "delete", "pods", "-l", selector, "--grace-period=0", "--force")
    for component in ("kecs-authority", "kecs-certs", "kecs-injector"):
        Space(SYSTEM).rolled_out(component)
    space.job("after-the-kill", python("import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"))
    assert "000000000000" in space.completed("after-the-kill")
    load.goes_on()
    assert load.failed() == before, load.counts()


def test_an_upgrade_keeps_the_certificates_and_loses_no_call(load: Load, tmp_path: Path) -> None:
    before, old = load.failed(), roots()
    secret = get("-n", SYSTEM, "secret", "kecs-root")["data"]
    # all of it but the emulator, whose state is in memory: that one's outage is a case of its own
    bigger = [f"--set={part}.resources.limits.memory=600Mi" for part in ("authority", "certs", "injector")]
    install(*bigger)
    assert [step.command for step, _ in follow(PAGE.section("Upgrading"), PAGE.files, tmp_path)]
    load.goes_on()
    assert load.failed() == before, load.counts()
    assert roots() == old
    assert get("-n", SYSTEM, "secret", "kecs-root")["data"] == secret


def test_the_emulator_goes_and_comes_back(load: Load) -> None:
    kubectl("-n", SYSTEM, "scale", "deployment/kecs-emulator", "--replicas=0")
    wait_for("failing calls", lambda: load.failed() > 0)
    (last, *_) = [count["last"] for count in load.counts() if count["last"]]
    # 502 where the call was under way when its emulator ended
    assert any(word in str(last) for word in ("503", "ServiceUnavailable", "502", "BadGateway")), last
    kubectl("-n", SYSTEM, "scale", "deployment/kecs-emulator", "--replicas=1")
    Space(SYSTEM).rolled_out("kecs-emulator")
    load.goes_on()
    wait_for("calls without a failure", lambda: _quiet(load))


def _quiet(load: Load) -> bool:
    before = load.failed()
    load.goes_on()
    return load.failed() == before
