"""What `kecs proxy check` looks at, as data: each check has a name, a title and a verdict on what was observed. Pure.

A check's name is its anchor in docs/checks.md. A fatal check that fails ends the list: what follows would only repeat
it in other words.
"""

from dataclasses import dataclass
from typing import Final

from kecs.cli import judges
from kecs.cli.judges import Judge
from kecs.cli.observed import Finding, Observed, Status
from kecs.core.names import AUTHORITY, CERTS_SERVICE, INJECTOR_SERVICE

DOCS: Final = "docs/checks.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One entry of the list."""

    name: str
    category: str
    title: str
    judge: Judge
    needs: str = ""
    """The field of Observed without which there is no verdict."""
    fatal: bool = False
    on_request: bool = False
    """Left out unless it was observed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A check and what it found."""

    check: Check
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        """The worst of the findings."""
        order = (Status.FAILED, Status.WARNING, Status.UNKNOWN, Status.PASSED)
        return next(status for status in order if any(one.status is status for one in self.findings))


def run(observed: Observed) -> tuple[Result, ...]:
    """Judge everything, up to a fatal failure."""
    results: list[Result] = []
    for check in CHECKS:
        if check.on_request and getattr(observed, check.needs) is None and check.needs not in observed.unread:
            continue
        results.append(Result(check=check, findings=_findings(check, observed)))
        if check.fatal and results[-1].status is Status.FAILED:
            break
    return tuple(results)


def _findings(check: Check, observed: Observed) -> tuple[Finding, ...]:
    if check.needs and (why := observed.unread.get(check.needs)):
        return (
            Finding(status=Status.UNKNOWN, message=why, hint="give this account the permission, or ask who has it"),
        )
    return tuple(check.judge(observed)) or (Finding(status=Status.PASSED, message=""),)


CHECKS: Final[tuple[Check, ...]] = (
    Check(name="api-server", category="Kubernetes", title="the API server answers", judge=judges.reachable, fatal=True),
    Check(
        name="kubernetes-version",
        category="Kubernetes",
        title="native sidecars (1.29 or later)",
        judge=judges.version,
        fatal=True,
    ),
    Check(name="clock-skew", category="Kubernetes", title="clocks agree", judge=judges.clock),
    Check(
        name="authority-running",
        category="Installation",
        title="the authority runs",
        needs="deployments",
        judge=judges.deployment(AUTHORITY, "certificates are neither made nor rotated"),
    ),
    Check(
        name="certs-running",
        category="Installation",
        title="the certificate service runs",
        needs="deployments",
        judge=judges.deployment(CERTS_SERVICE, "new pods get no certificate and stay in Init"),
    ),
    Check(
        name="injector-running",
        category="Installation",
        title="the injector runs",
        needs="deployments",
        judge=judges.deployment(INJECTOR_SERVICE, "pods that ask for the proxy can't be made"),
    ),
    Check(
        name="trust-published",
        category="Certificates",
        title="roots are published",
        judge=judges.published,
        needs="trust",
    ),
    Check(name="root-validity", category="Certificates", title="roots are valid", judge=judges.validity, needs="trust"),
    Check(name="rotation", category="Certificates", title="no rotation is stuck", judge=judges.rotation, needs="trust"),
    Check(
        name="certs-healthy",
        category="Certificates",
        title="the certificate service can sign",
        needs="certs",
        judge=judges.health("the certificate service", "certs", f"kubectl logs deployment/{CERTS_SERVICE}"),
    ),
    Check(
        name="webhook-registered",
        category="Webhook",
        title="the webhook is registered",
        judge=judges.registered,
        needs="webhook",
    ),
    Check(
        name="webhook-ca-bundle",
        category="Webhook",
        title="caBundle holds the roots",
        judge=judges.ca_bundle,
        needs="webhook",
    ),
    Check(
        name="webhook-fails-closed",
        category="Webhook",
        title="failurePolicy is Fail",
        judge=judges.fails_closed,
        needs="webhook",
    ),
    Check(
        name="webhook-reachable",
        category="Webhook",
        title="a dry run is injected",
        judge=judges.answers,
        needs="dry_run",
    ),
    Check(
        name="emulator-healthy",
        category="Emulator",
        title="the emulator answers",
        needs="backend",
        judge=judges.health("the emulator", "backend", "calls are answered 503 until it does"),
    ),
    Check(name="pods-sidecar", category="Workloads", title="sidecars run", judge=judges.sidecars, needs="pods"),
    Check(
        name="pods-trust", category="Workloads", title="pods trust a root in use", judge=judges.old_root, needs="pods"
    ),
    Check(
        name="pods-uninjected",
        category="Workloads",
        title="users of AWS have the sidecar",
        judge=judges.uninjected,
        needs="pods",
    ),
    Check(
        name="leak-probe", category="Leaks", title="nothing gets out", judge=judges.leak, needs="leak", on_request=True
    ),
)
"""Every check, in order."""
