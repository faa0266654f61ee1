"""The first thing that `kecs server` says: what listens where, and how it is used. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What is told."""

    host: str
    port: int
    admin_port: int
    api_port: int
    emulator: str
    """What answers other services; empty: nobody."""
    runtime: str
    directory: str
    root: str
    """What https clients trust."""


def screen(told: Screen) -> str:
    """Spell it in less than 80 columns where names permit."""
    name = "localhost" if told.host in {"127.0.0.1", "::1"} else told.host
    endpoint = f"http://{name}:{told.api_port}"
    lines = [
        "KECS is ready.",
        "",
        f"  {'all of AWS':<12}{endpoint}, and by https",
        f"  {'https needs':<12}AWS_CA_BUNDLE={told.root}",
        f"  {'ECS alone':<12}http://{name}:{told.port}",
        f"  {'health':<12}http://{name}:{told.admin_port}/health/detailed",
        f"  {'tasks':<12}{told.runtime}",
        f"  {'the rest':<12}{told.emulator or 'nobody: localstack.enabled is false'}",
        f"  {'state':<12}{told.directory}",
        "",
        "In another shell:",
        "",
        f"  export AWS_ENDPOINT_URL={endpoint}",
        "  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test",
        "  export AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1",  # boto3 reads the second alone
        "  aws ecs create-cluster",
        "",
        "Ctrl-C ends it. Calls:",
        "",
    ]
    return "\n".join(lines) + "\n"
