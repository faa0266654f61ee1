"""`kecs run`: flags in, exit code out. The work is in kecs.local."""

import os

import click

from kecs.local.options import LogFormat, RunOptions, SummaryFormat, publishes, variables

_CONTEXT = {"ignore_unknown_options": False, "allow_interspersed_args": False}


@click.command("run", context_settings=_CONTEXT, options_metavar="[OPTIONS] --")
@click.option(
    "--backend",
    metavar="URL",
    default="",
    help="LocalStack, ministack or moto_server instead of the embedded emulator.",
)
@click.option("--controlplane", metavar="URL", default="", help="Who answers ECS and ELBv2. Default: the emulator.")
@click.option("--region", default="", help="Default: AWS_REGION, the AWS profile's, else us-east-1.")
@click.option("--account", default="000000000000", show_default=True, help="Account id in ARNs.")
@click.option("--publish", multiple=True, metavar="[HOST:]PORT", help="Reach a server of the command from the host.")
@click.option("--log", metavar="FILE|-", default="-", help="Where each call is written. Default: standard error.")
@click.option("--log-format", type=click.Choice(list(LogFormat)), default=LogFormat.TEXT, show_default=True)
@click.option("-q", "--quiet", is_flag=True, help="Neither calls nor summary.")
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Set a variable for the command.")
@click.option("--no-dns", is_flag=True, help="Leave name resolution as it is; AWS names must then resolve.")
@click.option("--inspect", is_flag=True, help="Show every call in mitmweb, on loopback.")
@click.option("--summary", type=click.Choice(list(SummaryFormat)), default=SummaryFormat.TABLE, show_default=True)
@click.option("--timings", is_flag=True, help="Say how long each part took to start.")
@click.option("--keep", is_flag=True, help="Leave processes alone that outlive the command.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def run_command(
    *,
    command: tuple[str, ...],
    publish: tuple[str, ...],
    env: tuple[str, ...],
    no_dns: bool,
    log_format: str,
    summary: str,
    backend: str,
    controlplane: str,
    region: str,
    account: str,
    log: str,
    quiet: bool,
    inspect: bool,
    timings: bool,
    keep: bool,
) -> int:
    """Run COMMAND so that its AWS calls reach an emulator.

    It needs no endpoint, no credentials and no code change; TLS stays verified,
    and nothing it sends reaches AWS. Other traffic goes where it always went.
    The exit code is the command's.
    """
    from kecs.local.run import run  # noqa: PLC0415 - `kecs --help` need not load the machinery

    options = RunOptions(
        command=command,
        backend=backend,
        controlplane=controlplane,
        region=region,
        account=account,
        publish=publishes(publish),
        log=log,
        log_format=LogFormat(log_format),
        quiet=quiet,
        env=variables(env),
        dns=not no_dns,
        inspect=inspect,
        keep=keep,
        summary=SummaryFormat.NONE if quiet else SummaryFormat(summary),
        timings=timings,
    )
    return run(options, os.environ)
