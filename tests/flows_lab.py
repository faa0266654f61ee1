"""mitmproxy's flows in tests: its readers and writers, loaded without the deprecations that it has at import."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from mitmproxy.io import FlowReader, tnetstring
    from mitmproxy.test import tflow

__all__ = ["FlowReader", "tflow", "tnetstring"]
