"""Records as fields and back; cert-manager's layout; what does not hold together."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from certs_lab import PERMITTED, SCOPE, first_generation, stepped
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kecs.certs.authority import Signer, certificate_pem, issue_issuer, issue_root, key_pem
from kecs.certs.outcome import State
from kecs.certs.records import (
    Record,
    decode_authority,
    decode_roots,
    encode_authority,
    encode_roots,
    remedy,
)
from kecs.certs.rotation import create, prepare, retire, switch
from kecs.certs.state import Authority, Phase, Waiting
from kecs.core.errors import AuthorityError


def states(now: datetime) -> dict[str, State]:
    """One state of each shape that the records can have."""
    first = create(replace(SCOPE, services=("kecs-system.svc",)), now)
    prepared = stepped(prepare(first, now, SCOPE))
    switched = stepped(switch(prepared, now, SCOPE))
    newest = prepared.roots.newest.signer
    assert newest
    waiting = Waiting(issuer=issue_issuer(newest, now))
    keyless = replace(prepared.roots.newest, key=None)
    return {
        "first": first,
        "prepared": prepared,
        "switched": switched,
        "retired": stepped(retire(switched, now)),
        "waiting": replace(prepared, roots=replace(prepared.roots, newest=keyless, waiting=waiting)),
        "uncrossed": replace(prepared, roots=replace(prepared.roots, cross=None)),
    }


@pytest.mark.parametrize("shape", ["first", "prepared", "switched", "retired", "waiting", "uncrossed"])
def test_what_is_written_is_read(now: datetime, shape: str) -> None:
    state = states(now)[shape]
    roots, authority = encode_roots(state.roots), encode_authority(state.authority)
    assert encode_roots(decode_roots(roots)) == roots
    assert encode_authority(decode_authority(authority)) == authority
    read = decode_authority(authority)
    wanted = state.authority
    assert (read.generation, read.phase, read.since, read.domains) == (
        wanted.generation,
        wanted.phase,
        now,
        wanted.domains,
    )
    assert (read.issuer.certificate, read.above, read.bundle) == (
        wanted.issuer.certificate,
        wanted.above,
        wanted.bundle,
    )
    found = decode_roots(roots)
    assert [(root.number, root.certificate, root.key is None) for root in found.all] == [
        (root.number, root.certificate, root.key is None) for root in state.roots.all
    ]
    assert found.cross == state.roots.cross


def test_no_root_key_is_in_the_issuer_record(now: datetime) -> None:
    for state in states(now).values():
        fields = encode_authority(state.authority)
        keys = [name for name, text in fields.items() if b"PRIVATE KEY" in text]
        assert keys == ["tls.key"]
        assert fields["tls.key"] == key_pem(state.authority.issuer.key)
        assert b"PRIVATE" not in encode_roots(state.roots)["ca.crt"]


def test_the_fields_are_those_of_cert_manager(now: datetime) -> None:
    state = states(now)["switched"]
    fields = encode_authority(state.authority)
    assert list(fields) == ["state.json", "tls.crt", "tls.key", "ca.crt"]
    assert fields["tls.crt"] == certificate_pem(state.authority.issuer.certificate, *state.authority.above)
    assert fields["ca.crt"] == state.authority.bundle_pem
    assert json.loads(fields["state.json"]) == {
        "version": 1,
        "generation": 2,
        "phase": "switched",
        "since": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "trust_sha256": list(state.authority.trust_sha256),
        "domains": list(PERMITTED),
    }
    assert json.loads(encode_roots(state.roots)["state.json"]) == {"version": 1, "newest": 2, "previous": 1}


@pytest.mark.parametrize("with_root", [False, True], ids=["no ca.crt", "ca.crt"])
def test_records_without_a_state_are_a_first_generation(root: Signer, issuer: Signer, *, with_root: bool) -> None:
    """What KECS wrote before it rotated, and what cert-manager writes."""
    ca = {"ca.crt": certificate_pem(root.certificate)} if with_root else {}
    roots = decode_roots({"tls.crt": certificate_pem(root.certificate), "tls.key": key_pem(root.key), **ca})
    fields = {"tls.crt": certificate_pem(issuer.certificate), "tls.key": key_pem(issuer.key), **ca}
    authority = decode_authority(fields, roots=roots)
    assert roots.newest.number == 1
    assert (authority.generation, authority.phase, authority.above) == (1, Phase.STABLE, ())
    assert authority.bundle == (root.certificate,)
    assert authority.since == issuer.certificate.not_valid_before_utc
    assert authority.since.tzinfo is UTC


def test_without_any_root_a_record_can_not_be_read(issuer: Signer) -> None:
    with pytest.raises(AuthorityError, match=r"ca\.crt of the issuer record holds no certificate"):
        decode_authority({"tls.crt": certificate_pem(issuer.certificate), "tls.key": key_pem(issuer.key)})


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(ed25519.Ed25519PrivateKey.generate(), id="Ed25519"),
        pytest.param(ec.generate_private_key(ec.SECP384R1()), id="P-384"),
    ],
)
def test_a_key_of_another_kind_is_refused(
    issuer: Signer, root: Signer, key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
) -> None:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    fields = {
        "tls.key": pem,
        "tls.crt": certificate_pem(issuer.certificate),
        "ca.crt": certificate_pem(root.certificate),
    }
    with pytest.raises(AuthorityError, match="is not P-256"):
        decode_authority(fields)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"generation": 0}, "generation 0", id="no such generation"),
        pytest.param({"generation": True}, "generation True", id="a number that is none"),
        pytest.param({"generation": "1"}, "generation '1'", id="a number as text"),
        pytest.param({"phase": None}, "phase None", id="no phase"),
        pytest.param({"since": "yesterday"}, "since 'yesterday'", id="no moment"),
        pytest.param({"trust_sha256": "x"}, "trust_sha256 'x'", id="no list"),
        pytest.param({"trust_sha256": [1]}, "trust_sha256", id="a list of something else"),
        pytest.param({"trust_sha256": ["00"]}, "other roots than were written", id="other fingerprints"),
        pytest.param({"domains": None}, "domains None", id="no domains"),
        pytest.param({"version": 7}, "has version 7, and this KECS reads 1", id="a later version"),
    ],
)
def test_a_state_that_says_the_impossible_is_refused(
    authority: Authority, change: dict[str, object], complaint: str
) -> None:
    fields = encode_authority(authority)
    state = {**json.loads(fields["state.json"]), **change}
    with pytest.raises(AuthorityError, match=complaint):
        decode_authority({**fields, "state.json": json.dumps(state).encode()}, source="issuer.pem")


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"\xff", b'{"version": "1"}'])
def test_a_state_that_is_none_is_refused(authority: Authority, text: bytes) -> None:
    with pytest.raises(AuthorityError, match=r"state\.json"):
        decode_authority({**encode_authority(authority), "state.json": text})


def test_a_chain_in_another_order_is_refused(now: datetime) -> None:
    authority = states(now)["switched"].authority
    (cross,) = authority.above
    fields = {**encode_authority(authority), "tls.crt": certificate_pem(authority.issuer.certificate, cross, cross)}
    assert decode_authority(fields).above == (cross,)
    stranger = first_generation(issue_root(now, permitted=PERMITTED), now).issuer.certificate
    fields["tls.crt"] = certificate_pem(authority.issuer.certificate, cross, stranger)
    with pytest.raises(AuthorityError, match="was not signed by what follows it"):
        decode_authority(fields)


def test_each_record_has_its_remedy() -> None:
    assert remedy(Record.ISSUER, "issuer.pem") == "remove issuer.pem: it is issued anew"
    assert "--emergency" in remedy(Record.ROOT, "root.pem")
