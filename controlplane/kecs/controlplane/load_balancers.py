"""Which targets a service's load balancers are to have, and what has become of it. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGroup:
    """What another service says of a target group: the answer to a question of kind `target_group`; None: no such."""

    arn: str
    target_type: str = "ip"
    """ip, instance, lambda or alb."""
    load_balancers: tuple[str, ...] = ()
    """ARNs of those that send it requests."""
