"""Plays forms through the wire and says in a word what became of each.

ok                          the right answer
ok, without …               a right answer that lacks something a client can do without
501 NotImplemented          an error, as its status and the code that a client reads
200 FunctionError …         how Lambda says that a function failed
wrong: …                    a success that is none, or what no client of AWS can read
"""

import http.client
import io
import json
import os
import re
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import botocore.session
import urllib3
from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.serialize import create_serializer
from matrix.playbook import Api, Form, From, PostPolicy, Presigned, Raw, Step, Text, Until, value_at
from matrix.wire import Seen, Wire, chunked

ERROR: Final = 400
SECRET: Final = "secret"
_PATIENCE_S: Final = 60
_PAUSE_S: Final = 0.1
_EVENTS: Final = 2  # the first says that the stream has begun
_ENDLESS: Final = (".SubscribeToShard", ".StartLiveTail")
_CODE: Final = (
    re.compile(r"<Code>([\w.:-]+)</Code>"),
    re.compile(r'"(?:__type|code|Code)"\s*:\s*"(?:[^"]*#)?([\w.:-]+)"'),
    re.compile(r"^\{\"Error\":\{.*?\"Code\":\"(\w+)\""),
)


class Runner:
    """Plays forms, each step that several of them need once."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._session = botocore.session.Session()
        self._session.set_config_variable("config_file", os.devnull)
        self._session.set_config_variable("credentials_file", os.devnull)
        self._done: dict[Step, Mapping[str, Any] | Exception] = {}
        self._clients: dict[Any, Any] = {}

    def play(self, form: Form) -> str:
        """Return the outcome of a form."""
        for step in form.after:
            found = self._once(step)
            if isinstance(found, Exception):
                return outcome_of(found)
        given = self._once(form.ask)
        if isinstance(given, Exception):
            return "ok" if form.refuses and _code(given) == form.refuses else outcome_of(given)
        reason = form.right(given)
        if reason and "status" in given and given["status"] >= ERROR:
            return _raw_error(given)
        enough = form.enough is not None and not form.enough(given)
        said = (
            (not reason, "ok"),
            (enough, f"ok, without {form.lacks}"),
            ("FunctionError" in given, f"200 FunctionError {given.get('FunctionError')}"),
        )
        return next((outcome for holds, outcome in said if holds), f"wrong: {reason}")

    def _once(self, step: Step) -> Mapping[str, Any] | Exception:
        if step not in self._done:
            try:
                self._done[step] = self._ask(step)
            except Exception as error:  # noqa: BLE001 - whatever a client makes of an answer is the outcome
                self._done[step] = error
        return self._done[step]

    def _ask(self, step: Step) -> Mapping[str, Any]:
        match step:
            case Api():
                return self._api(step)
            case Presigned():
                return self._presigned(step)
            case Raw():
                return self._raw(step)
            case PostPolicy():
                return self._post_policy(step)
            case Until():
                return self._until(step)

    def _until(self, step: Until) -> Mapping[str, Any]:
        scanned, deadline = self.wire.scanned + 1, time.monotonic() + _PATIENCE_S
        while True:
            given = self._ask(step.ask)
            reason = step.right(given)
            self.wire.scanned = scanned  # however often it was asked: the number is compared
            if not reason:
                return given
            if time.monotonic() > deadline:
                raise TimeoutError(reason)
            threading.Event().wait(_PAUSE_S)

    def _value(self, given: Any) -> Any:
        """Put in what earlier steps answered."""
        match given:
            case From(step=step, path=path, change=change):
                found = self._once(step)
                if isinstance(found, Exception):
                    raise found
                return change(value_at(found, path))
            case Text(pattern=pattern, values=values):
                return pattern.format(*(self._value(one) for one in values))
            case Mapping():
                return {key: self._value(one) for key, one in given.items()}
            case list():
                return [self._value(one) for one in given]
        return given

    # calls

    def _client(self, step: Api | Presigned) -> Any:
        unsigned = isinstance(step, Api) and step.unsigned
        endpoint, protocol, key = (
            ("", "", SECRET) if isinstance(step, Presigned) else (step.endpoint, step.protocol, step.key)
        )
        kept = (step.service, step.region, json.dumps(step.config, sort_keys=True), unsigned, endpoint, protocol, key)
        if kept not in self._clients:
            self._clients[kept] = self._made(step, endpoint, protocol, unsigned=unsigned)
        return self._clients[kept]

    def _made(self, step: Api | Presigned, endpoint: str, protocol: str, *, unsigned: bool) -> Any:
        signing = {"signature_version": UNSIGNED} if unsigned else {}
        client: Any = self._session.create_client(
            step.service,
            region_name=step.region,
            endpoint_url=endpoint or None,
            aws_access_key_id=step.key if isinstance(step, Api) else "AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key=SECRET,
            config=Config(
                retries={"total_max_attempts": 1},
                **{"endpoint_discovery_enabled": False, **signing, **step.config},
            ),
        )
        if protocol:
            client.meta.service_model.resolved_protocol = protocol
            client._serializer = create_serializer(protocol, include_validation=False)
        client.meta.events.register_first("before-send", self._sent)
        return client

    def _sent(self, request: Any, **_: Any) -> AWSResponse:
        url = urlsplit(request.url)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        body = request.body or b""
        body = body.read() if hasattr(body, "read") else body.encode() if isinstance(body, str) else bytes(body)
        fields = [("Host", url.netloc)]
        fields += [(key, one.decode() if isinstance(one, bytes) else str(one)) for key, one in request.headers.items()]
        if "chunked" in {key.lower(): one for key, one in fields}.get("transfer-encoding", ""):
            body = chunked(body)
        elif body or request.method in {"POST", "PUT"}:
            fields = [(key, one) for key, one in fields if key.lower() != "content-length"]
            fields.append(("Content-Length", str(len(body))))
        streams = request.headers.get("X-Amz-Target", b"")
        streams = (streams.decode() if isinstance(streams, bytes) else streams).endswith(_ENDLESS)
        seen = self.wire.send(request.method, target, fields, body, events=_EVENTS if streams else 0)
        return _response(request.url, seen)

    def _api(self, step: Api) -> Mapping[str, Any]:
        client = self._client(step)
        model = client.meta.service_model.operation_model(step.operation)
        given: dict[str, Any] = client._make_api_call(step.operation, self._value(step.parameters))
        for name, one in given.items():
            if hasattr(one, "read"):
                given[name] = one.read()
        if model.has_event_stream_output:
            name = model.output_shape.event_stream_name
            given[name] = [next(iter(given[name]))]
        return given

    def _presigned(self, step: Presigned) -> Mapping[str, Any]:
        client = self._client(step)
        url = client.generate_presigned_url(
            _snake(client, step.operation), Params=self._value(step.parameters), HttpMethod=step.method or None
        )
        model = client.meta.service_model.operation_model(step.operation)
        parts = urlsplit(url)
        fields = {"Host": parts.netloc, **step.headers}
        if step.body:
            fields["Content-Length"] = str(len(step.body))
        method = step.method or model.http["method"]
        return _given(self.wire.send(method, f"{parts.path or '/'}?{parts.query}", fields.items(), step.body))

    def _raw(self, step: Raw) -> Mapping[str, Any]:
        host, target, body = (self._value(one) for one in (step.host, step.target, step.body))
        body = body.encode() if isinstance(body, str) else body
        fields = {"Host": host, **step.headers}
        if step.sign:
            fields["Authorization"] = authorization(*step.sign)
        if body or step.method in {"POST", "PUT"}:
            fields.setdefault("Content-Length", str(len(body)))
        return _given(self.wire.send(step.method, target, fields.items(), body))

    def _post_policy(self, step: PostPolicy) -> Mapping[str, Any]:
        made = self._client(Presigned(service="s3", operation="PutObject")).generate_presigned_post(
            step.bucket,
            step.key,
            Fields={"success_action_status": step.status},
            Conditions=[{"success_action_status": step.status}],
        )
        body, kind = urllib3.encode_multipart_formdata({**made["fields"], "file": ("file", step.content)}, "kecs-form")
        parts = urlsplit(made["url"])
        fields = {"Host": parts.netloc, "Content-Type": kind, "Content-Length": str(len(body))}
        return _given(self.wire.send("POST", parts.path or "/", fields.items(), body))


def authorization(service: str, region: str, key: str = "AKIAIOSFODNN7EXAMPLE") -> str:
    """Return an Authorization that names service and region; emulators don't verify it."""
    date = datetime.now(UTC).strftime("%Y%m%d")
    scope = f"{key}/{date}/{region}/{service}/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={'0' * 64}"


