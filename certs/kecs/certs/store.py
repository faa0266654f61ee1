"""The authority of one machine, kept in files: made once, reused by every run, refused when it can't be trusted.

`root.pem` and `issuer.pem` hold a private key and its certificate each, in one file, so that no crash can leave a key
beside another key's certificate. An edge: it reads and writes; `authority` issues.
"""

import fcntl
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kecs.certs.authority import (
    INTERMEDIATE_LIFETIME,
    Signer,
    certificate_pem,
    fits,
    issue_intermediate,
    issue_issuer,
    issue_root,
    key_pem,
    new_key,
    permitted_domains,
)
from kecs.certs.leaf import Intermediate
from kecs.core.errors import AuthorityError, MachineError

RENEW_BEFORE: Final = timedelta(days=30)
"""How long before its end the issuer is renewed."""

_SIZE_LIMIT: Final = 1 << 20
_LOCK_PAUSE_S: Final = 0.01
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_MAY: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """The root that clients are told to trust, and the issuer that signs for it."""

    root: x509.Certificate
    issuer: Signer

    @property
    def root_pem(self) -> bytes:
        """The certificate to trust."""
        return certificate_pem(self.root)

    @property
    def root_sha256(self) -> str:
        """The root's fingerprint, in lower-case hex."""
        return self.root.fingerprint(hashes.SHA256()).hex()

    def new_intermediate(
        self, now: datetime, *, subject: str = "run", lifetime: timedelta = INTERMEDIATE_LIFETIME
    ) -> Intermediate:
        """Issue the intermediate of one run, with a key of its own."""
        key = new_key()
        certificate = issue_intermediate(self.issuer, key.public_key(), now, subject=subject, lifetime=lifetime)
        return Intermediate(signer=Signer(certificate=certificate, key=key), above=(self.issuer.certificate,))


def default_directory(environ: Mapping[str, str]) -> Path:
    """Say where a person's authority lives. A relative XDG_DATA_HOME is ignored, as its specification asks."""
    for variable, below in (("XDG_DATA_HOME", "kecs/authority"), ("HOME", ".local/share/kecs/authority")):
        value = environ.get(variable, "")
        if value.startswith("/"):
            return Path(value, below)
    raise MachineError(
        "there is no place for the authority: neither XDG_DATA_HOME nor HOME is an absolute path",
        hint="set XDG_DATA_HOME to a directory that you can write",
    )


@dataclass(frozen=True, slots=True)
class FileStore:
    """The files of one authority. `permitted` are the domains that its root may sign for."""

    directory: Path
    permitted: tuple[str, ...] = field(kw_only=True)
    patience: timedelta = field(default=timedelta(seconds=30), kw_only=True)
    """How long to wait for another run that is writing."""

    def load_or_create(self, now: datetime) -> Authority:
        """Read the authority; make it on first use; renew the issuer near its end.

        Reading takes no lock, since files appear whole; writing does, so that parallel first runs make one root. An
        issuer that still holds is used on where a new one can't be written.
        """
        found = self._load(now)
        if found is not None and not _is_due(found, now):
            return found
        try:
            return self._renew(now)
        except MachineError:
            if found is None:
                raise
            return found

    def _renew(self, now: datetime) -> Authority:
        with _cannot_write(self.directory):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_directory()
        with _locked(self.directory, self.patience):
            found = self._load(now)
            if found is not None and not _is_due(found, now):
                return found
            return self._create(now)

    @property
    def _root_path(self) -> Path:
        return self.directory / "root.pem"

    @property
    def _issuer_path(self) -> Path:
        return self.directory / "issuer.pem"

    def _load(self, now: datetime) -> Authority | None:
        """Read what is there; None when nothing there can be used as it is."""
        root = _read(self._root_path)
        if root is None:
            return None
        self._check_directory()
        self._check_root(root, now)
        issuer = _read(self._issuer_path)
        if issuer is None:
            return None
        _check_signed(issuer.certificate, root.certificate, self._issuer_path)
        if not issuer.certificate.not_valid_before_utc <= now < issuer.not_after:
            return None
        return Authority(root=root.certificate, issuer=issuer)

    def _create(self, now: datetime) -> Authority:
        root = _read(self._root_path)
        if root is None:
            root = issue_root(now, permitted=self.permitted)
            _write(self._root_path, root)
        issuer = issue_issuer(root, now)
        _write(self._issuer_path, issuer)
        return Authority(root=root.certificate, issuer=issuer)

    def _check_directory(self) -> None:
        """Refuse a directory where others could put a root of theirs."""
        found = self.directory.stat()
        _check_owner(self.directory, found)
        if found.st_mode & _OTHERS_MAY_WRITE:
            raise AuthorityError(
                f"others may write in {self.directory} (mode {stat.S_IMODE(found.st_mode):04o})",
                hint=f"chmod 700 {self.directory}",
            )

    def _check_root(self, root: Signer, now: datetime) -> None:
        again = f"remove {self.directory}: the next run makes a new root, which clients have to trust anew"
        _check_signed(root.certificate, root.certificate, self._root_path)
        certificate = root.certificate
        if now >= certificate.not_valid_after_utc:
            raise AuthorityError(
                f"the root in {self._root_path} expired at {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
                hint=again,
            )
        if now < certificate.not_valid_before_utc:
            raise AuthorityError(
                f"the root in {self._root_path} begins at {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ},"
                f" and it is {now:%Y-%m-%dT%H:%M:%SZ}",
                hint="check the clock of this machine",
            )
        missing = sorted(set(self.permitted) - set(permitted_domains(certificate)))
        if missing:
            raise AuthorityError(f"the root in {self._root_path} may not sign for {', '.join(missing)}", hint=again)


