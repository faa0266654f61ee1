"""One client for the whole of a rotation: a new connection for each call, or one for all; a line for each that failed.

Ends when the file it is given appears; the last line counts the calls.
"""

import http.client
import ssl
import subprocess
import sys
from pathlib import Path

HOST = "sts.eu-west-1.amazonaws.com"
TARGET = "/?Action=GetCallerIdentity&Version=2011-06-15"


def by_python() -> None:
    """Trust what this process was told once, at its start."""
    connection = http.client.HTTPSConnection(HOST, context=CONTEXT, timeout=20)
    try:
        connection.request("GET", TARGET)
        answer = connection.getresponse()
        if answer.status != 200 or b"GetCallerIdentityResult" not in answer.read():
            raise OSError(f"status {answer.status}")
    finally:
        connection.close()


def by_kept_connection() -> None:
    """Go on with the connection of the first call: a switch must not end it."""
    KEPT.request("GET", TARGET)
    answer = KEPT.getresponse()
    sockets.add(id(KEPT.sock))
    if answer.status != 200 or b"GetCallerIdentityResult" not in answer.read() or len(sockets) > 1:
        raise OSError(f"status {answer.status}, {len(sockets)} connections")


def by_curl() -> None:
    """Read the bundle anew, as every new process does."""
    asked = ["curl", "--silent", "--show-error", "--fail", "--max-time", "20", f"https://{HOST}{TARGET}"]
    done = subprocess.run(asked, capture_output=True, check=False)
    if done.returncode != 0 or b"GetCallerIdentityResult" not in done.stdout:
        raise OSError(done.stderr.decode())


CONTEXT = ssl.create_default_context()
KEPT = http.client.HTTPSConnection(HOST, context=CONTEXT, timeout=20)
sockets: set[int] = set()
call = {"python": by_python, "kept": by_kept_connection, "curl": by_curl}[sys.argv[1]]
end, served = Path(sys.argv[2]), Path(sys.argv[3])
calls = failures = 0
while not end.exists():
    try:
        call()
    except (OSError, http.client.HTTPException) as error:
        failures += 1
        print(f"failed: {error}", flush=True)
    calls += 1
    served.write_text(str(calls))
print(f"{calls} calls, {failures} failures", flush=True)
