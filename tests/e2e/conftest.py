"""A started daemon for the tests."""

import importlib
import subprocess
import sys
from pathlib import Path

import grpc
import openai
import pytest
from daemon import BINARY, REPOSITORY, Daemon
from grpc_tools import protoc


@pytest.fixture(scope="session")
def daemon():
    """The demo model with default options, shared by every test that does not change it."""
    started = Daemon()
    yield started.wait_ready()
    code = started.stop()
    assert code == 0, started.log


@pytest.fixture(scope="session")
def stubs(tmp_path_factory):
    """The messages and stubs that protoc makes of the contract, as a client of ours would."""
    out = tmp_path_factory.mktemp("stubs")
    well_known = Path(protoc.__file__).parent / "_proto"
    assert (
        protoc.main(
            [
                "protoc",
                f"-I{REPOSITORY / 'proto'}",
                f"-I{well_known}",
                f"--python_out={out}",
                f"--grpc_python_out={out}",
                "dejavu/v1/generation.proto",
            ]
        )
        == 0
    )
    sys.path.insert(0, str(out))
    try:
        yield (
            importlib.import_module("dejavu.v1.generation_pb2"),
            importlib.import_module("dejavu.v1.generation_pb2_grpc"),
        )
    finally:
        sys.path.remove(str(out))


@pytest.fixture(scope="session")
def fixed_artifact(tmp_path_factory):
    """Predictors that choose the same half, three quarters or all of the units for every token."""
    maker = BINARY.parent / "make_fixed_artifact"
    if not maker.exists():
        pytest.skip(f"{maker} is not built")
    out = tmp_path_factory.mktemp("artifact")
    made = subprocess.run([maker, REPOSITORY / "models" / "demo", out], capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    return out


@pytest.fixture
def client(daemon):
    """The official OpenAI client; a failure is seen at once."""
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def start_daemon():
    """Starts daemons with a test's own options and ends them after it."""
    started = []

    def start(*args, env=None, ready=True):
        one = Daemon(*args, env=env)
        started.append(one)
        return one.wait_ready() if ready else one

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def pb(stubs):
    return stubs[0]


@pytest.fixture
def channel(daemon):
    with grpc.insecure_channel(daemon.grpc_address) as channel:
        yield channel


@pytest.fixture
def stub(stubs, channel):
    return stubs[1].GenerationStub(channel)
