"""A Kubernetes API server for tests, faked at the wire: real sockets, real JSON, real conflicts and watches.

    with api_server() as api:
        api.put("secrets", {"metadata": {"name": "a", "namespace": "demo"}})   # as if kubectl had
        kube = Kube.load(kubeconfig=str(api.kubeconfig(tmp_path)))
        api.faults.append(Fault(path=r"/secrets/a$", status=409, times=2))     # or drop=True, delay_s=0.2
        api.tokens["secret"] = {"authenticated": True, "user": {...}}          # TokenReview
        api.requests                                                           # what was asked, in order

It checks neither schemas nor permissions; `api.forbid(user_agent or path)` is a Fault with status 403.
"""

import base64
import copy
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import log_lab
import yaml

type Json = dict[str, Any]

RESOURCES: Final = {
    "": ("pods", "namespaces", "nodes", "secrets", "configmaps", "services", "endpoints", "events", "serviceaccounts",
         "limitranges", "resourcequotas", "persistentvolumeclaims"),
    "apps": ("deployments", "replicasets", "daemonsets", "statefulsets"),
    "batch": ("jobs", "cronjobs"),
    "coordination.k8s.io": ("leases",),
    "admissionregistration.k8s.io": ("mutatingwebhookconfigurations",),
    "authentication.k8s.io": ("tokenreviews",),
    "events.k8s.io": ("events",),
    "policy": ("poddisruptionbudgets",),
    "networking.k8s.io": ("networkpolicies",),
}  # fmt: skip
CLUSTER_WIDE: Final = {"namespaces", "nodes", "mutatingwebhookconfigurations", "tokenreviews"}
_MERGE_KEYS: Final = ("name", "uid", "mountPath", "containerPort", "ip")
_PATH: Final = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>v[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>.+))?"
)


@dataclass(slots=True, kw_only=True)
class Fault:
    """What goes wrong with requests that fit. The first in the list that fits is used up."""

    path: str = ""
    """A regular expression, searched in path and query."""
    method: str = ""
    """A regular expression for the whole method: "P.+|DELETE" are the writes. Empty for all."""
    times: int = 1
    skip: int = 0
    """How many requests that fit go well before."""
    status: int = 0
    drop: bool = False
    """Close the connection without an answer."""
    after: bool = False
    """Do what was asked first: the client can't know that it was done."""
    delay_s: float = 0
    between: Callable[[], None] = lambda: None
    """Called between what is done and its answer."""
    message: str = "injected by the test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


