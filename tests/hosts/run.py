"""Every operation of every service at every host of it, in every region and variant, signed and unsigned.

    python tests/hosts/run.py [--services s3,sqs] [--processes 2]

Hosts are what botocore's endpoint rules name, signatures botocore's, one for each host and the operations there. The
classifier must give back service, operation and region. Ends with 1 when it does not, and says where.
"""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import botocore
from endpoints_lab import (
    Endpoint,
    Request,
    all_said,
    credential,
    described,
    endpoints,
    requests,
    services,
    template_met,
    templates,
    wrong,
)

from kecs.aws.head import Fields
from kecs.aws.hosts import is_aws_name

SHOWN = 20
"""Of each service's failures."""


@dataclass(slots=True, kw_only=True)
class Seen:
    """What was asked of a service, and what went wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)


class Places:
    """The endpoints of a service and their signatures, worked out once for all operations that say the same."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.urls: set[str] = set()
        self.hosts: set[str] = set()
        self._found: dict[str, list[Endpoint]] = {}
        self._signed: dict[tuple[str, bool, Endpoint], Fields] = {}

    def of(self, request: Request) -> list[Endpoint]:
        """Return where a request may be sent; each place once, though several regions and variants lead there."""
        found: dict[tuple[str, ...], Endpoint] = {}
        for said in all_said(request):
            key = described(said)
            if key not in self._found:
                self._found[key] = list(endpoints(self.service, said))
                self.urls |= {endpoint.url for endpoint in self._found[key]}
            found |= {(one.url, one.scheme, one.signing_name, one.region): one for one in self._found[key]}
        return list(found.values())

    def signature(self, request: Request, endpoint: Endpoint) -> Fields:
        key = (request.prefix, request.signed, endpoint)
        if key not in self._signed:
            self._signed[key] = credential(request, endpoint)
        return self._signed[key]

    @property
    def signatures(self) -> int:
        return sum(1 for fields in self._signed.values() if fields)


def ask(service: str) -> Seen:
    """Send every operation of a service everywhere, as far as the classifier."""
    seen, places, operations = Seen(), Places(service), set()
    for request in requests(service):
        operations.add(request.operation)
        seen.counts["requests"] += 1
        for endpoint in places.of(request):
            host = request.prefix + endpoint.host
            places.hosts.add(host)
            signed = places.signature(request, endpoint)
            for fields in [signed, ()] if signed else [()]:
                seen.counts["calls"] += 1
                seen.counts["calls unsigned"] += not fields
                if text := wrong(request, endpoint, fields):
                    seen.failed.append(text)
    unmet = [template for template in templates(service) if not template_met(template, places.urls)]
    seen.failed += [f"{service}: no request was sent to {template}" for template in unmet]
    elsewhere = {host for host in places.hosts if not is_aws_name(host)}
    seen.counts += Counter(
        services=1,
        operations=len(operations),
        hosts=len(places.hosts) - len(elsewhere),
        signatures=places.signatures,
        templates=len(templates(service)),
    )
    seen.counts["console's hosts"] += len(elsewhere)
    return seen


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--services", default="", help="these only, separated by commas")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    names = options.services.split(",") if options.services else services()
    began, total = time.monotonic(), Seen()
    with ProcessPoolExecutor(options.processes) as pool:
        for seen in pool.map(ask, names, chunksize=4):
            total.counts += seen.counts
            total.failed += seen.failed
            for text in seen.failed[:SHOWN]:
                say(text)
    took = time.monotonic() - began
    counted = ", ".join(f"{total.counts[key]:,} {key}" for key in sorted(total.counts))
    say(f"botocore {botocore.__version__}: {counted}")
    say(f"{total.counts['calls']:,} calls classified, {len(total.failed):,} wrong, {took:.0f} s")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
