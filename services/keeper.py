"""Runs one service and starts it again after a crash: `python -m services.keeper hub` runs `services.hub`.

honcho stops everything when one process ends and restarts nothing; so each line of the Procfile runs under a
keeper. It gives up after 5 crashes in 60 s, with the service's exit code; then honcho stops all. A clean
exit, or a mistake of the user's (exit code 2), is not restarted. SIGINT and SIGTERM are passed on.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque

import psutil

from common import RESTARTED, clock
from common.errors import EXIT_USER_ERROR

log = logging.getLogger(__name__)

MAX_CRASHES, WITHIN_S = 5, 60.0
BACK_OFF_S = (0.2, 5.0)
LOOK_S = 1.0  # between two looks at the memory


class Keeper:
    """One child process at a time."""

    def __init__(self, command: list[str], name: str, memory_limit_mb: float) -> None:
        self._command, self._name, self._limit_mb = command, name, memory_limit_mb
        self._child: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._crashes: deque[float] = deque(maxlen=MAX_CRASHES)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._pass_on)

    def _pass_on(self, number: int, frame: object) -> None:
        self._stop.set()
        if self._child and self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)

    def run(self) -> int:
        """Returns the exit code for honcho."""
        environment, pause_s = {**os.environ, **clock.hand_on()}, BACK_OFF_S[0]
        while True:
            self._child = subprocess.Popen(self._command, env=environment)
            if self._stop.is_set():  # the signal came while it was being started
                self._child.send_signal(signal.SIGTERM)
            code = self._wait(self._child)
            if self._stop.is_set():
                return 0 if code in (-signal.SIGTERM, -signal.SIGINT) else code
            if code in (0, EXIT_USER_ERROR):
                return code
            if self._too_often():
                log.error("%s crashed %d times in %.0f s; giving up", self._name, MAX_CRASHES, WITHIN_S)
                return code if code > 0 else 128 - code
            log.warning("%s %s; starting it again in %.1f s", self._name, _cause(code), pause_s)
            self._stop.wait(pause_s)
            if self._stop.is_set():
                return 0
            pause_s = min(2 * pause_s, BACK_OFF_S[1])
            environment[RESTARTED] = "1"

    def _too_often(self) -> bool:
        self._crashes.append(time.monotonic())
        return len(self._crashes) == MAX_CRASHES and self._crashes[-1] - self._crashes[0] < WITHIN_S

    def _wait(self, child: "subprocess.Popen[bytes]") -> int:
        while True:
            try:
                return child.wait(timeout=LOOK_S)
            except subprocess.TimeoutExpired:
                if self._memory_mb(child.pid) > self._limit_mb:
                    log.warning("%s uses more than %.0f MB; starting it anew", self._name, self._limit_mb)
                    child.kill()

    @staticmethod
    def _memory_mb(pid: int) -> float:
        try:
            return float(psutil.Process(pid).memory_info().rss / 1e6)
        except psutil.Error:
            return 0.0  # it has just ended


def _cause(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"crashed with exit code {code}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.keeper", description=__doc__)
    parser.add_argument("service", help="a module of services, such as camera")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to it")
    parser.add_argument("--memory-limit-mb", type=float, default=4000, help="start it anew beyond this (4000)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="keeper: %(message)s", stream=sys.stderr)
    command = [sys.executable, "-m", f"services.{options.service}", *options.arguments]
    sys.exit(Keeper(command, options.service, options.memory_limit_mb).run())


if __name__ == "__main__":
    main()
