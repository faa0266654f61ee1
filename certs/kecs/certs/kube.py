"""The Kubernetes API in plain JSON. An edge: configuration, credentials and transport are the `kubernetes` package's.

Its model classes are left out on purpose: they cost most of a call's time and drop fields that they don't know, and a
field dropped on the way back to the API server is a field deleted. Blocking: asynchronous callers use a thread.
"""

import json
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, Self

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException

from kecs.core.errors import ConfigError, KecsError

type Json = dict[str, Any]

TIMEOUT_S: Final = 10.0
_PAGE: Final = 500
_WATCH_S: Final = 300
_IN_CLUSTER: Final = "KUBERNETES_SERVICE_HOST"
_JSON: Final = "application/json"
_METADATA: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class KubeError(KecsError):
    """The API server said no. `status` is HTTP's, `reason` its own word (NotFound, Conflict, Forbidden, …)."""

    def __init__(self, message: str, *, status: int, reason: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=_HINTS.get(status, ""))
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


class NotFoundError(KubeError):
    """There is no such object."""


class ConflictError(KubeError):
    """Somebody else has written, or made, the object meanwhile."""


class GoneError(KubeError):
    """The resourceVersion is too old: list anew."""


class UnavailableError(KubeError):
    """There was no answer, or one that says to try again."""


_HINTS: Final = {
    401: "the credentials have expired or are not the cluster's; log in again",
    403: "this account lacks a permission; `kubectl auth can-i` shows what it may",
}
_KINDS: Final[Mapping[int, type[KubeError]]] = {404: NotFoundError, 409: ConflictError, 410: GoneError}
_TRY_AGAIN: Final = frozenset({0, 408, 429, 500, 502, 503, 504})


class Patch(StrEnum):
    """How a patch is merged."""

    MERGE = "application/merge-patch+json"
    """RFC 7386: lists are replaced."""
    STRATEGIC = "application/strategic-merge-patch+json"
    """Kubernetes' own: named list items are merged by their key."""
    JSON = "application/json-patch+json"
    """RFC 6902: a list of operations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One event of a watch."""

    kind: str
    """ADDED, MODIFIED, DELETED or BOOKMARK."""
    object: Json


