"""Debian's nginx with a test's configuration, as a process of the test."""

import shutil
import socket
import subprocess
import time
from contextlib import contextmanager

FRAME = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {http}
}}
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def run_nginx(file, port):
    """nginx with this configuration, which listens on `port`, while the context lasts."""
    binary = shutil.which("nginx", path="/usr/sbin") or shutil.which("nginx")
    assert binary, "nginx is not installed (Debian package nginx-light)"
    # Where nginx was built to write its first messages is not ours to write to: -e.
    process = subprocess.Popen([binary, "-e", "stderr", "-c", file, "-g", "daemon off;"])
    try:
        for _ in range(200):
            assert process.poll() is None, "nginx ended"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def nginx(folder, http, port):
    """The same with only what stands in the http block; its address."""
    file = folder / "nginx.conf"
    file.write_text(FRAME.format(folder=folder, http=http))
    with run_nginx(file, port):
        yield f"http://127.0.0.1:{port}"
