"""What applications are told to trust: bundle files, a Java trust store and the variables that name them.

`trust` decides and is pure; `write` is the edge. Nearly every client's variable replaces its built-in list, so the
bundle holds the public roots too. A variable that is set already keeps its meaning: its certificates and ours.
"""

import binascii
import hashlib
import os
import re
import ssl
import struct
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kecs.core.errors import ConfigError, MachineError

INSTEAD_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "AWS_CA_BUNDLE": ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"),
    "REQUESTS_CA_BUNDLE": ("CURL_CA_BUNDLE",),
    "SSL_CERT_FILE": (),
    "CURL_CA_BUNDLE": ("SSL_CERT_FILE",),
    "GIT_SSL_CAINFO": (),
    "PIP_CERT": ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": (),
    "PERL_LWP_SSL_CA_FILE": ("HTTPS_CA_FILE", "SSL_CERT_FILE"),
}
"""Variables whose file replaces a client's list, to those that the client looks at next: what we set hides them."""

ADDED_VARIABLES: Final = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
"""Variables whose file adds to a client's list."""

JAVA_OPTION: Final = "-Djavax.net.ssl.trustStore="
_JAVA_VARIABLES: Final = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")
_PASSWORD: Final = "changeit"  # noqa: S105 - the JDK's default, and no secret: it keys a checksum of public data
_JKS_MAGIC: Final = 0xFEEDFEED
_JKS_VERSION: Final = 2
_JKS_TRUSTED: Final = 2
_BLOCK: Final = re.compile(rb"-----BEGIN ((?:X509 )?CERTIFICATE)-----([A-Za-z0-9+/=\s]*?)-----END \1-----")
_LINE: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Files to write, variables to set (those not listed stay as they are) and what a person should know."""

    files: Mapping[Path, bytes]
    variables: Mapping[str, str]
    warnings: tuple[str, ...]


def certificates(pem: bytes) -> tuple[bytes, ...]:
    """Take the certificates out of a PEM file as DER, each once, in order; keys and anything else stay behind."""
    found: dict[bytes, None] = {}
    for match in _BLOCK.finditer(pem):
        with suppress(binascii.Error):
            der = binascii.a2b_base64(b"".join(match[2].split()))
            if _is_certificate(der):
                found[der] = None
    return tuple(found)


def _is_certificate(der: bytes) -> bool:
    """Say whether it parses: one broken entry makes a JVM refuse a whole trust store."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
    except (ssl.SSLError, ValueError):
        return False
    return True


def bundle_pem(certificates_der: Iterable[bytes]) -> bytes:
    """Spell certificates as PEM, each once."""
    return b"".join(_pem(der) for der in dict.fromkeys(certificates_der))


def _pem(der: bytes) -> bytes:
    text = binascii.b2a_base64(der, newline=False)
    lines = b"\n".join(text[start : start + _LINE] for start in range(0, len(text), _LINE))
    return b"-----BEGIN CERTIFICATE-----\n" + lines + b"\n-----END CERTIFICATE-----\n"


def truststore_jks(certificates_der: Iterable[bytes], *, password: str = _PASSWORD) -> bytes:
    """Write a Java trust store: JKS version 2, which every JDK from 8 on reads without being told a password.

    The same certificates give the same bytes: entries carry no date. The JDK's own sun.security.provider.JavaKeyStore
    documents the format.
    """
    entries = [
        struct.pack(">I", _JKS_TRUSTED)
        + _utf(f"kecs-{index}")
        + struct.pack(">Q", 0)
        + _utf("X.509")
        + struct.pack(">I", len(der))
        + der
        for index, der in enumerate(dict.fromkeys(certificates_der))
    ]
    store = struct.pack(">III", _JKS_MAGIC, _JKS_VERSION, len(entries)) + b"".join(entries)
    keyed = password.encode("utf-16-be") + b"Mighty Aphrodite" + store
    return store + hashlib.sha1(keyed, usedforsecurity=False).digest()


def _utf(text: str) -> bytes:
    """Spell ASCII as Java's DataOutput.writeUTF does."""
    return struct.pack(">H", len(text)) + text.encode("ascii")


