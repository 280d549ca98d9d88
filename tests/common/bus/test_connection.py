"""Connections that are lost are noticed and restored; those of slow or suspended clients last."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from common.bus import connection
from common.bus.client import listen
from common.bus.connection import Endpoints
from common.bus.messages import Command, Frame, Status
from common.bus.pubsub import Publisher, Subscriber
from common.frames.sockets import PING, BrokerSockets, FrameWorker
from tests.common.sockets import free_ports, until
from tests.pipeline import ROOT

SILENCE_S = 2.0  # after which an unresponsive host is disconnected in these tests
IN_A_NETWORK_OF_ITS_OWN = ["unshare", "--user", "--map-root-user", "--net"]
LISTENER = """
import sys
from common.bus.client import listen
for header in listen("status", port=int(sys.argv[1])):
    print(header.seq, flush=True)
"""
REPORT = """
from types import SimpleNamespace
from common.runtime.service import Health, Heartbeat
header, _ = Heartbeat("windows").status(Health(), SimpleNamespace(conflated=0, malformed=0))
print(header.stream, header.pid)
"""
STOP = Command(stream="nobody", seq=0, captured_ns=0, ingested_ns=0, command="stop")


def status(seq: int = 0) -> Status:
    return Status(stream="probe.1", seq=seq, captured_ns=0, ingested_ns=0)


@contextlib.contextmanager
def start_hub(endpoints: Endpoints) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "services.hub", "--set", f"bus.port={endpoints.port}"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_listener_sees_that_the_hub_is_killed_and_is_back() -> None:
    endpoints = free_ports()
    with contextlib.closing(listen("action", port=endpoints.port)) as actions:
        assert not actions.connected
        for _ in range(2):
            with start_hub(endpoints) as hub:
                until(lambda: actions.receive(0.1) or actions.connected)
                hub.send_signal(signal.SIGKILL)
                until(lambda: actions.receive(0.1) or not actions.connected)


def test_another_thread_sees_it_while_the_listener_waits_for_a_message() -> None:
    endpoints = free_ports()
    actions = listen("action", "command", port=endpoints.port)
    waiting = threading.Thread(target=next, args=(actions,))
    waiting.start()
    try:
        with start_hub(endpoints) as hub:
            until(lambda: waiting.join(0.05) or actions.connected)
            hub.kill()
            until(lambda: waiting.join(0.05) or not actions.connected)
        with start_hub(endpoints), contextlib.closing(Publisher(endpoints)) as sender:
            until(lambda: sender.send(STOP) or waiting.join(0.05) or not waiting.is_alive())
    finally:
        waiting.join()
        actions.close()


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unresponsive hosts are disconnected as soon as TCP can."""
    for name in ("KEEPALIVE_IDLE_S", "KEEPALIVE_INTERVAL_S", "KEEPALIVE_COUNT"):
        monkeypatch.setattr(connection, name, 1)
    monkeypatch.setattr(connection, "TCP_TIMEOUT_MS", round(SILENCE_S * 1000))


def connections(port: int) -> set[tuple[object, object]]:
    """Those of all processes here to a port."""
    return {(found.laddr, found.raddr) for found in psutil.net_connections("tcp") if found.raddr[1:] == (port,)}


def test_a_subscriber_that_does_not_read_for_long_stays_connected(
    hurry: None, hub: BrokerSockets, endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    reader = Subscriber(endpoints, ["frames"])
    stack.callback(reader.close)
    wide = Frame(stream="cam", seq=0, captured_ns=0, ingested_ns=0, width=640, height=480, live=False)

    def watch() -> None:
        hub.publish_frame(wide, bytes(640 * 480 * 3))
        hub.receive(10)

    until(lambda: watch() or reader.receive(0))
    before, until_s = connections(endpoints.port + 3), time.monotonic() + 2 * SILENCE_S
    assert before
    while time.monotonic() < until_s:
        watch()
    assert connections(endpoints.port + 3) == before
    until(lambda: watch() or reader.receive(0))


def test_a_listener_that_is_suspended_for_long_stays_connected(
    hurry: None, hub: BrokerSockets, endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    sender = Publisher(endpoints)
    stack.callback(sender.close)
    command = [sys.executable, "-u", "-c", LISTENER, str(endpoints.port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as listener:
        stack.callback(listener.kill)
        assert listener.stdout is not None
        os.set_blocking(listener.stdout.fileno(), False)
        until(lambda: sender.send(status(1)) or hub.receive(20) or listener.stdout.readline())
        before, until_s = connections(endpoints.port + 1), time.monotonic() + 2 * SILENCE_S
        listener.send_signal(signal.SIGSTOP)
        while time.monotonic() < until_s:
            sender.send(status(2))
            hub.receive(10)
        listener.send_signal(signal.SIGCONT)
        until(lambda: sender.send(status(3)) or hub.receive(20) or "3" in listener.stdout.read())
        assert connections(endpoints.port + 1) == before
        listener.kill()


def lo(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


def vanish() -> None:
    """In a network of its own: the cable is pulled, and put in again."""
    endpoints = Endpoints()
    lo("up")
    hub, reader = BrokerSockets(endpoints), Subscriber(endpoints, ["status"])
    sender, worker = Publisher(endpoints), FrameWorker(endpoints)
    try:
        until(lambda: sender.send(status()) or reader.receive(20))
        until(worker.request)
        extractor = hub.receive(5000)[0].peer
        assert hub.send(extractor, PING) and reader.connected
        lo("down")
        until(lambda: sender.send(status()) or reader.receive(20) or not reader.connected)
        until(lambda: hub.receive(20) or not hub.send(extractor, PING))
        lo("up")
        until(lambda: sender.send(status()) or (reader.receive(20) and reader.connected))
        until(lambda: worker.request() and hub.receive(20))
    finally:
        for opened in (sender, worker, reader, hub):
            opened.close()


def test_a_host_that_vanishes_is_noticed_and_its_connections_are_made_again() -> None:
    if not shutil.which("ip") or subprocess.run([*IN_A_NETWORK_OF_ITS_OWN, "true"], check=False).returncode:
        pytest.skip("needs the right to a network of its own")
    hurried = f"""
from common.bus import connection
connection.KEEPALIVE_IDLE_S = connection.KEEPALIVE_INTERVAL_S = connection.KEEPALIVE_COUNT = 1
connection.TCP_TIMEOUT_MS = {round(SILENCE_S * 1000)}
from tests.common.bus.test_connection import vanish
vanish()
"""
    subprocess.run([*IN_A_NETWORK_OF_ITS_OWN, sys.executable, "-c", hurried], cwd=ROOT, check=True)


def test_services_with_the_same_process_id_in_two_containers_have_streams_of_their_own() -> None:
    """Status messages are distinguished by their stream alone."""
    container = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    if not shutil.which("unshare") or subprocess.run([*container, "true"], check=False).returncode:
        pytest.skip("needs the right to process ids of its own")
    command = [*container, sys.executable, "-c", REPORT]
    said = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    (one, pid), (other, its_pid) = (line.split() for line in said)
    assert pid == its_pid
    assert one != other and one.startswith("windows.")
