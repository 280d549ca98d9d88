"""The signals by which a process is asked to stop."""

import signal
from collections.abc import Callable
from typing import Any


def on_stop_signal(handler: Callable[[int, Any], None]) -> None:
    """Call it for Ctrl-C, for `kill`, and when the terminal is closed, unless nohup says that this is no reason."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
