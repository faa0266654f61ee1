"""S3, in every spelling its clients have."""

import hashlib
import json
from typing import Final

from matrix.playbook import (
    Api,
    Form,
    From,
    Group,
    PostPolicy,
    Presigned,
    Raw,
    Text,
    among,
    every,
    holds,
    like,
    some,
    status,
)

BUCKET: Final = "kecs-bucket"
DOTTED: Final = "kecs.bucket.example"
ABROAD: Final = "kecs-abroad"
SITE: Final = "kecs-site"
OPEN: Final = "kecs-open"
BODY: Final = b"the object's bytes"
_EU: Final = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
_READ: Final = every(holds("Body", BODY), some("ETag"))
_CAME: Final = every(status(200), holds("body", BODY))

MADE: Final = Api(service="s3", operation="CreateBucket", parameters={"Bucket": BUCKET})
MADE_DOTTED: Final = Api(service="s3", operation="CreateBucket", parameters={"Bucket": DOTTED})
MADE_ABROAD: Final = Api(
    service="s3", operation="CreateBucket", region="eu-west-1", parameters={"Bucket": ABROAD, **_EU}
)
MADE_SITE: Final = Api(
    service="s3",
    operation="CreateBucket",
    region="eu-west-1",
    parameters={"Bucket": SITE, "ObjectOwnership": "ObjectWriter", **_EU},
)


def _put(bucket: str, key: str = "k", body: bytes = BODY, region: str = "us-east-1", kind: str = "text/plain") -> Api:
    parameters = {"Bucket": bucket, "Key": key, "Body": body, "ContentType": kind}
    return Api(service="s3", operation="PutObject", region=region, parameters=parameters)


def _get(bucket: str, region: str = "us-east-1", endpoint: str = "", **config: object) -> Api:
    return Api(
        service="s3",
        operation="GetObject",
        region=region,
        endpoint=endpoint,
        parameters={"Bucket": bucket, "Key": "k"},
        config=config,
    )


PUT: Final = _put(BUCKET)
PUT_DOTTED: Final = _put(DOTTED)
PUT_ABROAD: Final = _put(ABROAD, region="eu-west-1")
THERE: Final = (MADE, PUT)
DOTTED_THERE: Final = (MADE_DOTTED, PUT_DOTTED)
ABROAD_THERE: Final = (MADE_ABROAD, PUT_ABROAD)
_VIRTUAL: Final = {"addressing_style": "virtual"}
_PATH: Final = {"addressing_style": "path"}


def _plain(name: str, host: str, target: str, after: tuple[Api, ...] = THERE) -> Form:
    """Ask as a signed client of another language spells it."""
    region = "eu-west-1" if after is ABROAD_THERE else "us-east-1"
    return Form(
        name=name, ask=Raw(method="GET", host=host, target=target, sign=("s3", region)), right=_CAME, after=after
    )


