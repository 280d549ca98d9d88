"""Determine a video file's frame rate and number of frames, and a strictly rising time for each frame.

Timestamps are those of the container. Browsers repeat them, cut files jump, and damaged files have invalid ones.
"""

import contextlib
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import av

LATEST_NS: Final = 10**16  # 115 days: later timestamps are invalid
BEGAN_AGAIN_NS: Final = 10**9  # timestamps that fall back further, and stay there, belong to another recording
STEP_NS: Final = 1000  # MediaPipe counts microseconds
MAX_PACKETS: Final = 10_000  # read from a file for its rate
RATE_TOLERANCE: Final = 0.01  # a nominal rate so close to the measured one is used instead
MAX_FPS: Final = 1000.0  # that a header can hold


class FileClock:
    """Turns the timestamps of consecutive frames into strictly rising times.

    A timestamp after the last time is used as it is. For one that is repeated or earlier, the time is halfway from the
    last time to the next timestamp or the end of a period, so that times never lead timestamps by more than a period.
    """

    def __init__(self, fps: float) -> None:
        self._period_ns = round(1e9 / fps)
        self._last_ns: int | None = None
        self._offset_ns = 0

    def time(self, stamp_ns: int | None, next_ns: int | None) -> int:
        """Return the time of a frame from its timestamp and the next frame's; None stands for a missing timestamp."""
        stamp, following = self._valid(stamp_ns), self._valid(next_ns)
        if self._last_ns is None:
            self._last_ns = self._offset_ns if stamp is None else stamp
        else:
            self._last_ns = self._after(self._last_ns, stamp, following)
        return self._last_ns

    def begin_again(self) -> None:
        """Continue with the first timestamp of the same file, which is read again."""
        if self._last_ns is not None:
            self._offset_ns = self._last_ns + self._period_ns

    def _valid(self, stamp_ns: int | None) -> int | None:
        return self._offset_ns + stamp_ns if stamp_ns is not None and 0 <= stamp_ns < LATEST_NS else None

    def _after(self, last_ns: int, stamp: int | None, following: int | None) -> int:
        """Return a time after `last_ns`."""
        if stamp is None:
            return _between(last_ns, last_ns + 2 * self._period_ns, following)
        if stamp > last_ns:
            # The next timestamp, if it continues from the last time, shows that this one is invalid.
            is_outlier = following is not None and last_ns < following <= stamp - self._period_ns
            return _between(last_ns, stamp, following) if is_outlier else stamp
        if all(at is None or at < last_ns - BEGAN_AGAIN_NS for at in (stamp, following)):
            self._offset_ns += last_ns + self._period_ns - stamp
            return last_ns + self._period_ns
        return _between(last_ns, stamp + self._period_ns, following)


def _between(last_ns: int, limit_ns: int, following: int | None) -> int:
    """Return the time halfway from the last time to the limit, or to the next timestamp if that is earlier."""
    if following is not None and following > last_ns:
        limit_ns = min(limit_ns, following)
    return max(last_ns + STEP_NS, (last_ns + limit_ns) // 2)


def rate(path: Path, nominal: float) -> float | None:
    """Return frames per second from the file's timestamps, or None without any.

    The nominal rate is returned if it is within RATE_TOLERANCE of the measured one.
    """
    intervals, span_s, last_s = 0, 0.0, -math.inf
    for stamp_s in _stamps(path):
        if last_s == -math.inf or not -BEGAN_AGAIN_NS <= (stamp_s - last_s) * 1e9 < LATEST_NS:
            last_s = stamp_s
        else:
            intervals, span_s = intervals + 1, span_s + max(0.0, stamp_s - last_s)
            last_s = max(last_s, stamp_s)
    if not span_s:
        return None
    fps = min(intervals / span_s, MAX_FPS)
    return nominal if 1 - RATE_TOLERANCE < nominal / fps < 1 + RATE_TOLERANCE else fps


def stated_frames(path: Path) -> int:
    """Return the number of frames that the container states; 0 if it states none, as Matroska and WebM do."""
    with contextlib.suppress(av.FFmpegError, ValueError), av.open(str(path)) as container:
        stream = container.streams.best("video")
        if stream and stream.frames:  # includes those before the start of a file that was cut without re-encoding
            return stream.frames - sum(packet.is_discard for packet in container.demux(stream))
    return 0


def _stamps(path: Path) -> Iterator[float]:
    """Yield the timestamps of the first frames in seconds, in file order, without decoding."""
    with contextlib.suppress(av.FFmpegError, ValueError), av.open(str(path)) as container:  # OpenCV may still read it
        for packet in islice(container.demux(container.streams.best("video")), MAX_PACKETS):
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is not None and packet.size and not packet.is_discard:
                yield float(stamp * packet.time_base)
