"""Which variables a user's container gets, and which of its own it keeps. Pure.

Nothing that a container sets is overridden. Three variables are lists: what a container says there is kept, and ours
comes after it (JAVA_TOOL_OPTIONS, PHP_INI_SCAN_DIR, NO_PROXY). What comes from envFrom or from the image can't be seen.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from kecs.aws.hosts import SUFFIXES
from kecs.core.names import METADATA_IPV4, TRUST_DIRECTORY
from kecs.injector.pod import Object, effective

BUNDLE: Final = f"{TRUST_DIRECTORY}/bundle.pem"
"""The public roots and ours: for variables that replace a client's list."""
ROOTS: Final = f"{TRUST_DIRECTORY}/ca.pem"
"""Ours alone: for variables that add to it."""
TRUSTSTORE: Final = f"{TRUST_DIRECTORY}/truststore.jks"
PHP_DIRECTORY: Final = f"{TRUST_DIRECTORY}/php"
JAVA_OPTION: Final = "-Djavax.net.ssl.trustStore="

TRUST: Final[Mapping[str, str]] = {
    "AWS_CA_BUNDLE": BUNDLE,
    "REQUESTS_CA_BUNDLE": BUNDLE,
    "SSL_CERT_FILE": BUNDLE,
    "CURL_CA_BUNDLE": BUNDLE,
    "GIT_SSL_CAINFO": BUNDLE,
    "PIP_CERT": BUNDLE,
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": BUNDLE,
    "PERL_LWP_SSL_CA_FILE": BUNDLE,
    "NODE_EXTRA_CA_CERTS": ROOTS,
    "DENO_CERT": ROOTS,
}
"""What tells clients whom to trust. SSL_CERT_DIR is not among them: Perl takes no list there."""

_JAVA: Final = "JAVA_TOOL_OPTIONS"
_JAVA_OTHERS: Final = ("JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")
_PHP: Final = "PHP_INI_SCAN_DIR"
REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
CREDENTIALS: Final[Mapping[str, str]] = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
ENDPOINT: Final = "AWS_ENDPOINT_URL"
_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_NO_PROXIES: Final = ("NO_PROXY", "no_proxy")

EXCEPTIONS: Final = (*(f".{suffix}" for suffix in SUFFIXES), *METADATA_IPV4)
"""What must not go through a proxy. With the leading dot: Node's proxy-from-env and .NET take a bare name exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What is said to one container."""

    added: Mapping[str, str]
    extended: Mapping[str, str] = field(default_factory=dict)
    """Of variables that it sets: what is to come after their value."""
    kept: tuple[str, ...] = ()
    """What it sets itself, and we would have said otherwise."""
    notes: tuple[str, ...] = ()
    """What its author should know, to be said after the container's name."""


class _Giving:
    """One container's variables while they are decided."""

    def __init__(self, container: Object) -> None:
        self.have = effective(container.get("env"))
        self.hidden = any(_may_set_region(source) for source in container.get("envFrom") or ())
        self.added: dict[str, str] = {}
        self.extended: dict[str, str] = {}
        self.kept: list[str] = []
        self.notes: list[str] = []

    def given(self) -> Given:
        return Given(added=self.added, extended=self.extended, kept=tuple(self.kept), notes=tuple(self.notes))

    def offer(self, name: str, value: str) -> None:
        """Say it, unless the container says something itself."""
        if name not in self.have:
            self.added[name] = value
        elif self.literal(name) != value:
            self.kept.append(name)

    def literal(self, name: str) -> str | None:
        """Return what it sets literally: None where it does not, or takes it from elsewhere."""
        entry = self.have.get(name)
        return None if entry is None or entry.get("valueFrom") else entry.get("value") or ""

    def extend(self, name: str, items: Iterable[str], separator: str) -> None:
        """Put items after a list that the container sets literally, and which may be empty."""
        text = separator.join(items)
        self.extended[name] = f"{separator}{text}" if self.literal(name) else text


def _may_set_region(source: Object) -> bool:
    """Tell whether a ConfigMap or Secret could set the region: its prefix, if any, must be how a name begins."""
    prefix = source.get("prefix") or ""
    return any(name.startswith(prefix) for name in REGIONS)


def for_sidecar(container: Object, *, region: str) -> Given:
    """Say whom to trust and which region; never an endpoint."""
    giving = _Giving(container)
    for name, value in TRUST.items():
        giving.offer(name, value)
    if giving.kept:
        listed = ", ".join(giving.kept)
        giving.notes.append(f"sets {listed} itself: clients that read it trust KECS only if {ROOTS} is in there too")
    _php(giving)
    _java(giving)
    _region(giving, region)
    _no_proxy(giving, EXCEPTIONS)
    giving.notes.extend(_detours(giving))
    return giving.given()


