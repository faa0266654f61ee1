"""Make aws/kecs/aws/data/*.json from botocore's data. With --check, only say what the tables lack.

`make generate` runs it with a newer botocore than the one that the tests use, which other packages hold back. Against
the botocore that the tables were made from, --check wants them equal; against any other, it wants all that it says.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, cast

import botocore
import botocore.session
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError

from kecs.aws.hosts import SUFFIXES, split, without_fips
from kecs.aws.partitions import PARTITIONS
from kecs.aws.s3_hosts import parse_s3

DATA = Path(__file__).resolve().parent.parent / "aws" / "kecs" / "aws" / "data"
VARIANTS = ((False, False), (False, True), (True, False), (True, True))
"""FIPS, dual stack."""
DUAL_STACK = {partition.dual_stack for partition in PARTITIONS}
PROTOCOLS = {"smithy-rpc-v2-cbor": "cbor"}

# Below these, resources' own hosts stand; endpoint rules name them only as templates, or not at all.
EXTRA_PREFIXES = {
    "ddb": "dynamodb",
    "search-ddb": "dynamodb",
    "streams-ddb": "dynamodbstreams",
    "control-kinesis": "kinesis",
    "data-kinesis": "kinesis",
    "control-kinesis-queues": "kinesis",
    "data-kinesis-queues": "kinesis",
    "endpoint.events": "events",
    "endpoints.email": "sesv2",
    "cloudfront-kvs": "cloudfront-keyvaluestore",
    "osm": "opensearchmemory",
    "queue": "sqs",
    "iot": "iot-data",
    "ats.iot": "iot-data",
    "data.iot": "iot-data",
    "oidc.eks": "eks",
    "oidc-eks": "eks",
    "git-codecommit": "codecommit",
    "ssmmessages": "ssm",
    "ec2messages": "ssm",
    "transcribestreaming": "transcribe",
}
# Spellings for accounts or single operations that only AWS itself tells apart from the standard one.
EXTRA_STANDARD = {
    "queue": "sqs",
    "ddb": "dynamodb",
    "search-ddb": "dynamodb",
    "streams-ddb": "streams.dynamodb",
    "control-kinesis": "kinesis",
    "data-kinesis": "kinesis",
    "control-kinesis-queues": "kinesis",
    "data-kinesis-queues": "kinesis",
    "endpoint.events": "events",
    "metering-marketplace": "metering.marketplace",
    "entitlement-marketplace": "entitlement.marketplace",
    "sync-states": "states",
    "oidc-eks": "oidc.eks",
}
# Rules ask for parameters that generation does not give; the names stand in the rules' templates.
EXTRA_SIGNING = {"s3": ["s3express", "s3-outposts", "s3-object-lambda"], "s3control": ["s3-outposts", "s3express"]}
# Of services that share an endpoint prefix, the one that calls are for when nothing tells: the older or the common one.
PREFERRED = (
    "s3",
    "elbv2",
    "ses",
    "rds",
    "lambda",
    "iot",
    "events",
    "dynamodb",
    "sagemaker",
    "opensearch",
    "iam",
    "qconnect",
    "pinpoint-sms-voice",
)
# Query names that the model no longer lists but clients of its time still speak.
QUERY_SPEAKERS = ("sqs",)
EXTRA_REST = {
    # botocore sends searches as forms, whatever the model says: queries may be longer than a URL.
    "cloudsearchdomain": "\nPOST /2013-01-01/search Search",
    # Until 1.43 these were asked with GET.
    "bedrock-agentcore-control": "\nGET /datasets ListDatasets"
    "\nGET /datasets/{}/examples ListDatasetExamples\nGET /datasets/{}/versions ListDatasetVersions",
}


class Source:
    """botocore's data."""

    def __init__(self) -> None:
        self.loader = botocore.session.Session().get_component("data_loader")
        self.names: list[str] = sorted(self.loader.list_available_services("service-2"))
        self.partitions: dict[str, Any] = self.loader.load_data("partitions")

    def model(self, name: str) -> dict[str, Any]:
        return cast("dict[str, Any]", self.loader.load_service_model(name, "service-2"))

    def rules(self, name: str) -> dict[str, Any]:
        return cast("dict[str, Any]", self.loader.load_service_model(name, "endpoint-rule-set-1"))


def own_regions(source: Source, rules_text: str) -> set[str]:
    """Return the regions that only these rules know: mturk's sandbox, greengrass's dataplane-us-gov-east-1."""
    known = {name for partition in source.partitions["partitions"] for name in partition["regions"]}
    return set(re.findall(r'\{"ref": "Region"\}, "([^"]+)"', rules_text)) - known