class Kube:
    """A client for one cluster. Safe to use from several threads."""

    def __init__(self, configuration: client.Configuration) -> None:
        configuration.retries = urllib3.Retry(
            connect=2, read=1, redirect=0, status=0, other=0, allowed_methods={"GET"}, raise_on_status=False
        )
        self._api = client.ApiClient(configuration)
        if self.host.startswith("https:"):
            self._api.rest_client.pool_manager.connection_pool_kw["ssl_context"] = self.tls_context()

    @classmethod
    def load(cls, *, kubeconfig: str = "", context: str = "", environ: Mapping[str, str] = os.environ) -> Self:
        """Connect by a named kubeconfig or context, by this pod's own account, else by KUBECONFIG or ~/.kube."""
        configuration = client.Configuration()
        try:
            if _IN_CLUSTER in environ and not kubeconfig and not context and not environ.get("KUBECONFIG"):
                config.load_incluster_config(client_configuration=configuration)
            else:
                config.load_kube_config(
                    config_file=kubeconfig or environ.get("KUBECONFIG") or None,
                    context=context or None,
                    client_configuration=configuration,
                )
            return cls(configuration)
        except (ConfigException, OSError, ValueError, yaml.YAMLError) as error:
            said = " ".join(str(error).split())
            raise ConfigError(
                f"no cluster to talk to: {said}", hint="set KUBECONFIG, or name one with --context"
            ) from error

    @property
    def host(self) -> str:
        """The API server's URL."""
        return str(self._api.configuration.host)

    @property
    def tls_name(self) -> str:
        """The name that the API server's certificate has, where it is not its URL's."""
        return str(self._api.configuration.tls_server_name or "")

    def bearer(self) -> str:
        """Return what the Authorization field says now: a pod's own token is replaced every hour."""
        try:
            setting = self._api.configuration.auth_settings().get("BearerToken") or {}
        except ConfigException as error:
            raise UnavailableError(f"there are no credentials for the API server: {error}", status=0) from error
        return str(setting.get("value") or "")

    def tls_context(self) -> ssl.SSLContext:
        """Make the context in which the API server's certificate is verified.

        Not in the strict way that is Python's default from 3.13 on: the CAs of EKS, and old ones of others, have no key
        identifiers, which RFC 5280 section 4.2.1.1 allows a self-signed CA.
        """
        configuration = self._api.configuration
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not configuration.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
        return context

    def close(self) -> None:
        """Close idle connections."""
        self._api.rest_client.pool_manager.clear()

    # one object

    def get(self, path: str, **query: Any) -> Json:
        """Read an object, or whatever JSON stands at `path`."""
        return self._json("GET", path, query=query)

    def find(self, path: str) -> Json | None:
        """Read an object; None when there is none."""
        try:
            return self.get(path)
        except NotFoundError:
            return None

    def create(self, path: str, body: Mapping[str, Any], **query: Any) -> Json:
        """Make an object in the collection at `path`."""
        return self._json("POST", path, body=body, query=query)

    def replace(self, path: str, body: Mapping[str, Any]) -> Json:
        """Write an object whole; with a resourceVersion in it, only if nobody else has meanwhile."""
        return self._json("PUT", path, body=body)

    def patch(self, path: str, body: Any, kind: Patch = Patch.MERGE) -> Json:
        """Change parts of an object."""
        return self._json("PATCH", path, body=body, content_type=kind.value)

    def delete(self, path: str) -> bool:
        """Delete an object; say whether there was one."""
        try:
            self._json("DELETE", path)
        except NotFoundError:
            return False
        return True

    # many

    def items(self, path: str, **query: Any) -> Iterator[Json]:
        """List a collection, page by page."""
        return self._pages(path, query, accept=_JSON)

    def metadata(self, path: str, **query: Any) -> Iterator[Json]:
        """List a collection, page by page, of each object the metadata alone: a tenth of a pod."""
        return self._pages(path, query, accept=f"{_METADATA},{_JSON}")

    def _pages(self, path: str, query: Mapping[str, Any], *, accept: str) -> Iterator[Json]:
        token = ""
        while True:
            more = {"limit": _PAGE} | ({"continue": token} if token else {})
            page = self._json("GET", path, query={**query, **more}, accept=accept)
            yield from page.get("items") or ()
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return

    def snapshot(self, path: str, **query: Any) -> tuple[list[Json], str]:
        """List a collection and return the version from which to watch it."""
        page = self.get(path, **query)
        return list(page.get("items") or ()), str(page.get("metadata", {}).get("resourceVersion", ""))

    def watch(self, path: str, version: str, *, timeout_s: int = _WATCH_S, **query: Any) -> Iterator[Change]:
        """Follow a collection from `version` until the server ends it; raises GoneError when that is too old."""
        query |= {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": timeout_s,
        }
        for line in self.lines(path, read_timeout_s=timeout_s + TIMEOUT_S, **query):
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise refusal(int(event["object"].get("code", 0)), event["object"])
            yield Change(kind=event["type"], object=event["object"])

    def lines(self, path: str, *, read_timeout_s: float = TIMEOUT_S, **query: Any) -> Iterator[bytes]:
        """Stream a response line by line: a watch, or a log that is followed."""
        with _translated(path):
            response = self._send("GET", path, query=query, timeout_s=(TIMEOUT_S, read_timeout_s))
            try:
                rest = b""
                for chunk in response.stream(1 << 16, decode_content=True):
                    *whole, rest = (rest + chunk).split(b"\n")
                    yield from whole
                if rest:
                    yield rest
            finally:
                response.close()

    def text(self, path: str, **query: Any) -> bytes:
        """Read what stands at `path` as it is."""
        with _translated(path):
            response = self._send("GET", path, query=query)
            return bytes(response.data)

    def server_time(self) -> tuple[Json, datetime | None]:
        """Read /version, and what time the API server had then."""
        with _translated("/version"):
            response = self._send("GET", "/version")
            date = response.headers.get("Date")
            return json.loads(response.data), parsedate_to_datetime(date) if date else None

    def _json(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        content_type: str = "",
        accept: str = _JSON,
    ) -> Json:
        with _translated(path):
            response = self._send(method, path, body=body, query=query or {}, content_type=content_type, accept=accept)
            found: Json = json.loads(response.data)
            return found

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        content_type: str = "",
        accept: str = _JSON,
        timeout_s: float | tuple[float, float] = TIMEOUT_S,
    ) -> urllib3.BaseHTTPResponse:
        response: urllib3.BaseHTTPResponse = self._api.call_api(
            path,
            method,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept} | ({"Content-Type": content_type} if content_type else {}),
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=timeout_s,
        )
        if response.status >= HTTPStatus.BAD_REQUEST:  # without its models the package checks nothing
            raise refusal(response.status, response.data, response.headers.get("Retry-After", ""))
        return response


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """Turn what transport and package raise into errors of ours."""
    try:
        yield
    except ApiException as error:
        raise refusal(error.status or 0, error.body or error.reason) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        why = " ".join(str(error).split())
        raise UnavailableError(f"the API server does not answer ({path}): {why}", status=0) from error
    except ValueError as error:
        raise UnavailableError(f"the API server's answer is no JSON ({path}): {error}", status=0) from error


def refusal(status: int, body: Any, retry_after: str = "") -> KubeError:
    """Make an error of an answer that is one."""
    said = _status(body)
    message = said.get("message") or f"the API server answered {status}"
    after = said.get("details", {}).get("retryAfterSeconds") or (retry_after if retry_after.isdecimal() else None)
    kind = _KINDS.get(status) or (UnavailableError if status in _TRY_AGAIN else KubeError)
    return kind(
        str(message), status=status, reason=str(said.get("reason", "")), retry_after_s=float(after) if after else None
    )


def _status(body: Any) -> Json:
    """Read a metav1.Status; proxies in between answer in other forms."""
    if isinstance(body, bytes | str):
        try:
            body = json.loads(body)
        except ValueError:
            text = body.decode(errors="replace") if isinstance(body, bytes) else body
            return {"message": " ".join(text.split())[:500]}
    return body if isinstance(body, dict) else {}
