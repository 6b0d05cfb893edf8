"""HTTP itself on plain sockets, against a started daemon: what a stock client library would hide."""

import json
import socket

import pytest

BODY = b'{"prompt":"Once","max_tokens":2}'


class Connection:
    def __init__(self, daemon):
        self.socket = socket.create_connection(("127.0.0.1", daemon.port), timeout=30)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method, path, body=b"", headers=""):
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self.send(f"{method} {path} HTTP/1.1\r\nHost: t\r\n{headers}{length}\r\n".encode() + body)
        return self.reply(head_only=method == "HEAD")

    def reply(self, head_only=False):
        status = int(self.file.readline().split()[1])
        headers = {}
        while line := self.file.readline().strip():
            name, value = line.decode().split(": ", 1)
            headers[name.lower()] = value
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(self.file.readline(), 16):
                body += self.file.read(size)
                self.file.readline()
            self.file.readline()
        elif not head_only:
            body = self.file.read(int(headers.get("content-length", 0)))
        return status, headers, body

    def ended(self):
        return self.file.read() == b""


@pytest.fixture
def connection(daemon):
    opened = Connection(daemon)
    yield opened
    opened.socket.close()


@pytest.fixture(autouse=True)
def still_alive(daemon):
    yield
    assert daemon.get("/health").status_code == 200
    assert daemon.post("/v1/completions", json.loads(BODY)).status_code == 200


def assert_openai_error(body):
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("GET", "/v1/completions", 405, "POST, OPTIONS"),
        ("POST", "/health", 405, "GET, HEAD, OPTIONS"),
        ("DELETE", "/v1/models", 405, "GET, HEAD, OPTIONS"),
        ("BREW", "/v1/models", 405, "GET, HEAD, OPTIONS"),
    ],
)
def test_refused_paths_and_methods(connection, method, path, status, allow):
    got, headers, body = connection.request(method, path)
    assert (got, headers.get("allow")) == (status, allow)
    assert_openai_error(body)
    assert connection.request("GET", "/version")[0] == 200


def test_content_type_must_be_json(connection):
    status, _, body = connection.request("POST", "/v1/completions", BODY, "Content-Type: text/plain\r\n")
    assert status == 415
    assert_openai_error(body)
    kind = "Content-Type: application/json; charset=utf-8\r\n"
    assert connection.request("POST", "/v1/completions", BODY, kind)[0] == 200


def test_a_body_over_the_limit(connection):
    connection.send(b"POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 40000000\r\n\r\n")
    status, headers, body = connection.reply()
    assert status == 413
    assert headers["connection"] == "close"
    assert_openai_error(body)


def test_head_and_options(connection):
    status, headers, _ = connection.request("HEAD", "/v1/models")
    assert status == 200
    assert int(headers["content-length"]) > 0
    status, headers, body = connection.request("OPTIONS", "/v1/chat/completions")
    assert (status, headers["allow"], body) == (204, "POST, OPTIONS", b"")
    assert "access-control-allow-origin" not in headers


def test_expect_100_continue(connection):
    head = f"POST /v1/completions HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: {len(BODY)}\r\n\r\n"
    connection.send(head.encode())
    assert connection.reply()[0] == 100
    connection.send(BODY)
    assert connection.reply()[0] == 200


def test_pipelined_requests_are_answered_in_order(connection):
    stream = b'{"prompt":"Once","max_tokens":3,"stream":true}'
    head = "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n"
    connection.send(
        head.format(len(stream)).encode()
        + stream
        + head.format(len(BODY)).encode()
        + BODY
        + b"GET /version HTTP/1.1\r\nHost: t\r\n\r\n"
    )
    _, headers, body = connection.reply()
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert body.endswith(b"data: [DONE]\n\n")
    assert json.loads(connection.reply()[2])["usage"]["completion_tokens"] == 2
    assert "version" in json.loads(connection.reply()[2])


def test_chunked_bodies(connection):
    chunks = b"".join(b"%x\r\n%s\r\n" % (1, BODY[i : i + 1]) for i in range(len(BODY)))
    connection.send(
        b"POST /v1/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    )
    assert connection.reply()[0] == 200
    assert connection.request("GET", "/version")[0] == 200


def test_http_1_0_streams_until_the_close(connection):
    body = b'{"prompt":"Once","max_tokens":3,"stream":true}'
    connection.send(b"POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body))
    connection.send(body)
    text = connection.file.read()
    assert b"transfer-encoding" not in text.lower()
    assert text.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00" * 100 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nbroken\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_garbage_is_a_400_and_a_close(connection, garbage):
    connection.send(garbage)
    status, headers, body = connection.reply()
    assert status == 400
    assert headers["connection"] == "close"
    assert_openai_error(body)
    assert connection.ended()


def test_endless_headers_are_a_431(connection):
    connection.send(b"GET / HTTP/1.1\r\nHost: t\r\nX: " + b"x" * 60000)
    assert connection.reply()[0] == 431


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"prompt":"\xff"}',
        b'{"prompt":"a","x":' + b"[" * 100000 + b"]" * 100000 + b"}",
        b'{"prompt":"a","x":' + b'{"a":' * 65 + b"1" + b"}" * 65 + b"}",
        b'{"prompt":"a","n":1e400}',
        b'{"prompt":"a","n":1e6}',
    ],
)
def test_bodies_that_are_refused(connection, body):
    status, _, reply = connection.request("POST", "/v1/completions", body)
    assert status == 400
    assert_openai_error(reply)
    assert connection.request("GET", "/version")[0] == 200


def test_request_ids(connection):
    status, headers, body = connection.request("POST", "/v1/completions", BODY, "X-Request-Id: my-id\r\n")
    assert (status, headers["x-request-id"]) == (200, "my-id")
    assert json.loads(body)["id"] == "cmpl-my-id"
    assert connection.request("GET", "/nothing")[1]["x-request-id"]


def test_the_v1_prefix_is_optional(daemon):
    for path in ("/models", "/models/dejavu-demo", "/version", "/health"):
        assert daemon.get(path).status_code == daemon.get("/v1" + path).status_code == 200
    chat = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    assert daemon.post("/chat/completions", chat).status_code == 200
    assert daemon.post("/v1/tokenize", chat).json()["count"] > 1


def test_tokenize_does_not_double_bos(daemon):
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    ids = daemon.post("/tokenize", chat).json()["tokens"]
    assert ids.count(2) == 1
    prompt = daemon.post("/apply-template", chat).json()["prompt"]
    plain = {"prompt": prompt, "add_special_tokens": False}
    assert daemon.post("/tokenize", plain).json()["tokens"] == ids


def test_many_connections_at_once(daemon):
    connections = [Connection(daemon) for _ in range(200)]
    for connection in connections:
        connection.send(b"GET /version HTTP/1.1\r\nHost: t\r\n\r\n")
    assert all(connection.reply()[0] == 200 for connection in connections)
    for connection in connections:
        connection.socket.close()
