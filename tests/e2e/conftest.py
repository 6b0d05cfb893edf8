"""A started daemon for the tests."""

import openai
import pytest
from daemon import Daemon


@pytest.fixture(scope="session")
def daemon():
    """The demo model with default options, shared by every test that does not change it."""
    started = Daemon()
    yield started.wait_ready()
    code = started.stop()
    assert code == 0, started.log


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