def _is_due(authority: Authority, now: datetime) -> bool:
    """Say whether the issuer has to be renewed; a new one could not outlive the root."""
    end = authority.issuer.not_after
    return end - now < RENEW_BEFORE and end < authority.root.not_valid_after_utc


def _check_signed(lower: x509.Certificate, upper: x509.Certificate, path: Path) -> None:
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise AuthorityError(
            f"the certificate in {path} was not signed by the root beside it", hint=_remove(path)
        ) from error


def _remove(path: Path) -> str:
    if path.name == "root.pem":
        return f"restore it from a backup, or remove {path.parent} to make a new root"
    return f"remove {path}: it is issued anew"


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise AuthorityError(
            f"{path} belongs to uid {found.st_uid}, not to uid {os.geteuid()}",
            hint="run as its owner, or set XDG_DATA_HOME to a directory of your own",
        )


def _read(path: Path) -> Signer | None:
    """Read a key and its certificate; None when there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AuthorityError(
            f"{path} can't be read: {error.strerror}", hint="run as its owner; symbolic links are not followed"
        ) from error
    with _closing(descriptor):
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise AuthorityError(f"{path} is not a regular file", hint=_remove(path))
        _check_owner(path, found)
        if found.st_mode & _OTHERS_MAY:
            raise AuthorityError(
                f"others than its owner may use {path} (mode {stat.S_IMODE(found.st_mode):04o}),"
                " and it holds a private key",
                hint=f"chmod 600 {path}",
            )
        return _parse(os.read(descriptor, _SIZE_LIMIT), path)


def _parse(pem: bytes, path: Path) -> Signer:
    try:
        key = load_pem_private_key(pem, password=None)
        (certificate,) = x509.load_pem_x509_certificates(pem)
        sound = isinstance(key, ec.EllipticCurvePrivateKey) and fits(certificate, key)
    except (ValueError, TypeError) as error:
        raise AuthorityError(f"{path} is damaged: {str(error).partition(' (')[0]}", hint=_remove(path)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not sound:
        raise AuthorityError(f"{path} is damaged: its key is not the certificate's", hint=_remove(path))
    return Signer(certificate=certificate, key=key)


def _write(path: Path, signer: Signer) -> None:
    """Put key and certificate where the next run finds both or neither, even after a power cut.

    Whoever writes holds the lock, so the temporary file has one name: what a killed run left there is written over.
    """
    temporary = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with _cannot_write(path.parent):
        try:
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
                file.write(key_pem(signer.key) + certificate_pem(signer.certificate))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        with _closing(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as directory:
            os.fsync(directory)


@contextmanager
def _locked(directory: Path, patience: timedelta) -> Iterator[None]:
    """Hold the directory for this process. The kernel lets go when the process ends, however it ends."""
    with _cannot_write(directory):
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with _closing(descriptor):
        deadline = time.monotonic() + patience.total_seconds()
        while not _taken(descriptor, directory):
            if time.monotonic() > deadline:
                raise MachineError(
                    f"another run has been writing to {directory} for {patience.total_seconds():g} s",
                    hint=f"end the process that holds {directory / 'lock'}",
                )
            time.sleep(_LOCK_PAUSE_S)
        yield


def _taken(descriptor: int, directory: Path) -> bool:
    with _cannot_write(directory):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _cannot_write(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"the authority can't be written to {directory}: {error.strerror}",
            hint="set XDG_DATA_HOME to a directory that you can write",
        ) from error
