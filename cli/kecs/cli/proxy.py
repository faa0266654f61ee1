"""`kecs proxy`: what stands between applications and AWS, and the certificates that make it possible."""

import click

from kecs.cli.certs import certs_group
from kecs.cli.check import check_command
from kecs.cli.explain import explain_command
from kecs.cli.inject import inject_command, uninject_command
from kecs.cli.logs import logs_command
from kecs.cli.rules import rules_command
from kecs.cli.status import status_command
from kecs.cli.tap import tap_command


@click.group("proxy")
def proxy_group() -> None:
    """Inject pods, see what they call, replace certificates."""


proxy_group.add_command(certs_group)
proxy_group.add_command(check_command)
proxy_group.add_command(explain_command)
proxy_group.add_command(inject_command)
proxy_group.add_command(logs_command)
proxy_group.add_command(rules_command)
proxy_group.add_command(status_command)
proxy_group.add_command(tap_command)
proxy_group.add_command(uninject_command)
