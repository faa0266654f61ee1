TEST_NAMESPACE = "kecs-test"
PODS = f"/api/v1/namespaces/{TEST_NAMESPACE}/pods"
# An ordinary HTTPS client: it knows nothing of KECS, and verifies certificates.
APP = """
import urllib.request
url = "https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15"
scope = "AWS4-HMAC-SHA256 Credential=test/20300101/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=0"
request = urllib.request.Request(url, headers={"Authorization": scope})
with urllib.request.urlopen(request, timeout=30) as response:
    body = response.read().decode()
assert "GetCallerIdentityResult" in body, body
print(body)
"""


def pod(name):
    restricted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "app",
        "image": os.environ["TEST_IMAGE"],
        "imagePullPolicy": os.environ["TEST_PULL_POLICY"],
        "command": ["/usr/local/bin/python3", "-c", APP],
        "securityContext": restricted,
    }
    annotations = {"kecs.io/aws-proxy-mode": "sidecar"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": TEST_NAMESPACE, "annotations": annotations},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "imagePullSecrets": [{"name": name} for name in os.environ["TEST_PULL_SECRETS"].split()],
            "containers": [container],
        },
    }


def injected(found):
    names = [container["name"] for container in found["spec"].get("initContainers", [])]
    if names[:2] != ["aws-proxy-init", "aws-proxy-sidecar"]:
        raise SystemExit(f"error: the pod was not injected: its init containers are {names}")


def accepted(name, query=""):
    """Create a pod; the namespace's own account may not be there for a moment."""
    return wait("the pod is not accepted", lambda: call("POST", f"{PODS}{query}", pod(name))[1])


def ended(name):
    found = call("GET", f"{PODS}/{name}")[1]
    return found if found.get("status", {}).get("phase") in {"Succeeded", "Failed"} else None


def main():
    injected(accepted("kecs-test-dry", "?dryRun=All"))
    say("a dry run is injected")
    call("DELETE", f"{PODS}/kecs-test?gracePeriodSeconds=0")
    wait("the pod of the last test is still there", lambda: call("GET", f"{PODS}/kecs-test")[0] == 404)
    injected(accepted("kecs-test"))
    found = wait("the test's pod has not ended: kubectl -n kecs-test describe pod kecs-test", lambda: ended("kecs-test"))
    log = call("GET", f"{PODS}/kecs-test/log?container=app")[1]
    if found["status"]["phase"] == "Failed":
        raise SystemExit(f"error: the test's pod failed:\n{log}")
    say(f"an unmodified client was answered:\n{log}")
