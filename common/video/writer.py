"""Pictures with their times in, an .mp4 file out that can be read to the cut, whatever becomes of its writer."""

import contextlib
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError

MIN_FREE_BYTES: Final = 50_000_000  # of the disk; the file is closed before it is full
MAX_PAUSE_S: Final = 10.0  # a longer pause of a live stream is not shown at full length
MAX_STEP_S: Final = 3_600.0  # nor is one of a file: the encoder takes no step of a day
LARGEST_PX: Final = 8_190  # a side, as MPEG-4 has it
TICKS: Final = 60_000  # a second; MPEG-4 takes at most 65,535, and of these all usual rates are whole parts
# In fragments as long as the file is open; when it is closed, it becomes an ordinary one.
CONTAINER: Final = {"movflags": "hybrid_fragmented+empty_moov", "frag_duration": "500000", "flush_packets": "1"}
QUALITY: Final = {"qmin": "3", "qmax": "3"}


class VideoWriter:
    """Opens with the first picture; every picture is shown once, at its own time, until the next one comes.

    A long pause is shortened. A live stream whose clock begins again is shown on.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int], live: bool) -> None:
        self.path = path
        shrink = min(1.0, LARGEST_PX / max(size))
        size = round(size[0] * shrink) or 1, round(size[1] * shrink) or 1
        self._size, self._live = size, live
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise UserError(
                f"The video {path} cannot be written ({error.strerror}): is its folder there and yours to write?"
            ) from error
        self._container = av.open(self._file, "w", format="mp4", options=CONTAINER)
        self._stream = self._container.add_stream("mpeg4", rate=TICKS, options=QUALITY)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.thread_count = 1  # the other cores have more to do
        self._period = round(TICKS / fps)
        self._longest = max(self._period, round((MAX_PAUSE_S if live else MAX_STEP_S) * TICKS))
        self._begin_ns = self._last_ns = 0  # the times of tick 0 and of the last picture
        self._tick = -self._period  # of the last picture
        self.frames = 0

    def write(self, picture: NDArray[np.uint8], captured_ns: int) -> None:
        """Append a BGR picture; raises OSError before the disk is full."""
        if shutil.disk_usage(self.path.parent).free < MIN_FREE_BYTES:
            raise OSError(f"less than {MIN_FREE_BYTES // 10**6} MB free")
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = np.asarray(cv2.resize(picture, self._size), np.uint8)
        self._encode(picture, self._place(captured_ns))

    def _place(self, captured_ns: int) -> int:
        """The tick of a picture; one whose time was there already comes a period after the one before."""
        following = self._tick + self._period
        if not self.frames or (self._live and captured_ns < self._last_ns):
            self._begin_ns = captured_ns - following * 10**9 // TICKS
        self._last_ns = captured_ns
        tick = round((captured_ns - self._begin_ns) * TICKS / 1e9)
        if (too_long := tick - self._tick - self._longest) > 0:
            self._begin_ns += too_long * 10**9 // TICKS
            tick -= too_long
        return tick if tick > self._tick else following

    def _encode(self, picture: NDArray[np.uint8], tick: int) -> None:
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame.pts, frame.time_base = tick, Fraction(1, TICKS)
        for packet in self._stream.encode(frame):
            packet.duration = min(self._period, tick - self._tick)  # counts for the last one, where no other follows
            self._container.mux(packet)
        self._tick = tick
        self.frames += 1

    def close(self) -> None:
        """Raises OSError if what is still to be written does not fit; what was written before can be read."""
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close it without another word to the disk, which may be full."""
        with contextlib.suppress(OSError, av.FFmpegError):
            self.close()
