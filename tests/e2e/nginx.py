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
def nginx(folder, http, port):
    """Runs while the context lasts; `http` is what stands in its http block and listens on `port`."""
    binary = shutil.which("nginx", path="/usr/sbin") or shutil.which("nginx")
    assert binary, "nginx is not installed (Debian package nginx-light)"
    file = folder / "nginx.conf"
    file.write_text(FRAME.format(folder=folder, http=http))
    # Where nginx was built to write its first messages is not ours to write to: -e.
    process = subprocess.Popen([binary, "-e", "stderr", "-c", file, "-g", "daemon off;"])
    try:
        for _ in range(200):
            assert process.poll() is None, "nginx ended"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
