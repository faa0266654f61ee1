"""Buckets as websites, as browsers ask them: S3's documented behaviour."""

import json

import pytest
from emulator_lab import Emulator

SITE = "https://{name}.s3-website-us-east-1.amazonaws.com"


@pytest.fixture
def site(emulator: Emulator, name: str) -> str:
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=name)
    for key in ("home.html", "docs/home.html", "a b.html", "sorry.html"):
        s3.put_object(Bucket=name, Key=key, Body=key.encode(), ContentType="text/html", CacheControl="max-age=5")
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"}
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_object(Bucket=name, Key="moved", Body=b"", WebsiteRedirectLocation="/home.html")
    return name


def configure(emulator: Emulator, name: str, **given: object) -> None:
    emulator.client("s3").put_bucket_website(Bucket=name, WebsiteConfiguration=given)


@pytest.fixture
def usual(emulator: Emulator, site: str) -> str:
    rules = [
        {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "new/"}},
        {
            "Condition": {"KeyPrefixEquals": "app/", "HttpErrorCodeReturnedEquals": "404"},
            "Redirect": {"ReplaceKeyWith": "home.html", "HttpRedirectCode": "302", "HostName": "h.example"},
        },
    ]
    index, error = {"Suffix": "home.html"}, {"Key": "sorry.html"}
    configure(emulator, site, IndexDocument=index, ErrorDocument=error, RoutingRules=rules)
    return site


@pytest.mark.parametrize("dialect", ["s3-website-us-east-1", "s3-website.us-east-1"])
@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/", 200, b"home.html"),
        ("/home.html", 200, b"home.html"),
        ("/docs/", 200, b"docs/home.html"),
        ("/a%20b.html?v=1", 200, b"a b.html"),
        ("/none", 404, b"sorry.html"),
        ("/none/", 404, b"sorry.html"),
    ],
)
def test_documents(emulator: Emulator, usual: str, dialect: str, *, path: str, status: int, text: bytes) -> None:
    found, headers, body = emulator.ask("GET", f"https://{usual}.{dialect}.amazonaws.com{path}")
    assert (found, body) == (status, text)
    assert headers["Content-Type"] == "text/html"
    assert headers["Cache-Control"] == "max-age=5"


@pytest.mark.parametrize(
    ("path", "status", "location"),
    [
        ("/docs", 302, "/docs/"),
        ("/moved", 301, "/home.html"),
        ("/old/a%20b?c=d", 301, "http://{host}/new/a%20b?c=d"),
        ("/app/x", 302, "http://h.example/home.html"),
    ],
)
def test_redirects(emulator: Emulator, usual: str, path: str, status: int, location: str) -> None:
    host = SITE.format(name=usual)
    found, headers, body = emulator.ask("GET", host + path)
    assert (found, headers["Location"], body) == (status, location.format(host=host.removeprefix("https://")), b"")


def test_everything_may_be_sent_elsewhere(emulator: Emulator, site: str) -> None:
    configure(emulator, site, RedirectAllRequestsTo={"HostName": "www.example.com", "Protocol": "https"})
    status, headers, _ = emulator.ask("GET", SITE.format(name=site) + "/a/b?c=d")
    assert (status, headers["Location"]) == (301, "https://www.example.com/a/b?c=d")


def test_conditions_ranges_and_heads_are_the_objects(emulator: Emulator, usual: str) -> None:
    url = SITE.format(name=usual) + "/home.html"
    status, headers, body = emulator.ask("GET", url, headers={"Range": "bytes=1-3"})
    assert (status, body) == (206, b"ome")
    status, headers, body = emulator.ask("HEAD", url)
    assert (status, headers["Content-Length"], body) == (200, "9", b"")
    assert emulator.ask("GET", url, headers={"If-None-Match": headers["ETag"]})[0] == 304
    assert emulator.ask("HEAD", SITE.format(name=usual) + "/none")[0] == 404


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_a_website_is_read_only(emulator: Emulator, usual: str, method: str) -> None:
    status, headers, body = emulator.ask(method, SITE.format(name=usual) + "/home.html", b"")
    assert (status, headers["x-amz-error-code"]) == (405, "MethodNotAllowed")
    assert b"<h1>405 Method Not Allowed</h1>" in body


def test_errors_are_pages(emulator: Emulator, site: str) -> None:
    url = SITE.format(name=site)
    status, headers, body = emulator.ask("GET", f"{url}/")
    assert (status, headers["x-amz-error-code"]) == (404, "NoSuchWebsiteConfiguration")
    status, headers, body = emulator.ask("GET", SITE.format(name="nobody-has-this") + "/")
    assert (status, headers["x-amz-error-code"]) == (404, "NoSuchBucket")
    configure(emulator, site, IndexDocument={"Suffix": "home.html"})
    status, headers, body = emulator.ask("GET", f"{url}/<none>")
    assert (status, headers["x-amz-error-code"]) == (404, "NoSuchKey")
    assert b"<li>Key: &lt;none&gt;</li>" in body
    status, headers, body = emulator.ask("HEAD", f"{url}/none")
    assert (status, headers["x-amz-error-code"], body) == (404, "NoSuchKey", b"")
    emulator.client("s3").delete_bucket_policy(Bucket=site)
    status, headers, body = emulator.ask("GET", f"{url}/home.html")
    assert (status, headers["x-amz-error-code"]) == (403, "AccessDenied")
