"""Read single keys from a terminal, or letters from a pipe, without waiting."""

import contextlib
import os
import select
import subprocess
import sys
import termios
import tty
from typing import Any, Final

# Waits for the end of its standard input, which comes when the process that holds the other end closes it or dies.
RESTORE_SCRIPT: Final = 'cat >/dev/null; exec stty "$1" <&1'


class KeyReader:
    """Reads standard input without waiting for Return; `close`, or a kill, restores the terminal."""

    def __init__(self) -> None:
        self._input: int | None = None
        self._before: list[Any] | None = None
        self._restorer: subprocess.Popen[bytes] | None = None
        with contextlib.suppress(OSError, ValueError):  # no standard input at all
            self._input = sys.stdin.fileno()
        if self._input is not None and os.isatty(self._input):
            if _in_background(self._input):
                self._input = None  # reading would stop the process
                return
            self._before = termios.tcgetattr(self._input)
            self._restorer = _restorer(self._input)
            tty.setcbreak(self._input)

    def read(self) -> str:
        """The keys typed since the last call; empty where there are none, or no standard input."""
        typed = b""
        while self._input is not None and select.select([self._input], [], [], 0)[0]:
            try:
                some = os.read(self._input, 1024)
            except OSError:
                some = b""
            if not some:
                self._input = None  # end of input
            typed += some
        return typed.decode(errors="replace")

    def close(self) -> None:
        """Restore the terminal."""
        if self._before is not None and self._input is not None:
            termios.tcsetattr(self._input, termios.TCSADRAIN, self._before)
        if self._restorer is not None:
            self._restorer.communicate()


def _restorer(terminal: int) -> "subprocess.Popen[bytes] | None":
    """Start a process that restores the terminal when this one has ended; None where there is no stty."""
    try:
        before = subprocess.check_output(["stty", "-g"], stdin=terminal, stderr=subprocess.DEVNULL, text=True).strip()
        return subprocess.Popen(
            ["sh", "-c", RESTORE_SCRIPT, "sh", before],
            stdin=subprocess.PIPE,
            stdout=terminal,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # out of reach of Ctrl-C
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def _in_background(terminal: int) -> bool:
    try:
        return os.tcgetpgrp(terminal) != os.getpgrp()
    except OSError:
        return False  # not this process's own terminal, as under honcho: it may be read
