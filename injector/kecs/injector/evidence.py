"""What tells that a pod uses AWS, for the mode `auto`: every sign, in words. Pure; images are known by name only."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kecs.injector.config import Facts
from kecs.injector.pod import Object, Pod
from kecs.injector.wishes import HINTS

_ROLE_ANNOTATIONS: Final = ("eks.amazonaws.com/", "iam.amazonaws.com/")
_LABELS: Final = ("ecs.amazonaws.com/", "com.amazonaws.ecs.", "kecs.io/task", "kecs.io/service", "kecs.io/cluster")
_VARIABLES: Final = ("AWS_", "ECS_CONTAINER_METADATA_URI", "BOTO_CONFIG")
_VALUE: Final = re.compile(r"\barn:aws[a-z-]*:|\bs3://|\.amazonaws\.(com|eu)\b|\.api\.aws\b|\.on\.aws\b", re.IGNORECASE)
_COMMAND: Final = re.compile(r"(?:^|[\s/;&|(])aws(?:\s|$)|\bboto3?\b|\bawscli\b")
_IMAGE_WORD: Final = re.compile(
    r"^(aws|awscli|boto3?|amazon|aws2|s3cmd|s5cmd|ecs|fargate|dynamodb|kinesis|sqs|sns|lambda|cloudwatch|terraform)$"
)
_AUDIENCES: Final = ("sts.amazonaws.com", "pods.eks.amazonaws.com")


def find(pod: Pod, facts: Facts) -> tuple[str, ...]:
    """List the signs, each with where it was seen; nothing of a variable's value, which may be a secret."""
    return tuple(dict.fromkeys((*_marks(pod, facts), *_volumes(pod), *_containers(pod))))


def _marks(pod: Pod, facts: Facts) -> Iterator[str]:
    sources = (
        ("pod annotation", pod.annotations, _ROLE_ANNOTATIONS),
        ("service account annotation", facts.service_account_annotations, _ROLE_ANNOTATIONS),
        ("pod label", pod.marks.labels, _LABELS),
    )
    for what, names, prefixes in sources:
        yield from (f"{what} {name}" for name in names if name.startswith(prefixes))
    yield from (f"pod annotation {name}" for name in HINTS if name in pod.annotations)


def _volumes(pod: Pod) -> Iterator[str]:
    for volume in pod.list_of("volumes"):
        for source in _sources(volume):
            token = source.get("serviceAccountToken") if isinstance(source, Mapping) else None
            if isinstance(token, Mapping) and token.get("audience") in _AUDIENCES:
                yield f"volume {volume['name']}: a token for {token['audience']}"


def _sources(volume: Object) -> list[Any]:
    projected = volume.get("projected")
    sources = projected.get("sources") if isinstance(projected, Mapping) else None
    return sources if isinstance(sources, list) else []


def _containers(pod: Pod) -> Iterator[str]:
    for _, _, container in pod.users:
        where = f"container {container['name']}"
        for entry in container.get("env") or ():
            if entry["name"].startswith(_VARIABLES):
                yield f"{where}: variable {entry['name']}"
            elif _VALUE.search(entry.get("value") or ""):
                yield f"{where}: the value of {entry['name']} is an AWS name"
        if words := _image_words(container.get("image") or ""):
            yield f"{where}: image {container['image']} is called {', '.join(words)}"
        command = " ".join((*(container.get("command") or ()), *(container.get("args") or ())))
        if _COMMAND.search(command) or _VALUE.search(command):
            yield f"{where}: its command names AWS"


def _image_words(image: str) -> list[str]:
    """Take the telling words of an image's path. Its registry is where it is kept, not what it does."""
    path = image.partition("@")[0]
    first, slash, rest = path.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        path = rest
    last = path.rpartition("/")[2].partition(":")[0]
    words = re.split(r"[/_.-]", f"{path.rpartition('/')[0]}/{last}")
    return list(dict.fromkeys(word for word in words if _IMAGE_WORD.match(word)))
