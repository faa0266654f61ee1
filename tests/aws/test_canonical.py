import aws_lab
import pytest
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError
from hypothesis import given
from hypothesis import strategies as st
from moto.backend_index import backend_url_patterns

from kecs.aws.canonical import canonicalise
from kecs.aws.canonical_types import Changed, Refusal
from kecs.aws.classify import classify
from kecs.aws.head import RequestHead
from kecs.aws.hosts import parse_host
from kecs.aws.profiles import PROFILES, PathStyle, Profile
from kecs.aws.scope import from_header


def outcome(head: RequestHead, profile: str, body: bytes | None = b"") -> RequestHead | Changed | Refusal:
    return canonicalise(classify(head), head, PROFILES[profile], body=body)


def only_head(found: RequestHead | Changed | Refusal) -> RequestHead:
    assert isinstance(found, RequestHead), found
    return found


def changed(head: RequestHead, profile: str) -> RequestHead:
    return only_head(outcome(head, profile))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("service", "operation"), [("s3", "PutObject"), ("dynamodb", "ListTables"), ("sts", "GetCallerIdentity")]
)
def test_the_usual_request_is_passed_as_it_is(profile: str, service: str, operation: str) -> None:
    head = aws_lab.sent(aws_lab.client(service, "eu-west-1"), operation).head
    moves = service == "s3" and PROFILES[profile].path_style is PathStyle.ALWAYS
    assert (changed(head, profile) is head) is not moves


