"""Pictures with their times in, an .mp4 file of constant rate out."""

import shutil
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError

MIN_FREE_BYTES = 50_000_000  # OpenCV does not say when the disk is full, so the file is closed before
MAX_PAUSE_S = 10.0  # a longer pause of a live stream is not shown at full length


class VideoFile:
    """Opens with the first picture. A live stream's missing frames are filled with the picture before."""

    def __init__(self, path: Path, fps: float, size: tuple[int, int], live: bool) -> None:
        self.path = path
        self._fps, self._size, self._live = fps, size, live
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
        if not self._writer.isOpened():
            raise UserError(f"The video {path} cannot be written: does its folder exist, and may you write there?")
        self._first_ns: float | None = None
        self._last_ns = 0
        self._last = np.zeros((*size[::-1], 3), np.uint8)
        self.frames = 0

    def write(self, picture: NDArray[np.uint8], captured_ns: int) -> None:
        """Append a BGR picture; raises OSError before the disk is full."""
        if shutil.disk_usage(self.path.parent).free < MIN_FREE_BYTES:
            raise OSError(f"less than {MIN_FREE_BYTES // 10**6} MB free")
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = np.asarray(cv2.resize(picture, self._size), np.uint8)
        missing = self._missing(captured_ns)
        for shown in [self._last] * missing + [picture] * (missing >= 0):
            self._writer.write(shown)
            self.frames += 1
        self._last = picture.copy()

    def _missing(self, captured_ns: int) -> int:
        """How many frames to fill before this one; below zero if its place is taken."""
        if not self._live:
            return 0
        period_ns, most = 1e9 / self._fps, round(MAX_PAUSE_S * self._fps)
        if self._first_ns is None or captured_ns < self._last_ns:  # a camera that began again
            self._first_ns = captured_ns - self.frames * period_ns
        self._last_ns = captured_ns
        missing = round((captured_ns - self._first_ns) / period_ns) - self.frames
        if missing > most:
            self._first_ns += (missing - most) * period_ns
        return min(missing, most)

    def close(self) -> None:
        self._writer.release()
