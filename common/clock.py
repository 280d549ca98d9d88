"""The time of day on a clock that nobody sets: Unix time as it was when the run began, and on from there.

`make run` and the keepers hand their offset on, so that all processes of a run on one host agree whatever becomes of
the system's clock. Processes that are started in other ways agree as long as nobody sets it between their starts.
"""

import os
import time
from typing import Final

OFFSET_VARIABLE: Final = "ACTIONSTREAM_CLOCK_OFFSET_NS"  # Unix time less the monotonic clock

_offset_ns = int(os.environ.get(OFFSET_VARIABLE) or time.time_ns() - time.monotonic_ns())


def now_ns() -> int:
    """Unix time in nanoseconds; never goes back."""
    return time.monotonic_ns() + _offset_ns


def hand_on() -> dict[str, str]:
    """What the environment of another process needs, to have the same clock."""
    return {OFFSET_VARIABLE: str(_offset_ns)}
