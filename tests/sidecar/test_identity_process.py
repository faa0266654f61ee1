"""A pod's sidecar as a process: its intermediate comes from the service's process, and goes on without it."""

from pathlib import Path

from identity_lab import S3, called, pod_lab


def test_a_client_that_trusts_the_root_reaches_the_backend(tmp_path: Path) -> None:
    with pod_lab(tmp_path) as lab, lab.service(), lab.sidecar() as sidecar:
        told = sidecar.next_line("certificate_issued")
        with lab.tls(lab.state.authority.bundle_pem) as tls:
            assert called(tls) == 200
        assert lab.got[0].fields["host"] == S3
        assert sidecar.probe("/readyz") == (200, "ready\n")
        certs = sidecar.certs()
    assert told["generation"] == certs["generation"] == 1
    assert told["issuer_sha256"] == certs["issuer_sha256"] == lab.state.authority.issuer_sha256
    assert 86_000 < told["seconds_left"] <= 86_400
    assert certs["subject"] == "CN=KECS pod demo/app,O=KECS"
    assert certs["last_error"] is None
