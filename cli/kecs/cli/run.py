"""`kecs run`: flags in, exit code out. The work is in kecs.local."""

import os
from typing import Any, Final

import click
from click.core import ParameterSource

from kecs.cli.config import CONFIG_HELP
from kecs.core.backends import BackendProfile
from kecs.core.formats import LogFormat, Summary

_CONTEXT: Final = {"ignore_unknown_options": False, "allow_interspersed_args": False}
_SETTINGS: Final = {
    name: f"run.{name}"
    for name in ("backend", "profile", "controlplane", "region", "account", "publish", "log", "quiet", "summary")
} | {"log_format": "run.logFormat"}
"""Flags that are settings too: those not given come from KECS_RUN_... variables and settings files."""


@click.command("run", context_settings=_CONTEXT, options_metavar="[OPTIONS] --")
@click.option("--backend", metavar="URL", help="LocalStack, ministack or moto_server instead of the embedded emulator.")
@click.option(
    "--profile",
    type=click.Choice([one.value for one in BackendProfile]),
    help="Which emulator --backend is. Default: auto, it is asked.",
)
@click.option(
    "--controlplane",
    metavar="URL|backend",
    help="Who answers ECS: a URL, or `backend` for the emulator. Default: the embedded control plane.",
)
@click.option(
    "--region",
    metavar="REGION",
    help="Region that the command is in. Default: AWS_REGION, the AWS profile's, else us-east-1.",
)
@click.option("--account", metavar="ID", help="The account in ARNs. Default: 000000000000.")
@click.option(
    "--publish",
    multiple=True,
    metavar="[HOSTPORT:]PORT",
    help="Reach PORT of the command at HOSTPORT of this machine's loopback. May be repeated. Default: the same port.",
)
@click.option("--log", metavar="FILE|-", help="Where a line for each call is written. Default: -, standard error.")
@click.option(
    "--log-format", type=click.Choice([one.value for one in LogFormat]), help="How calls are written. Default: text."
)
@click.option("-q", "--quiet", is_flag=True, help="Write neither calls nor the summary.")
@click.option(
    "-e", "--env", multiple=True, metavar="NAME=VALUE", help="Set a variable for the command. May be repeated."
)
@click.option("--no-dns", is_flag=True, help="Leave name resolution as it is; AWS names must then resolve.")
@click.option("--inspect", is_flag=True, help="Show every call in a browser, by mitmweb on loopback.")
@click.option("--record", metavar="FILE", default="", help="Write every call to FILE.mitm and FILE.har.")
@click.option("--addon", multiple=True, metavar="FILE", help="Load a mitmproxy addon of yours. May be repeated.")
@click.option("--unredacted", is_flag=True, help="Show and record secrets too, with --inspect and --record.")
@click.option(
    "--summary",
    type=click.Choice([one.value for one in Summary]),
    help="What is written at the end: calls by operation. Default: table.",
)
@click.option("--timings", is_flag=True, help="Say how long each part took to start.")
@click.option("--keep", is_flag=True, help="Leave processes alone that outlive the command; else they are ended.")
@click.option(
    "--config",
    metavar="FILE",
    default="",
    help=CONFIG_HELP,
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND [ARGS]...")
@click.pass_context
def run_command(context: click.Context, /, command: tuple[str, ...], **flags: Any) -> int:
    """Run COMMAND so that its AWS calls reach an emulator.

    It needs no endpoint, no credentials and no code change; TLS stays verified,
    and nothing it sends reaches AWS. Other traffic goes where it always went.
    The exit code is the command's.
    """
    # `kecs --help` need not load the machinery
    from kecs.cli.certs_options import certs_options  # noqa: PLC0415
    from kecs.cli.settings_files import read_settings  # noqa: PLC0415
    from kecs.core.settings_sources import Flag  # noqa: PLC0415
    from kecs.local.options import RunOptions, publishes, variables  # noqa: PLC0415
    from kecs.local.run import run  # noqa: PLC0415

    given = {
        _SETTINGS[name]: Flag(name=f"--{name.replace('_', '-')}", value=value)
        for name, value in flags.items()
        if name in _SETTINGS and context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    if flags["no_dns"]:
        given["run.dns"] = Flag(name="--no-dns", value=False)
    loaded = read_settings(flags=given, config=flags["config"]).settings
    settings = loaded.run
    options = RunOptions(
        command=command,
        backend=settings.backend,
        profile=settings.profile,
        controlplane=settings.controlplane,
        region=settings.region,
        account=settings.account,
        publish=publishes(settings.publish),
        log=settings.log,
        log_format=settings.log_format,
        quiet=settings.quiet,
        env=variables(flags["env"]),
        dns=settings.dns,
        inspect=flags["inspect"],
        record=flags["record"],
        addons=flags["addon"],
        unredacted=flags["unredacted"],
        keep=flags["keep"],
        summary=Summary.NONE if settings.quiet else settings.summary,
        timings=flags["timings"],
        certs=certs_options(loaded.certs),
        relay=loaded.relay.told().get("relay", {}),
        engine_hosts=loaded.relay.engine_hosts,
        engine_idle_s=loaded.relay.engine_idle,
        accounts=loaded.relay.accounts,
    )
    return run(options, os.environ)
