"""Why a pod is injected, left alone or refused: one closed list, with a sentence each. Never decides anything."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from kecs.core.names import (
    ENABLED_ANNOTATION,
    INIT_CONTAINER,
    MODE_ANNOTATION,
    PROXY_GID,
    PROXY_UID,
    SELECTOR_LABEL,
    SELECTOR_LABEL_VALUE,
    SIDECAR_CONTAINER,
    TRUST_CONFIG_MAP,
)

POLICY_ANNOTATION: Final = "kecs.io/aws-proxy-policy"
"""refuse | warn; on a namespace: whether a pod that can't be injected may start nevertheless."""


class Reason(StrEnum):
    """One reason. The value is the log field, the metric label, the event's reason and the CLI's text."""

    POD_DISABLED = "pod_disabled"
    NAMESPACE_DISABLED = "namespace_disabled"
    POD_MODE = "pod_mode"
    NAMESPACE_MODE = "namespace_mode"
    CLUSTER_DEFAULT = "cluster_default"
    NOT_OPTED_IN = "not_opted_in"
    OWN_NAMESPACE = "own_namespace"

    EVIDENCE = "evidence"
    NO_EVIDENCE = "no_evidence"

    SERVER_TOO_OLD = "server_too_old"
    HOST_NETWORK = "host_network"
    WINDOWS = "windows"
    POD_SECURITY = "pod_security"
    CAPABILITY_DENIED = "capability_denied"
    PROXY_ID_CLASH = "proxy_id_clash"
    CONTAINER_NAME_TAKEN = "container_name_taken"
    VOLUME_NAME_TAKEN = "volume_name_taken"
    MOUNT_PATH_TAKEN = "mount_path_taken"

    NO_TRUST_ROOTS = "no_trust_roots"
    BAD_ANNOTATION = "bad_annotation"
    BAD_POD = "bad_pod"

    FELL_BACK = "fell_back"
    LET_THROUGH = "let_through"
    ALREADY_INJECTED = "already_injected"
    COMPLETED = "completed"
    NO_SIDECAR = "no_sidecar"


SENTENCES: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.POD_DISABLED: f"the pod's annotation {ENABLED_ANNOTATION} or label {SELECTOR_LABEL} switches it off",
        Reason.NAMESPACE_DISABLED: f"the namespace's label {SELECTOR_LABEL} switches it off",
        Reason.POD_MODE: f"the pod's annotation {MODE_ANNOTATION} says so",
        Reason.NAMESPACE_MODE: f"the namespace's annotation {MODE_ANNOTATION} says so",
        Reason.CLUSTER_DEFAULT: "neither pod nor namespace names a mode; the setting proxy.mode does",
        Reason.NOT_OPTED_IN: f"neither pod nor namespace asks for it (label {SELECTOR_LABEL}={SELECTOR_LABEL_VALUE})",
        Reason.OWN_NAMESPACE: "pods of KECS' own, the emulator's and the system's namespaces are never touched",
        Reason.EVIDENCE: "the pod looks like a user of AWS",
        Reason.NO_EVIDENCE: "nothing in the pod looks like a user of AWS",
        Reason.SERVER_TOO_OLD: "sidecars that start before the application need Kubernetes 1.29 or newer",
        Reason.HOST_NETWORK: "a pod in the host's network would have the node's own traffic redirected",
        Reason.WINDOWS: "a Windows pod has no iptables",
        Reason.POD_SECURITY: "the namespace's Pod Security level forbids the NET_ADMIN of the init container",
        Reason.CAPABILITY_DENIED: "the cluster denies a capability that the init container needs",
        Reason.PROXY_ID_CLASH: f"a container runs as uid {PROXY_UID} and gid {PROXY_GID}, which are not redirected",
        Reason.CONTAINER_NAME_TAKEN: f"a container is called {INIT_CONTAINER} or {SIDECAR_CONTAINER}, and is not ours",
        Reason.VOLUME_NAME_TAKEN: "a volume has the name of one of ours",
        Reason.MOUNT_PATH_TAKEN: "a container mounts something where the trust files belong",
        Reason.NO_TRUST_ROOTS: f"the authority has published no root yet (ConfigMap {TRUST_CONFIG_MAP})",
        Reason.BAD_ANNOTATION: "an annotation or label has a value that nobody can obey",
        Reason.BAD_POD: "a field of the pod has a type or value that Kubernetes does not know",
        Reason.FELL_BACK: "sidecar mode is impossible here; proxy.fallbackOrder names another mode",
        Reason.LET_THROUGH: f"the namespace's annotation {POLICY_ANNOTATION} lets pods start without the proxy",
        Reason.ALREADY_INJECTED: "everything that is to be added is there",
        Reason.COMPLETED: "what was injected before is completed",
        Reason.NO_SIDECAR: "the pod has no sidecar, so its traffic is not intercepted",
    }
)

OBSTACLES: Final = (
    Reason.SERVER_TOO_OLD,
    Reason.HOST_NETWORK,
    Reason.WINDOWS,
    Reason.POD_SECURITY,
    Reason.CAPABILITY_DENIED,
    Reason.PROXY_ID_CLASH,
    Reason.CONTAINER_NAME_TAKEN,
    Reason.VOLUME_NAME_TAKEN,
    Reason.MOUNT_PATH_TAKEN,
)
"""What makes sidecar mode impossible for a pod, and environment mode not."""
