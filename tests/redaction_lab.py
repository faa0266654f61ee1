"""A corpus of calls that hold secrets: what each service says, with the secret left open."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

from kecs.aws.head import Fields
from kecs.sidecar import redaction_cbor as cbor
from kecs.sidecar import redaction_events as events
from kecs.sidecar.redaction import Exchange, Request, Response

SECRET = "{secret}"
JSON = "application/x-amz-json-1.1"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
XML = "text/xml"
CBOR = "application/cbor"

type Spell = Callable[[str], bytes]


def as_json(value: Any) -> Spell:
    return lambda secret: json.dumps(filled(value, secret)).encode()


def as_cbor(value: Any) -> Spell:
    return lambda secret: cbor.encode(filled(value, secret, pairs=True))


def as_form(**members: str) -> Spell:
    return lambda secret: "&".join(
        f"{name.replace('__', '.')}={quote_plus(value.replace(SECRET, secret))}" for name, value in members.items()
    ).encode()


def as_xml(text: str) -> Spell:
    return lambda secret: text.replace(SECRET, escape(secret)).encode()


def as_text(text: str) -> Spell:
    return lambda secret: text.replace(SECRET, secret).encode()


def as_events(payload: Any) -> Spell:
    def spell(secret: str) -> bytes:
        headers = (
            events.Header(name=":event-type", kind=7, value="Chunk"),
            events.Header(name=":content-type", kind=7, value="application/json"),
            events.Header(name=":chunk-signature", kind=6, value=secret.encode()),
        )
        inner = events.encode([events.Event(headers=headers, payload=json.dumps(filled(payload, secret)).encode())])
        return events.encode([events.Event(headers=(events.Header(name=":date", kind=8, value=1),), payload=inner)])

    return spell


def filled(value: Any, secret: str, *, pairs: bool = False) -> Any:
    match value:
        case str():
            return value.replace(SECRET, secret)
        case list():
            return [filled(one, secret, pairs=pairs) for one in value]
        case dict():
            found = [(name, filled(one, secret, pairs=pairs)) for name, one in value.items()]
            return cbor.Pairs(found) if pairs else dict(found)
    return value


def nothing(_: str) -> bytes:
    return b""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One exchange. The secret may stand in the fields too, and in the target (as a URL spells it)."""

    service: str
    operation: str
    asked: Spell = nothing
    answered: Spell = nothing
    asked_type: str = JSON
    answered_type: str = JSON
    target: str = "/"
    fields: tuple[tuple[str, str], ...] = ()
    answer_fields: tuple[tuple[str, str], ...] = ()

    def exchange(self, secret: str) -> Exchange:
        def spelled(fields: tuple[tuple[str, str], ...], kind: str) -> Fields:
            own = tuple((name.encode(), value.replace(SECRET, secret).encode()) for name, value in fields)
            return (*own, (b"Content-Type", kind.encode()))

        request, response = self.asked(secret), self.answered(secret)
        return Exchange(
            service=self.service,
            operation=self.operation,
            region="eu-west-1",
            comment=f"{self.service} {self.operation} eu-west-1",
            request=Request(
                method=b"POST",
                scheme="https",
                host=f"{self.service or 'x'}.eu-west-1.amazonaws.com",
                port=443,
                target=self.target.replace(SECRET, quote(secret, safe="")).encode(),
                version="HTTP/1.1",
                fields=spelled(self.fields, self.asked_type),
                body=request,
                size=len(request),
                started=1_763_705_310.25,
                ended=1_763_705_310.5,
            ),
            response=Response(
                status=200,
                reason=b"OK",
                version="HTTP/1.1",
                fields=spelled(self.answer_fields, self.answered_type),
                body=response,
                size=len(response),
                started=1_763_705_310.75,
                ended=1_763_705_311.0,
            ),
        )


_KEYS = {"AccessKeyId": "ASIAQ", "SecretAccessKey": SECRET, "SessionToken": f"{SECRET}+more", "Expiration": 1.5}
_KEYS_XML = (
    '<R xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Result><Credentials><AccessKeyId>ASIAQ</AccessKeyId>'
    f'<SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken a=">">{SECRET}x</SessionToken></Credentials>'
    "</Result></R>"
)
_SIGV4 = "AWS4-HMAC-SHA256 Credential={key}/20261121/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature="