class ApiError(Exception):
    """An answer that is a metav1.Status."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


@dataclass(slots=True, kw_only=True)
class ApiServer:
    """The state of the cluster. Everything may be looked at and changed by tests."""

    url: str = ""
    objects: dict[tuple[str, str, str], Json] = field(default_factory=dict)
    """By resource, namespace and name."""
    tokens: dict[str, Json] = field(default_factory=dict)
    """Token → TokenReview status; an unknown token is not authenticated."""
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    logs: dict[tuple[str, str, str], bytes] = field(default_factory=dict)
    """By namespace, pod and container."""
    log_followers: int = 0
    """How often a log has begun to be followed."""
    log_cuts: int = 0
    """Every followed log ends when this grows, as when the API server restarts."""
    proxied: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Path after …/proxy → answer, for pods/proxy and services/proxy; by regular expression of the whole path."""
    version: Json = field(default_factory=lambda: {"major": "1", "minor": "34", "gitVersion": "v1.34.1"})
    admit: Callable[[Json], Json] | None = None
    """Called with an AdmissionReview for each pod that is created; returns the review's response."""
    date: Callable[[], float] = time.time
    changed: threading.Condition = field(default_factory=threading.Condition)
    """Held while objects change; notified when they have."""
    _history: list[tuple[int, str, str, Json]] = field(default_factory=list)
    _revision: Iterator[int] = field(default_factory=lambda: itertools.count(1000))
    _oldest: int = 0

    # for tests

    def put(self, resource: str, body: Json) -> Json:
        """Make or replace an object without asking for its version."""
        metadata = body.setdefault("metadata", {})
        key = (
            resource,
            "" if resource in CLUSTER_WIDE else metadata.setdefault("namespace", "default"),
            metadata["name"],
        )
        with self.changed:
            return self._store(key, copy.deepcopy(body), "MODIFIED" if key in self.objects else "ADDED")

    def at(self, resource: str, name: str, namespace: str = "") -> Json | None:
        """Look at an object."""
        with self.changed:
            return copy.deepcopy(self.objects.get((resource, namespace, name)))

    def remove(self, resource: str, name: str, namespace: str = "") -> None:
        """Delete an object."""
        with self.changed:
            self.delete((resource, namespace, name))

    def log(self, namespace: str, pod: str, container: str, content: bytes) -> None:
        """Append to a container's log."""
        with self.changed:
            self.logs[namespace, pod, container] = self.logs.get((namespace, pod, container), b"") + content
            self.changed.notify_all()

    def cut_logs(self) -> None:
        """End every log that is being followed."""
        with self.changed:
            self.log_cuts += 1
            self.changed.notify_all()

    def compact(self) -> None:
        """Forget the history: watches from an older version get 410."""
        with self.changed:
            self._oldest = next(self._revision)
            self._history.clear()
            self.changed.notify_all()

    def wait(self, holds: Callable[[], bool], *, timeout_s: float = 20) -> None:
        """Wait until something holds; it is asked again whenever an object changes, and now and then."""
        deadline = time.monotonic() + timeout_s
        while not holds():  # asked without the lock: it may ask the server itself
            left = deadline - time.monotonic()
            assert left > 0, "it did not come to hold"
            with self.changed:
                self.changed.wait(min(left, 0.05))

    def kubeconfig(self, directory: Path) -> Path:
        """Write a kubeconfig for clients."""
        cluster = {"name": "lab", "cluster": {"server": self.url}}
        context = {"name": "lab", "context": {"cluster": "lab", "user": "lab", "namespace": "default"}}
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "lab", "clusters": [cluster],
            "contexts": [context], "users": [{"name": "lab", "user": {"token": "tests"}}],
        }  # fmt: skip
        path = directory / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    # for the server

    def _store(self, key: tuple[str, str, str], body: Json, kind: str) -> Json:
        revision = next(self._revision)
        metadata = body.setdefault("metadata", {})
        metadata |= {"resourceVersion": str(revision), "name": key[2]} | ({"namespace": key[1]} if key[1] else {})
        metadata.setdefault("uid", f"uid-{revision}")
        metadata.setdefault("creationTimestamp", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.date())))
        if key[0] == "secrets" and "stringData" in body:
            encoded = {name: base64.b64encode(text.encode()).decode() for name, text in body.pop("stringData").items()}
            body["data"] = body.get("data", {}) | encoded
        self.objects[key] = body
        self._history.append((revision, kind, key[0], copy.deepcopy(body)))
        self.changed.notify_all()
        return copy.deepcopy(body)

    def delete(self, key: tuple[str, str, str]) -> Json:
        """DELETE."""
        if key not in self.objects:
            raise _not_found(key)
        body = self.objects.pop(key)
        body["metadata"]["resourceVersion"] = str(next(self._revision))
        self._history.append((int(body["metadata"]["resourceVersion"]), "DELETED", key[0], copy.deepcopy(body)))
        self.changed.notify_all()
        return body

    def create(self, resource: str, namespace: str, body: Json, query: dict[str, str]) -> Json:
        """POST."""
        if resource == "tokenreviews":
            status = self.tokens.get(body["spec"]["token"], {"user": {}, "error": "invalid bearer token"})
            return body | {"status": status}
        metadata = body.setdefault("metadata", {})
        if not metadata.get("name"):
            metadata["name"] = f"{metadata.get('generateName', 'x-')}{next(self._revision):x}"
        if resource == "pods" and self.admit is not None:
            body = self._admitted(body, namespace, query)
        with self.changed:
            key = (resource, namespace, body["metadata"]["name"])
            if key in self.objects:
                raise ApiError(409, "AlreadyExists", f'{resource} "{key[2]}" already exists')
            return body if query.get("dryRun") else self._store(key, body, "ADDED")

    def _admitted(self, body: Json, namespace: str, query: dict[str, str]) -> Json:
        import jsonpatch  # noqa: PLC0415 - few tests need it

        request = {
            "uid": f"review-{next(self._revision)}", "operation": "CREATE", "namespace": namespace, "object": body,
            "oldObject": None, "dryRun": bool(query.get("dryRun")), "userInfo": {"username": "tests"},
        }  # fmt: skip
        assert self.admit is not None
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        response = self.admit(review)
        if not response["allowed"]:
            status = response.get("status", {})
            said = f"admission webhook denied the request: {status.get('message')}"
            raise ApiError(status.get("code", 403), status.get("reason", "Forbidden"), said)
        if "patch" in response:
            patched: Json = jsonpatch.apply_patch(body, json.loads(base64.b64decode(response["patch"])))
            return patched
        return body

    def replace(self, key: tuple[str, str, str], body: Json) -> Json:
        """PUT."""
        with self.changed:
            found = self.objects.get(key)
            if found is None:
                raise _not_found(key)
            asked = body.get("metadata", {}).get("resourceVersion")
            if asked and asked != found["metadata"]["resourceVersion"]:
                said = f'Operation cannot be fulfilled on {key[0]} "{key[2]}": the object has been modified'
                raise ApiError(
                    409, "Conflict", f"{said}; please apply your changes to the latest version and try again"
                )
            body["metadata"] = {"uid": found["metadata"]["uid"]} | body["metadata"]
            return self._store(key, body, "MODIFIED")

    def patch(self, key: tuple[str, str, str], patch: Any, content_type: str) -> Json:
        """PATCH, of all three kinds."""
        with self.changed:
            found = self.objects.get(key)
            if found is None:
                raise _not_found(key)
            if content_type.startswith("application/json-patch"):
                import jsonpatch  # noqa: PLC0415 - few tests need it

                body = jsonpatch.apply_patch(found, patch)
            else:
                asked = patch.get("metadata", {}).get("resourceVersion")
                if asked and asked != found["metadata"]["resourceVersion"]:
                    raise ApiError(409, "Conflict", "the object has been modified")
                body = _merged(found, patch, strategic="strategic" in content_type)
            return self._store(key, body, "MODIFIED")

    def chosen(self, resource: str, namespace: str, query: dict[str, str]) -> list[Json]:
        """Select objects for a list."""
        return [
            copy.deepcopy(body)
            for (kind, where, _), body in sorted(self.objects.items())
            if kind == resource and namespace in ("", where) and _selected(body, query)
        ]

    def events_after(
        self, revision: int, resource: str, namespace: str, query: dict[str, str]
    ) -> list[tuple[int, str, Json]]:
        """Select what a watch has to be told."""
        if revision < self._oldest:
            raise ApiError(410, "Expired", f"too old resource version: {revision} ({self._oldest})")
        return [
            (number, kind, body)
            for number, kind, what, body in self._history
            if number > revision
            and what == resource
            and namespace in ("", body["metadata"].get("namespace", ""))
            and _selected(body, query)
        ]

    def now(self) -> int:
        """Return the newest version."""
        return max((number for number, *_ in self._history), default=self._oldest)


