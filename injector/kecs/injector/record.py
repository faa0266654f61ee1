"""What an injection did, so that it can be told and undone: the status annotation. Pure.

Containers with the same share stand together, so that a pod with hundreds of them keeps a short annotation: the API
server takes 256 KiB of annotations in all.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from kecs.core.names import STATUS_ANNOTATION
from kecs.core.settings import ProxyMode

_MODES: Final = (ProxyMode.SIDECAR, ProxyMode.ENVIRONMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one user container got."""

    env: tuple[str, ...] = ()
    extended: Mapping[str, str] = field(default_factory=dict)
    """Variables of its own to what was put after their value."""
    mounts: tuple[str, ...] = ()
    """Mount paths."""
    kept: tuple[str, ...] = ()
    """Variables that say something else than we would have."""

    def with_more(self, later: Self) -> Self:
        """Join what a later pass has added. Of what was kept the first pass knows best: it saw the user's alone."""
        return type(self)(
            env=_joined(self.env, later.env),
            extended={**self.extended, **later.extended},
            mounts=_joined(self.mounts, later.mounts),
            kept=self.kept,
        )

    def spell(self) -> dict[str, Any]:
        """Write it as data, without what is empty."""
        data = {"env": self.env, "extended": dict(self.extended), "mounts": self.mounts, "kept": self.kept}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in data.items() if value}


def _joined(*lists: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for each in lists for one in each))


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Everything that an injection did to one pod."""

    mode: ProxyMode
    version: str
    init_containers: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    pull_secrets: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    """Annotations beside KECS' own that the pod did not have."""
    extended_annotations: Mapping[str, str] = field(default_factory=dict)
    """Annotations of the pod's own to what was put after their value."""
    containers: Mapping[str, Share] = field(default_factory=dict)
    was: Mapping[str, Any] = field(default_factory=dict)
    """What stood, null or empty, where something now stands; by place, e.g. `volumes` or `containers/app/env`."""

    def with_more(self, later: Self) -> Self:
        """Join what a later pass has added."""
        shares = dict(self.containers)
        for name, share in later.containers.items():
            shares[name] = shares[name].with_more(share) if name in shares else share
        return type(self)(
            mode=later.mode,
            version=later.version,
            init_containers=_joined(self.init_containers, later.init_containers),
            volumes=_joined(self.volumes, later.volumes),
            pull_secrets=_joined(self.pull_secrets, later.pull_secrets),
            annotations=_joined(self.annotations, later.annotations),
            extended_annotations={**later.extended_annotations, **self.extended_annotations},
            containers=shares,
            was={**later.was, **self.was},
        )

    def data(self) -> dict[str, Any]:
        """Write it as data, without what is empty."""
        lists = {
            "initContainers": self.init_containers,
            "volumes": self.volumes,
            "imagePullSecrets": self.pull_secrets,
            "annotations": self.annotations,
        }
        return {
            "mode": self.mode.value,
            "version": self.version,
            **{key: list(value) for key, value in lists.items() if value},
            **({"extendedAnnotations": dict(self.extended_annotations)} if self.extended_annotations else {}),
            **({"containers": groups} if (groups := self._groups()) else {}),
            **({"was": dict(self.was)} if self.was else {}),
        }

    def _groups(self) -> list[dict[str, Any]]:
        groups: dict[str, dict[str, Any]] = {}
        for name, share in self.containers.items():
            if spelled := share.spell():
                group = groups.setdefault(json.dumps(spelled), {"names": [], **spelled})
                group["names"].append(name)
        return list(groups.values())

    def spell(self) -> str:
        """Write the annotation's value."""
        return json.dumps(self.data(), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def of(cls, annotations: Mapping[str, str]) -> Self | None:
        """Read the annotation; None where it is absent or not what `spell` writes: anyone may have changed it."""
        try:
            return cls._from(json.loads(annotations[STATUS_ANNOTATION]))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    @classmethod
    def _from(cls, data: Any) -> Self:
        mode = ProxyMode(data["mode"])
        if mode not in _MODES:
            raise ValueError(mode)
        shares = {
            _text(name): Share(
                env=_texts(group.get("env", [])),
                extended=_text_map(group.get("extended", {})),
                mounts=_texts(group.get("mounts", [])),
                kept=_texts(group.get("kept", [])),
            )
            for group in data.get("containers", [])
            for name in group["names"]
        }
        return cls(
            mode=mode,
            version=_text(data["version"]),
            init_containers=_texts(data.get("initContainers", [])),
            volumes=_texts(data.get("volumes", [])),
            pull_secrets=_texts(data.get("imagePullSecrets", [])),
            annotations=_texts(data.get("annotations", [])),
            extended_annotations=_text_map(data.get("extendedAnnotations", {})),
            containers=shares,
            was=dict(data.get("was", {})),
        )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(values)
    return tuple(map(_text, values))


def _text_map(values: Any) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in values.items()}
