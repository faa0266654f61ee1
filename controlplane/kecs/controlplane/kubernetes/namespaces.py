"""The namespace of a cluster: what it is called, and what says whose it is. Pure."""

from typing import Any

from kecs.controlplane.kubernetes.names import (
    ACCOUNT_LABEL,
    CLUSTER_ANNOTATION,
    CLUSTER_LABEL,
    MANAGED_LABEL,
    MANAGED_VALUE,
    REGION_LABEL,
    dns_label,
    label_value,
)
from kecs.controlplane.state import Scope
from kecs.core.names import DEFAULT_ACCOUNT


def namespace_of(cluster_arn: str) -> str:
    """Return the namespace of a cluster's tasks: CLUSTER-REGION.

    A hash of the ARN follows where that is no DNS label, or where the account is not the default one: clusters of two
    accounts may have one name.
    """
    scope = Scope.of(cluster_arn)
    name = f"{cluster_arn.rpartition('/')[2]}-{scope.region}"
    own = scope.account == DEFAULT_ACCOUNT
    return dns_label(name if own else f"{name}/{scope.account}", unique=cluster_arn)


def namespace(cluster_arn: str) -> dict[str, Any]:
    """Return the namespace as it is made. Labels hold the exact names where a label can; the annotation always does."""
    scope = Scope.of(cluster_arn)
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": namespace_of(cluster_arn),
            "labels": {
                MANAGED_LABEL: MANAGED_VALUE,
                CLUSTER_LABEL: label_value(cluster_arn.rpartition("/")[2]),
                REGION_LABEL: scope.region,
                ACCOUNT_LABEL: scope.account,
            },
            "annotations": {CLUSTER_ANNOTATION: cluster_arn},
        },
    }