def parts_of(path: str) -> tuple[str, str, str, str, str]:
    """Read a path: group, namespace, resource, name, subresource; what is not there is empty."""
    match = _PATH.fullmatch(path)
    if match is None or match["resource"] not in RESOURCES.get(match["group"] or "", ()):
        raise ApiError(404, "NotFound", f"the server could not find {path}")
    group, namespace, resource, name, sub = match.group("group", "namespace", "resource", "name", "sub")
    return group or "", namespace or "", resource, name or "", sub or ""


def _not_found(key: tuple[str, str, str]) -> ApiError:
    return ApiError(404, "NotFound", f'{key[0]} "{key[2]}" not found')


def _selected(body: Json, query: dict[str, str]) -> bool:
    metadata = body["metadata"]
    for selector in filter(None, query.get("fieldSelector", "").split(",")):
        name, _, value = selector.replace("==", "=").partition("=")
        here: Any = body
        for part in name.removesuffix("!").split("."):
            here = here.get(part, "") if isinstance(here, dict) else ""
        if (here == value) is name.endswith("!"):
            return False
    labels = metadata.get("labels") or {}
    for selector in filter(None, query.get("labelSelector", "").split(",")):
        name, equals, value = selector.replace("==", "=").partition("=")
        there = labels.get(name) == value if equals else name.lstrip("!") in labels
        if there is name.startswith("!"):
            return False
    return True


