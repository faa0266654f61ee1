"""The relay put to work beside an application: routes, metadata endpoints, DNS, admin port, mitmproxy engine."""
