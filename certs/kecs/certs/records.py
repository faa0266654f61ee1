"""The two records of an authority, as fields and back; and what a store of them has to do.

Fields are named as cert-manager names them, and its Secrets are read as they are, as a first generation. What was
edited by hand and no longer fits together is refused, with what to do; nothing is guessed.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kecs.certs import bundle
from kecs.certs.adoption import is_ca, is_self_signed, leads
from kecs.certs.authority import Signer, certificate_pem, fits, key_pem
from kecs.certs.state import Authority, Phase, Root, Roots, Waiting
from kecs.core.errors import AuthorityError, KecsError

_VERSION: Final = 1
_STATE: Final = "state.json"
_MOMENT: Final = "%Y-%m-%dT%H:%M:%SZ"


class Record(StrEnum):
    """What is kept. Each record is written as a whole or not at all."""

    ROOT = "root"
    """The roots with their keys (`Roots`)."""
    ISSUER = "issuer"
    """What signs and is trusted now (`Authority`): the truth about the phase."""


SOURCES: Final = {Record.ROOT: "the root record", Record.ISSUER: "the issuer record"}
"""What the records are called where nobody says better."""


def remedy(record: Record, source: str) -> str:
    """Say what to do about a record that can't be used."""
    if record is Record.ISSUER:
        return f"remove {source}: it is issued anew"
    return f"restore {source} from a backup; without one, make a new root: `kecs proxy certs rotate --emergency`"


class Conflict(KecsError):  # noqa: N818 - the contract of compare-and-swap calls it so
    """Somebody else wrote the record since it was read: read again, decide again."""


class Store(Protocol):
    """Where the records are kept."""

    def read(self, record: Record) -> tuple[Mapping[str, bytes], str] | None:
        """Return a record's fields and version; None when there is none."""
        ...

    def write(self, record: Record, fields: Mapping[str, bytes], version: str | None) -> str:
        """Write a record that still has this version (None: that is not there); return its new version.

        Raises Conflict when it has changed, MachineError when it can't be written.
        """
        ...


def encode_roots(roots: Roots) -> dict[str, bytes]:
    """Spell the root record."""
    numbers = {"version": _VERSION, "newest": roots.newest.number}
    fields = {"tls.crt": certificate_pem(roots.newest.certificate)}
    if roots.newest.key:
        fields["tls.key"] = key_pem(roots.newest.key)
    fields["ca.crt"] = certificate_pem(*(root.certificate for root in roots.all))
    if roots.previous:
        numbers["previous"] = roots.previous.number
        fields["previous.crt"] = certificate_pem(roots.previous.certificate)
        if roots.previous.key:
            fields["previous.key"] = key_pem(roots.previous.key)
    if roots.cross:
        fields["cross.crt"] = certificate_pem(roots.cross)
    if roots.waiting:
        fields["waiting.crt"] = certificate_pem(roots.waiting.issuer.certificate, *roots.waiting.chain)
        fields["waiting.key"] = key_pem(roots.waiting.issuer.key)
    return {_STATE: _json(numbers), **fields}


def decode_roots(fields: Mapping[str, bytes], *, source: str = SOURCES[Record.ROOT]) -> Roots:
    """Read the root record; raise AuthorityError when it does not hold together."""
    reader = _Reader(fields, source, remedy(Record.ROOT, source))
    state = reader.state()
    newest = reader.root("tls", reader.number(state, "newest") if state else 1)
    previous = reader.root("previous", reader.number(state, "previous")) if "previous.crt" in fields else None
    cross, waiting = None, None
    if "cross.crt" in fields:
        (cross, *_) = reader.certificates("cross.crt")
        reader.require(
            previous is None or leads((cross, previous.certificate)), "cross.crt", "was not signed by the previous root"
        )
        reader.require(cross.public_key() == newest.certificate.public_key(), "cross.crt", "is not the newest root's")
    if "waiting.crt" in fields:
        issuer, *chain = reader.certificates("waiting.crt")
        waiting = Waiting(issuer=reader.signer("waiting", issuer), chain=tuple(chain))
        reader.require(leads((issuer, *chain, newest.certificate)), "waiting.crt", _UNSIGNED)
    roots = Roots(newest=newest, previous=previous, cross=cross, waiting=waiting)
    if "ca.crt" in fields:
        public = tuple(root.certificate for root in roots.all)
        reader.require(reader.certificates("ca.crt") == public, "ca.crt", "holds other roots than tls.crt")
    return roots


def encode_authority(authority: Authority) -> dict[str, bytes]:
    """Spell the issuer record."""
    state = {
        "version": _VERSION,
        "generation": authority.generation,
        "phase": authority.phase.value,
        "since": f"{authority.since.astimezone(UTC):{_MOMENT}}",
        "trust_sha256": authority.trust_sha256,
        "domains": authority.domains,
    }
    return {
        _STATE: _json(state),
        "tls.crt": certificate_pem(authority.issuer.certificate, *authority.above),
        "tls.key": key_pem(authority.issuer.key),
        "ca.crt": authority.bundle_pem,
    }