def _snake(client: Any, operation: str) -> str:
    return str(next(name for name, known in client.meta.method_to_api_mapping.items() if known == operation))


def _given(seen: Seen) -> dict[str, Any]:
    headers = {key.lower(): one for key, one in seen.fields}
    found = {"status": seen.status, "headers": headers, "body": seen.plain}
    with suppress(ValueError):
        found["json"] = json.loads(seen.plain)
    return found


def _response(url: str, seen: Seen) -> AWSResponse:
    headers = HeadersDict(seen.fields)
    raw = urllib3.HTTPResponse(
        body=io.BytesIO(seen.body),
        headers=urllib3.HTTPHeaderDict(seen.fields),
        status=seen.status,
        preload_content=False,
        enforce_content_length=False,
    )
    return AWSResponse(url, seen.status, headers, raw)  # type: ignore[arg-type]  # what botocore's own session gives


def _code(error: Exception) -> str:
    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else ""


def outcome_of(error: Exception) -> str:
    """Return the outcome of a call that raised."""
    if isinstance(error, ClientError):
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        code = _code(error)
        if status < ERROR and not code:
            return f"wrong: {error}"
        readable = code and code != str(status)
        if readable:
            return f"{status} {code}"
        return str(status) if error.operation_name.startswith("Head") else f"wrong: {status} without a code: {error}"
    if isinstance(error, (OSError, http.client.HTTPException)):
        return f"wrong: no answer: {error!r}"
    return f"wrong: {type(error).__name__}: {str(error)[:160]}"


def _raw_error(given: Mapping[str, Any]) -> str:
    text = given["body"].decode("utf-8", "replace")
    named = given["headers"].get("x-amzn-errortype", "").partition(":")[0]
    code = named or next((found[1] for one in _CODE if (found := one.search(text))), "")
    if not code and given["body"] and "html" not in given["headers"].get("content-type", ""):
        return f"wrong: {given['status']} without a code: {text[:80]!r}"
    return f"{given['status']} {code}".strip() if code or not given["body"] else f"wrong: {given['status']} HTML"
