"""Read a clock that is not affected by changes of the system time: Unix time at the start of the run, then monotonic.

`make run` and the supervisors pass their offset on, so that all processes of a run on one host agree even if the
system clock is changed. Processes that are started in other ways agree unless it is changed between their starts.
"""

import os
import time
from typing import Final

OFFSET_VARIABLE: Final = "_ACTIONSTREAM_CLOCK_OFFSET_NS"  # Unix time minus the monotonic clock

_offset_ns = int(os.environ.get(OFFSET_VARIABLE) or time.time_ns() - time.monotonic_ns())


def now_ns() -> int:
    """Return Unix time in nanoseconds, monotonic."""
    return time.monotonic_ns() + _offset_ns


def child_environment() -> dict[str, str]:
    """Return the environment variables that give a child process the same clock."""
    return {OFFSET_VARIABLE: str(_offset_ns)}
