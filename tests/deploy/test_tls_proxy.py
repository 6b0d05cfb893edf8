"""The nginx of the tls overlay, with its own configuration, in front of a real daemon."""

import ssl
import subprocess
from types import SimpleNamespace

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from manifests import K8S
from nginx import free_port, run_nginx


def make_certificate(folder):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-keyout", folder / "tls.key", "-out", folder / "tls.crt", "-days", "1", "-subj", "/CN=dejavu"]
        + ["-addext", "subjectAltName=DNS:dejavu,DNS:localhost"],
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def proxy(daemon, tmp_path_factory):
    folder = tmp_path_factory.mktemp("proxy")
    make_certificate(folder)
    https, grpcs = free_port(), free_port()
    text = (K8S / "overlays" / "tls" / "nginx.conf").read_text()
    for shipped, here in {
        "/tmp/": f"{folder}/",
        "listen 8443": f"listen {https}",
        "listen 50443": f"listen {grpcs}",
        "127.0.0.1:8000": daemon.http_address,
        "127.0.0.1:50051": daemon.grpc_address,
        "/etc/dejavu-tls": str(folder),
    }.items():
        assert shipped in text
        text = text.replace(shipped, here)
    file = folder / "nginx.conf"
    file.write_text(text)
    trust = ssl.create_default_context(cafile=folder / "tls.crt")
    with (
        run_nginx(file, https),
        httpx.Client(base_url=f"https://localhost:{https}", verify=trust, timeout=60) as client,
    ):
        yield SimpleNamespace(http=client, grpc=f"localhost:{grpcs}", certificate=(folder / "tls.crt").read_bytes())


def test_probes_and_metrics(proxy):
    for path in ("/health", "/ready", "/metrics"):
        assert proxy.http.get(path).status_code == 200


def test_a_stream_is_not_buffered(proxy, daemon):
    body = {"prompt": "Once upon a time", "max_tokens": 400, "n": 8, "ignore_eos": True, "stream": True}
    with proxy.http.stream("POST", "/v1/completions", json=body) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()
        assert next(lines).startswith("data: {")
        assert daemon.metric("dejavu_requests_running") > 0
        assert [line for line in lines if line][-1] == "data: [DONE]"


def test_a_large_body_passes(proxy):
    answer = proxy.http.post("/tokenize", json={"prompt": "word " * 300_000})
    assert answer.status_code == 200, answer.text[:200]


def test_grpc(proxy):
    credentials = grpc.ssl_channel_credentials(root_certificates=proxy.certificate)
    with grpc.secure_channel(proxy.grpc, credentials) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
