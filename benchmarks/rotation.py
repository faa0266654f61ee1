"""A root is replaced while every TLS stack at hand goes on connecting: how many new connections fail in which phase.

Long-lived client processes that trust the old root alone, both, or the new root alone connect anew all the time, to an
AWS name that a real sidecar answers for; the authority goes through prepare, switch, retire, and through a second
rotation at once. Then each connects to a chain without its cross-certificate, which the old root alone must not
verify; and to certificates that break the name constraints. See docs/performance/rotation.md.

Needs `unshare` with network and mount namespaces. Usage: python benchmarks/rotation.py [--per-phase 20] [--json FILE]
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import rotation_lab  # noqa: E402 - the tests' folder is no package
from constraint_lab import CONTROLS, HOSTS  # noqa: E402 - the same
from constraint_lab import ROOT as OF_ROOT  # noqa: E402 - the same
from rotation_lab import AGAIN, BOTH, NEW, OLD, PREPARED, RETIRED, STABLE, SWITCHED, Plan  # noqa: E402 - the same

PHASES = (STABLE, PREPARED, SWITCHED, RETIRED, AGAIN)
LEAST_IN_ALL, LEAST_EACH = 2000, 50

type Report = dict[str, Any]
type Rows = list[dict[str, Any]]


def table(report: Report) -> list[str]:
    """Show connections, and failures where there are any, by client, trust and phase."""
    cells: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for row in report["rows"]:
        failed = f" ({row['failures']} failed)" if row["failures"] else ""
        cells[row["client"], row["trust"]][row["phase"]] = f"{row['connections']}{failed}"
    lines = [_line("client", "trusts", *PHASES), _line("-" * 24, "-" * 6, *("-" * 14 for _ in PHASES))]
    for client in report["versions"]:
        for trust in (OLD, BOTH, NEW):
            found = cells[client, trust]
            lines.append(_line(client if trust == OLD else "", trust, *(found.get(phase, "") for phase in PHASES)))
    return [*lines, *(_line(client, "not installed") for client in report["missing"])]


def _line(client: str, trust: str, *numbers: str) -> str:
    return f"{client:24} {trust:6} {' '.join(f'{number:>14}' for number in numbers)}".rstrip()


def refusals(report: Report) -> list[str]:
    """Show what each client says to chains that it must refuse, and to one that it must not."""
    control: dict[str, Rows] = defaultdict(list)
    for row in report["control"]:
        control[row["client"]].append(row)
    met: dict[tuple[str, str], Rows] = defaultdict(list)
    for row in report["constraints"]:
        met[row["client"], row["case"]].append(row)
    titles = ("old root, no cross", *(case for case in HOSTS if case not in CONTROLS), "controls")
    lines = [f"{'client':24} " + "  ".join(titles)]
    for client in report["versions"]:
        verdicts = [_verdict([row for row in control[client] if row["trust"] == OLD])]
        verdicts += [_verdict(met[client, case]) for case in HOSTS if case not in CONTROLS]
        verdicts.append(_verdict([row for case in CONTROLS for row in met[client, case]]))
        lines.append(
            f"{client:24} " + "  ".join(f"{one:{len(title)}}" for one, title in zip(verdicts, titles, strict=True))
        )
    return lines


def _verdict(rows: Rows) -> str:
    refused = sum(row["refused"] for row in rows)
    if refused in (0, len(rows)):
        return "refused" if refused else "accepted"
    return f"{refused} of {len(rows)} refused"


def faults(report: Report) -> list[str]:
    """List everything that is not as it has to be."""
    rows, total = report["rows"], sum(row["connections"] for row in report["rows"])
    found = [f"{row['client']}, {row['trust']}, {row['phase']}: {row['reasons'][0]}" for row in rows if row["failures"]]
    found += [
        f"{row['client']}, {row['trust']}, no cross-certificate: {row['reason'] or 'accepted'}"
        for row in report["control"]
        if row["refused"] != (row["trust"] == OLD)
    ]
    for row in report["constraints"]:
        free = row["case"] in CONTROLS
        known = row["case"] == OF_ROOT and row["client"].startswith("JDK")
        if row["refused"] == free and not known:
            found.append(f"{row['client']}, {row['trust']}, {row['case']}: {row['reason'] or 'accepted'}")
    inside = "; ".join([*report["driver_errors"], report["stderr"]]).strip("; ")
    holds = {
        f"{total} connections are fewer than {LEAST_IN_ALL}": total >= LEAST_IN_ALL,
        f"a process made only {report['least_per_process']} connections": report["least_per_process"] >= LEAST_EACH,
        "retiring was not refused": report["retire_refused"] == ["old_root_only"],
        f"the sidecar counted otherwise: {report['server']}": report["server"]
        == {"tls_handshakes": total, "tls_handshakes_failed": 0, "tls_resumed": 0},
        f"inside: {inside}": not inside,
    }
    return [*found, *(sentence for sentence, held in holds.items() if not held)]


def summary(report: Report) -> list[str]:
    """Say the figures in sentences."""
    total, failed = (sum(row[key] for row in report["rows"]) for key in ("connections", "failures"))
    each = [name for name in report["versions"] if not report["one_process"][name]]
    server = report["server"]
    return [
        f"{total} new TLS connections, {failed} failed; {report['straddling']} were under way during an act",
        (
            f"{len(report['versions'])} clients, {report['processes']} processes, {report['least_per_process']} or more"
            f" connections by each ({', '.join(each)}: a process for each connection)"
        ),
        (
            f"the sidecar: {server['tls_handshakes']} handshakes, {server['tls_resumed']} resumed,"
            f" {server['tls_handshakes_failed']} failed; renewed {report['renewals']} times, never restarted"
        ),
        f"retiring was refused at first ({', '.join(report['retire_refused'])}), then forced",
        f"{report['seconds']} s",
    ]


def main() -> int:
    """Run, print, and say whether anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-phase", type=int, default=20, help="connections of each client in each phase, at least")
    parser.add_argument("--json", type=Path, help="write the whole report there")
    options = parser.parse_args()
    report = rotation_lab.run(Plan(per_phase=options.per_phase, built=str(ROOT / ".cache" / "rotation")))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    versions = [f"{name}: {version}" for name, version in report["versions"].items()]
    print("\n".join([*versions, "", *table(report), "", *refusals(report), "", *summary(report)]))
    found = faults(report)
    for fault in found:
        print(f"FAULT {fault}")
    print("all as it has to be" if not found else f"{len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
