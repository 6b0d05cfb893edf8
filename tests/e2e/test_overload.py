"""A full queue: what comes on top is refused at once, in both protocols, and nothing else suffers."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from daemon import wait_until

PLACES = 16  # two run, the others wait: long enough for all that follows
REFUSED = 40


def test_a_full_queue_refuses_and_recovers(start_daemon, stubs):
    daemon = start_daemon("--max-num-seqs", "2", "--max-queued", str(PLACES - 2))
    pb, services = stubs
    with grpc.insecure_channel(daemon.grpc_address) as channel:
        stub = services.GenerationStub(channel)
        full = pb.GenerateRequest(prompt="Once", max_tokens=1000, ignore_eos=True, n=PLACES)
        holder = stub.GenerateStream(full)
        next(holder)
        reader = threading.Thread(target=lambda: drain(holder))
        reader.start()

        def ask_http(_):
            return daemon.post("/v1/completions", {"prompt": "Once", "max_tokens": 1, "stream": True})

        def ask_grpc(_):
            try:
                return stub.Generate(pb.GenerateRequest(prompt="Once", max_tokens=1))
            except grpc.RpcError as error:
                return error

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(ask_http, range(REFUSED)))
            errors = list(pool.map(ask_grpc, range(REFUSED)))
        for answer in answers:
            assert answer.status_code == 429
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.json()["error"]["code"] == "queue_full"
            assert answer.json()["error"]["type"] == "rate_limit_error"
        for error in errors:
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            trailers = dict(error.trailing_metadata())
            assert trailers["error-code"] == "queue_full"
            assert int(trailers["grpc-retry-pushback-ms"]) > 0
        assert daemon.get("/ready").status_code == 200
        metrics = daemon.get("/metrics").text
        for api in ("completions", "grpc"):
            line = f'dejavu_requests_total{{api="{api}",outcome="resource_exhausted"}} {REFUSED}'
            assert line in metrics

        holder.cancel()
        reader.join()
        wait_until(lambda: daemon.metric("dejavu_requests_running") == 0)
        assert ask_http(0).status_code == 200
        assert ask_grpc(0).choices[0].token_ids


def drain(stream):
    try:
        for _ in stream:
            pass
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.CANCELLED
