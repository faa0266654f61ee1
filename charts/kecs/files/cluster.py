"""What the chart's jobs share: the API server, by the standard library and the pod's own account."""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
NAMESPACE = os.environ["POD_NAMESPACE"]
DEADLINE_S = 100


def call(method, path, body=None, content_type="application/json"):
    """Return the status and the object of one call; what is not there is no error."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    with open(f"{ACCOUNT}/token", encoding="ascii") as token:
        headers = {"Authorization": f"Bearer {token.read()}", "Content-Type": content_type}
    url = f"https://[{host}]:{port}{path}" if ":" in host else f"https://{host}:{port}{path}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    context = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")
    try:
        with urllib.request.urlopen(request, timeout=15, context=context) as response:
            text = response.read().decode()
            return response.status, json.loads(text) if text.startswith("{") else text
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        if error.code == 404:
            return 404, {}
        try:
            message = json.loads(text)["message"]
        except (ValueError, KeyError, TypeError):
            message = text
        raise SystemExit(f"error: {method} {path}: {error.code} {message}") from None


def wait(what, holds):
    """Ask until something holds."""
    end = time.monotonic() + DEADLINE_S
    while not (found := holds()):
        if time.monotonic() > end:
            raise SystemExit(f"error: waited {DEADLINE_S} s: {what}")
        time.sleep(0.5)
    return found


def say(text):
    print(text)
    sys.stdout.flush()
