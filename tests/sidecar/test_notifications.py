"""A notification of SNS within a message of SQS, as a program verifies it: by the certificate that it names."""

import base64
import contextlib
import hashlib
import http.client
import json
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import emulator_lab
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from sidecar_service_lab import Lab, laboratory

_SIGNED = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
"""What the signature of a notification is made of, in this order (SNS developer guide, "Verifying the signatures")."""
_HASHES = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303 - SNS's own first version


def said(lab: Lab, method: str, url: str, body: str = "", **fields: str) -> bytes:
    """Ask over TLS, as a program does."""
    parts = urlsplit(url)
    host = parts.netloc
    asking = http.client.HTTPConnection(host)
    asking.sock = lab.tls(host, ("http/1.1",))
    with contextlib.closing(asking):
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        asking.request(method, parts.path or "/", body.encode(), {"Host": host, **named})
        answer = asking.getresponse()
        found = answer.read()
    assert answer.status == 200, found
    return found


def sns(lab: Lab, **parameters: str) -> bytes:
    scope = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/sns/aws4_request, SignedHeaders=host, Signature=0"
    kind = "application/x-www-form-urlencoded"
    form = urlencode({"Version": "2010-03-31", **parameters})
    return said(lab, "POST", "https://sns.eu-west-1.amazonaws.com/", form, Authorization=scope, Content_Type=kind)


def sqs(lab: Lab, operation: str, **parameters: object) -> dict[str, object]:
    scope = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/sqs/aws4_request, SignedHeaders=host, Signature=0"
    found: dict[str, object] = json.loads(
        said(
            lab,
            "POST",
            "https://sqs.eu-west-1.amazonaws.com/",
            json.dumps(parameters),
            Authorization=scope,
            X_Amz_Target=f"AmazonSQS.{operation}",
            Content_Type="application/x-amz-json-1.0",
        )
    )
    return found


def test_a_notification_is_verified_by_the_certificate_that_it_names(tmp_path: Path) -> None:
    with (
        emulator_lab.running() as emulator,
        laboratory(tmp_path, port=emulator.port, profile="embedded", engine="off") as lab,
    ):
        topic = "arn:aws:sns:eu-west-1:000000000000:topic"
        sns(lab, Action="CreateTopic", Name="topic")
        url = sqs(lab, "CreateQueue", QueueName="queue")["QueueUrl"]
        assert url == "https://sqs.eu-west-1.amazonaws.com/000000000000/queue"
        sns(
            lab, Action="Subscribe", TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:eu-west-1:000000000000:queue"
        )
        sns(lab, Action="Publish", TopicArn=topic, Message='h\u00e4llo <&> "x"')
        messages = sqs(lab, "ReceiveMessage", QueueUrl=url, WaitTimeSeconds=5)["Messages"]
        assert isinstance(messages, list)
        (message,) = messages
        assert hashlib.md5(message["Body"].encode(), usedforsecurity=False).hexdigest() == message["MD5OfBody"]
        note = json.loads(message["Body"])
        assert urlsplit(note["SigningCertURL"]).netloc == "sns.eu-west-1.amazonaws.com"
        certificate = x509.load_pem_x509_certificate(said(lab, "GET", note["SigningCertURL"]))
        key = certificate.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        text = "".join(f"{name}\n{note[name]}\n" for name in _SIGNED if name in note)
        signature = base64.b64decode(note["Signature"])
        key.verify(signature, text.encode(), padding.PKCS1v15(), _HASHES[note["SignatureVersion"]])
