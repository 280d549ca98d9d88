"""What a video file itself says: its rate, how many pictures, and for each a time, later than the one before.

Stamps are what the container holds. Browsers repeat them, cut files jump, damaged ones have some that are no times.
"""

import contextlib
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import av

LATEST_NS: Final = 10**16  # 115 days: what claims to be later is no time
BEGAN_AGAIN_NS: Final = 10**9  # stamps that fall back further, and stay there, belong to another recording
STEP_NS: Final = 1000  # MediaPipe counts microseconds
LOOKED_AT: Final = 10_000  # packets of a file, for its rate
AGREEING: Final = 0.01  # a nominal rate so close to the true one is what was meant
FASTEST_FPS: Final = 1000.0  # that a header can name


class FileClock:
    """Turns the stamps of one picture after another into times that rise.

    A stamp that lies after the last time is the time. One that is repeated, or lies behind, gives a time in between
    that, and the next stamp or a period, so that times never run ahead of stamps by more than one period.
    """

    def __init__(self, fps: float) -> None:
        self._period_ns = round(1e9 / fps)
        self._last_ns: int | None = None
        self._offset_ns = 0

    def time(self, stamp_ns: int | None, next_ns: int | None) -> int:
        """The time of a picture with this stamp, of which the next has that one; None where there is none."""
        stamp, following = self._usable(stamp_ns), self._usable(next_ns)
        if self._last_ns is None:
            self._last_ns = self._offset_ns if stamp is None else stamp
        elif stamp is None:
            self._last_ns = self._between(self._last_ns + 2 * self._period_ns, following)
        elif stamp > self._last_ns:
            self._last_ns = self._between(stamp, following) if self._is_leap(stamp, following) else stamp
        elif self._began_again(stamp, following):
            self._offset_ns += self._last_ns + self._period_ns - stamp
            self._last_ns += self._period_ns
        else:
            self._last_ns = self._between(stamp + self._period_ns, following)
        return self._last_ns

    def begin_again(self) -> None:
        """The next stamp is the first of the same file once more."""
        if self._last_ns is not None:
            self._offset_ns = self._last_ns + self._period_ns

    def _usable(self, stamp_ns: int | None) -> int | None:
        return self._offset_ns + stamp_ns if stamp_ns is not None and 0 <= stamp_ns < LATEST_NS else None

    def _between(self, limit_ns: int, following: int | None) -> int:
        """Halfway from the last time to the limit, or to the next stamp if that comes before."""
        assert self._last_ns is not None
        if following is not None and following > self._last_ns:
            limit_ns = min(limit_ns, following)
        return max(self._last_ns + STEP_NS, (self._last_ns + limit_ns) // 2)

    def _is_leap(self, stamp: int, following: int | None) -> bool:
        """Whether the next one, which goes on from the last, lies so far before this one that this one is none."""
        assert self._last_ns is not None
        return following is not None and self._last_ns < following <= stamp - self._period_ns

    def _began_again(self, stamp: int, following: int | None) -> bool:
        assert self._last_ns is not None
        return all(at is None or at < self._last_ns - BEGAN_AGAIN_NS for at in (stamp, following))


def rate(path: Path, nominal: float) -> float | None:
    """Frames a second as the file's stamps have it, nominal where that is as good as the same; None without stamps."""
    intervals, span_s, last_s = 0, 0.0, -math.inf
    for stamp_s in _stamps(path):
        if last_s == -math.inf or not -BEGAN_AGAIN_NS <= (stamp_s - last_s) * 1e9 < LATEST_NS:
            last_s = stamp_s
        else:
            intervals, span_s = intervals + 1, span_s + max(0.0, stamp_s - last_s)
            last_s = max(last_s, stamp_s)
    if not span_s:
        return None
    fps = min(intervals / span_s, FASTEST_FPS)
    return nominal if 1 - AGREEING < nominal / fps < 1 + AGREEING else fps


def stated_frames(path: Path) -> int:
    """How many pictures the container itself says are to be shown; 0 where it does not say, as Matroska and WebM."""
    with contextlib.suppress(av.FFmpegError, ValueError), av.open(str(path)) as container:
        stream = container.streams.best("video")
        if stream and stream.frames:  # of a file that was cut without encoding it anew, also those before its start
            return stream.frames - sum(packet.is_discard for packet in container.demux(stream))
    return 0


def _stamps(path: Path) -> Iterator[float]:
    """Seconds of the first pictures, in the order of the file, without decoding them."""
    with contextlib.suppress(av.FFmpegError, ValueError), av.open(str(path)) as container:  # OpenCV may know better
        for packet in islice(container.demux(container.streams.best("video")), LOOKED_AT):
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is not None and packet.size and not packet.is_discard:
                yield float(stamp * packet.time_base)
