"""`kecs server`: flags in, exit code out. The work is in kecs.local.server."""

import os
from typing import Any, Final

import click

from kecs.cli.config import CONFIG_HELP
from kecs.core.backends import BackendProfile

_SETTINGS: Final = {
    "localstack_enabled": "localstack.enabled",
    "host": "server.host",
    "port": "server.port",
    "admin_port": "server.adminPort",
    "api_port": "server.apiPort",
    "data_dir": "server.dataDir",
    "log_level": "server.logLevel",
    "runtime": "controlplane.runtime",
    "kubeconfig": "controlplane.kubeconfig",
    "backend": "gateway.backend",
    "profile": "gateway.profile",
}
"""Flags, all of them settings too: those not given come from KECS_... variables and settings files."""


@click.command("server")
@click.option(
    "--config",
    metavar="FILE",
    default="",
    help=CONFIG_HELP,
)
@click.option(
    "--localstack-enabled",
    is_flag=False,
    flag_value="true",
    metavar="[=false]",
    help="Whether an emulator answers the services other than ECS. Default: true.",
)
@click.option("--backend", metavar="URL", help="LocalStack, ministack or moto_server instead of the embedded emulator.")
@click.option(
    "--profile",
    type=click.Choice([one.value for one in BackendProfile]),
    help="Which emulator --backend is. Default: auto, it is asked.",
)
@click.option("--host", metavar="ADDRESS", help="Where all three ports listen. Default: 127.0.0.1.")
@click.option("--api-port", type=int, metavar="PORT", help="One endpoint for all of AWS. Default: 4566.")
@click.option("--port", type=int, metavar="PORT", help="ECS alone. Default: 8080.")
@click.option("--admin-port", type=int, metavar="PORT", help="Health, metrics, settings. Default: 8081.")
@click.option("--data-dir", metavar="DIR", help="Where the state of ECS is kept. Default: ~/.local/share/kecs/server.")
@click.option(
    "--runtime",
    type=click.Choice(["auto", "simulated", "kubernetes"]),
    help="What tasks run on. Default: auto, which is kubernetes with --kubeconfig or in a pod, else simulated.",
)
@click.option("--kubeconfig", metavar="FILE", help="The cluster that tasks run on. Default: none.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning"]),
    help="debug shows all, info calls and faults, warning faults. Default: info.",
)
def server_command(config: str, **flags: Any) -> int:
    """Serve ECS, and one endpoint for all of AWS, on this machine.

    It needs no cluster, no Docker and no account: tasks are simulated, and the
    embedded emulator answers every other service. With --kubeconfig tasks are
    pods.
    """
    # `kecs --help` need not load the machinery
    from kecs.cli.settings_files import read_settings  # noqa: PLC0415
    from kecs.core.settings_sources import Flag  # noqa: PLC0415
    from kecs.local.server import serve  # noqa: PLC0415
    from kecs.local.server_options import ServerOptions  # noqa: PLC0415

    given = {
        _SETTINGS[name]: Flag(name=f"--{name.replace('_', '-')}", value=value)
        for name, value in flags.items()
        if value is not None
    }
    return serve(ServerOptions.of(read_settings(flags=given, config=config), os.environ))
