import pytest

from kecs.aws.rest import operation, segments


@pytest.mark.parametrize(
    ("service", "method", "path", "query", "expected"),
    [
        ("lambda", "GET", "/2015-03-31/functions", {}, "ListFunctions"),
        ("lambda", "GET", "/2015-03-31/functions/", {}, "ListFunctions"),
        ("lambda", "POST", "/2015-03-31/functions/f/invocations", {}, "Invoke"),
        ("lambda", "GET", "/2015-03-31/functions//invocations", {}, ""),
        ("lambda", "GET", "/nothing/like/it", {}, ""),
        ("lambda", "BREW", "/2015-03-31/functions", {}, ""),
        ("apigateway", "POST", "/restapis", {}, "CreateRestApi"),
        ("apigateway", "POST", "/restapis", {"mode": "import"}, "ImportRestApi"),
        ("apigateway", "POST", "/restapis", {"mode": "other"}, "CreateRestApi"),
        ("chime", "POST", "/accounts/1/users", {"operation": "suspend"}, "BatchSuspendUser"),
        ("workspaces-web", "GET", "/portals/arn:a/b/c", {}, "GetPortal"),
        ("workspaces-web", "PUT", "/portals/arn:a/b/c/userSettings", {"userSettingsArn": "x"}, "AssociateUserSettings"),
        ("route53", "POST", "/2013-04-01/hostedzone/Z1/rrset", {}, "ChangeResourceRecordSets"),
        ("s3", "GET", "/b/k", {"uploadId": "1"}, "ListParts"),
        ("s3", "GET", "/b", {"list-type": "1"}, "ListObjects"),
        ("s3", "GET", "/b/a//b/", {}, "GetObject"),
        ("no such service", "GET", "/", {}, ""),
    ],
)
def test_operations(service: str, method: str, path: str, query: dict[str, str], expected: str) -> None:
    assert operation(service, method, path, query) == expected


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ({}, (), "PutObject"),
        ({"partNumber": "1", "uploadId": "u"}, (), "UploadPart"),
        ({"partNumber": "1"}, (), "PutObject"),
        ({}, (b"x-amz-copy-source",), "CopyObject"),
        ({"partNumber": "1", "uploadId": "u"}, (b"x-amz-copy-source",), "UploadPartCopy"),
        ({"tagging": ""}, (), "PutObjectTagging"),
    ],
)
def test_headers_and_parameters_tell_puts(query: dict[str, str], headers: tuple[bytes, ...], expected: str) -> None:
    assert operation("s3", "PUT", "/b/k", query, headers) == expected


def test_what_only_a_model_requires_may_be_missing_where_a_path_means_one_thing() -> None:
    assert operation("lambda", "DELETE", "/2017-03-31/tags/arn", {}) == "UntagResource"


def test_segments() -> None:
    assert segments("/") == [""]
    assert segments("/a/b/") == ["a", "b"]
    assert segments("//a") == ["", "a"]