HOSTS = {
    "b.s3-eu-west-1.amazonaws.com": "b.s3.eu-west-1.amazonaws.com",
    "b.s3-accelerate.amazonaws.com": "b.s3.amazonaws.com",
    "b.s3-fips.us-west-2.amazonaws.com": "b.s3.us-west-2.amazonaws.com",
    "b.s3.dualstack.us-west-2.amazonaws.com": "b.s3.us-west-2.amazonaws.com",
    "b.bucket.vpce-1-x.s3.us-east-1.vpce.amazonaws.com": "b.s3.us-east-1.amazonaws.com",
    "sqs.us-east-1.api.aws": "sqs.us-east-1.amazonaws.com",
    "lambda-fips.us-east-1.api.aws": "lambda.us-east-1.amazonaws.com",
    "eu-west-1.queue.amazonaws.com": "sqs.eu-west-1.amazonaws.com",
    "123456789012.ddb.us-east-1.amazonaws.com": "dynamodb.us-east-1.amazonaws.com",
    "x.iot.eu-west-1.amazonaws.com": "data-ats.iot.eu-west-1.amazonaws.com",
    "sqs.cn-north-1.amazonaws.com.cn": "sqs.cn-north-1.amazonaws.com.cn",
    "sts.us-gov-west-1.amazonaws.com": "sts.us-gov-west-1.amazonaws.com",
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("host", HOSTS)
def test_hosts_become_the_standard_ones_and_the_path_stays(host: str, profile: str) -> None:
    head = aws_lab.get_head(f"https://{host}/a/b%20c?d=e")
    after = changed(head, profile)
    bucket, _, rest = HOSTS[host].partition(".")
    if bucket == "b" and PROFILES[profile].path_style is PathStyle.ALWAYS:
        assert (after.get(b"host"), after.target) == (rest.encode(), b"/b" + head.target)
        return
    assert after.get(b"host") == HOSTS[host].encode()
    assert after.target == head.target


@pytest.mark.parametrize(
    ("profile", "host", "target"),
    [
        ("embedded", b"a.b.s3.eu-west-1.amazonaws.com", b"/k?acl"),
        ("localstack", b"a.b.s3.eu-west-1.amazonaws.com", b"/k?acl"),
        ("ministack", b"s3.eu-west-1.amazonaws.com", b"/a.b/k?acl"),
        ("moto-server", b"s3.eu-west-1.amazonaws.com", b"/a.b/k?acl"),
        ("generic", b"s3.eu-west-1.amazonaws.com", b"/a.b/k?acl"),
    ],
)
def test_buckets_with_dots_move_to_the_path_where_hosts_with_dots_are_not_understood(
    profile: str, host: bytes, target: bytes
) -> None:
    after = changed(aws_lab.get_head("https://a.b.s3.eu-west-1.amazonaws.com/k?acl"), profile)
    assert (after.get(b"host"), after.target) == (host, target)


def test_all_buckets_move_for_a_backend_that_never_looks_at_hosts() -> None:
    head = aws_lab.get_head("https://b.s3-eu-west-1.amazonaws.com/k")
    profile = Profile(name="own", path_style=PathStyle.ALWAYS)
    after = only_head(canonicalise(classify(head), head, profile))
    assert (after.get(b"host"), after.target) == (b"s3.eu-west-1.amazonaws.com", b"/b/k")
    website = aws_lab.get_head("https://b.s3-website.eu-west-1.amazonaws.com/k")
    assert canonicalise(classify(website), website, profile) is website


def test_a_key_may_begin_with_slashes() -> None:
    """moto's own web server makes one slash of those that a path begins with."""
    after = changed(aws_lab.get_head("https://b.s3.eu-west-1.amazonaws.com//k"), "moto-server")
    assert after.target == b"/b//k"


def test_a_profile_may_keep_hosts() -> None:
    head = aws_lab.get_head("https://b.s3-eu-west-1.amazonaws.com/k")
    assert canonicalise(classify(head), head, Profile(name="own", canonical_host=False)) is head


@pytest.mark.parametrize(
    ("profile", "host"),
    [
        ("embedded", b"123456789012.s3-control.eu-west-1.amazonaws.com"),
        ("moto-server", b"123456789012.s3-control.eu-west-1.amazonaws.com"),
        ("localstack", b"s3-control.eu-west-1.amazonaws.com"),
        ("generic", b"s3-control.eu-west-1.amazonaws.com"),
    ],
)
def test_accounts_in_hosts(profile: str, host: bytes) -> None:
    head = aws_lab.sent(aws_lab.client("s3control", "eu-west-1"), "ListJobs").head
    assert changed(head, profile).get(b"host") == host


def test_the_name_a_request_was_intercepted_on_stands_in_for_a_host_that_is_not_aws() -> None:
    head = aws_lab.get_head("https://localhost/k")
    call = classify(head, name="b.s3-eu-west-1.amazonaws.com")
    after = only_head(canonicalise(call, head, PROFILES["embedded"]))
    assert after.get(b"host") == b"b.s3.eu-west-1.amazonaws.com"
    bare = RequestHead(method=b"GET", target=b"/k", fields=())
    call = classify(bare, name="b.s3.eu-west-1.amazonaws.com")
    after = only_head(canonicalise(call, bare, PROFILES["embedded"]))
    assert after.fields == ((b"Host", b"b.s3.eu-west-1.amazonaws.com"),)


def presigned_sts() -> RequestHead:
    made = aws_lab.client("sts", "ap-south-1")
    return aws_lab.get_head(made.generate_presigned_url("get_caller_identity", HttpMethod="GET"))


@pytest.mark.parametrize("profile", ["moto-server", "embedded"])
def test_a_presigned_sts_url_gets_its_credential_as_a_header_where_the_backend_goes_by_it(profile: str) -> None:
    head = presigned_sts()
    after = outcome(head, profile)
    assert isinstance(after, Changed)
    scope = from_header((after.head.get(b"authorization") or b"").decode())
    assert (scope.access_key, scope.region, scope.service) == ("AKIDEXAMPLE", "ap-south-1", "sts")
    assert after.body == head.target.partition(b"?")[2]
    assert changed(head, "localstack").get(b"authorization") is None


@pytest.mark.parametrize(
    ("profile", "service", "operation", "scope"),
    [
        ("embedded", "sqs", "ListQueues", "test/20000101/eu-west-1/sqs/aws4_request"),
        ("ministack", "sqs", "ListQueues", "test/20000101/eu-west-1/sqs/aws4_request"),
        ("localstack", "sqs", "ListQueues", "test/20000101/eu-west-1/sqs/aws4_request"),
        ("embedded", "sts", "AssumeRoleWithWebIdentity", ""),
        ("moto-server", "sts", "AssumeRoleWithWebIdentity", "test/20000101/eu-west-1/sts/aws4_request"),
        ("moto-server", "cognito-idp", "InitiateAuth", "test/20000101/eu-west-1/cognito-idp/aws4_request"),
        ("moto-server", "s3", "GetObject", ""),
        ("generic", "s3", "GetObject", ""),
    ],
)
def test_unsigned_requests(profile: str, service: str, operation: str, scope: str) -> None:
    head = aws_lab.sent(aws_lab.client(service, "eu-west-1", unsigned=True), operation).head
    assert head.get(b"authorization") is None
    after = changed(head, profile).get(b"authorization")
    assert (after or b"").partition(b"Credential=")[2].partition(b",")[0].decode() == scope


@pytest.mark.parametrize(
    ("profile", "host"),
    [
        ("localstack", "a.execute-api.eu-west-1.amazonaws.com"),
        ("localstack", "a.lambda-url.eu-west-1.on.aws"),
        ("localstack", "b.s3-website.eu-west-1.amazonaws.com"),
        ("embedded", "b.s3-website.eu-west-1.amazonaws.com"),
        ("ministack", "a.lambda-url.eu-west-1.on.aws"),
        ("ministack", "123456789012.dkr.ecr.eu-west-1.amazonaws.com"),
    ],
)
def test_requests_to_customers_own_endpoints_are_never_signed(host: str, profile: str) -> None:
    head = aws_lab.get_head(f"https://{host}/")
    assert changed(head, profile) is head


def test_sigv4a_becomes_a_scope_with_a_region_where_the_backend_needs_one() -> None:
    head = aws_lab.get_head(
        "https://abc.endpoint.events.amazonaws.com/",
        b"POST",
        (b"X-Amz-Date", b"20260203T040506Z"),
        (b"X-Amz-Region-Set", b"*"),
        (b"Authorization", b"AWS4-ECDSA-P256-SHA256 Credential=AKID/20260203/events/aws4_request, Signature=x"),
    )
    after = changed(head, "embedded")
    assert after.get(b"host") == b"events.us-east-1.amazonaws.com"
    assert b"Credential=AKID/20260203/us-east-1/events/aws4_request" in (after.get(b"authorization") or b"")
    assert after.get(b"x-amz-region-set") is None
    assert changed(head, "localstack").get(b"authorization") == head.get(b"authorization")


def known_to_moto(host: str) -> set[str]:
    return {name for name, pattern in backend_url_patterns if pattern.match(f"https://{host}/")}


def endpoint(service: str, *, fips: bool = False, dual_stack: bool = False) -> str:
    loader = aws_lab.session().get_component("data_loader")
    rules = loader.load_service_model(service, "endpoint-rule-set-1")
    given = {"Region": "us-west-2", "UseFIPS": fips, "UseDualStack": dual_stack, "ServiceType": "ACM"}
    provider = EndpointProvider(rules, loader.load_data("partitions"))
    try:
        found = provider.resolve_endpoint(**{k: v for k, v in given.items() if k in rules["parameters"]})
    except EndpointProviderError:
        return ""
    return found.url.removeprefix("https://").partition("/")[0]


def test_the_embedded_emulators_patterns_know_the_canonical_host_of_every_variant() -> None:
    checked, lost = set(), set()
    for service in aws_lab.session().get_available_services():
        theirs = known_to_moto(endpoint(service))
        for fips, dual_stack in ((True, False), (False, True), (True, True)):
            host = parse_host(endpoint(service, fips=fips, dual_stack=dual_stack))
            if host is None or not theirs:
                continue
            checked.add(service)
            if not theirs & known_to_moto(host.canonical):
                lost.add(service)
    assert len(checked) > 150
    # To moto's S3 pattern any name that begins with s3 is a bucket's; it has no S3 Files.
    assert lost <= {"s3files"}


@given(st.binary(max_size=60), st.binary(max_size=60), st.sampled_from(sorted(PROFILES)))
def test_any_bytes_keep_their_form(target: bytes, host: bytes, profile: str) -> None:
    head = RequestHead(method=b"GET", target=target, fields=((b"Host", host), (b"Authorization", host)))
    after = outcome(head, profile)
    if isinstance(after, RequestHead):
        assert after.target.endswith(target)
        assert [key for key, _ in after.fields] == [b"Host", b"Authorization"]
    else:
        assert isinstance(after, Refusal)