def _merged(found: Any, patch: Any, *, strategic: bool) -> Any:
    if isinstance(found, dict) and isinstance(patch, dict):
        merged = dict(found)
        for key, value in patch.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = _merged(merged.get(key), value, strategic=strategic)
        return merged
    if strategic and isinstance(found, list) and isinstance(patch, list) and patch and isinstance(patch[0], dict):
        key = next((one for one in _MERGE_KEYS if one in patch[0]), "")
        if key:
            items = {one.get(key): one for one in found}
            for one in patch:
                items[one[key]] = _merged(items.get(one[key]), one, strategic=True)
            return list(items.values())
    return {key: value for key, value in patch.items() if value is not None} if isinstance(patch, dict) else patch


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment: in two, the second one waits 40 ms for an acknowledgement
    disable_nagle_algorithm = True
    api: ApiServer

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Give the cluster's time, which tests may turn."""
        return super().date_time_string(self.api.date() if timestamp is None else int(timestamp))

    def _handle(self) -> None:
        split = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        body = json.loads(raw) if raw else None
        query = dict(parse_qsl(split.query))
        request = Request(
            method=self.command,
            path=split.path,
            query=query,
            body=body,
            headers={k.lower(): v for k, v in self.headers.items()},
        )
        self.api.requests.append(request)
        fault = self._fault() or Fault()
        if fault.delay_s:
            time.sleep(fault.delay_s)
        if fault.drop and not fault.after:
            self.close_connection = True
            return
        if fault.status and not fault.after:
            self._status(ApiError(fault.status, "Injected", fault.message))
            return
        answer: Json | bytes | ApiError | None
        try:
            answer = self._answer(request)
        except ApiError as error:
            answer = error
        fault.between()
        if fault.drop:
            self.close_connection = True
        elif fault.status:
            self._status(ApiError(fault.status, "Injected", fault.message))
        elif isinstance(answer, ApiError):
            self._status(answer)
        elif isinstance(answer, bytes):
            self._send(200, answer, "text/plain")
        elif answer is not None:
            self._send(201 if self.command == "POST" else 200, json.dumps(answer).encode())

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the base class names them

    def _fault(self) -> Fault | None:
        for fault in self.api.faults:
            fits = re.fullmatch(fault.method or ".*", self.command) and re.search(fault.path, self.path)
            if fault.times and fits:
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def _answer(self, request: Request) -> Json | bytes | None:
        api = self.api
        if request.path == "/version":
            return api.version
        _, namespace, resource, name, sub = parts_of(request.path)
        if sub.startswith("proxy"):
            return self._proxied(request.path)
        if sub == "log":
            return self._log(namespace, name, request.query)
        if not name:
            return self._collection(request, resource, namespace)
        return self._object(request, (resource, namespace, name))

    def _collection(self, request: Request, resource: str, namespace: str) -> Json | None:
        if request.method == "POST":
            return self.api.create(resource, namespace, request.body, request.query)
        if request.query.get("watch") in {"1", "true"}:
            self._watch(resource, namespace, request.query)
            return None
        return self._list(resource, namespace, request.query)

    def _object(self, request: Request, key: tuple[str, str, str]) -> Json:
        with self.api.changed:
            if request.method == "PUT":
                return self.api.replace(key, request.body)
            if request.method == "PATCH":
                return self.api.patch(key, request.body, request.headers.get("content-type", ""))
            if request.method == "DELETE":
                return self.api.delete(key)
            if key not in self.api.objects:
                raise _not_found(key)
            return copy.deepcopy(self.api.objects[key])

    def _list(self, resource: str, namespace: str, query: dict[str, str]) -> Json:
        with self.api.changed:
            items = self.api.chosen(resource, namespace, query)
            version = str(self.api.now())
        start, limit = int(query.get("continue", 0)), int(query.get("limit", 0))
        metadata = {"resourceVersion": version}
        if limit and start + limit < len(items):
            metadata["continue"] = str(start + limit)
        return {"kind": "List", "metadata": metadata, "items": items[start : start + limit] if limit else items[start:]}

    def _watch(self, resource: str, namespace: str, query: dict[str, str]) -> None:
        deadline = time.monotonic() + float(query.get("timeoutSeconds", 300))
        seen = int(query.get("resourceVersion") or self.api.now())
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        try:
            while time.monotonic() < deadline and self.server.running:  # type: ignore[attr-defined]
                with self.api.changed:
                    news = self.api.events_after(seen, resource, namespace, query)
                    if not news:
                        self.api.changed.wait(0.1)
                        continue
                for number, kind, body in news:
                    self._chunk(_event(kind, body))
                    seen = number
        except ApiError as error:
            self._chunk(_event("ERROR", _status(error)))
        except OSError:
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, line: bytes) -> None:
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()

    def _log(self, namespace: str, name: str, query: dict[str, str]) -> bytes | None:
        key = (namespace, name, f"{query.get('container', '')}{' before' if query.get('previous') else ''}")
        if key not in self.api.logs:
            raise ApiError(404, "NotFound", f'pods "{name}" not found')
        if query.get("follow") == "true":
            self._follow_log(key, query)
            return None
        return b"".join(log_lab.told(self.api.logs[key], query, self.api.date()))

    def _follow_log(self, key: tuple[str, str, str], query: dict[str, str]) -> None:
        with self.api.changed:
            cuts, content = self.api.log_cuts, self.api.logs.get(key)
            self.api.log_followers += 1
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent, asked = 0, query
        try:
            while self.server.running and cuts == self.api.log_cuts and content is not None:  # type: ignore[attr-defined]
                for line in log_lab.told(content, asked, self.api.date(), skip=sent):
                    self._chunk(line)
                self.wfile.flush()
                sent, asked = len(content.splitlines()), query | {"tailLines": f"{1 << 30}"}
                with self.api.changed:
                    if self.api.logs.get(key) == content:
                        self.api.changed.wait(0.1)
                    content = self.api.logs.get(key)
        except OSError:
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def _proxied(self, path: str) -> bytes:
        for pattern, (status, body) in self.api.proxied.items():
            if re.search(pattern, path):
                if status != 200:
                    raise ApiError(status, "ServiceUnavailable", body.decode())
                return body
        raise ApiError(503, "ServiceUnavailable", "no endpoints available for service")

    def _status(self, error: ApiError) -> None:
        self._send(error.status, json.dumps(_status(error)).encode())

    def _send(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _event(kind: str, body: Json) -> bytes:
    return json.dumps({"type": kind, "object": body}).encode() + b"\n"


def _status(error: ApiError) -> Json:
    return {
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "reason": error.reason, "code": error.status, "message": error.message,
    }  # fmt: skip


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    running = True

    def handle_error(self, *_: object) -> None:
        """Be silent about clients that went away."""


@contextmanager
def api_server() -> Iterator[ApiServer]:
    """Run a fake on loopback."""
    api = ApiServer()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": api}))
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.running = False
        server.shutdown()
        server.server_close()
        thread.join()