def for_environment(container: Object, *, endpoints: Mapping[str, str], host: str, region: str) -> Given:
    """Say where AWS is: `endpoints` by variable, `host` for NO_PROXY; and credentials that no AWS account has."""
    giving = _Giving(container)
    for name, value in endpoints.items():
        giving.offer(name, value)
    if giving.kept:
        giving.notes.append(f"sets {', '.join(giving.kept)} itself: its calls go there")
    if any(name in giving.have for name in CREDENTIALS):
        # half a pair of theirs and half of ours would be no pair
        giving.kept.extend(name for name in CREDENTIALS if name in giving.have and not _is_ours(giving, name))
    else:
        giving.added |= CREDENTIALS
    _region(giving, region)
    _no_proxy(giving, (host,))
    return giving.given()


def _is_ours(giving: _Giving, name: str) -> bool:
    return giving.literal(name) == CREDENTIALS[name]


def _php(giving: _Giving) -> None:
    """Append to the directories that PHP scans; an empty element is the one that it was built with."""
    if _PHP not in giving.have:
        giving.added[_PHP] = f":{PHP_DIRECTORY}"
    elif (literal := giving.literal(_PHP)) is None:
        giving.kept.append(_PHP)
        giving.notes.append(f"takes {_PHP} from elsewhere: have it end in :{PHP_DIRECTORY} if PHP runs there")
    elif PHP_DIRECTORY not in literal.split(":"):
        giving.extend(_PHP, (PHP_DIRECTORY,), ":")


def _java(giving: _Giving) -> None:
    """Append to the options of JVMs. A trust store of the user's own is kept: a JVM reads one alone."""
    option = f"{JAVA_OPTION}{TRUSTSTORE}"
    for name in (_JAVA, *_JAVA_OTHERS):
        literal = giving.literal(name) or ""
        if JAVA_OPTION in literal:
            if option not in literal.split():
                giving.kept.append(name)
                giving.notes.append(f"names a Java trust store of its own in {name}: import {ROOTS} into it")
            return
    if _JAVA not in giving.have:
        giving.added[_JAVA] = option
    elif giving.literal(_JAVA) is None:
        giving.kept.append(_JAVA)
        giving.notes.append(f"takes {_JAVA} from elsewhere: have it say {option} if Java runs there")
    else:
        giving.extend(_JAVA, (option,), " ")


def _region(giving: _Giving, region: str) -> None:
    """Say the region under both names: boto3 reads AWS_DEFAULT_REGION alone, others AWS_REGION first."""
    have = [name for name in REGIONS if name in giving.have]
    giving.kept.extend(name for name in have if giving.literal(name) != region)
    if len(have) == len(REGIONS):
        return
    if giving.hidden and not have:
        giving.notes.append(f"may take {' or '.join(REGIONS)} from envFrom, which can't be seen: no region is set")
        return
    spoken = giving.literal(have[0]) if have else region
    if spoken:  # what is set under one name speaks for both
        giving.added |= {name: spoken for name in REGIONS if name not in have}
    elif spoken is None:
        giving.notes.append(f"takes {have[0]} from elsewhere: set the other of {', '.join(REGIONS)} likewise")


def _no_proxy(giving: _Giving, exceptions: tuple[str, ...]) -> None:
    """Keep AWS calls away from an HTTP proxy, which would carry them past the rules as CONNECT."""
    if not any(name in giving.have and giving.literal(name) != "" for name in _PROXIES):
        return
    ours = ",".join(exceptions)
    have = [name for name in _NO_PROXIES if name in giving.have]
    if not have:
        giving.added |= dict.fromkeys(_NO_PROXIES, ours)
    for name in have:
        literal = giving.literal(name)
        if literal is None:
            giving.kept.append(name)
            giving.notes.append(f"uses a proxy and takes {name} from elsewhere: AWS names must be in there")
        elif missing := [one for one in exceptions if one not in _listed(literal)]:
            giving.extend(name, missing, ",")


def _listed(value: str) -> set[str]:
    return {entry.strip() for entry in value.split(",")}


def _detours(giving: _Giving) -> Iterator[str]:
    endpoints = sorted(name for name in giving.have if name.startswith(ENDPOINT))
    if endpoints and (giving.literal("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or "").lower() != "true":
        yield f"sets {', '.join(endpoints)}: its calls go there and are not intercepted"
    disabled = (giving.literal("AWS_EC2_METADATA_DISABLED") or "").lower() == "true"
    if disabled and "AWS_ACCESS_KEY_ID" not in giving.have:
        yield "sets AWS_EC2_METADATA_DISABLED: it gets no credentials from the metadata endpoints"
