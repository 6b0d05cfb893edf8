"""Fixtures of the deployment's tests; the daemon is that of the end-to-end tests."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "e2e"))

from daemon import Daemon  # noqa: E402


@pytest.fixture(scope="session")
def daemon():
    # An audit a step, so that a short load shows what they find; random tokens may make no layer dense.
    audit = ("--audit-interval", "1", "--audit-error-limit", "10")
    started = Daemon("--kv-cache-memory", "256M", *audit)
    yield started.wait_ready()
    code = started.stop()
    assert code == 0, started.log


def pytest_terminal_summary(terminalreporter):
    """Core kinds and custom resources, counted apart."""
    ids = [report.nodeid for report in terminalreporter.stats.get("passed", [])]
    core = sum("::test_core_object[" in one for one in ids)
    custom = sum("::test_custom_resource[" in one for one in ids)
    if core or custom:
        terminalreporter.write_line(
            f"Kubernetes objects valid: {core} core (each release counts), {custom} custom resources"
        )
