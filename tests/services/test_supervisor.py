"""The supervisor with real children that crash, hang, grow or do not stop, and what ends when other processes end."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import psutil
import pytest

from common.bus.pubsub import Subscriber
from common.runtime import watchdog
from services import supervisor
from tests.pace import patience
from tests.pipeline import PAGE_OFFSET, ROOT, Pipeline, pipeline

SUPERVISOR = """
import logging, sys
from services import supervisor
logging.basicConfig(format="supervisor: %(message)s", stream=sys.stderr)
supervisor.STOP_S = 2.0
sys.exit(supervisor.Supervisor([sys.executable, "-u", "-c", sys.argv[1]], "child", 200).run())
"""
SAY = "import os, signal, sys, time; from common.runtime import watchdog; print(watchdog.is_restart());"


def until(found: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + patience(seconds)
    while not found():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def keep(child: str) -> "subprocess.Popen[str]":
    """A supervisor of a small program."""
    command = [sys.executable, "-c", SUPERVISOR, SAY + child]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kept(child: str) -> tuple[int, str]:
    """The exit code of a supervisor that ends by itself, and what was said."""
    with keep(child) as started:
        try:
            said, _ = started.communicate(timeout=patience(30))
        finally:
            started.kill()
    return started.returncode, said


# --- one child ------------------------------------------------------------------------------------------


def test_a_child_whose_heartbeat_times_out_is_restarted():
    code, said = kept("watchdog.beat(1); watchdog.is_restart() or os.kill(os.getpid(), signal.SIGSTOP)")
    assert code == 0
    assert said.splitlines()[0] == "False"
    assert "child hangs, without a report for 1 s; it is killed" in said
    assert "child was killed by SIGKILL; starting it again" in said
    assert said.splitlines()[-1] == "True"


def test_a_child_that_reports_in_time_or_has_never_reported_is_left_alone():
    assert kept("[(watchdog.beat(2), time.sleep(0.5)) for _ in range(8)]") == (0, "False\n")
    assert kept("time.sleep(4)") == (0, "False\n")


@pytest.mark.parametrize(("reports", "killed"), [(True, True), (False, False)])
def test_a_service_that_hangs_before_its_first_report_is_restarted(monkeypatch, reports: bool, killed: bool):
    monkeypatch.setattr(watchdog, "LONG_TIMEOUT_S", 2)
    monkeypatch.setattr(supervisor, "MAX_CRASHES", 1)
    monkeypatch.setattr(supervisor, "on_stop_signal", lambda _: None)  # signals are for the test's own process
    hangs = [sys.executable, "-c", "import time; time.sleep(5)"]
    assert supervisor.Supervisor(hangs, "child", 200, reports).run() == (128 + signal.SIGKILL if killed else 0)


@pytest.mark.parametrize(("service", "reports"), [("hub", True), ("camera", True), ("robot", False), ("none", False)])
def test_a_service_of_the_runner_is_expected_to_report(service: str, reports: bool):
    assert supervisor._reports(service) is reports


def test_what_a_child_passes_on_is_received_by_the_next():
    code, said = kept(
        "print(os.environ.get('A')); watchdog.pass_to_successor('A', 'b=c'); sys.exit(9 - 9 * ('A' in os.environ))"
    )
    assert code == 0
    assert [line for line in said.splitlines() if "supervisor" not in line] == ["False", "None", "True", "b=c"]


def test_a_child_that_uses_too_much_memory_is_restarted():
    code, said = kept("watchdog.is_restart() and sys.exit(0); held = b'x' * 300_000_000; time.sleep(60)")
    assert code == 0
    assert "child uses more than 200 MB; it is killed" in said


def test_a_child_that_always_crashes_is_given_up_with_its_exit_code():
    code, said = kept("sys.exit(7)")
    assert (code, said.count("starting it again")) == (7, 4)
    code, said = kept("os.kill(os.getpid(), signal.SIGSEGV)")
    assert code == 128 + signal.SIGSEGV
    assert "child crashed 5 times in 60 s; giving up" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_child_that_does_not_stop_is_killed(number: signal.Signals):
    with keep("signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready')\nwhile True: time.sleep(1)") as started:
        try:
            assert started.stdout is not None
            assert [started.stdout.readline() for _ in range(2)] == ["False\n", "ready\n"]
            started.send_signal(number)
            said, _ = started.communicate(timeout=patience(10))
        finally:
            started.kill()
    assert said == "supervisor: child does not stop for 2 s; it is killed\n"
    assert started.returncode == 128 + signal.SIGKILL


def test_nohup_keeps_a_supervisor_and_its_child_when_the_terminal_is_closed():
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        started = keep("print('ready', signal.getsignal(signal.SIGHUP) == signal.SIG_IGN); time.sleep(2)")
    finally:
        signal.signal(signal.SIGHUP, handler)
    with started:
        assert started.stdout is not None
        assert [started.stdout.readline() for _ in range(2)] == ["False\n", "ready True\n"]
        started.send_signal(signal.SIGHUP)
        assert started.wait(patience(10)) == 0


# --- the services ---------------------------------------------------------------------------------------


HERE = ("hub", "camera", "windows", "overlay", "logger")  # those that start in a second


@contextmanager
def running_pipeline(folder: Path) -> Iterator[Pipeline]:
    """When all of them run."""
    settings = {"camera__source": "testcard", "logger__out": folder / "out"}
    with pipeline(folder, keypoints=0, without=("inference",), camera__wait_for="[]", **settings) as running:
        all_run(running)
        yield running


def all_run(running: Pipeline) -> None:
    received: set[str] = set()

    def found() -> bool:
        received.update(header.service for header, _ in subscriber.receive(50) if header.state == "running")
        return received == set(HERE)

    with closing(Subscriber(running.endpoints, ["status"])) as subscriber:
        running.wait_for("all", found, 30)


def test_whatever_hangs_is_restarted(tmp_path: Path):
    """All of them at once, since each takes as long as a heartbeat timeout."""
    with running_pipeline(tmp_path) as running:
        for service in HERE:
            os.kill(running.pids_now(service)[0], signal.SIGSTOP)
        said = [f"{service} hangs, without a report for 15 s; it is killed" for service in HERE]
        running.wait_for("kills", lambda: all(sentence in running.log for sentence in said), 25)
        all_run(running)
        assert running.log.count("starting it again") == len(HERE)


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def all_is_over(children: list[psutil.Process], running: Pipeline, out: Path) -> None:
    """No process is left, no port in use, no file open."""
    until(lambda: all(map(is_gone, children)), 10, running.log)
    for port in range(running.port, running.port + PAGE_OFFSET + 1):
        socket.create_server(("127.0.0.1", port)).close()
    assert json.loads((out / "run.json").read_text())["state"] != "running"


def test_when_honcho_is_killed_all_ends(tmp_path: Path):
    with running_pipeline(tmp_path) as running:
        children = psutil.Process(running.process.pid).children(recursive=True)
        running.process.kill()
        all_is_over(children, running, tmp_path / "out")


def test_when_the_terminal_is_closed_all_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ours, terminal = os.openpty()

    def start(command: list[str], environment: dict[str, str], output: IO[str]) -> "subprocess.Popen[str]":
        """As a shell would, in the foreground of a terminal."""
        take_terminal = partial(fcntl.ioctl, terminal, termios.TIOCSCTTY, 0)
        streams = {"stdin": terminal, "stdout": output, "stderr": output, "text": True}
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, start_new_session=True, preexec_fn=take_terminal, **streams
        )

    monkeypatch.setattr("tests.pipeline._start", start)
    with running_pipeline(tmp_path) as running:
        os.close(terminal)
        children = psutil.Process(running.process.pid).children(recursive=True)
        os.close(ours)
        all_is_over(children, running, tmp_path / "out")


def test_when_a_supervisor_is_killed_its_service_ends_and_so_does_the_run(tmp_path: Path):
    with running_pipeline(tmp_path) as running:
        children = psutil.Process(running.process.pid).children(recursive=True)
        os.kill(psutil.Process(running.pids_now("windows")[0]).ppid(), signal.SIGKILL)
        all_is_over(children, running, tmp_path / "out")
