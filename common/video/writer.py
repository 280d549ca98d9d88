"""Write images with their times to an .mp4 file that stays readable even if the process is killed."""

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
MAX_PAUSE_S: Final = 10.0  # a longer pause of a live stream is shortened to this
MAX_STEP_S: Final = 3_600.0  # and one of a file to this: the encoder accepts no step of a day
MAX_SIDE_PX: Final = 8_190  # the limit of MPEG-4
TICKS: Final = 60_000  # per second; MPEG-4 allows at most 65,535, and all usual frame periods are whole ticks
# Fragmented while the file is open; when it is closed, it becomes an ordinary one.
CONTAINER: Final = {"movflags": "hybrid_fragmented+empty_moov", "frag_duration": "500000", "flush_packets": "1"}
QUALITY: Final = {"qmin": "3", "qmax": "3"}


class VideoWriter:
    """Writes a video in which each image is shown at its own time, until the next one.

    A long pause is shortened. A live stream whose clock starts over is continued.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int], live: bool) -> None:
        self.path = path
        shrink = min(1.0, MAX_SIDE_PX / max(size))
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
        self._stream.codec_context.thread_count = 1  # the other cores are for Holistic
        self._period = round(TICKS / fps)
        self._longest = max(self._period, round((MAX_PAUSE_S if live else MAX_STEP_S) * TICKS))
        self._begin_ns = self._last_ns = 0  # the times of tick 0 and of the last image
        self._tick = -self._period  # of the last image
        self.frames = 0

    def write(self, image: NDArray[np.uint8], captured_ns: int) -> None:
        """Append a BGR image; raises OSError before the disk is full."""
        if shutil.disk_usage(self.path.parent).free < MIN_FREE_BYTES:
            raise OSError(f"less than {MIN_FREE_BYTES // 10**6} MB free")
        if (image.shape[1], image.shape[0]) != self._size:
            image = np.asarray(cv2.resize(image, self._size), np.uint8)
        self._encode(image, self._tick_of(captured_ns))

    def _tick_of(self, captured_ns: int) -> int:
        """Return the tick of an image; one whose time does not advance gets the last tick plus one period."""
        following = self._tick + self._period
        if not self.frames or (self._live and captured_ns < self._last_ns):
            self._begin_ns = captured_ns - following * 10**9 // TICKS
        self._last_ns = captured_ns
        tick = round((captured_ns - self._begin_ns) * TICKS / 1e9)
        if (excess := tick - self._tick - self._longest) > 0:
            self._begin_ns += excess * 10**9 // TICKS
            tick -= excess
        return tick if tick > self._tick else following

    def _encode(self, image: NDArray[np.uint8], tick: int) -> None:
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts, frame.time_base = tick, Fraction(1, TICKS)
        for packet in self._stream.encode(frame):
            packet.duration = min(self._period, tick - self._tick)  # matters for the last image, which no other follows
            self._container.mux(packet)
        self._tick = tick
        self.frames += 1

    def close(self) -> None:
        """Finish the file; raises OSError if the rest does not fit, and what was written before stays readable."""
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close the file and ignore errors, as the disk may be full."""
        with contextlib.suppress(OSError, av.FFmpegError):
            self.close()