def regions(source: Source, rules_text: str) -> list[str]:
    """Return regions enough to see every spelling: two of each partition, and those that the rules name."""
    chosen: list[str] = []
    for partition in source.partitions["partitions"]:
        known = sorted(partition["regions"])
        chosen += [r for r in known if r.endswith("-global")]
        chosen += [partition["outputs"]["implicitGlobalRegion"]]
        chosen += [r for r in known if not r.endswith("-global")][:2]
        chosen += [r for r in known if f'"{r}"' in rules_text]
    chosen += sorted(own_regions(source, rules_text))
    return list(dict.fromkeys(chosen))


def fixed_parameters(model: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what operations fix among the parameters of the rules: once each combination, first none at all."""
    found: list[dict[str, Any]] = [{}]
    for operation in model["operations"].values():
        fixed = {name: entry["value"] for name, entry in operation.get("staticContextParams", {}).items()}
        if fixed not in found:
            found.append(fixed)
    return found


def endpoints(source: Source, name: str, model: dict[str, Any]) -> Iterator[tuple[bool, str, list[str]]]:
    """Yield whether a host is the standard one, the host, and the names its requests are signed for."""
    rules = source.rules(name)
    provider = EndpointProvider(rules, source.partitions)
    variants = list(product(fixed_parameters(model), VARIANTS))
    text = json.dumps(rules)
    own = own_regions(source, text)
    for region in regions(source, text):
        for fixed, (fips, dual) in variants:
            given = {"Region": region, "UseFIPS": fips, "UseDualStack": dual} | fixed
            try:
                endpoint = provider.resolve_endpoint(**{k: v for k, v in given.items() if k in rules["parameters"]})
            except EndpointProviderError:
                continue  # not every service has every variant, nor every operation
            schemes = endpoint.properties.get("authSchemes", [])
            host = endpoint.url.removeprefix("https://").partition("/")[0]
            if region in own and region in host.split("."):
                continue  # a variant that does not know the service's own region, and takes it for one of AWS's
            yield not fips and not dual, host, [s["signingName"] for s in schemes if "signingName" in s]


def prefix_of(host: str) -> tuple[str, str, str] | None:
    """Return endpoint prefix, region and suffix of a host; None for S3's and for the console's sign-in hosts."""
    matching = [suffix for suffix in SUFFIXES if host.endswith("." + suffix)]
    if not matching:
        return None
    suffix = max(matching, key=len)
    left = host.removesuffix("." + suffix)
    if parse_s3(left) is not None:
        return None
    parts = split(left)
    labels = parts.labels
    plain = ".".join(without_fips(labels[1:] if labels[0] == "fips" else labels))
    return plain, parts.region, suffix


def host_prefixes(model: dict[str, Any]) -> set[str]:
    found = {
        op["endpoint"]["hostPrefix"] for op in model["operations"].values() if "hostPrefix" in op.get("endpoint", {})
    }
    return {prefix for prefix in found if "{" not in prefix}


def bound(model: dict[str, Any], operation: dict[str, Any], location: str) -> list[str]:
    """Return the wire names of required input members that stand in the query string or a header."""
    shape = model["shapes"].get(operation.get("input", {}).get("shape", ""), {})
    members = shape.get("members", {})
    return sorted(
        members[name]["locationName"] for name in shape.get("required", []) if members[name].get("location") == location
    )


def rest_lines(model: dict[str, Any]) -> str:
    """Return the operations as lines METHOD PATH[?QUERY] [HEADERS] NAME, so that the first that fits is meant."""
    rows: list[tuple[int, str, str]] = []
    for name, operation in model["operations"].items():
        path, _, query = operation["http"]["requestUri"].partition("?")
        wanted = [q for q in query.split("&") if q] + bound(model, operation, "querystring")
        headers = [h.lower() for h in bound(model, operation, "header")]
        path = re.sub(r"\{[^}]*?(\+?)\}", r"{\1}", path)
        uri = path + ("?" + "&".join(wanted) if wanted else "")
        line = " ".join(part for part in (operation["http"]["method"], uri, ",".join(headers), name) if part)
        older = 1 if operation.get("deprecated") else 0
        rows.append((older - 2 * (len(wanted) + len(headers)), name, line))
    return "\n".join(line for _, _, line in sorted(rows))


def service_row(name: str, model: dict[str, Any], signing: set[str]) -> dict[str, Any]:
    metadata = model["metadata"]
    listed = metadata.get("protocols") or [metadata["protocol"]]
    protocols = [PROTOCOLS.get(p, p) for p in listed]
    if name in QUERY_SPEAKERS:
        protocols.append("query")
    own = metadata.get("signingName", metadata["endpointPrefix"])
    row: dict[str, Any] = {"protocols": protocols, "signing": sorted(signing | {own, *EXTRA_SIGNING.get(name, [])})}
    if "jsonVersion" in metadata and "json" in protocols:
        row["json"] = metadata["jsonVersion"]
    if "targetPrefix" in metadata:
        row["target"] = metadata["targetPrefix"]
    if {"query", "ec2"} & set(protocols):
        row["version"] = metadata["apiVersion"]
    if "awsQueryCompatible" in metadata:
        row["query_compatible"] = True
    return row


def rank(name: str, prefix: str) -> tuple[int, int, str]:
    """Order services of one prefix: preferred ones, then the one called like the prefix, then by name."""
    preferred = PREFERRED.index(name) if name in PREFERRED else len(PREFERRED)
    return preferred, 0 if name in (prefix, prefix.rpartition(".")[2]) else 1, name


def generate(source: Source) -> dict[str, Any]:
    services: dict[str, Any] = {}
    hosts: dict[str, set[str]] = {prefix: {name} for prefix, name in EXTRA_PREFIXES.items() if name in source.names}
    home: dict[str, str] = {}
    under: dict[str, set[bool]] = {}
    regional: dict[str, set[bool]] = {}
    actions: dict[str, str] = {}
    rest: dict[str, str] = {}
    for name in source.names:
        model = source.model(name)
        signing: set[str] = set()
        for standard, host, names in endpoints(source, name, model):
            signing |= set(names)
            parsed = prefix_of(host)
            if parsed is None:
                continue
            prefix, region, suffix = parsed
            for extra in ("", *host_prefixes(model)):
                hosts.setdefault(extra + prefix, set()).add(name)
            if standard:
                under.setdefault(prefix, set()).add(suffix in DUAL_STACK)
                home.setdefault(name, prefix)
                if suffix == "amazonaws.com":
                    regional.setdefault(prefix, set()).add(bool(region))
        row = services[name] = service_row(name, model, signing)
        if "version" in row:
            actions[name] = " ".join(sorted(model["operations"]))
        if {"rest-json", "rest-xml"} & set(row["protocols"]):
            rest[name] = rest_lines(model) + EXTRA_REST.get(name, "")
    ranked = {prefix: sorted(names, key=lambda n: rank(n, prefix)) for prefix, names in sorted(hosts.items())}
    core = {
        "botocore": botocore.__version__,
        "services": dict(sorted(services.items(), key=lambda item: rank(item[0], item[1]["signing"][0]))),
        "hosts": ranked,
        "standard": EXTRA_STANDARD | other_spellings(ranked, home, {*under, *EXTRA_PREFIXES}),
        "dual_stack_only": sorted(prefix for prefix, seen in under.items() if seen == {True}),
        "regionless": sorted(prefix for prefix, seen in regional.items() if seen == {False}),
        "actions": actions,
    }
    return {"core.json": core, "rest.json": rest}


def other_spellings(hosts: dict[str, list[str]], home: dict[str, str], standard: set[str]) -> dict[str, str]:
    """Return prefixes that no standard host has, to the standard prefix of their service.

    Not those that an operation's host prefix made of a standard one: data-, api. and the like say something.
    """
    found: dict[str, str] = {}
    for prefix, names in hosts.items():
        homes = [home[name] for name in names if name in home]
        if prefix not in standard and names[0] in home and not any(prefix.endswith(own) for own in homes):
            found[prefix] = home[names[0]]
    return found


def render(table: dict[str, Any]) -> str:
    return json.dumps(table, indent=0, ensure_ascii=True, separators=(",", ":")) + "\n"


def differences(name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Yield what differs in meaning, one line each. The version of botocore is no difference."""
    for key in sorted({*old, *new} - {"botocore"}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from differences(f"{name}: {key}", before, after)
        elif before != after:
            yield f"{name}: {key}"


def words(value: Any) -> set[str]:
    """Return what a value of a table lists: a list's items, a text's lines with paths, or any other text's words."""
    if isinstance(value, str):
        return set(value.splitlines() if " /" in value else value.split(" "))
    return set(value) if isinstance(value, list) else {str(value)}


def lacking(name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Yield what the old tables lack of the new ones, one line each: they may know more services and operations."""
    for key, after in sorted(new.items()):
        before = old.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from lacking(f"{name}: {key}", before, after)
        elif key != "botocore" and (before is None or not words(after) <= words(before)):
            yield f"{name}: {key}"


def compared(name: str, table: dict[str, Any]) -> list[str]:
    """Return what differs between a table as it stands and as it would be made."""
    path = DATA / name
    old = json.loads(path.read_text()) if path.exists() else {}
    return list((differences if made_from() == botocore.__version__ else lacking)(name, old, table))


def made_from() -> str:
    """Return the version of botocore that the tables were made from."""
    path = DATA / "core.json"
    return str(json.loads(path.read_text())["botocore"]) if path.exists() else ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the tables lack something")
    options = parser.parse_args(arguments)
    tables = generate(Source())
    changed = [line for name, table in tables.items() for line in compared(name, table)]
    if not options.check:
        for name, table in tables.items():
            (DATA / name).write_text(render(table))
    for line in changed:
        print(line)
    print(
        f"{len(changed)} differences to botocore {botocore.__version__}" + (" (not written)" if options.check else "")
    )
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
