"""How much slower than where the tests were written this machine is now: deadlines in tests scale with it."""

import os
import time
from collections.abc import Callable
from typing import Final

LOOPS: Final = 300_000
REFERENCE_S: Final = 0.02  # of the work below on an idle core of the machine where deadlines were chosen
SPARE: Final = 3.0  # deadlines only end what hangs, so they may be generous

_slowest = 1.0


def patience(seconds: float) -> float:
    """A deadline for what takes up to `seconds` on an idle, fast machine; longer where this one is slow or busy."""
    global _slowest
    began_s = time.perf_counter()
    sum(number * number for number in range(LOOPS))
    pace = (time.perf_counter() - began_s) / REFERENCE_S
    _slowest = max(_slowest, pace, os.getloadavg()[0] / (os.cpu_count() or 1))
    return seconds * _slowest * SPARE


def until(done: Callable[[], object], seconds: float, still: Callable[[], bool] = lambda: True) -> None:
    """Poll until something is so, within so much patience, and only while what it waits for is `still` at work."""
    began_s = time.monotonic()
    while not done():
        assert still(), "it ended before"
        elapsed_s = time.monotonic() - began_s
        assert elapsed_s < seconds or elapsed_s < patience(seconds), "did not happen in time"
        time.sleep(0.01)
