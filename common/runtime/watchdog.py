"""Send heartbeats from a service to its supervisor through a pipe, and state for the process that replaces it.

A service that hangs (stopped, in a deadlock, in a driver that never returns) does not end, so its supervisor must
detect it. The pipe is independent of the bus: if the hub hangs, only the hub's heartbeat times out.
"""

import os
from contextlib import suppress
from typing import Final

RESTARTED: Final = "_ACTIONSTREAM_RESTARTED"  # environment variable: the process replaces one that crashed
VARIABLE: Final = "_ACTIONSTREAM_WATCHDOG_FD"
TIMEOUT_S: Final = 15  # of a running service; its loop reports every second, and a step may take a few
LONG_TIMEOUT_S: Final = 180  # for imports, opening a camera or loading a model on a slow, busy machine

_fd = int(os.environ.pop(VARIABLE, "-1"))  # not inherited by child processes
if _fd >= 0:
    os.set_inheritable(_fd, False)
    os.set_blocking(_fd, False)


def is_restart() -> bool:
    """Return whether this process replaces one that crashed."""
    return RESTARTED in os.environ


def beat(allowed_s: int = TIMEOUT_S) -> bool:
    """Send a heartbeat, and how many seconds the next one may take; returns False if the supervisor has ended."""
    return _write(str(allowed_s))


def pass_to_successor(variable: str, value: str) -> None:
    """Set an environment variable of the process that replaces this one if it crashes."""
    _write(f"{variable}={value}")


def _write(line: str) -> bool:
    try:
        if _fd >= 0:
            with suppress(BlockingIOError):  # full: the supervisor itself has been stopped for hours
                os.write(_fd, f"{line}\n".encode())
    except BrokenPipeError:
        return False
    return True


class Watchdog:
    """The supervisor's end of the pipe. `child_fd` is the file descriptor that the service inherits."""

    def __init__(self) -> None:
        self._read_fd, self.child_fd = os.pipe()
        os.set_blocking(self._read_fd, False)

    def close_child_end(self) -> None:
        """Close the service's end here, once the service has inherited it."""
        os.close(self.child_fd)

    def lines(self) -> list[str]:
        """Return the lines that the service has written since the last call."""
        with suppress(BlockingIOError):
            return os.read(self._read_fd, 65536).decode(errors="replace").splitlines()
        return []

    def close(self) -> None:
        """Close the supervisor's end."""
        os.close(self._read_fd)
