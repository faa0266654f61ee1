"""Every service, in every partition and variant, by botocore's endpoint rules and botocore's signatures.

One region of each partition, and every host that is spelled otherwise than its neighbours. All regions and all
operations are `make test-hosts`.
"""

from typing import Any

import aws_lab
import pytest
from endpoints_lab import (
    SAME_OPERATION,
    SAME_WIRE,
    Endpoint,
    Request,
    all_said,
    credential,
    described,
    endpoints,
    presigned,
    requests,
    row_of,
    services,
    template_met,
    templates,
    twins,
    wrong,
)

from kecs.aws.hosts import parse_host


def asked(service: str) -> list[Request]:
    """Return the first, middle and last operation, and one of each that says other things to the rules."""
    names: list[str] = list(aws_lab.session().get_service_model(service).operation_names)
    models: dict[str, Any] = {
        name: aws_lab.session().get_service_model(service).operation_model(name) for name in names
    }
    told = {
        (
            str((model.endpoint or {}).get("hostPrefix")),
            *sorted(f"{one.name}={getattr(one, 'value', '')}" for one in model.static_context_parameters),
            *sorted(one.name for one in model.context_parameters),
            *sorted(model.operation_context_parameters),
        ): name
        for name, model in models.items()
    }
    return list(requests(service, dict.fromkeys([names[0], names[len(names) // 2], names[-1], *told.values()])))


@pytest.mark.parametrize("service", services())
def test_requests_tell_service_operation_and_region_wherever_they_are_sent(service: str) -> None:
    known: dict[str, list[Endpoint]] = {}
    failed: list[str] = []
    for request in asked(service):
        for said in all_said(request):
            key = described(said)
            if key not in known:
                known[key] = list(endpoints(service, said))
            for endpoint in {row_of(endpoint): endpoint for endpoint in known[key]}.values():
                failed += [wrong(request, endpoint, signed) for signed in {credential(request, endpoint), ()}]
                failed.append(wrong(presigned(request, endpoint), endpoint, ()))
    assert not [text for text in failed if text]
    assert failed
    for host in {endpoint.host for found in known.values() for endpoint in found}:
        assert parse_host(f"{host}.evil.com") is None
        assert parse_host(f"{host}evil") is None
    urls = {endpoint.url for found in known.values() for endpoint in found}
    assert [template for template in templates(service) if not template_met(template, urls)] == []


@pytest.mark.parametrize("service", sorted(SAME_WIRE))
def test_services_of_the_same_wire_have_operations_in_common(service: str) -> None:
    names = aws_lab.session().get_service_model(service).operation_names
    assert any(len(twins(service, name)) == 2 for name in names)


def test_deprecated_names_of_one_request() -> None:
    model = aws_lab.session().get_service_model("s3")
    for old, new in SAME_OPERATION.items():
        assert model.operation_model(old).deprecated
        assert model.operation_model(old).http["requestUri"] == model.operation_model(new).http["requestUri"]