_SPELLINGS: Final = (
    Form(name="path style", ask=_get(BUCKET, s3=_PATH), right=_READ, after=THERE),
    Form(name="virtual host", ask=_get(BUCKET, s3=_VIRTUAL), right=_READ, after=THERE),
    Form(name="virtual host, region", ask=_get(ABROAD, "eu-west-1", s3=_VIRTUAL), right=_READ, after=ABROAD_THERE),
    Form(name="path style, region", ask=_get(ABROAD, "eu-west-1", s3=_PATH), right=_READ, after=ABROAD_THERE),
    Form(name="dual-stack", ask=_get(BUCKET, use_dualstack_endpoint=True), right=_READ, after=THERE),
    Form(
        name="dual-stack, path style", ask=_get(BUCKET, use_dualstack_endpoint=True, s3=_PATH), right=_READ, after=THERE
    ),
    Form(name="FIPS", ask=_get(BUCKET, use_fips_endpoint=True), right=_READ, after=THERE),
    Form(
        name="FIPS and dual-stack",
        ask=_get(BUCKET, use_fips_endpoint=True, use_dualstack_endpoint=True),
        right=_READ,
        after=THERE,
    ),
    Form(name="accelerate", ask=_get(BUCKET, s3={"use_accelerate_endpoint": True}), right=_READ, after=THERE),
    Form(
        name="accelerate, dual-stack",
        ask=_get(BUCKET, s3={"use_accelerate_endpoint": True}, use_dualstack_endpoint=True),
        right=_READ,
        after=THERE,
    ),
    _plain("legacy s3-eu-west-1, path style", "s3-eu-west-1.amazonaws.com", f"/{ABROAD}/k", ABROAD_THERE),
    _plain("legacy s3-eu-west-1, virtual host", f"{ABROAD}.s3-eu-west-1.amazonaws.com", "/k", ABROAD_THERE),
    _plain("legacy s3-external-1", "s3-external-1.amazonaws.com", f"/{BUCKET}/k"),
    _plain("legacy s3-external-1, virtual host", f"{BUCKET}.s3-external-1.amazonaws.com", "/k"),
    _plain("global s3.amazonaws.com for a bucket elsewhere", f"{ABROAD}.s3.amazonaws.com", "/k", ABROAD_THERE),
    _plain("s3.us-east-1, virtual host", f"{BUCKET}.s3.us-east-1.amazonaws.com", "/k"),
    _plain("VPC endpoint, path style", "bucket.vpce-1a2b3c4d-5e6f.s3.us-east-1.vpce.amazonaws.com", f"/{BUCKET}/k"),
    _plain("VPC endpoint, virtual host", f"{BUCKET}.bucket.vpce-1a2b3c4d-5e6f.s3.us-east-1.vpce.amazonaws.com", "/k"),
    _plain("host in capitals", f"{BUCKET}.S3.US-EAST-1.AmazonAWS.com", "/k"),
    _plain("host with port 443", f"{BUCKET}.s3.us-east-1.amazonaws.com:443", "/k"),
    Form(name="dotted bucket, path style", ask=_get(DOTTED, s3=_PATH), right=_READ, after=DOTTED_THERE),
    _plain("dotted bucket, virtual host", f"{DOTTED}.s3.us-east-1.amazonaws.com", "/k", DOTTED_THERE),
    _plain("dotted bucket, legacy host", f"{DOTTED}.s3.amazonaws.com", "/k", DOTTED_THERE),
    Form(
        name="China",
        ask=Api(service="s3", operation="ListBuckets", region="cn-north-1"),
        right=some("Owner"),
    ),
    Form(
        name="GovCloud",
        ask=Api(service="s3", operation="ListBuckets", region="us-gov-west-1"),
        right=some("Owner"),
    ),
    Form(
        name="bucket list",
        ask=Api(service="s3", operation="ListBuckets"),
        right=every(among("Buckets", "Name", BUCKET), some("Owner.ID")),
        after=(MADE,),
    ),
)

_CHECKSUMS: Final = tuple(
    Form(
        name=f"upload with {algorithm}",
        ask=Api(
            service="s3",
            operation="PutObject",
            parameters={"Bucket": BUCKET, "Key": algorithm, "Body": BODY, "ChecksumAlgorithm": algorithm},
        ),
        right=holds("ETag", f'"{hashlib.md5(BODY, usedforsecurity=False).hexdigest()}"'),
        after=(MADE,),
    )
    for algorithm in ("CRC32", "SHA1", "SHA256")
)

