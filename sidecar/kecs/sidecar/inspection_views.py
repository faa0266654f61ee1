"""The edge that shows bodies as AWS means them: JSON, forms, XML, CBOR and event streams, each as a person reads it."""

import json
from typing import Any, Final, override
from urllib.parse import unquote_plus
from xml.dom import minidom

from mitmproxy.contentviews import Contentview, Metadata

from kecs.sidecar import redaction_cbor as cbor
from kecs.sidecar import redaction_events as events

_FORM: Final = "application/x-www-form-urlencoded"
_KINDS: Final = ("x-amz-json", "application/json", "cbor", "xml", _FORM)
_BYTES_SHOWN: Final = 256


class Aws(Contentview):  # type: ignore[misc]  # mitmproxy is untyped to us
    """Chosen for what AWS's protocols say; other bodies are left to mitmproxy's views."""

    @property
    @override
    def name(self) -> str:
        """Return what it is called on the page."""
        return "AWS"

    @property
    @override
    def syntax_highlight(self) -> str:
        """Return the colours: JSON is YAML."""
        return "yaml"

    @override
    def prettify(self, data: bytes, metadata: Metadata) -> str:
        """Spell a body as a person reads it; raise ValueError where it is something else."""
        kind = _kind(metadata)
        if events.is_stream(data):
            return "\n\n".join(_event(one) for one in events.decode(data))
        if "cbor" in kind:
            return pretty(plain(cbor.decode(data)))
        if kind.startswith(_FORM):
            return pretty(form(data.decode()))
        if "xml" in kind:
            return xml(data)
        return pretty(json.loads(data))

    @override
    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        """Tell how well a body fits: better than any view of mitmproxy's where it is AWS's."""
        if not data:
            return -1
        kind = _kind(metadata)
        if events.is_stream(data) or any(word in kind for word in _KINDS):
            return 2
        return 2 if not kind and data.lstrip()[:1] in (b"{", b"[") else -1


def _kind(metadata: Metadata) -> str:
    return (metadata.content_type or "").lower()


def pretty(value: Any) -> str:
    """Spell a value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def plain(value: Any) -> Any:
    """Return a CBOR value as JSON can say it."""
    match value:
        case cbor.Pairs():
            return {str(name): plain(one) for name, one in value}
        case list():
            return [plain(one) for one in value]
        case cbor.Tagged():
            return plain(value.value)
        case bytes():
            return readable(value)
    return value


def readable(data: bytes) -> str:
    """Return bytes as text where they are, else their beginning in hexadecimal."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and (text or not data):
        return text
    more = f"… ({len(data)} bytes)" if len(data) > _BYTES_SHOWN else ""
    return f"0x{data[:_BYTES_SHOWN].hex()}{more}"


def form(text: str) -> dict[str, Any]:
    """Return a form as the structure that its names spell: `Tags.member.1.Key` is nested."""
    found: dict[str, Any] = {}
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        at = found
        *above, last = unquote_plus(name).split(".")
        for part in above:
            inner = at.setdefault(part, {})
            if not isinstance(inner, dict):
                inner = at[part] = {"": inner}
            at = inner
        known = at.get(last)
        if isinstance(known, dict):
            at = known
            last = ""
        at[last] = unquote_plus(value)
    return found


def xml(data: bytes) -> str:
    """Return XML indented, without lines that are empty."""
    lines = minidom.parseString(data).toprettyxml(indent="  ").splitlines()  # noqa: S318 - expat bounds expansions
    return "\n".join(line for line in lines if line.strip())


def _event(event: events.Event) -> str:
    told = {one.name: readable(one.value) if isinstance(one.value, bytes) else one.value for one in event.headers}
    return f"{pretty(told)}\n{_payload(event)}".rstrip()


def _payload(event: events.Event) -> str:
    if not event.payload:
        return ""
    if events.is_stream(event.payload):  # signed: the event is inside
        return "\n".join(_event(one) for one in events.decode(event.payload))
    try:
        return pretty(json.loads(event.payload))
    except ValueError:
        return readable(event.payload)
