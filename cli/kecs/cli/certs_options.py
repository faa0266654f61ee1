"""What the settings say of this machine's authority, as `kecs.local` takes it. Pure."""

from datetime import timedelta

from kecs.core.settings import Certs
from kecs.local.options import CertsOptions


def certs_options(certs: Certs) -> CertsOptions:
    """Translate the section `certs`."""
    return CertsOptions(
        directory=certs.directory,
        lifetime=timedelta(hours=certs.lifetime_hours),
        root_lifetime=timedelta(days=certs.root_days),
        rotate_at=certs.rotate_at,
        poll_s=certs.poll_seconds,
    )
