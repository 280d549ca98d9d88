"""Handle the signals that ask a process to stop."""

import signal
from collections.abc import Callable
from typing import Any


def on_stop_signal(handler: Callable[[int, Any], None]) -> None:
    """Call the handler on Ctrl-C, on `kill`, and when the terminal is closed, unless nohup ignores the latter."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
