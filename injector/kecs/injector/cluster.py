"""What the injector knows of the cluster: mirrors of namespaces, service accounts, LimitRanges and the trust bundle.

An edge. Namespaces and the bundle are needed; without permission for the rest, evidence and bounds are merely unknown.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from kecs.certs.kube import Kube, KubeError, NotFoundError
from kecs.certs.mirror import Mirror
from kecs.core.errors import AuthorityError, KecsError, MachineError
from kecs.core.names import TRUST_CONFIG_MAP
from kecs.injector.config import Facts, LimitRange, Trust
from kecs.injector.mode import Marks

_NAMESPACES: Final = "/api/v1/namespaces"


def marks(found: Mapping[str, Any]) -> Marks:
    """Keep the labels and annotations of an object."""
    metadata = found.get("metadata") or {}
    return Marks(labels=metadata.get("labels") or {}, annotations=metadata.get("annotations") or {})


class Cluster:
    """See the module; `kecs.injector.server.View`."""

    def __init__(self, kube: Kube, system_namespace: str) -> None:
        self._kube = kube
        self.changed: Callable[[], None] = lambda: None
        """Called when other roots have been published."""
        self._version: tuple[int, int] | None = None
        self._trust: Trust | None = None
        self._trust_failure = f"the ConfigMap {TRUST_CONFIG_MAP} has not been published yet"
        self.namespaces = Mirror(kube, _NAMESPACES, reduce=marks)
        self._accounts = Mirror(kube, "/api/v1/serviceaccounts", reduce=lambda found: marks(found).annotations)
        self._limits = Mirror(kube, "/api/v1/limitranges", reduce=LimitRange.of)
        self._config = Mirror(
            kube,
            f"{_NAMESPACES}/{system_namespace}/configmaps",
            query={"fieldSelector": f"metadata.name={TRUST_CONFIG_MAP}"},
            reduce=lambda found: str((found.get("data") or {}).get("ca.crt", "")),
            changed=self._read_trust,
        )
        self._mirrors = (self.namespaces, self._accounts, self._limits, self._config)

    def start(self) -> None:
        """Begin to follow."""
        for mirror in self._mirrors:
            mirror.start()

    def close(self) -> None:
        """Stop following."""
        for mirror in self._mirrors:
            mirror.close()

    @property
    def trust(self) -> Trust | None:
        """The published roots."""
        return self._trust

    def learn_version(self) -> None:
        """Ask which version the API server has; blocking. Upgrades happen, so it is asked now and then."""
        version = self._kube.get("/version")
        try:
            self._version = (int(version["major"]), int(str(version["minor"]).rstrip("+")))
        except (KeyError, ValueError) as error:
            raise MachineError(f"the API server's version {version} can't be read") from error

    def missing(self) -> tuple[str, ...]:
        """List what keeps pods from being reviewed."""
        lacks = []
        if not self.namespaces.listed:
            lacks.append(f"namespaces are not known yet: {self.namespaces.failure or 'being listed'}")
        if self._trust is None:
            lacks.append(self._config.failure or self._trust_failure)
        if self._version is None:
            lacks.append("the API server's version is not known yet")
        return tuple(lacks)

    async def facts(self, namespace: str, service_account: str, *, dry_run: bool) -> Facts:
        """Return what is known. A namespace that the mirror has not seen yet is read."""
        found: Marks | None = self.namespaces.get(namespace)
        if found is None:
            found = await asyncio.to_thread(self._namespace, namespace)
        return Facts(
            namespace=found,
            trust=self._trust,
            server_version=self._version,
            service_account_annotations=self._accounts.get(service_account, namespace) or {},
            limit_ranges=self._limits.values(namespace),
            dry_run=dry_run,
        )

    def _namespace(self, name: str) -> Marks:
        try:
            return marks(self._kube.get(f"{_NAMESPACES}/{name}"))
        except NotFoundError as error:
            raise KecsError(f"there is no namespace {name!r}") from error
        except KubeError as error:
            raise KecsError(f"the namespace {name!r} can't be read: {error.message}") from error

    def _read_trust(self) -> None:
        """Take the bundle; one that can't be read is not taken, and the one before goes on."""
        pems: tuple[Any, ...] = self._config.values()
        if not pems or not pems[0]:
            self._trust_failure = f"the ConfigMap {TRUST_CONFIG_MAP} has not been published yet"
            return
        try:
            self._trust = Trust.from_pem(pems[0].encode(), source=f"the ConfigMap {TRUST_CONFIG_MAP}")
        except (AuthorityError, UnicodeError) as error:
            self._trust_failure = str(error)
            return
        self.changed()