_CHUNKS: Final = (
    b"12;chunk-signature=" + b"0" * 64 + b"\r\n" + BODY + b"\r\n0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n"
)
PUT_CHUNKED: Final = Raw(
    method="PUT",
    host=f"{BUCKET}.s3.us-east-1.amazonaws.com",
    target="/signed-chunks",
    headers={
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "x-amz-decoded-content-length": str(len(BODY)),
        "Content-Encoding": "aws-chunked",
    },
    body=_CHUNKS,
    sign=("s3", "us-east-1"),
)
PUT_TRAILER: Final = Raw(
    method="PUT",
    host=f"{BUCKET}.s3.us-east-1.amazonaws.com",
    target="/trailer",
    headers={
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": str(len(BODY)),
        "x-amz-trailer": "x-amz-checksum-crc32",
        "Content-Encoding": "aws-chunked",
        "Expect": "100-continue",
    },
    body=b"12\r\n" + BODY + b"\r\n0\r\nx-amz-checksum-crc32:ZUgt8w==\r\n\r\n",
    sign=("s3", "us-east-1"),
)
_UPLOAD: Final = Api(service="s3", operation="CreateMultipartUpload", parameters={"Bucket": BUCKET, "Key": "parts"})
_PART: Final = Api(
    service="s3",
    operation="UploadPart",
    parameters={
        "Bucket": BUCKET,
        "Key": "parts",
        "PartNumber": 1,
        "UploadId": From(_UPLOAD, "UploadId"),
        "Body": b"x" * 1024,
    },
)
_COMPLETE: Final = Api(
    service="s3",
    operation="CompleteMultipartUpload",
    parameters={
        "Bucket": BUCKET,
        "Key": "parts",
        "UploadId": From(_UPLOAD, "UploadId"),
        "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": From(_PART, "ETag")}]},
    },
)

_OBJECTS: Final = (
    Form(
        name="bucket made in a region",
        ask=Api(
            service="s3",
            operation="CreateBucket",
            region="eu-west-1",
            parameters={"Bucket": "kecs-located", **_EU},
        ),
        right=holds("Location", "http://kecs-located.s3.amazonaws.com/"),
    ),
    Form(
        name="bucket's region",
        ask=Api(service="s3", operation="GetBucketLocation", region="eu-west-1", parameters={"Bucket": ABROAD}),
        right=holds("LocationConstraint", "eu-west-1"),
        after=(MADE_ABROAD,),
    ),
    *_CHECKSUMS,
    Form(
        name="upload in signed chunks",
        ask=Api(service="s3", operation="GetObject", parameters={"Bucket": BUCKET, "Key": "signed-chunks"}),
        right=holds("Body", BODY),
        after=(MADE, PUT_CHUNKED),
    ),
    Form(
        name="upload with a trailing checksum and Expect",
        ask=Api(service="s3", operation="GetObject", parameters={"Bucket": BUCKET, "Key": "trailer"}),
        right=holds("Body", BODY),
        after=(MADE, PUT_TRAILER),
    ),
    Form(
        name="range",
        ask=Api(service="s3", operation="GetObject", parameters={"Bucket": BUCKET, "Key": "k", "Range": "bytes=4-9"}),
        right=every(holds("Body", BODY[4:10]), status(206)),
        after=THERE,
    ),
    Form(
        name="HeadObject",
        ask=Api(service="s3", operation="HeadObject", parameters={"Bucket": BUCKET, "Key": "k"}),
        right=holds("ContentLength", len(BODY)),
        after=THERE,
    ),
    Form(
        name="key that is not there",
        ask=Api(service="s3", operation="GetObject", parameters={"Bucket": BUCKET, "Key": "nothing"}),
        right=lambda _: "found",
        after=(MADE,),
        refuses="NoSuchKey",
    ),
    Form(
        name="bucket that is not there",
        ask=Api(service="s3", operation="GetObject", parameters={"Bucket": "kecs-nothing", "Key": "k"}),
        right=lambda _: "found",
        refuses="NoSuchBucket",
    ),
    Form(
        name="key with blanks, plus, percent and Umlauts",
        ask=Api(
            service="s3",
            operation="ListObjectsV2",
            parameters={"Bucket": BUCKET, "Prefix": "odd/", "EncodingType": "url"},
        ),
        right=holds("Contents.0.Key", "odd/a%20b%2B%25%C3%A4"),
        after=(MADE, _put(BUCKET, "odd/a b+%ä")),
    ),
    Form(
        name="copy",
        ask=Api(
            service="s3",
            operation="CopyObject",
            parameters={"Bucket": BUCKET, "Key": "copy", "CopySource": {"Bucket": BUCKET, "Key": "k"}},
        ),
        right=some("CopyObjectResult.ETag"),
        after=THERE,
    ),
    Form(
        name="delete of several",
        ask=Api(
            service="s3",
            operation="DeleteObjects",
            parameters={"Bucket": BUCKET, "Delete": {"Objects": [{"Key": "x"}]}},
        ),
        right=holds("Deleted.0.Key", "x"),
        after=(MADE, _put(BUCKET, "x")),
    ),
    Form(
        name="upload in parts",
        ask=_COMPLETE,
        right=holds("Location", f"https://{BUCKET}.s3.us-east-1.amazonaws.com/parts"),
        after=(MADE, _UPLOAD, _PART),
    ),
    Form(
        name="Select",
        ask=Api(
            service="s3",
            operation="SelectObjectContent",
            parameters={
                "Bucket": BUCKET,
                "Key": "rows.csv",
                "Expression": "SELECT * FROM S3Object",
                "ExpressionType": "SQL",
                "InputSerialization": {"CSV": {}},
                "OutputSerialization": {"CSV": {}},
            },
        ),
        right=like("Payload.0.Records.Payload", "^a,b"),
        after=(MADE, _put(BUCKET, "rows.csv", b"a,b\n1,2\n")),
    ),
    Form(
        name="address in an object stays as it is",
        ask=Api(service="s3", operation="GetObject", parameters={"Bucket": BUCKET, "Key": "address"}),
        right=holds("Body", b"http://my-server.example:4567/x"),
        after=(MADE, _put(BUCKET, "address", b"http://my-server.example:4567/x")),
    ),
)