def decode_authority(
    fields: Mapping[str, bytes], *, roots: Roots | None = None, source: str = SOURCES[Record.ISSUER]
) -> Authority:
    """Read the issuer record; raise AuthorityError when it does not hold together.

    `roots` tells the root of a record that predates the fields `ca.crt` and `state.json`.
    """
    reader = _Reader(fields, source, remedy(Record.ISSUER, source))
    issuer, *above = reader.certificates("tls.crt")
    signer = reader.signer("tls", issuer)
    trusted = (roots.newest.certificate,) if roots and "ca.crt" not in fields else reader.certificates("ca.crt")
    state = reader.state()
    authority = Authority(
        generation=reader.number(state, "generation") if state else 1,
        phase=reader.phase(state) if state else Phase.STABLE,
        issuer=signer,
        above=tuple(above),
        bundle=trusted,
        since=reader.moment(state, "since") if state else issuer.not_valid_before_utc,
        domains=reader.texts(state, "domains") if state else (),
    )
    reader.require(all(is_self_signed(root) and is_ca(root) for root in trusted), "ca.crt", "holds what is no root")
    reader.require(
        not state or reader.texts(state, "trust_sha256") == authority.trust_sha256,
        "ca.crt",
        "holds other roots than were written there",
    )
    reader.require(leads((issuer, *authority.chain, authority.root)), "tls.crt", "was not signed by the first root")
    reader.require(leads((issuer, *above)), "tls.crt", _UNSIGNED)
    return authority


_UNSIGNED: Final = "was not signed by what follows it"


class _Reader:
    """Reads the fields of one record; says of what is wrong where it stands and what to do."""

    def __init__(self, fields: Mapping[str, bytes], source: str, hint: str) -> None:
        self._fields, self._source, self._hint = fields, source, hint

    def require(self, holds: bool, field: str, complaint: str) -> None:  # noqa: FBT001 - a condition, as in assert
        if not holds:
            raise AuthorityError(f"{self._source} is damaged: {field} {complaint}", hint=self._hint)

    def certificates(self, field: str) -> tuple[x509.Certificate, ...]:
        try:
            return bundle.parse(self._fields.get(field, b""), source=f"{field} of {self._source}")
        except AuthorityError as error:
            raise AuthorityError(f"{self._source} is damaged: {error.message}", hint=self._hint) from error

    def signer(self, stem: str, certificate: x509.Certificate) -> Signer:
        field = f"{stem}.key"
        try:
            key = load_pem_private_key(self._fields.get(field, b""), password=None)
        except (ValueError, TypeError) as error:
            reason = str(error).partition(" (")[0]
            raise AuthorityError(
                f"{self._source} is damaged: {field} can't be read: {reason}", hint=self._hint
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise AuthorityError(f"{self._source} is damaged: {field} is not P-256", hint=self._hint)
        self.require(fits(certificate, key), field, "is damaged: its key is not the certificate's")
        return Signer(certificate=certificate, key=key)

    def root(self, stem: str, number: int) -> Root:
        certificate, *others = self.certificates(f"{stem}.crt")
        self.require(not others, f"{stem}.crt", "holds more than the root")
        self.require(is_self_signed(certificate) and is_ca(certificate), f"{stem}.crt", "was not signed by itself")
        key = self.signer(stem, certificate).key if f"{stem}.key" in self._fields else None
        return Root(number=number, certificate=certificate, key=key)

    def state(self) -> Mapping[str, object]:
        """Read the state; empty for a record that predates it."""
        if _STATE not in self._fields:
            return {}
        try:
            state = json.loads(self._fields[_STATE])
        except ValueError as error:
            raise AuthorityError(f"{self._source} is damaged: {_STATE} is no JSON", hint=self._hint) from error
        if not isinstance(state, dict) or state.get("version") != _VERSION:
            version = state.get("version") if isinstance(state, dict) else None
            raise AuthorityError(
                f"{_STATE} of {self._source} has version {version!r}, and this KECS reads {_VERSION}",
                hint=f"use the KECS that wrote it, or {self._hint}",
            )
        return state

    def number(self, state: Mapping[str, object], name: str) -> int:
        value = state.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._wrong(name, value)
        return value

    def phase(self, state: Mapping[str, object]) -> Phase:
        value = state.get("phase")
        try:
            return Phase(str(value))
        except ValueError as error:
            raise self._wrong("phase", value) from error

    def moment(self, state: Mapping[str, object], name: str) -> datetime:
        value = state.get(name)
        try:
            return datetime.strptime(str(value), _MOMENT).replace(tzinfo=UTC)
        except ValueError as error:
            raise self._wrong(name, value) from error

    def texts(self, state: Mapping[str, object], name: str) -> tuple[str, ...]:
        value = state.get(name)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self._wrong(name, value)
        return tuple(value)

    def _wrong(self, name: str, value: object) -> AuthorityError:
        return AuthorityError(f"{self._source} is damaged: {_STATE} has {name} {value!r}", hint=self._hint)


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"