def trust(
    directory: Path,
    *,
    own_roots: bytes,
    public_roots: bytes,
    existing: Mapping[str, str],
    read: Callable[[str], bytes | None],
) -> Trust:
    """Say what to write to `directory` and which variables make clients trust `own_roots`.

    `existing` is the application's environment; `read` gives the content of a file that it names, None if there is
    none to read. SSL_CERT_DIR is never set: Perl's HTTP::Tiny can't take a list there.
    """
    own = certificates(own_roots)
    if not own:
        raise ConfigError(
            "there is no certificate among the roots to trust", hint="give the authority's root certificate as PEM"
        )
    every = (*certificates(public_roots), *own)
    merging = _Merging(directory=directory, own=own, read=read)
    bundle, added, store = directory / "bundle.pem", directory / "ca.pem", directory / "truststore.jks"
    ini = directory / "php" / "kecs.ini"
    variables = {
        name: str(merging.file(existing, (name, *instead)) or bundle) for name, instead in INSTEAD_VARIABLES.items()
    }
    variables |= {name: str(merging.file(existing, (name,)) or added) for name in ADDED_VARIABLES}
    variables["PHP_INI_SCAN_DIR"] = _php_directories(existing.get("PHP_INI_SCAN_DIR"), ini.parent)
    java, warnings = _java(existing, store)
    files = {
        bundle: bundle_pem(every),
        added: bundle_pem(own),
        store: truststore_jks(every),
        ini: f'curl.cainfo="{bundle}"\nopenssl.cafile="{bundle}"\n'.encode(),
    }
    return Trust(
        files=files | merging.files,
        variables=variables | java,
        warnings=(*merging.warnings, *warnings, *_directory_warnings(existing)),
    )


class _Merging:
    """Merged files made so far: one for each file that a variable names."""

    def __init__(self, *, directory: Path, own: tuple[bytes, ...], read: Callable[[str], bytes | None]) -> None:
        self.files: dict[Path, bytes] = {}
        self.warnings: list[str] = []
        self._directory = directory
        self._own = own
        self._read = read
        self._paths: dict[str, Path | None] = {}

    def file(self, existing: Mapping[str, str], names: tuple[str, ...]) -> Path | None:
        """Give the file that stands for the first of `names` that is set; None if there is nothing to keep."""
        for name in names:
            if source := existing.get(name):
                return self._merged(name, source)
        return None

    def _merged(self, name: str, source: str) -> Path | None:
        if source not in self._paths:
            self._paths[source] = self._merge(name, source)
        return self._paths[source]

    def _merge(self, name: str, source: str) -> Path | None:
        content = self._read(source)
        theirs = certificates(content or b"")
        if not theirs:
            why = "can't be read" if content is None else "holds no certificate"
            self.warnings.append(f"{name} names {source}, which {why}: it is replaced by the public roots and ours")
            return None
        path = self._directory / f"merged-{hashlib.sha256(source.encode()).hexdigest()[:12]}.pem"
        self.files[path] = bundle_pem((*theirs, *self._own))
        return path


def _php_directories(existing: str | None, own: Path) -> str:
    """Append to the directories that PHP scans; the empty element is the directory that it was built with."""
    if existing is None:
        return f":{own}"
    return f"{existing}:{own}" if existing else str(own)


def _java(existing: Mapping[str, str], store: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    for name in _JAVA_VARIABLES:
        if JAVA_OPTION in existing.get(name, ""):
            sentence = f"{name} names a trust store of its own, which is kept: Java trusts only what is in there"
            return {}, (f"{sentence}; import {store.parent / 'ca.pem'} into it",)
    option = f"{JAVA_OPTION}{store}"
    # The JVM splits this variable at white space, and knows quotes.
    quoted = f'"{option}"' if re.search(r"\s", option) else option
    return {"JAVA_TOOL_OPTIONS": " ".join(filter(None, (existing.get("JAVA_TOOL_OPTIONS"), quoted)))}, ()


def _directory_warnings(existing: Mapping[str, str]) -> tuple[str, ...]:
    if not existing.get("SSL_CERT_DIR") or existing.get("SSL_CERT_FILE"):
        return ()
    # rustls-native-certs reads no directory once SSL_CERT_FILE is set; OpenSSL and Go read both.
    return (f"SSL_CERT_DIR is {existing['SSL_CERT_DIR']}: clients built on rustls read SSL_CERT_FILE instead of it",)


def write(files: Mapping[Path, bytes]) -> None:
    """Write files that everyone may read, each appearing whole."""
    for path, content in files.items():
        try:
            _make_directory(path.parent)
            _write(path, content)
        except OSError as error:
            raise MachineError(
                f"{path} can't be written: {error.strerror}",
                hint=f"make {path.parent} a directory that uid {os.geteuid()} can write, with room left",
            ) from error


def _make_directory(directory: Path) -> None:
    if not directory.is_dir():
        _make_directory(directory.parent)
        with suppress(FileExistsError):
            directory.mkdir()
            directory.chmod(0o755)  # whatever the umask: the application's uid is not ours


def _write(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
