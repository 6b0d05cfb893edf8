"""A model hub on this machine: its list of files, its downloads with ranges, its redirects of large
files to another host, and its failures, as a test wants them."""

import hashlib
import json
import socket
import ssl
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_blob(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class ServerV6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


class Hub:
    """Serves `files` (name → content) as org/model. Large ones are those that end in .safetensors."""

    def __init__(self, files, model="org/model", revisions=("main",), certificate=None, address=("127.0.0.1", 0)):
        self.files, self.model, self.revisions = files, model, revisions
        self.token = None  # needed, when set
        self.break_after = None  # bytes after which the first transfers of a large file break off
        self.breaks_left = 0
        self.corrupt = set()  # names that come with another content than is stated
        self.ignores_ranges = False
        self.lists_names_only = False  # sizes and hashes are then stated by HEAD alone
        self.states_commit = True  # in the list
        self.list_answer = None  # bytes: instead of the list
        self.requests = []  # (path, headers)
        self.heads = []  # paths asked by HEAD
        self.sent = 0  # bytes of files
        self.lock = threading.Lock()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.answer(self)

            def do_HEAD(self):
                hub.answer(self)

            def log_message(self, *_):
                pass

        host = address[0]
        self.server = (ServerV6 if ":" in host else ThreadingHTTPServer)(address, Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self.elsewhere = f"http://localhost:{self.port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.url = self.elsewhere = f"https://localhost:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request):
        path = request.path.split("?")[0]
        with self.lock:
            self.requests.append((path, dict(request.headers)))
            if request.command == "HEAD":
                self.heads.append(path)
        elsewhere = path.startswith("/cdn/")
        if self.token and not elsewhere and request.headers.get("Authorization") != f"Bearer {self.token}":
            return self.reply(request, 401, b"{}")
        # One segment each, as the hub has it.
        for revision in (urllib.parse.quote(name, safe="") for name in (*self.revisions, COMMIT)):
            if path == f"/api/models/{self.model}/revision/{revision}":
                return self.reply(request, 200, self.list_answer or self.listing())
            if path == f"/api/models/{self.model}/tree/{revision}":
                return self.reply(request, 200, self.tree())
            prefix = f"/{self.model}/resolve/{revision}/"
            if path.startswith(prefix) and path[len(prefix) :] in self.files:
                return self.resolve(request, path[len(prefix) :])
        if elsewhere:
            return self.send_file(request, path.removeprefix("/cdn/"))
        return self.reply(request, 404, b"{}")

    def listing(self):
        siblings = []
        for name, content in self.files.items():
            if self.lists_names_only:
                siblings.append({"rfilename": name})
                continue
            item = {"rfilename": name, "size": len(content), "blobId": git_blob(content)}
            if name.endswith(".safetensors"):
                item["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 134}
            siblings.append(item)
        commit = {"sha": COMMIT} if self.states_commit else {}
        return json.dumps({"id": self.model, **commit, "siblings": siblings}).encode()

    def tree(self):
        """The same as the hub's newer clients ask for it."""
        entries = []
        for name, content in self.files.items():
            entry = {"type": "file", "path": name, "size": len(content), "oid": git_blob(content)}
            if name.endswith(".safetensors"):
                entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 134}
            entries.append(entry)
        return json.dumps(entries).encode()

    def resolve(self, request, name):
        content = self.files[name]
        large = name.endswith(".safetensors")
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{git_blob(content)}"', "Accept-Ranges": "bytes"}
        if not large:
            return self.send_file(request, name, headers)
        # Another host by name: what is meant for the hub alone must not follow.
        headers |= {
            "X-Linked-ETag": f'"{sha256(content)}"',
            "X-Linked-Size": str(len(content)),
            "Location": f"{self.elsewhere}/cdn/{name}",
        }
        return self.reply(request, 302, b"", headers)

    def send_file(self, request, name, headers=None):
        content = self.files[name]
        if name in self.corrupt:
            content = bytes(len(content))
        begin, end, status = 0, len(content), 200
        asked = request.headers.get("Range")
        if asked and not self.ignores_ranges:
            first, last = asked.removeprefix("bytes=").split("-")
            begin, end, status = int(first), int(last) + 1 if last else end, 206
        part = content[begin:end]
        headers = {"ETag": f'"{sha256(content)}"'} | (headers or {})
        if status == 206:
            headers["Content-Range"] = f"bytes {begin}-{begin + len(part) - 1}/{len(content)}"
        with self.lock:
            breaks = self.breaks_left > 0 and len(part) > (self.break_after or 0)
            self.breaks_left -= breaks
        return self.reply(request, status, part, headers, self.break_after if breaks else None)

    def reply(self, request, status, body, headers=None, break_after=None):
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command == "HEAD":
            return
        shown = body if break_after is None else body[:break_after]
        request.wfile.write(shown)
        with self.lock:
            self.sent += len(shown)
        if break_after is not None:
            request.wfile.flush()
            request.close_connection = True
