"""Tell the time on a clock that nobody can set: Unix time at the start of the run, monotonic from there.

`make run` and the supervisors pass their offset on, so that all processes of a run on one host agree even where the
system's clock is set. Processes that are started in other ways agree unless it is set between their starts.
"""

import os
import time
from typing import Final

OFFSET_VARIABLE: Final = "_ACTIONSTREAM_CLOCK_OFFSET_NS"  # Unix time less the monotonic clock

_offset_ns = int(os.environ.get(OFFSET_VARIABLE) or time.time_ns() - time.monotonic_ns())


def now_ns() -> int:
    """Return Unix time in nanoseconds, monotonic."""
    return time.monotonic_ns() + _offset_ns


def child_environment() -> dict[str, str]:
    """Return what the environment of a child process needs, to have the same clock."""
    return {OFFSET_VARIABLE: str(_offset_ns)}
