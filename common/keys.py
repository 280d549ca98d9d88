"""Single keys typed in a terminal, or letters from a pipe, out; never waits."""

import contextlib
import os
import select
import sys
import termios
import tty
from typing import Any


class Keys:
    """Reads standard input without waiting for Return; `close` leaves the terminal as it was."""

    def __init__(self) -> None:
        self._input: int | None = None
        self._before: list[Any] | None = None
        with contextlib.suppress(OSError, ValueError):  # no standard input at all
            self._input = sys.stdin.fileno()
        if self._input is not None and os.isatty(self._input):
            if _in_background(self._input):
                self._input = None  # reading would stop the process
                return
            self._before = termios.tcgetattr(self._input)
            tty.setcbreak(self._input)

    def read(self) -> str:
        """The keys typed since the last call."""
        typed = b""
        while self._input is not None and select.select([self._input], [], [], 0)[0]:
            try:
                some = os.read(self._input, 1024)
            except OSError:
                some = b""
            if not some:
                self._input = None  # nobody is left to type
            typed += some
        return typed.decode(errors="replace")

    def close(self) -> None:
        if self._before is not None and self._input is not None:
            termios.tcsetattr(self._input, termios.TCSADRAIN, self._before)


def _in_background(terminal: int) -> bool:
    try:
        return os.tcgetpgrp(terminal) != os.getpgrp()
    except OSError:
        return False  # not this process's own terminal, as under honcho: it may be read
