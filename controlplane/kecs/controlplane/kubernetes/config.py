"""What the operator says about how tasks run on a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PodConfig:
    """See the module. The defaults fit a cluster that has the injector."""

    proxy_mode: str = "sidecar"
    """How tasks reach AWS: a value of `kecs.io/aws-proxy-mode`; empty leaves it to the namespace."""
    pod_resources: bool = True
    """Whether the API server takes resources of whole pods: from 1.34 on."""
    sidecar_memory_mib: int = 128
    """What the proxy may take besides the task's own memory, where the task's limit is the pod's."""
    sidecar_cpu_units: int = 256
    """The same of CPU: 1,024 to a CPU."""
    service_account: str = ""
    image_pull_policy: str = ""
    registries: Mapping[str, str] = field(default_factory=dict)
    """What stands for a registry in images' names: `123456789012.dkr.ecr.us-east-1.amazonaws.com` to one within reach.
    `*.dkr.ecr` stands for every ECR registry."""
    storage_class: str = ""
    """Of the claims that file systems of EFS and volumes of EBS become; empty: the cluster's default."""
    shared_volumes: str = "/var/lib/kecs/volumes"
    """Where on a node Docker volumes of scope `shared` lie."""
    priority_class: str = ""
    task_init_image: str = ""
    """The image that brings the init process; empty: there is none, and definitions that need it are refused."""