def _anonymous(name: str, host: str, target: str) -> Form:
    return Form(name=name, ask=Raw(method="GET", host=host, target=target), right=_CAME, after=(MADE_OPEN, PUT_OPEN))


PUT_SIGNED: Final = Presigned(
    service="s3",
    operation="PutObject",
    parameters={"Bucket": BUCKET, "Key": "presigned"},
    config={"signature_version": "s3v4"},
    body=BODY,
)
MADE_OPEN: Final = Api(
    service="s3", operation="CreateBucket", parameters={"Bucket": OPEN, "ObjectOwnership": "ObjectWriter"}
)
PUT_OPEN: Final = Api(
    service="s3",
    operation="PutObject",
    parameters={"Bucket": OPEN, "Key": "open", "Body": BODY, "ACL": "public-read"},
)


def _presigned(name: str, region: str = "us-east-1", bucket: str = BUCKET, **config: object) -> Form:
    return Form(
        name=name,
        ask=Presigned(
            service="s3",
            operation="GetObject",
            region=region,
            parameters={"Bucket": bucket, "Key": "k"},
            config=config,
        ),
        right=_CAME,
        after=ABROAD_THERE if bucket == ABROAD else DOTTED_THERE if bucket == DOTTED else THERE,
    )


POSTED: Final = PostPolicy(bucket=BUCKET, key="posted", content=BODY)
_WITHOUT: Final = (
    _presigned("presigned GET, v4", signature_version="s3v4"),
    _presigned("presigned GET, v4, region", "eu-west-1", ABROAD, signature_version="s3v4"),
    _presigned("presigned GET, v4, path style", signature_version="s3v4", s3=_PATH),
    _presigned("presigned GET, v4, dotted bucket", bucket=DOTTED, signature_version="s3v4"),
    _presigned("presigned GET, v4, dual-stack", signature_version="s3v4", use_dualstack_endpoint=True),
    _presigned("presigned GET, v4, accelerate", signature_version="s3v4", s3={"use_accelerate_endpoint": True}),
    _presigned("presigned GET, v2", signature_version="s3"),
    Form(
        name="presigned PUT, v4",
        ask=Api(service="s3", operation="GetObject", parameters={"Bucket": BUCKET, "Key": "presigned"}),
        right=holds("Body", BODY),
        after=(MADE, PUT_SIGNED),
    ),
    Form(
        name="presigned GET with a name for the download",
        ask=Presigned(
            service="s3",
            operation="GetObject",
            parameters={"Bucket": BUCKET, "Key": "k", "ResponseContentDisposition": 'attachment; filename="a.txt"'},
            config={"signature_version": "s3v4"},
        ),
        right=every(_CAME, holds("headers.content-disposition", 'attachment; filename="a.txt"')),
        after=THERE,
    ),
    Form(
        name="presigned HEAD",
        ask=Presigned(
            service="s3",
            operation="HeadObject",
            parameters={"Bucket": BUCKET, "Key": "k"},
            config={"signature_version": "s3v4"},
        ),
        right=status(200),
        after=THERE,
    ),
    Form(
        name="POST policy",
        ask=POSTED,
        right=every(
            status(201), like("headers.location", rf"^https://{BUCKET}\.s3\.(us-east-1\.)?amazonaws\.com/posted$")
        ),
        enough=every(status(201), holds("headers.location", None)),
        lacks="Location",
        after=(MADE,),
    ),
    Form(
        name="POST policy: the object",
        ask=Api(service="s3", operation="GetObject", parameters={"Bucket": BUCKET, "Key": "posted"}),
        right=_READ,
        after=(MADE, POSTED),
    ),
    _anonymous("unsigned GET, path style", "s3.us-east-1.amazonaws.com", f"/{OPEN}/open"),
    _anonymous("unsigned GET, virtual host", f"{OPEN}.s3.amazonaws.com", "/open"),
    _anonymous("unsigned GET, accelerate", f"{OPEN}.s3-accelerate.amazonaws.com", "/open"),
    Form(
        name="SigV4A",
        ask=Raw(
            method="GET",
            host=f"{BUCKET}.s3.us-east-1.amazonaws.com",
            target="/k",
            headers={
                "X-Amz-Region-Set": "*",
                "Authorization": "AWS4-ECDSA-P256-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261121/s3/aws4_request, "
                "SignedHeaders=host;x-amz-region-set, Signature=3045",
            },
        ),
        right=_CAME,
        after=THERE,
    ),
)

