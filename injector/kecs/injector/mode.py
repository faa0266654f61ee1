"""Which mode holds for a pod: what its annotations, its namespace's and the settings say, in one truth table. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from kecs.core.names import (
    ENABLED_ANNOTATION,
    LEGACY_ENABLED_ANNOTATION,
    MODE_ANNOTATION,
    SELECTOR_LABEL,
    SELECTOR_LABEL_VALUE,
)
from kecs.core.settings import ProxyMode
from kecs.injector.reason import SENTENCES, Reason

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_ON_OFF: Final = ("true", "false")
_OFF: Final = "disabled"
"""The label's other value: the API server does not even ask about such a pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The labels and annotations of a pod or a namespace."""

    labels: Mapping[str, str] = field(default=_NOTHING)
    annotations: Mapping[str, str] = field(default=_NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The mode that holds, why, and what the author of the pod may not have meant."""

    mode: ProxyMode
    reason: Reason
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Values nobody can obey, one sentence each. Guessing would let a pod reach AWS."""

    sentences: tuple[str, ...]


def mode(pod: Marks, namespace: Marks, default: ProxyMode) -> Decision | Refusal:
    """Decide how a pod reaches the emulator. The first row that fits holds.

    `enabled` is the pod's kecs.io/aws-proxy-enabled (or the older kecs.io/inject-aws-proxy), `mode` its
    kecs.io/aws-proxy-mode, `label` its label kecs.io/aws-proxy; then the same two of the namespace. `-` is absent, `*`
    anything, `M` one of environment, sidecar and auto; `default` is the setting proxy.mode.

    | enabled | mode     | label    | namespace label | namespace mode | holds    | reason             |
    |---------|----------|----------|-----------------|----------------|----------|--------------------|
    | false   | *        | *        | *               | *              | disabled | pod_disabled       |
    | *       | *        | disabled | *               | *              | disabled | pod_disabled       |
    | *       | disabled | *        | *               | *              | disabled | pod_mode           |
    | *       | *        | *        | disabled        | *              | disabled | namespace_disabled |
    | *       | M        | *        | *               | *              | M        | pod_mode           |
    | true    | -        | *        | *               | M              | M        | namespace_mode     |
    | true    | -        | *        | *               | *              | default  | cluster_default    |
    | -       | -        | enabled  | *               | M              | M        | namespace_mode     |
    | -       | -        | enabled  | *               | *              | default  | cluster_default    |
    | -       | -        | -        | enabled         | M              | M        | namespace_mode     |
    | -       | -        | -        | enabled         | disabled       | disabled | namespace_mode     |
    | -       | -        | -        | enabled         | -              | default  | cluster_default    |
    | -       | -        | -        | -               | *              | disabled | not_opted_in       |

    A namespace's mode `disabled` is its default, which a pod that asks for the proxy overrides; its label `disabled` is
    the end of it, as no certificate is issued there. Its mode without its label asks for nothing.
    """
    if sentences := (*_wrong("pod", pod), *_wrong("namespace", namespace)):
        return Refusal(sentences=sentences)
    asked = _Asked(
        enabled=pod.annotations.get(ENABLED_ANNOTATION, pod.annotations.get(LEGACY_ENABLED_ANNOTATION)),
        mode=_mode(pod),
        label=pod.labels.get(SELECTOR_LABEL),
        namespace_label=namespace.labels.get(SELECTOR_LABEL),
        namespace_mode=_mode(namespace),
    )
    holds, reason = _row(asked, default)
    return Decision(mode=holds, reason=reason, warnings=(*_spelling(pod), *_unheard(asked, reason)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    enabled: str | None
    mode: ProxyMode | None
    label: str | None
    namespace_label: str | None
    namespace_mode: ProxyMode | None

    @property
    def by_pod(self) -> bool:
        return self.enabled == "true" or self.label == SELECTOR_LABEL_VALUE


def _mode(marks: Marks) -> ProxyMode | None:
    text = marks.annotations.get(MODE_ANNOTATION)
    return None if text is None else ProxyMode(text)


def _row(asked: _Asked, default: ProxyMode) -> tuple[ProxyMode, Reason]:
    if asked.enabled == "false" or asked.label == _OFF:
        return ProxyMode.DISABLED, Reason.POD_DISABLED
    if asked.namespace_label == _OFF and asked.mode is not ProxyMode.DISABLED:
        return ProxyMode.DISABLED, Reason.NAMESPACE_DISABLED
    if asked.mode is not None:
        return asked.mode, Reason.POD_MODE
    if not asked.by_pod and asked.namespace_label is None:
        return ProxyMode.DISABLED, Reason.NOT_OPTED_IN
    overridden = asked.by_pod and asked.namespace_mode is ProxyMode.DISABLED
    if asked.namespace_mode is not None and not overridden:
        return asked.namespace_mode, Reason.NAMESPACE_MODE
    return default, Reason.CLUSTER_DEFAULT


def _wrong(whose: str, marks: Marks) -> Iterator[str]:
    """Name every value outside the vocabulary."""
    allowed = [
        (marks.labels, "label", SELECTOR_LABEL, (SELECTOR_LABEL_VALUE, _OFF)),
        (marks.annotations, "annotation", MODE_ANNOTATION, tuple(ProxyMode)),
    ]
    if whose == "pod":
        names = (ENABLED_ANNOTATION, LEGACY_ENABLED_ANNOTATION)
        allowed += [(marks.annotations, "annotation", name, _ON_OFF) for name in names]
    for values, kind, name, words in allowed:
        if name in values and values[name] not in words:
            yield f'{whose} {kind} {name} is "{values[name]}"; it may be {", ".join(words)}'


def _spelling(pod: Marks) -> Iterator[str]:
    new, old = pod.annotations.get(ENABLED_ANNOTATION), pod.annotations.get(LEGACY_ENABLED_ANNOTATION)
    if old is not None and new is None:
        yield f"annotation {LEGACY_ENABLED_ANNOTATION} is the older name of {ENABLED_ANNOTATION}"
    elif old is not None and new != old:
        yield f'annotation {LEGACY_ENABLED_ANNOTATION} is "{old}", but {ENABLED_ANNOTATION} is "{new}" and holds'


def _unheard(asked: _Asked, reason: Reason) -> Iterator[str]:
    """Name what was asked for and does not hold."""
    off = reason in {Reason.POD_DISABLED, Reason.NAMESPACE_DISABLED}
    if off and asked.mode not in {None, ProxyMode.DISABLED}:
        yield f'annotation {MODE_ANNOTATION} is "{asked.mode}" without effect: {SENTENCES[reason]}'
    elif off and asked.by_pod:
        yield f"the pod asks for the proxy without effect: {SENTENCES[reason]}"
    if reason is Reason.POD_MODE and asked.mode is ProxyMode.DISABLED and asked.enabled == "true":
        yield f'annotation {ENABLED_ANNOTATION} is "true" without effect: {MODE_ANNOTATION} is "disabled"'
    if reason is Reason.NOT_OPTED_IN and asked.namespace_mode not in {None, ProxyMode.DISABLED}:
        yield f"the namespace names a mode, but has no label {SELECTOR_LABEL}={SELECTOR_LABEL_VALUE}"
    if reason is Reason.CLUSTER_DEFAULT and asked.namespace_mode is ProxyMode.DISABLED:
        yield f'the namespace\'s annotation {MODE_ANNOTATION} is "disabled", which this pod overrides'
