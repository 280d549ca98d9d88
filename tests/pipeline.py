"""Runs the real Procfile for tests and benchmarks: settings in, a running pipeline on ports of its own out."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import psutil

from common.bus.connection import Endpoints
from common.bus.messages import Message
from common.bus.pubsub import Subscriber
from tests.pace import patience

ROOT = Path(__file__).parent.parent
ALL = ("hub", "camera", "keypoints", "windows", "inference", "overlay", "logger")


PAGE_OFFSET = 4  # the overlay's page comes after the hub's four ports


def free_ports(count: int) -> int:
    """The first of `count` unused ports in a row."""
    for first in range(20_000 + os.getpid() % 120 * 100, 32_700, count):  # above, the system lends them to anybody
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    raise RuntimeError("no free ports")


@contextlib.contextmanager
def python(*arguments: object, **how: Any) -> Iterator["subprocess.Popen[Any]"]:
    """A process of Python with these arguments, in the project's folder, that ends with the test, however that ends."""
    with subprocess.Popen([sys.executable, *map(str, arguments)], cwd=ROOT, **how) as started:
        try:
            yield started
        finally:
            started.kill()


class Pipeline:
    """A honcho with the Procfile's processes."""

    def __init__(self, process: "subprocess.Popen[str]", port: int, log: Path) -> None:
        self.process, self.port, self._log = process, port, log
        self.endpoints = Endpoints(port=port)
        self.began_s = time.monotonic()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait(self, seconds: float) -> int:
        """Its exit code, within so much of the machine's patience."""
        limit_s = patience(seconds)
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {limit_s:.0f} s:\n{self.log}") from None

    def wait_for(self, what: str, found: Callable[[], bool], seconds: float) -> None:
        """Poll until something is so, within so much of the machine's patience."""
        limit_s = patience(seconds)
        deadline = time.monotonic() + limit_s
        while not found():
            assert self.process.poll() is None, f"ended while waiting for {what}:\n{self.log}"
            assert time.monotonic() < deadline, f"{what}: not within {limit_s:.0f} s:\n{self.log}"
            time.sleep(0.05)

    def pids_now(self, service: str) -> list[int]:
        """The processes that run a service now, by the process table."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if child.cmdline()[1:3] == ["-m", f"services.{service}"]:
                    found.append(child.pid)
            except psutil.Error:
                continue  # it has just ended
        return found


@contextlib.contextmanager
def pipeline(
    folder: Path, *, keypoints: int = 1, without: tuple[str, ...] = (), **settings: object
) -> Iterator[Pipeline]:
    """Start the Procfile; settings as `camera__source="testcard"`. Everything is ended at the end."""
    port = free_ports(PAGE_OFFSET + 1)
    waited = [s for s in ("windows", "inference", "overlay", "logger") if s not in without]
    chosen = {
        "bus__port": port,
        "overlay__page_port": port + PAGE_OFFSET,
        "camera__wait_for": "[" + ", ".join(["keypoints"] * keypoints + waited) + "]",
        **settings,
    }
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ACTIONSTREAM")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        **{f"ACTIONSTREAM__{key.upper()}": str(value) for key, value in chosen.items()},
    }
    counts = ",".join(f"{name}={0 if name in without else 1}" for name in ALL if name != "keypoints")
    command = [sys.executable, "-m", "honcho", "start", "-c", f"{counts},keypoints={keypoints}"]
    log = folder / "honcho.log"
    with log.open("w") as output:
        process = _start(command, environment, output)
        try:
            yield Pipeline(process, port, log)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """By a signal, and by force what does not heed it, so that the next test finds the machine as it was."""
    if process.poll() is not None:
        return
    everybody = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(patience(15))
    finally:
        for one in everybody:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()


def _start(command: list[str], environment: dict[str, str], output: IO[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output, text=True)


def collect(running: Pipeline, topics: list[str], seconds: float) -> Iterator[tuple[int, Message]]:
    """(Unix time of arrival in ns, message) of some topics until their streams have ended."""
    limit_s = patience(seconds)
    open_topics, deadline = len([topic for topic in topics if topic != "status"]), time.monotonic() + limit_s
    with contextlib.closing(Subscriber(running.endpoints, topics, hwm=dict.fromkeys(topics, 100_000))) as subscriber:
        while open_topics:
            assert time.monotonic() < deadline, f"no end of the stream within {limit_s:.0f} s:\n{running.log}"
            for message in subscriber.receive(200):
                open_topics -= message.header.end_of_stream
                yield time.time_ns(), message
