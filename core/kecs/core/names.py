"""The names that the parts share: annotations, labels, containers, ports, addresses. Spelled once, here."""

from typing import Final

MODE_ANNOTATION: Final = "kecs.io/aws-proxy-mode"
"""sidecar | environment | disabled | auto; on a pod, or on a namespace as its default."""
ENABLED_ANNOTATION: Final = "kecs.io/aws-proxy-enabled"
LEGACY_ENABLED_ANNOTATION: Final = "kecs.io/inject-aws-proxy"
"""The older spelling of ENABLED_ANNOTATION."""
ENDPOINT_ANNOTATION: Final = "kecs.io/localstack-endpoint"
DEBUG_ANNOTATION: Final = "kecs.io/aws-proxy-debug"
SELECTOR_LABEL: Final = "kecs.io/aws-proxy"
SELECTOR_LABEL_VALUE: Final = "enabled"

INJECTED_ANNOTATION: Final = "kecs.io/aws-proxy-injected"
SIDECAR_INJECTED_ANNOTATION: Final = "kecs.io/aws-proxy-sidecar-injected"
STATUS_ANNOTATION: Final = "kecs.io/aws-proxy-status"
"""JSON: what the injector added and its version."""
TRUST_ROOT_ANNOTATION: Final = "kecs.io/trust-root-sha256"
"""The fingerprints of the roots that a pod was told to trust: lower-case hex, comma-separated, active root first."""
TASK_ANNOTATION: Final = "kecs.io/ecs-task"
"""JSON: what the metadata endpoint is to say of the ECS task that a pod is; read by the injector, for the sidecar."""

INIT_CONTAINER: Final = "aws-proxy-init"
SIDECAR_CONTAINER: Final = "aws-proxy-sidecar"

SYSTEM_NAMESPACE: Final = "kecs-system"
UNTOUCHED_NAMESPACES: Final = ("kube-system", "kube-public", "kube-node-lease")
"""Where nothing is ever injected and no certificate issued, besides KECS' own namespace and the emulator's."""
ROOT_SECRET: Final = "kecs-root"
ISSUER_SECRET: Final = "kecs-issuer"
TRUST_CONFIG_MAP: Final = "kecs-trust"
"""Public: `ca.crt` holds the roots that workloads are to trust, active root first."""
ROTATION_CONFIG_MAP: Final = "kecs-rotation"
"""`request` is written by the CLI, `status` by the authority."""
INJECTOR_TLS_SECRET: Final = "kecs-injector-tls"
AUTHORITY_LEASE: Final = "kecs-authority"
AUTHORITY: Final = "kecs-authority"
"""Deployment and service account of what holds the root."""
CERTS_SERVICE: Final = "kecs-certs"
INJECTOR_SERVICE: Final = "kecs-injector"
"""Also the name of its MutatingWebhookConfiguration."""

TOKEN_AUDIENCE: Final = "kecs.io/certs"
TOKEN_DIRECTORY: Final = "/var/run/secrets/kecs.io"
TOKEN_FILE: Final = "/var/run/secrets/kecs.io/token"
TRUST_DIRECTORY: Final = "/var/run/kecs/trust"

PROXY_UID: Final = 14566
PROXY_GID: Final = 14566
RELAY_PORT: Final = 14571
DNS_PORT: Final = 14553
ADMIN_PORT: Final = 14580
PROBE_PORT: Final = 14581
"""Health alone, on the pod's address, which kubelet dials. The rest of the admin API stays on loopback."""
INSPECT_PORT: Final = 14582
"""The page of DEBUG_ANNOTATION, on the pod's loopback, for `kubectl port-forward`."""

DEFAULT_ACCOUNT: Final = "000000000000"
DEFAULT_REGION: Final = "us-east-1"

IMDS_IPV4: Final = "169.254.169.254"
IMDS_IPV6: Final = "fd00:ec2::254"
ECS_METADATA_IPV4: Final = "169.254.170.2"
POD_IDENTITY_IPV4: Final = "169.254.170.23"
POD_IDENTITY_IPV6: Final = "fd00:ec2::23"

METADATA_IPV4: Final = (IMDS_IPV4, ECS_METADATA_IPV4, POD_IDENTITY_IPV4)
METADATA_IPV6: Final = (IMDS_IPV6, POD_IDENTITY_IPV6)

SYNTHETIC_RANGE: Final = "198.19.0.0/16"
"""Where the DNS forwarder puts AWS names. Only the addresses it has given out mean AWS: others use this range too."""
