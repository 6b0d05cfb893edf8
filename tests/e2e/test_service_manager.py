"""What a daemon tells a service manager, by the datagrams of sd_notify(3)."""

import signal
import socket

from daemon import wait_until


class Manager:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(60)
        self.lines = []

    def hear(self):
        self.lines += self.socket.recv(4096).decode().splitlines()

    def hear_until(self, line, times=1):
        while self.lines.count(line) < times:
            self.hear()


def test_ready_alive_and_stopping_are_told(start_daemon, tmp_path):
    address = str(tmp_path / "notify")
    manager = Manager(address)
    daemon = start_daemon("--drain-grace", 1, env={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "300000"}, ready=False)
    manager.hear_until("READY=1")
    assert daemon.get("/ready").status_code == 200, "READY came before the daemon was"
    assert any(line.startswith("STATUS=loading ") for line in manager.lines)
    assert "WATCHDOG=1" not in manager.lines
    manager.hear_until("WATCHDOG=1", 4)  # with nothing to do
    daemon.post("/v1/completions", {"prompt": "a", "max_tokens": 200, "ignore_eos": True})
    daemon.send_signal(signal.SIGTERM)
    manager.hear_until("STOPPING=1")
    beats = manager.lines.count("WATCHDOG=1")
    manager.hear_until("WATCHDOG=1", beats + 2)  # also while it leaves
    assert daemon.wait() == 0


def test_an_abstract_address(start_daemon):
    name = "dejavu-test-notify"
    manager = Manager("\0" + name)
    start_daemon(env={"NOTIFY_SOCKET": "@" + name})
    manager.hear_until("READY=1")


def test_a_manager_that_is_gone_harms_nobody(start_daemon, tmp_path):
    daemon = start_daemon(env={"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "100000"})
    wait_until(lambda: daemon.get("/ready").status_code == 200)


def test_another_process_watchdog_is_not_ours(start_daemon, tmp_path):
    address = str(tmp_path / "notify")
    manager = Manager(address)
    env = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}
    daemon = start_daemon(env=env)
    daemon.send_signal(signal.SIGTERM)
    manager.hear_until("STOPPING=1")
    assert "WATCHDOG=1" not in manager.lines
