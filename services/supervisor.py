"""Run one service and restart it after a crash: `python -m services.supervisor hub` runs `services.hub`.

honcho stops everything when one process ends and restarts nothing; so each line of the Procfile runs under a
supervisor. It gives up after 5 crashes in 60 s, with the service's exit code; then honcho stops all. A clean
exit, or a mistake of the user's (exit code 2), is not restarted. A service that does not report for too long,
or uses too much memory, is killed, which is a crash. SIGINT, SIGTERM and SIGHUP stop it, and so does the end of honcho.
"""

import argparse
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import closing
from pathlib import Path

import psutil

from common import clock
from common.errors import EXIT_USER_ERROR
from common.runtime import watchdog
from common.runtime.signals import on_stop_signal

log = logging.getLogger(__name__)

MAX_CRASHES, WITHIN_S = 5, 60.0
BACK_OFF_S = (0.2, 5.0)
POLL_S = 1.0  # interval at which the child is checked
STOP_S = 10.0  # for a child to stop when asked; honcho itself kills after 5


class Child:
    """One process of the service, from its start to its end."""

    def __init__(self, command: list[str], environment: dict[str, str], reports: bool) -> None:
        self.for_successor: dict[str, str] = {}  # environment of the next process
        self._watchdog = watchdog.Watchdog()
        child_fd = self._watchdog.child_fd
        self._process = subprocess.Popen(
            command, env={**environment, watchdog.VARIABLE: str(child_fd)}, pass_fds=[child_fd]
        )
        self._watchdog.close_child_end()
        self._allowed_s = self._left_s = float(watchdog.LONG_TIMEOUT_S) if reports else math.inf
        self._asked_to_stop = False

    def stop(self) -> None:
        """Ask it to stop."""
        self._asked_to_stop = True
        self._process.send_signal(signal.SIGTERM)  # does nothing to one that has ended

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()

    def wait(self) -> int | None:
        """Return its exit code if it ends before the next check is due."""
        try:
            return self._process.wait(timeout=POLL_S)
        except subprocess.TimeoutExpired:
            return None

    def fault(self, memory_limit_mb: float) -> str | None:
        """Return why it must be killed, if so; called at every check.

        Time is counted in checks: it does not pass while the whole machine is suspended.
        """
        if self._asked_to_stop:
            self._allowed_s, self._left_s = STOP_S, min(self._left_s, STOP_S)
        else:
            self._read_reports()
        self._left_s -= POLL_S
        if self._left_s < 0:
            return (
                f"{'does not stop' if self._asked_to_stop else 'hangs, without a report'} for {self._allowed_s:.0f} s"
            )
        if _memory_mb(self._process.pid) > memory_limit_mb:
            return f"uses more than {memory_limit_mb:.0f} MB"
        return None

    def _read_reports(self) -> None:
        for line in self._watchdog.lines():
            variable, is_fact, value = line.partition("=")
            if is_fact:
                self.for_successor[variable] = value
            elif line.isdecimal():
                self._allowed_s = self._left_s = float(line)

    def close(self) -> None:
        """Read its last messages."""
        self._read_reports()  # its last messages
        self._watchdog.close()


class Supervisor:
    """Runs one child at a time, and restarts it after a crash."""

    def __init__(self, command: list[str], name: str, memory_limit_mb: float, reports: bool = False) -> None:
        self._command, self._name, self._limit_mb, self._reports = command, name, memory_limit_mb, reports
        self._environment = {**os.environ, **clock.child_environment()}
        self._child: Child | None = None
        self._starters = _starters()
        self._stop = threading.Event()
        self._crashes: deque[float] = deque(maxlen=MAX_CRASHES)
        on_stop_signal(self._pass_on)

    def _pass_on(self, number: int = signal.SIGTERM, frame: object = None) -> None:
        self._stop.set()
        if self._child:
            self._child.stop()

    def run(self) -> int:
        """Run until the service ends or is asked to stop; returns the exit code for honcho."""
        pause_s = BACK_OFF_S[0]
        while True:
            began_s = time.monotonic()
            code = self._run_once()
            if time.monotonic() - began_s > WITHIN_S:
                pause_s = BACK_OFF_S[0]  # it ran well for long
            if self._stop.is_set():
                return 0 if code in (-signal.SIGTERM, -signal.SIGINT) else _exit_code(code)
            if code in (0, EXIT_USER_ERROR):
                return code
            if self._too_often():
                log.error("%s crashed %d times in %.0f s; giving up", self._name, MAX_CRASHES, WITHIN_S)
                return _exit_code(code)
            log.warning("%s %s; starting it again in %.1f s", self._name, _cause(code), pause_s)
            self._stop.wait(pause_s)
            if self._stop.is_set():
                return 0
            pause_s = min(2 * pause_s, BACK_OFF_S[1])
            self._environment[watchdog.RESTARTED] = "1"

    def _run_once(self) -> int:
        """Run a child to its end, and return its exit code as subprocess has it."""
        with closing(Child(self._command, self._environment, self._reports)) as child:
            self._child = child
            if self._stop.is_set():  # the signal came while it was being started
                child.stop()
            while (code := child.wait()) is None:
                if not self._stop.is_set() and _starters() != self._starters:
                    self._pass_on()
                if fault := child.fault(self._limit_mb):
                    log.warning("%s %s; it is killed", self._name, fault)
                    child.kill()
        self._environment |= child.for_successor
        return code

    def _too_often(self) -> bool:
        self._crashes.append(time.monotonic())
        return len(self._crashes) == MAX_CRASHES and self._crashes[-1] - self._crashes[0] < WITHIN_S


def _starters() -> tuple[int, ...]:
    """Return who started this: honcho's process that reads our output, and honcho itself, which may be killed alone.

    honcho gives every line a session of its own, which the end of a terminal does not reach. In a session that is
    somebody else's it does, so whoever starts a supervisor there may exit.
    """
    parent = os.getppid()
    if os.getsid(0) != os.getpid():
        return ()
    try:
        return parent, psutil.Process(parent).ppid()
    except psutil.Error:
        return ()


def _memory_mb(pid: int) -> float:
    try:
        return float(psutil.Process(pid).memory_info().rss / 1e6)
    except psutil.Error:
        return 0.0  # it has just ended


def _cause(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"crashed with exit code {code}"


def _exit_code(code: int) -> int:
    """Return the exit code as shells have it, where a signal ended the process."""
    return code if code >= 0 else 128 - code


def main() -> None:
    """Supervise the service of the command line."""
    parser = argparse.ArgumentParser(prog="python -m services.supervisor", description=__doc__)
    parser.add_argument("service", help="a module of services, such as camera")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to it")
    parser.add_argument("--memory-limit-mb", type=float, default=4000, help="start it anew beyond this (4000)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="supervisor: %(message)s", stream=sys.stderr)
    command = [sys.executable, "-m", f"services.{options.service}", *options.arguments]
    sys.exit(Supervisor(command, options.service, options.memory_limit_mb, _reports(options.service)).run())


def _reports(service: str) -> bool:
    """Whether the service is run by common.runtime.service, and so reports to the watchdog."""
    file = Path(__file__).with_name(f"{service}.py")
    return file.exists() and "from common.runtime.service import" in file.read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
