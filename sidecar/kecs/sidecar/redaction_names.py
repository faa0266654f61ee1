"""Which names hold secrets: header fields, query parameters, members of bodies. Tables and how to match. Pure.

A name is looked at without case and punctuation, so that `SecretAccessKey`, `secret_access_key` and `SECRET-ACCESS-KEY`
are one. Where the operation is not known, every operation's members count: rather too much is left out than too little.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

_PUNCTUATION: Final = str.maketrans("", "", "_-. :/")
_PUNCTUATED_MAX: Final = 256

FIELDS: Final = frozenset(
    {
        "authorization", "cookie", "proxyauthorization", "setcookie", "setcookie2", "xapikey", "xamzs3sessiontoken",
        "xamzsecuritytoken", "xamzssobearertoken", "xamzmfa", "xamzserversideencryptioncustomerkey",
        "xamzcopysourceserversideencryptioncustomerkey", "xaws2metadatatoken", "xawsec2metadatatoken", "xkecsengine",
        "xamztrailersignature", "xamznauthorization", "xamzexpectedsignature", "xcsrftoken", "xxsrftoken", "xauthtoken",
        "xvaulttoken", "xgitlabtoken", "xgithubtoken",
    }
)  # fmt: skip
"""Header fields, as `normal` spells them."""

PARAMETERS: Final = frozenset(
    {
        "xamzsignature", "xamzcredential", "xamzsecuritytoken", "xamzs3sessiontoken", "signature", "awsaccesskeyid",
        "policy", "securitytoken", "keypairid", "cloudfrontsignature", "cloudfrontpolicy", "cloudfrontkeypairid",
    }
)  # fmt: skip
"""Query parameters: of presigned and signed URLs."""

_ENDS: Final = (
    "password", "passphrase", "passwd", "pwd", "secret", "secretkey", "secretaccesskey", "secretstring",
    "secretbinary", "secretvalue", "secrethash", "secretcode", "token", "tokenvalue", "apikey", "apikeyvalue",
    "privatekey", "privatekeyplaintext", "privatekeypem", "presharedkey", "plaintext", "assertion", "authcode",
    "authorizationcode", "devicecode", "verificationcode", "confirmationcode", "usercode", "mfacode", "codeverifier",
    "accesskeyid", "passworddata", "userdata", "sessioncookie", "signingkey", "encryptionkey", "connectionstring",
)  # fmt: skip
"""How the names of secrets end, in botocore's models and in what people call their own."""

_PAGES: Final = (
    "nexttoken", "pagetoken", "paginationtoken", "continuationtoken", "startingtoken", "sequencetoken", "forwardtoken",
    "backwardtoken", "clienttoken", "requesttoken", "idempotencytoken", "changetoken", "locktoken", "synctoken",
    "previoustoken", "starttoken", "synchronizationtoken", "evaluationtoken", "concurrencytoken", "nextpagetoken",
    "publicaccesskeyid", "deduplicationtoken", "clientrequesttoken", "versionlocktoken", "revisiontoken",
)  # fmt: skip
"""Tokens that open nothing: pages, retries, versions."""

_SCALAR_ENDS: Final = ("credential", "credentials")
"""Secret where they are a text; where they are an object, its members tell."""

