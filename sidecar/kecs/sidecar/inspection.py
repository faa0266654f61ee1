"""Addons for people who look at flows: recording, redaction, their own. Loaded by the engine's process alone."""

from kecs.sidecar.engine_settings import EngineSettings


def addons(settings: EngineSettings) -> list[object]:  # noqa: ARG001 - the seam's signature
    """Return the addon objects to load, in this order, after the engine's own."""
    return []
