"""Unmodified programs in every mode, and what only pods of a certain kind need."""

import base64
import json
import os

import pytest
from e2e_lab import Space, container_names, get, image, kubectl, python, restricted, run

GIVEN = [name for name in ("E2E_JAVA_IMAGE", "E2E_NODE_IMAGE") if os.environ.get(name)]
CALLS = """
import boto3
s3 = boto3.client("s3")
s3.create_bucket(Bucket="NAME")
s3.put_object(Bucket="NAME", Key="key", Body=b"hello from S3")
print(s3.get_object(Bucket="NAME", Key="key")["Body"].read().decode())
print(boto3.client("sts").get_caller_identity()["Account"])
print(boto3.client("sqs").create_queue(QueueName="NAME")["QueueUrl"])
"""
ENVIRONMENT = """
import boto3, os
print(os.environ["AWS_ENDPOINT_URL"], os.environ["AWS_DEFAULT_REGION"])
sqs = boto3.client("sqs")
url = sqs.create_queue(QueueName="environment")["QueueUrl"]
sqs.send_message(QueueUrl=url, MessageBody="a job")
print(sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"])
"""
IDENTITY = "import boto3; print('account', boto3.client('sts').get_caller_identity()['Account'])"
SERVER = """
import http.server, boto3
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = boto3.client("sts").get_caller_identity()["Account"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""
OUTSIDE = """
import ssl, urllib.request
token = open("/var/run/secrets/kubernetes.io/serviceaccount/token").read()
roots = ssl.create_default_context(cafile="/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
asked = urllib.request.Request("https://kubernetes.default.svc/version", headers={"Authorization": f"Bearer {token}"})
print(urllib.request.urlopen(asked, context=roots, timeout=20).read().decode())
"""
JAVA = """
import java.net.URI;
import java.net.http.*;
public class App {
  public static void main(String[] arguments) throws Exception {
    var uri = URI.create("https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15");
    var scope = "AWS4-HMAC-SHA256 Credential=test/20300101/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=0";
    var asked = HttpRequest.newBuilder(uri).header("Authorization", scope).build();
    System.out.println(HttpClient.newHttpClient().send(asked, HttpResponse.BodyHandlers.ofString()).body());
  }
}
"""
NODE = """
const scope = "AWS4-HMAC-SHA256 Credential=test/20300101/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=0";
const url = "https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15";
fetch(url, {headers: {Authorization: scope}}).then((answer) => answer.text()).then(console.log);
"""


def test_sidecar_mode_in_a_job_that_completes(space: Space) -> None:
    space.job("plain", python(CALLS.replace("NAME", "plain")))
    log = space.completed("plain")
    assert "hello from S3" in log
    assert "000000000000" in log
    assert "https://sqs.us-east-1.amazonaws.com/000000000000/plain" in log


def test_sidecar_mode_in_a_deployment_behind_a_service(space: Space) -> None:
    probe = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1, "timeoutSeconds": 10}
    space.deployment("server", python(SERVER, ports=[{"containerPort": 8000}], readinessProbe=probe), replicas=2)
    for pod in space.pods("app=server"):
        assert "aws-proxy-sidecar" in container_names(pod)
        ours = pod["spec"]["containers"][0]["readinessProbe"]["httpGet"]
        assert (ours["path"], ours["port"]) == ("/", 8000)
    kubectl("-n", space.name, "expose", "deployment/server", "--port=80", "--target-port=8000")
    ask = "import urllib.request; print('answer', urllib.request.urlopen('http://server', timeout=20).read().decode())"
    space.pod("client", python(ask))
    assert "answer 000000000000" in space.succeeded("client")
    kubectl("-n", space.name, "delete", "deployment/server", "service/server", "--wait=false")


def test_environment_mode(space: Space) -> None:
    space.pod("environment", python(ENVIRONMENT), mode="environment")
    log = space.succeeded("environment")
    assert "http://kecs-gateway.kecs-system.svc.cluster.local:4566 us-east-1" in log
    assert "a job" in log
    assert list(container_names(get("-n", space.name, "pod", "environment"))) == ["app"]


def test_disabled_mode_touches_nothing(space: Space) -> None:
    space.pod("disabled", python("print('ran')"), mode="disabled")
    assert "ran" in space.succeeded("disabled")
    assert list(container_names(get("-n", space.name, "pod", "disabled"))) == ["app"]


def test_auto_mode_sees_the_user_of_aws_and_the_other(space: Space) -> None:
    space.pod("auto-aws", python(IDENTITY, env=[{"name": "AWS_REGION", "value": "eu-west-1"}]), mode="auto")
    plain = restricted(name="app", image=image("sidecar"), command=["/usr/local/bin/python3", "-c", "print('ran')"])
    space.pod("auto-none", plain, mode="auto")
    assert "account 000000000000" in space.succeeded("auto-aws")
    assert "ran" in space.succeeded("auto-none")
    assert "aws-proxy-sidecar" in container_names(get("-n", space.name, "pod", "auto-aws"))
    assert list(container_names(get("-n", space.name, "pod", "auto-none"))) == ["app"]


def test_an_init_container_of_the_users_calls_aws(space: Space) -> None:
    space.pod("migrated", python("print('ran')"), initContainers=[python(IDENTITY, name="migrate")])
    assert "ran" in space.succeeded("migrated")
    assert "account 000000000000" in space.log("migrated", "migrate")


def test_a_labelled_namespace_opts_in_all_its_pods(space: Space) -> None:
    kubectl("label", "namespace", space.name, "kecs.io/aws-proxy=enabled")
    kubectl("annotate", "namespace", space.name, "kecs.io/aws-proxy-mode=sidecar")
    try:
        space.pod("labelled", python(IDENTITY), mode="")
        space.pod("refusing", python("print('ran')"), mode="", annotations={"kecs.io/aws-proxy-enabled": "false"})
        assert "account 000000000000" in space.succeeded("labelled")
        assert "ran" in space.succeeded("refusing")
        assert list(container_names(get("-n", space.name, "pod", "refusing"))) == ["app"]
    finally:
        kubectl("label", "namespace", space.name, "kecs.io/aws-proxy-")
        kubectl("annotate", "namespace", space.name, "kecs.io/aws-proxy-mode-")


def test_what_is_not_aws_is_passed_untouched(space: Space) -> None:
    space.pod("outside", python(OUTSIDE))
    assert json.loads(space.succeeded("outside"))["major"] == "1"


def test_a_wrong_mode_is_refused_with_a_sentence(space: Space) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "wrong", "annotations": {"kecs.io/aws-proxy-mode": "sidecars"}},
        "spec": {"containers": [python("")]},
    }
    said = kubectl("-n", space.name, "create", "-f", "-", stdin=json.dumps(manifest), fails=True)
    assert 'kecs.io/aws-proxy-mode is "sidecars"' in said
    assert "environment, sidecar, disabled, auto" in said


def test_a_restricted_namespace_falls_back_with_a_warning(space: Space) -> None:
    name = f"{space.name}-restricted"
    kubectl("create", "namespace", name)
    try:
        kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        narrow = Space(name)
        narrow.pod("narrow", python(ENVIRONMENT.replace('"environment"', '"narrow"')))
        assert "a job" in narrow.succeeded("narrow")
        assert list(container_names(get("-n", name, "pod", "narrow"))) == ["app"]
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def test_kubectl_debug_is_trusted_too(space: Space) -> None:
    space.pod("debugged", python("import time; time.sleep(600)"))
    kubectl("-n", space.name, "wait", "pod/debugged", "--for=condition=Ready", "--timeout=120s")
    program = ["--", "/opt/kecs/bin/python", "-c", IDENTITY]
    chosen = [
        "--image",
        image("cli"),
        "--image-pull-policy=IfNotPresent",
        "--container=debugger",
        "--profile=restricted",
    ]
    kubectl("-n", space.name, "debug", "debugged", *chosen, *program)
    state = "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}"
    kubectl("-n", space.name, "wait", "pod/debugged", f"--for={state}=0", "--timeout=90s")
    assert "account 000000000000" in space.log("debugged", "debugger")
    kubectl("-n", space.name, "delete", "pod/debugged", "--wait=false")


def runtime(space: Space, given: str) -> None:
    program = base64.b64encode((JAVA if "JAVA" in given else NODE).encode()).decode()
    start = "java App.java" if "JAVA" in given else "node App.java"
    command = ["sh", "-c", f"cd /tmp && echo {program} | base64 -d > App.java && {start}"]
    name = given.split("_")[1].lower()
    space.pod(name, restricted(name="app", image=os.environ[given], command=command))
    assert "GetCallerIdentityResult" in space.succeeded(name)


if GIVEN:

    @pytest.mark.parametrize("given", GIVEN)
    def test_other_runtimes(space: Space, given: str) -> None:
        runtime(space, given)


def test_the_checks_are_green(installed: None) -> None:  # noqa: ARG001 - comes first
    run("kecs", "proxy", "check")