def _case(service: str, operation: str, asked: Any = None, answered: Any = None, **more: Any) -> Case:
    return Case(service=service, operation=operation, asked=as_json(asked), answered=as_json(answered), **more)


CASES: dict[str, Case] = {
    "an Authorization field": _case("s3", "GetObject", fields=(("Authorization", f"{_SIGV4}{SECRET}"),)),
    "an access key": _case("s3", "GetObject", fields=(("Authorization", f"AWS {SECRET}:abc"),)),
    "a bearer token": _case("", "", fields=(("authorization", f"Bearer {SECRET}"),)),
    "a session token": _case("s3", "GetObject", fields=(("X-Amz-Security-Token", SECRET),)),
    "a presigned URL": _case(
        "s3", "GetObject", target=f"/k?X-Amz-Signature={SECRET}&X-Amz-Security-Token={SECRET}&x=1"
    ),
    "a presigned URL of version 2": _case("s3", "GetObject", target=f"/k?AWSAccessKeyId={SECRET}&Signature={SECRET}"),
    "a cookie": _case(
        "", "", fields=(("Cookie", f"a={SECRET}"),), answer_fields=(("Set-Cookie", f"a={SECRET}; Path=/"),)
    ),
    "an API key": _case("execute-api", "", fields=(("x-api-key", SECRET),)),
    "a field of somebody's own": _case("execute-api", "", fields=(("X-My-Auth-Token", SECRET),)),
    "a customer's key": _case("s3", "PutObject", fields=(("x-amz-server-side-encryption-customer-key", SECRET),)),
    "sts AssumeRole": Case(
        service="sts",
        operation="AssumeRole",
        asked=as_form(Action="AssumeRole", SerialNumber="1", TokenCode=SECRET, RoleArn="arn"),
        asked_type=FORM,
        answered=as_xml(_KEYS_XML),
        answered_type=XML,
    ),
    "sts AssumeRoleWithWebIdentity": Case(
        service="sts",
        operation="AssumeRoleWithWebIdentity",
        asked=as_form(Action="AssumeRoleWithWebIdentity", WebIdentityToken=SECRET),
        asked_type=FORM,
        answered=as_xml(_KEYS_XML),
        answered_type=XML,
    ),
    "sts AssumeRoleWithSAML": Case(
        service="sts",
        operation="AssumeRoleWithSAML",
        asked=as_form(Action="AssumeRoleWithSAML", SAMLAssertion=SECRET),
        asked_type=FORM,
    ),
    "sts GetSessionToken": Case(
        service="sts", operation="GetSessionToken", answered=as_xml(_KEYS_XML), answered_type=XML
    ),
    "ssm GetParameter": _case(
        "ssm",
        "GetParameter",
        {"WithDecryption": True},
        {"Parameter": {"Name": "n", "Type": "SecureString", "Value": SECRET}},
    ),
    "ssm GetParametersByPath": _case(
        "ssm", "GetParametersByPath", None, {"Parameters": [{"Name": "n", "Type": "SecureString", "Value": SECRET}]}
    ),
    "ssm PutParameter": _case("ssm", "PutParameter", {"Name": "n", "Type": "SecureString", "Value": SECRET}),
    "ssm PutParameter without a type": _case("ssm", "PutParameter", {"Name": "n", "Value": SECRET, "Overwrite": True}),
    "secretsmanager GetSecretValue": _case(
        "secretsmanager", "GetSecretValue", None, {"Name": "n", "SecretString": SECRET}
    ),
    "secretsmanager PutSecretValue": _case("secretsmanager", "PutSecretValue", {"SecretString": SECRET}),
    "secretsmanager CreateSecret": _case("secretsmanager", "CreateSecret", {"SecretBinary": SECRET}),
    "secretsmanager BatchGetSecretValue": _case(
        "secretsmanager", "BatchGetSecretValue", None, {"SecretValues": [{"SecretString": SECRET}]}
    ),
    "secretsmanager GetRandomPassword": _case("secretsmanager", "GetRandomPassword", None, {"RandomPassword": SECRET}),
    "ecr GetAuthorizationToken": _case(
        "ecr", "GetAuthorizationToken", None, {"authorizationData": [{"authorizationToken": SECRET, "expiresAt": 1.2}]}
    ),
    "codeartifact GetAuthorizationToken": _case(
        "codeartifact", "GetAuthorizationToken", None, {"authorizationToken": SECRET}
    ),
    "cognito-idp InitiateAuth": _case(
        "cognito-idp",
        "InitiateAuth",
        {"AuthFlow": "USER_PASSWORD_AUTH", "AuthParameters": {"USERNAME": "u", "PASSWORD": SECRET}},
        {"AuthenticationResult": {"AccessToken": SECRET, "IdToken": SECRET, "RefreshToken": SECRET}},
    ),
    "cognito-idp RespondToAuthChallenge": _case(
        "cognito-idp", "RespondToAuthChallenge", {"Session": SECRET, "ChallengeResponses": {"NEW_PASSWORD": SECRET}}
    ),
    "cognito-idp SignUp": _case("cognito-idp", "SignUp", {"Password": SECRET, "SecretHash": SECRET, "Username": "u"}),
    "cognito-identity": _case(
        "cognito-identity",
        "GetCredentialsForIdentity",
        {"Logins": {"accounts.example": SECRET}},
        {"Credentials": {"SecretKey": SECRET, "SessionToken": SECRET}},
    ),
    "kms Decrypt": _case("kms", "Decrypt", None, {"KeyId": "k", "Plaintext": SECRET}),
    "kms Encrypt": _case("kms", "Encrypt", {"Plaintext": SECRET}),
    "kms GenerateDataKey": _case("kms", "GenerateDataKey", None, {"Plaintext": SECRET}),
    "kms GenerateDataKeyPair": _case("kms", "GenerateDataKeyPair", None, {"PrivateKeyPlaintext": SECRET}),
    "iam CreateAccessKey": Case(
        service="iam", operation="CreateAccessKey", answered=as_xml(_KEYS_XML), answered_type=XML
    ),
    "iam CreateLoginProfile": Case(
        service="iam",
        operation="CreateLoginProfile",
        asked=as_form(Action="CreateLoginProfile", Password=SECRET),
        asked_type=FORM,
    ),
    "iam CreateVirtualMFADevice": Case(
        service="iam",
        operation="CreateVirtualMFADevice",
        answered=as_xml(f"<R><VirtualMFADevice><Base32StringSeed>{SECRET}</Base32StringSeed></VirtualMFADevice></R>"),
        answered_type=XML,
    ),
    "ec2 CreateKeyPair": Case(
        service="ec2",
        operation="CreateKeyPair",
        answered=as_xml(f"<R><keyMaterial><![CDATA[{SECRET}]]></keyMaterial></R>"),
        answered_type=XML,
    ),
    "rds CreateDBInstance": Case(
        service="rds",
        operation="CreateDBInstance",
        asked=as_form(Action="CreateDBInstance", MasterUserPassword=SECRET),
        asked_type=FORM,
    ),
    "cloudformation CreateStack": Case(
        service="cloudformation",
        operation="CreateStack",
        asked=as_form(
            Parameters__member__1__ParameterKey="DbPassword",
            Parameters__member__1__ParameterValue=SECRET,
            StackName="s",
        ),
        asked_type=FORM,
    ),
    "lambda CreateFunction": _case(
        "lambda", "CreateFunction", {"Environment": {"Variables": {"MODE": SECRET, "DB_PASSWORD": SECRET}}}
    ),
    "ecs RegisterTaskDefinition": _case(
        "ecs",
        "RegisterTaskDefinition",
        {"containerDefinitions": [{"environment": [{"name": "API_KEY", "value": SECRET}]}]},
    ),
    "apigateway CreateApiKey": _case("apigateway", "CreateApiKey", {"name": "n", "value": SECRET}, {"value": SECRET}),
    "sso GetRoleCredentials": _case(
        "sso",
        "GetRoleCredentials",
        None,
        {"roleCredentials": {"secretAccessKey": SECRET, "sessionToken": SECRET}},
        fields=(("x-amz-sso_bearer_token", SECRET),),
    ),
    "sso-oidc CreateToken": _case(
        "sso-oidc",
        "CreateToken",
        {"code": SECRET, "deviceCode": SECRET, "clientSecret": SECRET},
        {"accessToken": SECRET},
    ),
    "s3 CreateSession": Case(service="s3", operation="CreateSession", answered=as_xml(_KEYS_XML), answered_type=XML),
    "s3 PutObject in signed chunks": Case(
        service="s3",
        operation="PutObject",
        asked=as_text(f"5;chunk-signature={'a' * 64}\r\nhello\r\n0;"),
        asked_type="",
    ),
    "s3 PostObject": Case(
        service="s3",
        operation="PostObject",
        asked=as_text(
            '--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--b\r\nContent-Disposition: form-data; '
            f'name="X-Amz-Signature"\r\n\r\n{SECRET}\r\n--b--\r\n'
        ),
        asked_type="multipart/form-data; boundary=b",
    ),
    "a name and a value in DynamoDB": _case(
        "dynamodb", "PutItem", {"Item": {"password": {"S": SECRET}, "id": {"S": "1"}}}
    ),
    "JSON in a message": Case(
        service="sqs",
        operation="SendMessage",
        asked=lambda secret: json.dumps({"MessageBody": json.dumps({"user": "u", "password": secret})}).encode(),
    ),
    "JSON in a form": Case(
        service="sns",
        operation="Publish",
        asked=lambda secret: b"Action=Publish&Message=" + quote_plus(json.dumps([{"token": secret}])).encode(),
        asked_type=FORM,
    ),
    "the same name twice": Case(
        service="secretsmanager",
        operation="PutSecretValue",
        asked=lambda secret: b'{"a":{"SecretString":%s},"a":1}' % json.dumps(secret).encode(),
    ),
    "CBOR": Case(
        service="cognito-idp",
        operation="InitiateAuth",
        asked=as_cbor({"AuthParameters": {"PASSWORD": SECRET}}),
        asked_type=CBOR,
        answered=as_cbor({"AccessToken": SECRET, "n": 1.5}),
        answered_type=CBOR,
    ),
    "an event stream": Case(
        service="bedrock-agentcore",
        operation="X",
        answered=as_events({"chunk": {"accessToken": SECRET, "text": "shown"}}),
        answered_type=events.TYPE,
    ),
    "an unknown service": _case("", "", {"value": {"value": SECRET}, "Plaintext": SECRET}, _KEYS),
    "a secret told again in an error": _case(
        "rds", "ModifyDBInstance", {"MasterUserPassword": SECRET}, {"message": f"value '{SECRET}' is too weak"}
    ),
    "a signed URL in an answer": _case(
        "lambda",
        "GetFunction",
        None,
        {"Code": {"Location": "https://b.s3.amazonaws.com/k?X-Amz-Security-Token=" + quote(SECRET)}},
    ),
    "broken JSON": Case(
        service="secretsmanager",
        operation="PutSecretValue",
        asked=lambda secret: b'{"SecretString":' + json.dumps(secret).encode(),
    ),
    "broken XML": Case(
        service="sts", operation="AssumeRole", answered=as_xml(_KEYS_XML.replace("</R>", "")), answered_type=XML
    ),
    "broken CBOR": Case(
        service="kms",
        operation="Decrypt",
        answered=lambda secret: cbor.encode(cbor.Pairs([("Plaintext", secret)]))[:-1],
        answered_type=CBOR,
    ),
    "numbers and lists": _case("", "", {"passwords": "shown", "Password": [{"a": SECRET}, 5]}),
}


def spellings(secret: str) -> set[bytes]:
    """Return how the secret may be spelled in a file."""
    plain = secret.encode()
    return {
        plain,
        quote(secret, safe="").encode(),
        quote_plus(secret).encode(),
        json.dumps(secret)[1:-1].encode(),
        json.dumps(secret, ensure_ascii=False)[1:-1].encode(),
        escape(secret).encode(),
        base64.b64encode(plain),
    }
