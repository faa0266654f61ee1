"""What stock mitmdump is given: every AWS call goes to the backend, and is logged."""

import json
import os
import sys

from mitmproxy import http

HOST, PORT = os.environ["BENCH_BACKEND"].rsplit(":", 1)


def request(flow: http.HTTPFlow) -> None:
    """Send it elsewhere, under the name it was sent to."""
    name = flow.request.pretty_host
    flow.request.scheme, flow.request.host, flow.request.port = "http", HOST, int(PORT)
    flow.request.headers["Host"] = name


def response(flow: http.HTTPFlow) -> None:
    """Log a line as the sidecar does."""
    asked, answer, host = flow.request, flow.response, flow.request.headers["Host"]
    line = {
        "time": asked.timestamp_start, "event": "call", "service": host.split(".")[-4], "operation": asked.method,
        "region": host.split(".")[-3], "status": answer.status_code if answer else 0,
        "duration_ms": ((answer.timestamp_end or 0) - asked.timestamp_start) * 1000 if answer else 0,
        "bytes_in": len(asked.raw_content or b""), "bytes_out": len(answer.raw_content or b"") if answer else 0,
        "upstream": f"{HOST}:{PORT}", "request_id": answer.headers.get("x-amz-request-id", "") if answer else "",
        "host": host, "method": asked.method, "verdict": "intercept", "reason": "",
    }  # fmt: skip
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
