"""A pipe from a service to its keeper: how long the service may be silent, and what its successor must know.

A service that hangs (stopped, in a deadlock, in a driver that never returns) does not end, so its keeper has to
notice. The pipe is independent of the bus: where the hub hangs, only the hub is silent.
"""

import os
from contextlib import suppress
from typing import Final

RESTARTED: Final = "_ACTIONSTREAM_RESTARTED"  # environment variable: the process replaces one that crashed
VARIABLE: Final = "_ACTIONSTREAM_WATCHDOG_FD"
TIMEOUT_S: Final = 15  # of a service that runs; its loop reports every second, and a step takes a few
LONG_TIMEOUT_S: Final = 180  # for what takes long on a slow, busy machine: imports, opening a camera, loading a model

_fd = int(os.environ.pop(VARIABLE, "-1"))  # no business of what this process may start
if _fd >= 0:
    os.set_inheritable(_fd, False)
    os.set_blocking(_fd, False)


def is_restart() -> bool:
    """Whether this process replaces one that crashed."""
    return RESTARTED in os.environ


def beat(allowed_s: int = TIMEOUT_S) -> bool:
    """Tell the keeper that all is well, and how long the next silence may be; False if the keeper is dead."""
    return _write(str(allowed_s))


def pass_to_successor(variable: str, value: str) -> None:
    """Put this into the environment of the process that takes over if this one crashes."""
    _write(f"{variable}={value}")


def _write(line: str) -> bool:
    try:
        if _fd >= 0:
            with suppress(BlockingIOError):  # full: the keeper itself has been stopped for hours
                os.write(_fd, f"{line}\n".encode())
    except BrokenPipeError:
        return False
    return True


class Watchdog:
    """The keeper's end. `told` is the file descriptor that the service inherits."""

    def __init__(self) -> None:
        self._heard, self.child_fd = os.pipe()
        os.set_blocking(self._heard, False)

    def close_child_end(self) -> None:
        """The service has its end now: from here on it alone holds it."""
        os.close(self.child_fd)

    def lines(self) -> list[str]:
        """What the service has said since the last call."""
        with suppress(BlockingIOError):
            return os.read(self._heard, 65536).decode(errors="replace").splitlines()
        return []

    def close(self) -> None:
        os.close(self._heard)