_OPENED: Final = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{SITE}/*"}
        ],
    }
)


def _of_site(operation: str, **parameters: object) -> Api:
    return Api(service="s3", operation=operation, region="eu-west-1", parameters={"Bucket": SITE, **parameters})


def _page(key: str, body: bytes) -> Api:
    return _of_site("PutObject", Key=key, Body=body, ContentType="text/html", ACL="public-read")


_WEBSITE: Final = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "error.html"}}
_SITE: Final = (
    MADE_SITE,
    _of_site("DeletePublicAccessBlock"),
    _of_site("PutBucketPolicy", Policy=_OPENED),
    _of_site("PutBucketWebsite", WebsiteConfiguration=_WEBSITE),
    _page("index.html", b"<h1>index</h1>"),
    _page("error.html", b"<h1>error</h1>"),
    _page("sub/index.html", b"<h1>sub</h1>"),
)


def _site(name: str, host: str, target: str, wanted: int, body: bytes) -> Form:
    return Form(
        name=name,
        ask=Raw(method="GET", host=host, target=target),
        right=every(status(wanted), holds("body", body)),
        after=_SITE,
    )


_WEBSITES: Final = (
    _site("website, s3-website-REGION", f"{SITE}.s3-website-eu-west-1.amazonaws.com", "/", 200, b"<h1>index</h1>"),
    _site("website, s3-website.REGION", f"{SITE}.s3-website.eu-west-1.amazonaws.com", "/", 200, b"<h1>index</h1>"),
    _site("website, a folder", f"{SITE}.s3-website-eu-west-1.amazonaws.com", "/sub/", 200, b"<h1>sub</h1>"),
    _site("website, an error document", f"{SITE}.s3-website-eu-west-1.amazonaws.com", "/no", 404, b"<h1>error</h1>"),
    Form(
        name="website, bucket that is not there",
        ask=Raw(method="GET", host="kecs-none.s3-website-eu-west-1.amazonaws.com", target="/"),
        right=every(status(404), like("body", "NoSuchBucket")),
    ),
)

ACCOUNT: Final = "000000000000"
EXPRESS: Final = "kecs--use1-az4--x-s3"
MADE_EXPRESS: Final = Api(
    service="s3",
    operation="CreateBucket",
    parameters={
        "Bucket": EXPRESS,
        "CreateBucketConfiguration": {
            "Location": {"Type": "AvailabilityZone", "Name": "use1-az4"},
            "Bucket": {"Type": "Directory", "DataRedundancy": "SingleAvailabilityZone"},
        },
    },
)
_IDENTITY: Final = Api(service="sts", operation="GetCallerIdentity")
_POINT: Final = Api(
    service="s3control",
    operation="CreateAccessPoint",
    parameters={"AccountId": From(_IDENTITY, "Account"), "Name": "kecs-point", "Bucket": BUCKET},
)
_OTHERS: Final = (
    Form(
        name="S3 Control, the account in the host name",
        ask=Api(
            service="s3control",
            operation="GetAccessPoint",
            parameters={"AccountId": From(_IDENTITY, "Account"), "Name": "kecs-point"},
        ),
        right=holds("Bucket", BUCKET),
        after=(MADE, _IDENTITY, _POINT),
    ),
    Form(
        name="access point's ARN",
        ask=Api(
            service="s3",
            operation="GetObject",
            parameters={
                "Bucket": Text("arn:aws:s3:us-east-1:{}:accesspoint/kecs-point", (From(_IDENTITY, "Account"),)),
                "Key": "k",
            },
        ),
        right=holds("Body", BODY),
        after=(*THERE, _IDENTITY, _POINT),
    ),
    Form(
        name="object lambda access point",
        ask=Raw(
            method="GET",
            host="kecs-olap-000000000000.s3-object-lambda.us-east-1.amazonaws.com",
            target="/k",
            sign=("s3-object-lambda", "us-east-1"),
        ),
        right=_CAME,
        after=THERE,
    ),
    Form(
        name="S3 Express: object",
        ask=Api(service="s3", operation="GetObject", parameters={"Bucket": EXPRESS, "Key": "k"}),
        right=_READ,
        after=(MADE_EXPRESS, _put(EXPRESS)),
    ),
    Form(
        name="S3 Express: directory buckets",
        ask=Api(service="s3", operation="ListDirectoryBuckets"),
        right=among("Buckets", "Name", EXPRESS),
        after=(MADE_EXPRESS,),
    ),
    Form(
        name="multi-region access point, SigV4A",
        ask=Raw(
            method="GET",
            host="mfzwi23gnjvgw.accesspoint.s3-global.amazonaws.com",
            target="/k",
            headers={
                "X-Amz-Region-Set": "*",
                "Authorization": "AWS4-ECDSA-P256-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261121/s3/aws4_request, "
                "SignedHeaders=host;x-amz-region-set, Signature=3045",
            },
        ),
        right=_CAME,
        after=THERE,
    ),
    Form(
        name="S3 on Outposts",
        ask=Raw(
            method="GET",
            host="kecs-000000000000.op-01ac5d28a6a232904.s3-outposts.us-east-1.amazonaws.com",
            target="/k",
            sign=("s3-outposts", "us-east-1"),
        ),
        right=_CAME,
        after=THERE,
    ),
)

GROUPS: Final = (
    Group(title="S3: how its host is spelled", forms=_SPELLINGS),
    Group(title="S3: buckets and objects", forms=_OBJECTS),
    Group(title="S3: without credentials in a header", forms=_WITHOUT),
    Group(title="S3: websites", forms=_WEBSITES),
    Group(title="S3: access points and other kinds of bucket", forms=_OTHERS),
)
