"""mitmproxy's flows in tests: its readers, writers and views, loaded without the deprecations that it has at import."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from mitmproxy.addons.view import View
    from mitmproxy.contentviews import Metadata, prettify_message, raw
    from mitmproxy.contentviews._registry import ContentviewRegistry
    from mitmproxy.io import FlowReader, tnetstring
    from mitmproxy.test import taddons, tflow

__all__ = [
    "ContentviewRegistry",
    "FlowReader",
    "Metadata",
    "View",
    "prettify_message",
    "raw",
    "tflow",
    "tnetstring",
    "views_context",
]


@contextmanager
def views_context() -> Iterator[None]:
    """Have the options that views ask for."""
    with taddons.context() as context:
        context.options.add_option("protobuf_definitions", str | None, None, "")
        yield