CALLS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "acm": {"ExportCertificate": ("PrivateKey", "Passphrase"), "ImportCertificate": ("PrivateKey",)},
    "apigateway": {
        "CreateApiKey": ("value",),
        "GetApiKey": ("value",),
        "GetApiKeys": ("value",),
        "ImportApiKeys": ("body",),
        "UpdateApiKey": ("value",),
    },
    "appsync": {
        "CreateApiKey": ("id",),
        "ListApiKeys": ("id",),
        "UpdateApiKey": ("id",),
    },
    "codeartifact": {"GetAuthorizationToken": ("authorizationToken",)},
    "cognito-identity": {
        "GetCredentialsForIdentity": ("SecretKey", "SessionToken", "Logins"),
        "GetId": ("Logins",),
        "GetOpenIdToken": ("Token", "Logins"),
        "GetOpenIdTokenForDeveloperIdentity": ("Token", "Logins"),
        "UnlinkIdentity": ("Logins",),
    },
    "cognito-idp": {
        "*": (
            "AuthParameters", "ChallengeResponses", "ChallengeParameters", "Session", "SecretCode", "ConfirmationCode",
            "AccessToken", "IdToken", "RefreshToken", "Password", "ClientSecret", "DeviceSecretVerifierConfig",
        ),
    },
    "connect": {"GetFederationToken": ("Credentials", "SignInUrl")},
    "ec2": {
        "CreateKeyPair": ("keyMaterial",),
        "CreateVpnConnection": ("preSharedKey", "customerGatewayConfiguration"),
        "DescribeVpnConnections": ("preSharedKey", "customerGatewayConfiguration"),
        "GetPasswordData": ("passwordData",),
        "DescribeInstanceAttribute": ("userData",),
    },
    "ecr": {"GetAuthorizationToken": ("authorizationToken",)},
    "ecr-public": {"GetAuthorizationToken": ("authorizationToken",)},
    "eks-auth": {"AssumeRoleForPodIdentity": ("token", "secretAccessKey", "sessionToken")},
    "iam": {
        "CreateAccessKey": ("SecretAccessKey",),
        "CreateLoginProfile": ("Password",),
        "CreateServiceSpecificCredential": ("ServicePassword", "ServiceCredentialSecret"),
        "CreateVirtualMFADevice": ("Base32StringSeed", "QRCodePNG"),
        "EnableMFADevice": ("AuthenticationCode1", "AuthenticationCode2"),
        "ResetServiceSpecificCredential": ("ServicePassword", "ServiceCredentialSecret"),
        "ResyncMFADevice": ("AuthenticationCode1", "AuthenticationCode2"),
        "UploadServerCertificate": ("PrivateKey",),
    },
    "iot": {"CreateKeysAndCertificate": ("PrivateKey",), "CreateProvisioningClaim": ("PrivateKey",)},
    "kms": {
        "Decrypt": ("Plaintext",),
        "DeriveSharedSecret": ("SharedSecret",),
        "Encrypt": ("Plaintext",),
        "GenerateDataKey": ("Plaintext",),
        "GenerateDataKeyPair": ("PrivateKeyPlaintext",),
        "GenerateRandom": ("Plaintext",),
    },
    "lambda": {"*": ("Variables",)},
    "lightsail": {"*": ("privateKeyBase64", "masterUserPassword", "sslPrivateKey")},
    "redshift": {"*": ("DbPassword", "MasterUserPassword")},
    "route53domains": {"*": ("AuthCode",)},
    "s3": {"CreateSession": ("SecretAccessKey", "SessionToken"), "PostObject": ("policy", "signature")},
    "secretsmanager": {
        "*": ("SecretString", "SecretBinary", "RandomPassword", "RotationToken"),
    },
    "sso": {"GetRoleCredentials": ("secretAccessKey", "sessionToken")},
    "sso-oidc": {"*": ("code", "deviceCode", "userCode", "verificationUriComplete", "codeVerifier", "clientSecret")},
    "sts": {
        "*": ("SecretAccessKey", "SessionToken", "SAMLAssertion", "WebIdentityToken", "TokenCode"),
        "DecodeAuthorizationMessage": ("EncodedMessage",),
        "GetWebIdentityToken": ("WebIdentityToken",),
    },
}  # fmt: skip
"""Service, operation (`*`: all of it) and the members that are secret there, besides those whose names end so."""

PAIRS: Final = (
    ("name", "value"),
    ("key", "value"),
    ("parameterkey", "parametervalue"),
    ("parametername", "parametervalue"),
    ("optionname", "value"),
)
"""Members that hold a name and what it means: environment variables, tags, stack parameters."""

_PLAIN_TYPES: Final = frozenset({"String", "StringList"})
_PARAMETERS: Final = ("GetParameter", "PutParameter")


_JUDGED_MAX: Final = 4096


def normal(name: str) -> str:
    """Spell a name without case and punctuation."""
    return name[:_PUNCTUATED_MAX].lower().translate(_PUNCTUATION)


_normal: Final = lru_cache(4096)(normal)


@lru_cache(4096)
def _ends_as_a_secret(plain: str) -> bool:
    return plain.endswith(_ENDS) and not plain.endswith(_PAGES)


@lru_cache(512)
def _members(service: str, operation: str) -> frozenset[str]:
    services = [CALLS[service]] if service in CALLS else ([] if service else list(CALLS.values()))
    found: set[str] = set()
    for operations in services:
        for name, members in operations.items():
            if name in ("*", operation) or not operation:
                found.update(map(normal, members))
    return frozenset(found)


class Members:
    """The members of one operation's messages that are secret."""

    def __init__(self, service: str, operation: str) -> None:
        self._own = _members(service, operation)
        self._parameters = service in ("ssm", "") and (not operation or operation.startswith(_PARAMETERS))
        self._judged: dict[tuple[str, bool], bool] = {}

    def secret(self, name: str, *, text: bool) -> bool:
        """Tell whether what stands under this name is secret; `text`: it is a text, no object or list."""
        known = self._judged.get((name, text))
        if known is None:
            plain = normal(name)
            known = plain in self._own or _ends_as_a_secret(plain) or (text and plain.endswith(_SCALAR_ENDS))
            if len(self._judged) >= _JUDGED_MAX:
                self._judged.clear()
            self._judged[name, text] = known
        return known

    def beside(self, texts: Mapping[str, str]) -> Iterable[str]:
        """Return the names of an object's members that are secret because of what stands beside them.

        `texts`: the members that are texts, under their own names.
        """
        if len(texts) > 1:
            plain = {_normal(name): name for name in texts}
            for said, meant in PAIRS:
                if said in plain and meant in plain and self.secret(texts[plain[said]], text=True):
                    yield plain[meant]
        # A parameter that does not say that it is public may be a SecureString.
        if self._parameters and "Value" in texts and texts.get("Type") not in _PLAIN_TYPES:
            yield "Value"

    def any_secret(self, names: Iterable[str]) -> bool:
        """Tell whether a message with members of these names may hold a secret."""
        names = set(names)
        plain = {normal(name) for name in names}
        return (
            (self._parameters and "Value" in names)
            or any(said in plain and meant in plain for said, meant in PAIRS)
            or any(self.secret(name, text=True) for name in names)
        )


members_of: Final = lru_cache(256)(Members)
"""Return the members of an operation; made once for each."""
