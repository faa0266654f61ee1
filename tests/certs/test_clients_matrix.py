"""Real TLS stacks through a whole rotation, and before certificates that no pod may make.

A small version of `make bench-rotation`, which runs more clients and connections: every client here is one process for
each of three kinds of trust, and connects anew all the time while the phases go by.
"""

from typing import Any

import pytest
import rotation_lab
from constraint_lab import CONTROLS, HOSTS, ROOT
from handshake_lab import PYTHON
from rotation_lab import AGAIN, BOTH, NEW, OLD, PREPARED, RETIRED, STABLE, SWITCHED, Plan

KINDS = (
    *(f"Python {PYTHON} ssl", "Node https", "JDK HttpsURLConnection"),
    *("curl (OpenSSL)", "wget (GnuTLS)", "openssl s_client"),
)
PHASES = {
    OLD: {STABLE, PREPARED, SWITCHED, RETIRED, AGAIN},
    BOTH: {PREPARED, SWITCHED, RETIRED, AGAIN},
    NEW: {SWITCHED, RETIRED, AGAIN},
}

type Report = dict[str, Any]


@pytest.fixture(scope="module")
def report() -> Report:
    return rotation_lab.run(Plan(kinds=KINDS, per_phase=2))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, report: Report) -> str:
    name: str = request.param
    if name in report["missing"]:
        pytest.skip(f"{name} is not installed here")
    return name


def of(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["client"] == kind]


def test_no_connection_fails_in_any_phase_whatever_is_trusted(kind: str, report: Report) -> None:
    rows = of(report["rows"], kind)
    assert {trust: {row["phase"] for row in rows if row["trust"] == trust} for trust in PHASES} == PHASES
    assert [row for row in rows if row["failures"]] == []


def test_without_a_cross_certificate_the_old_root_alone_does_not_do(kind: str, report: Report) -> None:
    refused = {row["trust"]: row["refused"] for row in of(report["control"], kind)}
    assert refused == {OLD: True, BOTH: False, NEW: False}


@pytest.mark.parametrize("trust", [OLD, NEW])
@pytest.mark.parametrize("case", [case for case in HOSTS if case not in CONTROLS])
def test_what_a_pod_may_not_sign_is_refused(kind: str, trust: str, case: str, report: Report) -> None:
    refused = {row["case"]: row["refused"] for row in of(report["constraints"], kind) if row["trust"] == trust}
    assert [refused[control] for control in CONTROLS] == [False, False]
    # To the JDK a trusted root is a name and a key, no more: so every certificate below repeats its constraints.
    assert refused[case] is not (case == ROOT and kind.startswith("JDK"))


def test_every_handshake_was_a_whole_one_and_none_was_hidden_by_a_retry(report: Report) -> None:
    connections = sum(row["connections"] for row in report["rows"])
    assert report["server"] == {"tls_handshakes": connections, "tls_handshakes_failed": 0, "tls_resumed": 0}


def test_retiring_is_refused_while_workloads_trust_the_old_root_alone(report: Report) -> None:
    assert report["retire_refused"] == ["old_root_only"]


def test_two_cross_certificates_are_served_after_a_second_rotation(report: Report) -> None:
    assert report["crosses"] == 2


def test_nothing_goes_wrong_inside(report: Report) -> None:
    assert (report["stderr"], report["driver_errors"]) == ("", [])
