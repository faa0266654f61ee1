WEBHOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/kecs-injector"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/kecs-injector"
RECORDS = (
    f"/api/v1/namespaces/{NAMESPACE}/secrets/kecs-root",
    f"/api/v1/namespaces/{NAMESPACE}/secrets/kecs-issuer",
    f"/api/v1/namespaces/{NAMESPACE}/secrets/kecs-injector-tls",
    f"/api/v1/namespaces/{NAMESPACE}/configmaps/kecs-trust",
    f"/api/v1/namespaces/{NAMESPACE}/configmaps/kecs-rotation",
    f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/kecs-authority",
)


def gone(component):
    """Say whether no pod of a component is left: a terminating one still writes."""
    selector = f"labelSelector=app.kubernetes.io/name={component}"
    return not call("GET", f"/api/v1/namespaces/{NAMESPACE}/pods?{selector}")[1].get("items")


def remove(path):
    status, _ = call("DELETE", path)
    say(f"{path.rsplit('/', 1)[1]}: {'was not there' if status == 404 else 'removed'}")


def webhook():
    """Take the webhook away and keep the injector from registering it again; while both go, no pod is held up."""
    remove(WEBHOOK)
    body = {"spec": {"replicas": 0}}
    call("PATCH", f"{DEPLOYMENT}/scale", body, "application/merge-patch+json")
    wait("pods of kecs-injector are still there", lambda: gone("kecs-injector"))
    remove(WEBHOOK)


def records():
    """Take away what the authority made."""
    wait("pods of kecs-authority are still there", lambda: gone("kecs-authority"))
    for path in RECORDS:
        remove(path)
