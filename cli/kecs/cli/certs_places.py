"""The place that the options of a command mean, ready to be worked on."""

from collections.abc import Mapping

from kecs.cli.certs_embedded import EmbeddedPlace
from kecs.cli.certs_options import certs_options
from kecs.cli.certs_place import Asked, Place
from kecs.cli.settings_files import read_settings
from kecs.local.authority import Embedded


def found(asked: Asked, environ: Mapping[str, str], *, config: str) -> Place:
    """Find it; nothing is connected to before it is needed."""
    if asked.is_cluster(environ):
        from kecs.cli.certs_cluster import ClusterPlace  # noqa: PLC0415 - the Kubernetes client takes 0.5 s

        return ClusterPlace.of(asked, environ)
    settings = read_settings(config=config, environ=environ).settings
    return EmbeddedPlace(embedded=Embedded.of(certs_options(settings.certs), environ))
