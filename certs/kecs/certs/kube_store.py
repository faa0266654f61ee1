"""The records of an authority as Secrets, in cert-manager's layout. An edge: it reads and writes, and decides nothing.

A version is a resourceVersion, so a write that others came before is a Conflict. What others put on a Secret, labels
and annotations, stays.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from kecs.certs.kube import ConflictError, Json, Kube, KubeError, NotFoundError
from kecs.certs.records import Conflict, Record
from kecs.core.errors import AuthorityError, MachineError
from kecs.core.names import ISSUER_SECRET, ROOT_SECRET

NAMES: Final = {Record.ROOT: ROOT_SECRET, Record.ISSUER: ISSUER_SECRET}
TYPES: Final = {Record.ROOT: "Opaque", Record.ISSUER: "kubernetes.io/tls"}
"""A Secret of the second type must have a certificate and a key; a root may be kept without its key."""
LABELS: Final = {"app.kubernetes.io/part-of": "kecs", "app.kubernetes.io/managed-by": "kecs-authority"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretStore:
    """The Secrets of one authority."""

    kube: Kube
    namespace: str
    may_write: Callable[[], None] = lambda: None
    """Called before each write; raises when this process is no longer the one to write."""

    def source(self, record: Record) -> str:
        """Say what a person calls the record."""
        return f"Secret {self.namespace}/{NAMES[record]}"

    def path(self, record: Record) -> str:
        """Say where the record is in the API."""
        return f"{self._collection}/{NAMES[record]}"

    @property
    def _collection(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/secrets"

    def read(self, record: Record) -> tuple[Mapping[str, bytes], str] | None:
        """Read a record."""
        found = self.kube.find(self.path(record))
        return None if found is None else (fields_of(found, self.source(record)), version_of(found))

    def write(self, record: Record, fields: Mapping[str, bytes], version: str | None) -> str:
        """Write a record, unless it is another than the one of this version."""
        try:
            written = self._made(record, fields) if version is None else self._replaced(record, fields, version)
        except (ConflictError, NotFoundError) as error:
            raise Conflict(f"{self.source(record)} was changed by others: {error.message}", hint="try again") from error
        except KubeError as error:
            raise MachineError(f"{self.source(record)} can't be written: {error.message}", hint=error.hint) from error
        return version_of(written)

    def _made(self, record: Record, fields: Mapping[str, bytes]) -> Json:
        metadata = {"name": NAMES[record], "namespace": self.namespace, "labels": LABELS}
        self.may_write()
        return self.kube.create(self._collection, secret(metadata, TYPES[record], fields))

    def _replaced(self, record: Record, fields: Mapping[str, bytes], version: str) -> Json:
        found = self.kube.get(self.path(record))
        self.may_write()
        metadata = found["metadata"] | {"resourceVersion": version}
        return self.kube.replace(self.path(record), secret(metadata, found.get("type", TYPES[record]), fields))


def secret(metadata: Mapping[str, object], kind: str, fields: Mapping[str, bytes]) -> Json:
    """Spell a Secret."""
    data = {name: base64.b64encode(value).decode() for name, value in fields.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": dict(metadata), "type": kind, "data": data}


def fields_of(found: Json, source: str) -> dict[str, bytes]:
    """Read the fields of a Secret."""
    try:
        return {name: base64.b64decode(value, validate=True) for name, value in (found.get("data") or {}).items()}
    except (binascii.Error, TypeError, AttributeError) as error:
        raise AuthorityError(f"{source} is damaged: {error}", hint="restore it from a backup") from error


def version_of(found: Json) -> str:
    """Return what differs once an object was written."""
    return str(found["metadata"]["resourceVersion"])
