"""The environment of the command: what is added to the caller's, and what is said about it. Pure."""

import configparser
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kecs.core import names

_PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_NO_PROXY_VARIABLES = ("NO_PROXY", "no_proxy")
_REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Variables for the command, and notes for the person who typed it."""

    variables: Mapping[str, str]
    notes: tuple[str, ...]


def command_environment(
    base: Mapping[str, str],
    *,
    trust: Mapping[str, str],
    region: str,
    suffixes: Iterable[str],
    extra: Mapping[str, str],
) -> Environment:
    """Add trust, region and proxy exceptions to the caller's variables; `extra` (from --env) wins over all."""
    variables = dict(base) | dict(trust)
    for name in _REGION_VARIABLES:
        variables.setdefault(name, region)
    # boto3 reads AWS_DEFAULT_REGION alone, the other SDKs AWS_REGION first: one that is set speaks for both.
    for name, other in (_REGION_VARIABLES, _REGION_VARIABLES[::-1]):
        if name in base and other not in base:
            variables[other] = base[name]
    if any(base.get(name) for name in _PROXY_VARIABLES):
        exceptions = (*suffixes, *names.METADATA_IPV4)
        for name in _NO_PROXY_VARIABLES:
            variables[name] = _extended(base.get(name) or _other(base, name), exceptions)
    variables |= extra
    return Environment(variables=variables, notes=tuple(_notes(variables)))


def _other(base: Mapping[str, str], name: str) -> str:
    return base.get(_NO_PROXY_VARIABLES[name == _NO_PROXY_VARIABLES[0]], "")


def _extended(value: str, exceptions: Iterable[str]) -> str:
    """Append to a NO_PROXY list, without leading dots: Go, curl and Python take a bare domain for all below."""
    have = [entry.strip() for entry in value.split(",") if entry.strip()]
    return ",".join([*have, *(entry for entry in exceptions if entry not in have)])


def _notes(variables: Mapping[str, str]) -> Iterable[str]:
    endpoints = sorted(name for name in variables if name.startswith("AWS_ENDPOINT_URL"))
    if endpoints and variables.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() != "true":
        yield f"{', '.join(endpoints)} is set: calls go where it says and are not intercepted; unset it to change that"
    if variables.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true" and "AWS_ACCESS_KEY_ID" not in variables:
        yield "AWS_EC2_METADATA_DISABLED is true: the command gets no credentials from the metadata endpoints"


def region_of(base: Mapping[str, str], config: str) -> str:
    """Return the region that the caller's variables or AWS configuration file (its text) name, or an empty string."""
    for name in _REGION_VARIABLES:
        if base.get(name):
            return base[name]
    profile = base.get("AWS_PROFILE") or base.get("AWS_DEFAULT_PROFILE") or "default"
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(config)
    except configparser.Error:
        return ""  # the SDKs will complain about it in their own words
    for section in (f"profile {profile}", profile):
        if parser.has_option(section, "region"):
            return parser.get(section, "region").strip()
    return ""
